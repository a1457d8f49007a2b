"""Pure state machines: (now, event) in, decisions out. No clock, I/O, MPI, numpy or randomness."""
