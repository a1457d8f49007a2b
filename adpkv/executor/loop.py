"""The rank program: one loop, the same on every rank, in both worlds.

intake   tp_broadcast   the leader's messages
observe  local          polls, deadlines, health: note what happened, decide nothing
sync     tp_allgather   every rank's status; the plan is a pure function of all of them
apply    local          do what was agreed: cancels, assignments, advertise, post
flush    tp_gather      staged responses, also when there are none
leave?                  if the plan says so, all ranks together
step     forward        if the plan says so, with dummy batches; else a bounded wait
"""

from __future__ import annotations

from adpkv.core.report import RankReport
from adpkv.errors import RankLostError
from adpkv.executor.phases import Phases

__all__ = ["RankProgram"]


class RankProgram:
    """Runs the phases in this order until the group leaves."""

    def __init__(self, phases: Phases) -> None:
        self.phases = phases

    async def run(self) -> tuple[RankReport, ...]:
        """Serve until the group agrees to leave; returns the reports of all ranks of the job.

        When a rank of the group fails, the others begin a new iteration without it, whatever phase
        they are in.
        """
        phases = self.phases
        while True:
            try:
                await phases.intake()
                phases.observe()
                plan = await phases.sync()
                phases.apply(plan)
                await phases.flush()
                if plan.leave:
                    return await phases.leave()
                if plan.forward:
                    await phases.step()
                else:
                    await phases.wait()
            except RankLostError as lost:
                await phases.survive(lost)
