"""Finds out why a job is stuck: where each rank is, which one keeps the others waiting, and the
report."""
