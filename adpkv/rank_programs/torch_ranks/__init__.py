"""torch.distributed over the ranks of a schedule. Only this package imports torch."""
