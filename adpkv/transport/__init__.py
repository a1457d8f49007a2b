"""Moving KV bytes from a context rank's blocks into a generation rank's blocks."""
