"""Who waits for whom: where each rank is, who has stood there for too long, and the report."""
