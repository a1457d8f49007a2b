"""A rank of a real job stands still alone, and nobody may say so for ten minutes; or it fails.

python -m tests.real_ranks.programs.paused OUT [fails | JOB]

JOB is a name for the job; its owner's process id ends it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from adpkv.core.ids import NEVER
from adpkv.executor.collectives import Pause
from adpkv.executor.phases import Phases
from tests.real_ranks.programs.one_request import serve_one_request
from tests.scenarios.script import setting

STUCK, FROM = 3, 5
"""This rank, from this iteration on."""


class RankState(Phases):
    """Waits alone where it should join."""

    async def sync(self) -> Any:
        rank = self.rank
        if rank.rank == STUCK and rank.iteration >= FROM:
            if sys.argv[2:] == ["fails"]:
                raise ValueError("planted")
            await Pause(
                self._group, "poll", "at_least=1", rank.iteration, rank.plan, NEVER, lambda: False
            )
        return await super().sync()


def main() -> int:
    data = setting("paused", 2, 2, diagnosis={"hang_timeout": "600s"})

    name = "" if sys.argv[2:] == ["fails"] else "".join(sys.argv[2:])
    return serve_one_request(data, Path(sys.argv[1]), RankState, name)


if __name__ == "__main__":
    sys.exit(main())
