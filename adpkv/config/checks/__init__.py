"""Checks of the relations between the sections of an experiment, one file per subject."""
