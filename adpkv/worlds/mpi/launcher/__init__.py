"""What surrounds `adpkv run`: it starts mpirun and watches it, repairs an environment's mpirun, and
starts a command again that failed."""
