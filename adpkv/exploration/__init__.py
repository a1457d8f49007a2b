"""Looks for an interleaving in which an oracle speaks; makes it small; plays it again."""
