"""Faults around any transport: an operation in, a verdict out."""
