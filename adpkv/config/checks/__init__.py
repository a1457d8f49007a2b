"""What the sections of an experiment must be to each other: one file per subject."""
