"""How long the stretches of a group take, from what its members offer and what collectives cost."""

from __future__ import annotations

from adpkv.core.ids import NEVER
from adpkv.executor.collectives import Operation, Step, Wait
from adpkv.timeline.recording import WorldTimeline
from adpkv.worlds.virtual.group import VirtualGroup
from adpkv.worlds.virtual.schedule import Schedule, paced
from adpkv.worlds.virtual.stretch import StepStretch, WaitStretch

__all__ = ["Pace"]


class Pace:
    """Makes the stretches of all groups.

    Args:
        collective_ns: the cost of one small collective.
        jump: jump over quiet stretches; the result is the same without.
        ticks_per_ns: the resolution of step costs, which are given in ticks.
        timeline: records them, where the run has a timeline.
        schedule: makes steps faster, where the run has a schedule.
    """

    def __init__(
        self,
        *,
        collective_ns: int,
        jump: bool,
        ticks_per_ns: int = 1,
        timeline: WorldTimeline | None = None,
        schedule: Schedule | None = None,
    ) -> None:
        self.collective_ns, self.jump = collective_ns, jump
        self._ticks = ticks_per_ns
        self.timeline = timeline
        self._schedule = schedule

    def begin(
        self, group: VirtualGroup, first: Operation, now_ns: int, *, quiet: bool
    ) -> StepStretch | WaitStretch:
        """The stretch of steps or waits that all members await; `first` is the first one's.
        `quiet`: several may be made as one."""
        overhead_ns = group.course.debt * self.collective_ns
        current = group.current
        lines: list[tuple[int, int]] = []
        stretch: StepStretch | WaitStretch
        if type(first) is Step:
            steps, most = group.steps, 1
            if first.batch is not None:
                group.check_batches()
            lines = group.step_lines()
            if self._schedule is not None:
                lines = paced(self._schedule, group.instance.index, first.iteration, lines)
            if quiet and self.jump:
                most = min([at.most - done for at, done in zip(current, steps, strict=True)])
            stretch = StepStretch(now_ns, overhead_ns, lines, most, self._ticks)
        elif type(first) is Wait:
            stretch = WaitStretch(now_ns, overhead_ns, min([at.limit_ns for at in current]))
        else:
            raise TypeError(f"a rank program awaited {first!r}")
        if self.timeline is not None:
            self._record(self.timeline, group, lines, now_ns)
        return stretch

    def end(self, stretch: StepStretch | WaitStretch, until_ns: int, *, quiet: bool) -> int:
        """When it ends if nothing arrives: at the first boundary at which something is due."""
        if isinstance(stretch, StepStretch):
            return stretch.end(until_ns)[1]
        if not self.jump:
            return stretch.end(0)
        if not quiet:
            return stretch.end(0)
        return NEVER if until_ns == NEVER else stretch.end(until_ns)

    def ended(self, group: VirtualGroup, now_ns: int, steps: int) -> None:
        """A group's stretch is over, after this many steps."""
        if self.timeline is not None:
            self.timeline.ended(group.instance.index, now_ns, steps)

    def _record(
        self,
        timeline: WorldTimeline,
        group: VirtualGroup,
        lines: list[tuple[int, int]],
        now_ns: int,
    ) -> None:
        # The iteration's collectives are the last of the history; a wait is behind them.
        paid = group.course.debt
        last = paid + (not lines)
        there = list(group.history)[-last:]
        timeline.began(
            group.instance.index,
            group.members,
            tuple([(at.kind, at.site) for _, _, at in there]),
            group.current,
            lines,
            now_ns,
            paid,
            self.collective_ns,
            0,
            self._ticks,
        )
