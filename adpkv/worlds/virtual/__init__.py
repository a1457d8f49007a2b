"""All ranks of a job in one thread, in virtual time: deterministic, and it detects when they
hang."""
