"""The collectives of a forward step: tokens go to the experts of all ranks, and come back."""
