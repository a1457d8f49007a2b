"""Faults around any transport: an operation in, a decision out."""
