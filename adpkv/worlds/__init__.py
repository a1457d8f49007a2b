"""Interpreters of what a rank program awaits: real processes, or virtual time."""
