"""What clients ask for: arrivals over time, from a process or from a trace."""
