"""The rank program and the coordinator: the loop that keeps the contract, in either world."""
