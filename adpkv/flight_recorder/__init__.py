"""The flight recorder of a rank: what it does, written into a memory-mapped file as it happens."""
