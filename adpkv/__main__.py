"""The command `adpkv`, also as `python -m adpkv`.

Importing the commands takes a while. Ctrl-C during that import ends the process as it does later:
with the code of SIGINT and without a traceback.
"""

import gc
import sys

from adpkv import huge_pages
from adpkv.exit_codes import ExitCode

__all__ = ["main", "prepare", "program"]

YOUNG = 100_000
"""Nothing that is imported is garbage: the collector need not look at it each 700 objects."""


def program() -> None:
    """The whole life of a process: the entry point of the console script `adpkv`."""
    try:
        main()
    except SystemExit as end:
        from adpkv.cli.leaving import leave

        leave(end.code, sys._getframe(1))
        raise


def prepare() -> None:
    """Make this process one of a command."""
    huge_pages.use()
    gc.set_threshold(YOUNG)


def main() -> None:
    """Run the command line; as ever, it ends with a SystemExit."""
    prepare()
    try:
        from adpkv.cli.app import main as command
    except KeyboardInterrupt:
        sys.exit(ExitCode.SIGINT)
    command()


if __name__ == "__main__":
    program()
