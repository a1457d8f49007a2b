"""How long the stretches of a group take, from what its members offer and what collectives cost."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import ceil
from typing import Final

from adpkv.config.calibration import CalibrationConfig
from adpkv.core.ids import NEVER
from adpkv.executor.collectives import Operation, Step, Wait
from adpkv.timeline.recording import WorldTimeline
from adpkv.worlds.virtual.draws import drawing
from adpkv.worlds.virtual.group import VirtualGroup
from adpkv.worlds.virtual.measured import MeasuredStretch, NoticedWaits, Past
from adpkv.worlds.virtual.mismatch import check_batches
from adpkv.worlds.virtual.schedule import Schedule, paced
from adpkv.worlds.virtual.stalls import Stalls
from adpkv.worlds.virtual.stretch import Line, StepStretch, WaitStretch

__all__ = ["Pace"]

_START: Final = -1
"""Among the ranks that hold up a group's first iteration: that they have to start."""


class Pace:
    """Makes the stretches of all groups.

    Args:
        collective_ns: the cost of one small collective.
        jump: jump over quiet stretches; the result is the same without.
        ticks_per_ns: the resolution of step costs, which are given in ticks.
        timeline: records them, where the run has a timeline.
        schedule: makes steps faster, where the run has a schedule.
        calibration, seed: what real runs were measured to cost; its noise is drawn by the seed.
    """

    def __init__(
        self,
        *,
        collective_ns: int,
        jump: bool,
        ticks_per_ns: int = 1,
        timeline: WorldTimeline | None = None,
        schedule: Schedule | None = None,
        calibration: CalibrationConfig | None = None,
        seed: int = 0,
    ) -> None:
        self._collective_ns, self.jump = collective_ns, jump
        self._ticks = ticks_per_ns
        self.timeline = timeline
        self._schedule = schedule
        self._calibration, self._seed = calibration, seed
        self._noises: dict[int, tuple[Callable[[int], int], Past | None]] = {}
        """By group: the noise of its steps, and its stalls."""
        notice = None if calibration is None else calibration.messages.notice
        self._notice = drawing(notice, seed, "notice")
        self._steps: dict[int, int] = {}
        """By group: the steps it has made, by which their noise is drawn."""
        self._start_ns = 0 if calibration is None else calibration.start_ns
        self._held_ns: dict[int, dict[int, int]] = {}
        """By group: by how much each rank holds up the iteration that it is in. A group that is not
        in it has not begun its first one, which lasts until the ranks take requests."""

    def collective_ns(self, group: VirtualGroup) -> int:
        """What a small collective costs this group."""
        if self._calibration is None:
            return self._collective_ns
        found = self._calibration.group(group.instance.ranks)
        return found.collective_ns if found else self._collective_ns

    def hold_up(self, group: int, rank: int, ns: int) -> None:
        """A rank of the group does something in this iteration that takes so long. Ranks do such
        things side by side: the iteration is as much longer as the slowest of them takes."""
        held = self._held_ns.setdefault(group, {_START: self._start_ns})
        held[rank] = held.get(rank, 0) + ns

    def _held(self, group: int) -> int:
        held = self._held_ns.get(group)
        found = self._start_ns if held is None else max(held.values(), default=0)
        self._held_ns[group] = {}
        return found

    def begin(
        self, group: VirtualGroup, first: Operation, now_ns: int, *, quiet: bool
    ) -> StepStretch | WaitStretch:
        """The stretch of steps or waits that all members await; `first` is the first one's.
        `quiet`: several may be made as one."""
        lines: list[Line] = []
        stretch: StepStretch | WaitStretch
        if type(first) is Step:
            if first.batch is not None:
                check_batches(group)
            lines = group.step_lines()
            if self._schedule is not None:
                lines = paced(self._schedule, group.instance.index, first.iteration, lines)
            stretch = self._step_stretch(group, lines, now_ns, quiet=quiet)
        elif type(first) is Wait:
            limit_ns = min([at.limit_ns for at in group.current])
            held_ns = self._held(group.instance.index)
            began_ns, overhead_ns = now_ns + held_ns, self._overhead_ns(group)
            stretch = WaitStretch(began_ns, overhead_ns, limit_ns)
            if self._calibration is not None:
                index = group.instance.index
                _, past = self._noise(group)
                stretch = NoticedWaits(began_ns, overhead_ns, limit_ns, self._notice, index, past)
        else:
            raise TypeError(f"a rank program awaited {first!r}")
        if self.timeline is not None:
            self._record(self.timeline, group, lines, now_ns)
        return stretch

    def end(self, stretch: StepStretch | WaitStretch, until_ns: int, *, quiet: bool) -> int:
        """When it ends if nothing arrives: at the first boundary at which something is due."""
        if isinstance(stretch, StepStretch):
            return stretch.end(until_ns)[1]
        if not quiet or not self.jump:
            return stretch.end(0)
        return NEVER if until_ns == NEVER else stretch.end(until_ns)

    def ended(self, group: VirtualGroup, now_ns: int, steps: int) -> None:
        """A group's stretch is over, after this many steps."""
        index = group.instance.index
        if self._calibration is not None:
            self._steps[index] = self._steps.get(index, 0) + steps
        if self.timeline is not None:
            self.timeline.ended(index, now_ns, steps)

    def _step_stretch(
        self, group: VirtualGroup, lines: list[Line], now_ns: int, *, quiet: bool
    ) -> StepStretch:
        index = group.instance.index
        most = group.offers.most() if quiet and self.jump else 1
        overhead_ns = self._overhead_ns(group)
        if self._calibration is None:
            return StepStretch(now_ns, overhead_ns, lines, most, self._ticks)
        jitter, past = self._noise(group)
        return MeasuredStretch(
            now_ns,
            overhead_ns,
            lines,
            most,
            self._ticks,
            jitter=jitter,
            first=self._steps.get(index, 0),
            held_ns=self._held(index),
            past=past,
        )

    def _noise(self, group: VirtualGroup) -> tuple[Callable[[int], int], Past | None]:
        index = group.instance.index
        noise = self._noises.get(index)
        if noise is None:
            found = self._calibration and self._calibration.group(group.instance.ranks)
            draw = drawing(found.jitter if found else None, self._seed, "jitter")
            past = None
            if found and found.stalls.every_ns:
                past = Stalls(found.stalls, self._seed, index).past
            noise = self._noises[index] = partial(draw, index), past
        return noise

    def _overhead_ns(self, group: VirtualGroup) -> int:
        """What an iteration takes beside its step or wait."""
        if self._calibration is None:
            return group.debt * self._collective_ns
        overhead_ns = group.debt * self.collective_ns(group)
        found = self._calibration.group(group.instance.ranks)
        if found and type(group.current[0]) is Step:
            overhead_ns += found.iteration_ns
            if found.sequence_ns:
                busiest = max(at.work.sequences for at in group.current)
                overhead_ns += ceil(found.sequence_ns * busiest)
        elif found:
            overhead_ns += found.idle_ns
        return overhead_ns

    def _record(
        self, timeline: WorldTimeline, group: VirtualGroup, lines: list[Line], now_ns: int
    ) -> None:
        # The iteration's collectives are the last of the history; a wait is behind them.
        paid, each_ns = group.debt, self.collective_ns(group)
        there = list(group.history)[-(paid + (not lines)) :]
        timeline.began(
            group.instance.index,
            group.members,
            tuple([(at.kind, at.site) for _, _, at in there]),
            group.current,
            lines,
            now_ns,
            paid,
            each_ns,
            self._overhead_ns(group) - paid * each_ns,
            self._ticks,
        )
