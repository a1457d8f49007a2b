"""The command `adpkv`, also as `python -m adpkv`.

The commands take a while to import. Ctrl-C ends that as it ends everything else: with 130, and
without a traceback.
"""

import sys

from adpkv.exit_codes import ExitCode

__all__ = ["main"]


def main() -> None:
    """The console script."""
    try:
        from adpkv.cli.app import main as command
    except KeyboardInterrupt:
        sys.exit(ExitCode.SIGINT)
    command()


if __name__ == "__main__":
    main()
