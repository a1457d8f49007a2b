"""The command `adpkv`, also as `python -m adpkv`.

The commands take a while to import. Ctrl-C ends that as it ends everything else: with 130, and
without a traceback.
"""

import sys

__all__ = ["main"]

INTERRUPTED = 130
"""`ExitCode.SIGINT`, of a module that is not imported yet."""


def main() -> None:
    """The console script."""
    try:
        from adpkv.cli.app import main as command
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    command()


if __name__ == "__main__":
    main()
