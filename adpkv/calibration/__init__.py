"""Fits what the virtual world needs from real runs, and says how far it is from others."""
