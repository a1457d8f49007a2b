"""What the living ranks of a run do together when one has failed."""
