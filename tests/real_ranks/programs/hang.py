"""A rank of a real job stands still alone; the others must find out, and say so.

python -m tests.real_ranks.programs.hang FOLDER [VICTIM | slow]

Where there is a victim it is killed first, and the other stands still among those who are left.
`slow`: who makes the report for all needs four seconds more to write it.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from adpkv.core.ids import NEVER
from adpkv.diagnosis import conclude
from adpkv.executor.collectives import Pause
from adpkv.executor.phases import Phases
from tests.real_ranks.programs.one_request import serve_one_request
from tests.scenarios.script import setting

STUCK, FROM = 6, 5
"""This rank, from this iteration on."""

SLOW = sys.argv[2:] == ["slow"]
VICTIM = int(sys.argv[2]) if len(sys.argv) > 2 and not SLOW else -1


class RankState(Phases):
    """Waits alone where it should join."""

    async def sync(self) -> Any:
        rank = self.rank
        if rank.rank == VICTIM and rank.iteration >= FROM:
            os.kill(os.getpid(), signal.SIGKILL)
        whole = len(rank.members) == rank.instance.ranks
        if rank.rank == STUCK and rank.iteration >= FROM and whole == (VICTIM < 0):
            await Pause(
                self._group, "poll", "at_least=1", rank.iteration, rank.plan, NEVER, lambda: False
            )
        return await super().sync()


def main() -> int:
    data = setting("hang", 4, 4, diagnosis={"hang_timeout": "1s"})
    if SLOW:
        write = conclude.write_deadlock

        def slowly(path: Path, values: Any) -> None:
            time.sleep(4)
            write(path, values)

        conclude.write_deadlock = slowly
    return serve_one_request(data, Path(sys.argv[1]) / "out", RankState)


if __name__ == "__main__":
    sys.exit(main())
