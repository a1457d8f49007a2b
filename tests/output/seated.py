"""Runs a program as the first one of the terminal that is its stdin: `seated PROGRAM [ARG...]`.

Whoever starts it gives it a session of its own; then it hears when the window is closed.
"""

from __future__ import annotations

import fcntl
import os
import sys
import termios

if __name__ == "__main__":
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    os.execv(sys.argv[1], sys.argv[1:])
