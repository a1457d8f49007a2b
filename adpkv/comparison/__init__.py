"""Runs side by side: what differs, whether it is more than chance, and where requests part."""
