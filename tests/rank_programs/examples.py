"""The programs of docs/examples: what is wrong with each, and the campaign over the mended ones.

python -m tests.rank_programs.examples 10000
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from adpkv.rank_programs.checking import Checked, Plan, check
from adpkv.rank_programs.classify import Kind
from adpkv.rank_programs.report_text import render
from adpkv.rank_programs.session import Session, Settings
from adpkv.rank_programs.target import parse_target

FOLDER = Path(__file__).parents[2] / "docs" / "examples"

WRONG = {
    "zero_tokens": (Kind.WRONG_OPERATION, (2,), "if num_tokens == 0:"),
    "waves": (Kind.ARGUMENT_MISMATCH, (0,), "if counter % EVERY == 0:"),
    "unequal_queues": (Kind.ARGUMENT_MISMATCH, (1,), "dist.all_reduce(polls"),
    "lone_gather": (Kind.WRONG_OPERATION, (1,), "if failed:"),
    "local_root": (Kind.EXCEPTION, None, "dist.broadcast(torch.ones(2), src=0, group=group)"),
    "two_groups": (Kind.ORDER_INVERSION, (3,), "dist.all_reduce(torch.ones(8), group=first)"),
    "never_waited": (Kind.UNWAITED_OPERATION, (0,), "dist.all_reduce(loss, async_op=True)"),
}
"""By program: the kind, the odd ranks, and a line that the report must quote."""

WITHOUT_TORCH = ("lone_gather",)


def performed(name: str, function: str, schedules: int) -> Checked:
    """Check one function of an example on four ranks."""
    with Session(parse_target(f"{FOLDER / name}.py:{function}"), Settings(4)) as session:
        return check(session, Plan(schedules, seconds=3600))


def main() -> int:
    """Each mended program under many schedules; says how fast."""
    schedules = int(sys.argv[1])
    for name in WRONG:
        began = time.monotonic()
        found = performed(name, "mended", schedules)
        seconds = time.monotonic() - began
        print(f"{name}: {found.schedules:,} schedules, {found.schedules / seconds:,.0f}/s")
        if found.report is not None:
            print(render(found.report, 100))
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
