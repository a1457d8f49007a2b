"""Around `adpkv run`: an environment whose mpirun starts it, and a parent that starts it again."""
