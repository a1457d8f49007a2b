"""The command `adpkv`, also as `python -m adpkv`.

Importing the commands takes a while. Ctrl-C during that import ends the process as it does later:
with the code of SIGINT and without a traceback.
"""

import gc
import sys

from adpkv import huge_pages
from adpkv.exit_codes import ExitCode

__all__ = ["main"]

YOUNG = 100_000
"""Nothing that is imported is garbage: the collector need not look at it each 700 objects."""


def main() -> None:
    """Run the command line: the entry point of the console script `adpkv`."""
    huge_pages.use()
    gc.set_threshold(YOUNG)
    try:
        from adpkv.cli.app import main as command
    except KeyboardInterrupt:
        sys.exit(ExitCode.SIGINT)
    command()


if __name__ == "__main__":
    main()
