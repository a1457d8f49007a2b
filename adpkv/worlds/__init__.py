"""Worlds perform what a rank program awaits: with real processes over MPI, or in virtual time."""
