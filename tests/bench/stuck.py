"""A program that does not end by itself soon."""

from __future__ import annotations

import time

if __name__ == "__main__":
    time.sleep(30)
