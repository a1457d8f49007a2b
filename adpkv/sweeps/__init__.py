"""Many runs of one experiment with other settings: which points, side by side, into one table."""
