"""`adpkv inspect`: where the ranks of a run are, read from outside without stopping them."""
