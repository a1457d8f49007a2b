"""How a process of adpkv ends: its errors become messages and exit codes."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn

from adpkv.errors import AdpkvError, StuckError
from adpkv.exit_codes import ExitCode
from adpkv.streams import Streams
from adpkv.terminal import final_line, terminal_columns

__all__ = ["end_with", "ended"]


def end_with(command: Callable[[], object]) -> NoReturn:
    """Run the command, with streams that never raise, and end with its exit code."""
    streams = Streams()
    code = streams.finish(ended(command))
    if "adpkv.rank_programs.unending" in sys.modules:
        from adpkv.rank_programs.unending import leave_if_left

        leave_if_left(code)
    sys.exit(code)


def ended(command: Callable[[], object]) -> int:
    """Run the command; the exit code with which this process ends."""
    try:
        command()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else ExitCode.COMPLETED
    except KeyboardInterrupt:
        return ExitCode.SIGINT  # before Typer runs the command, as it reads what commands there are
    except StuckError as error:
        from adpkv.diagnosis.conclude import error_text

        final_line(f"adpkv: {error_text(error, terminal_columns(sys.stderr))}")
        return error.exit_code
    except AdpkvError as error:
        final_line(f"adpkv: {error}")
        return error.exit_code
    except Exception as error:
        if isinstance(error, FileNotFoundError) and not _is_anywhere():
            final_line("adpkv: the working folder is gone: change to one that is there")
            return ExitCode.USAGE
        traceback.print_exc()
        final_line("adpkv: this is a bug in adpkv, please report it with the above")
        return ExitCode.INTERNAL_ERROR
    return ExitCode.COMPLETED


def _is_anywhere() -> bool:
    """Whether the working folder is still there: every relative path needs it."""
    try:
        os.getcwd()
    except FileNotFoundError:
        return False
    return True
