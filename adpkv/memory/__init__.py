"""Memories: they hold KV blocks, and check who writes into them."""
