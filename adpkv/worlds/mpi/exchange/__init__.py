"""How the members of a group see what each of them contributes: over MPI, or shared memory."""
