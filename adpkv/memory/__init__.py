"""Holding KV bytes, and watching who touches them."""
