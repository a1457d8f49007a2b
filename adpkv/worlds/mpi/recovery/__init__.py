"""How the living ranks of a job recover together when a rank has failed."""
