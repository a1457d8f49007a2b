"""Models: what a forward step costs, and running one for real."""
