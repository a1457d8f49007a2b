"""The MPI world: one process per rank, collectives and messages over MPI.

Nothing here is imported before a real run is asked for, so `simulate` works without MPI.
"""
