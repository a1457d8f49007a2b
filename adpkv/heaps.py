"""Heaps of tuples that begin with integers: Python's own.

The compiled build has `heaps.c` in place of this module, with the same functions: there to compare
two tuples as Python does takes most of the time of a heap.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush, heapreplace

__all__ = ["heapify", "heappop", "heappush", "heapreplace"]
