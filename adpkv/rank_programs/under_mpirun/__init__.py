"""Bodies of tests on real ranks: what pytest's plugin does for `world="mpi"`."""
