"""mpi4py's interface over the ranks of a schedule. mpi4py itself is not imported, nor needed."""
