"""Faults that are injected on purpose: wrappers around each port of a rank, and what decides when
they fire."""
