"""How long the stretches of a group take, from what its members offer and what collectives cost."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import partial
from math import ceil

from adpkv.config.calibration import CalibrationConfig
from adpkv.core.ids import NEVER
from adpkv.core.plan import Plan
from adpkv.core.topology import Instance
from adpkv.executor.collectives import Operation, Step, Wait
from adpkv.timeline.recording import WorldTimeline
from adpkv.worlds.virtual.draws import drawing
from adpkv.worlds.virtual.group import VirtualGroup
from adpkv.worlds.virtual.iteration_work import Assigned, IterationWork
from adpkv.worlds.virtual.measured import MeasuredStretch, NoticedWaits, Past
from adpkv.worlds.virtual.mismatch import check_batches
from adpkv.worlds.virtual.schedule import Schedule, paced
from adpkv.worlds.virtual.stalls import Stalls
from adpkv.worlds.virtual.stretch import Line, StepStretch, WaitStretch, lines_of

__all__ = ["Pace"]

NOTHING = Fraction(0)


class Pace:
    """Makes the stretches of all groups.

    Args:
        collective_ns: the cost of one small collective.
        jump: jump over quiet stretches; the result is the same without.
        ticks_per_ns: the resolution of step costs, which are given in ticks.
        timeline: records them, where the run has a timeline.
        schedule: makes steps faster, where the run has a schedule.
        calibration, seed: what real runs were measured to cost; its noise is drawn by the seed.
        token_ns, assigned: what the KV of a prompt token costs then, beside the step, and a request
            that a rank gets.
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
        token_ns: Fraction = NOTHING,
        assigned: Assigned | None = None,
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
        self._work: dict[int, IterationWork] = {}
        """By group: what holds up the iteration that it is in."""
        self._started: set[int] = set()
        """Groups behind their first iteration, which lasts until the ranks take requests."""
        self._token_ns, self._assigned = token_ns, assigned
        self._plans: dict[int, Plan] = {}
        """By group: the last one that was looked at."""

    def collective_ns(self, group: VirtualGroup) -> int:
        """What a small collective costs this group."""
        if self._calibration is None:
            return self._collective_ns
        found = self._calibration.group(group.instance.ranks)
        return found.collective_ns if found else self._collective_ns

    def work(self, group: int) -> IterationWork:
        """What the ranks of a group do in the iteration that it is in."""
        found = self._work.get(group)
        if found is None:
            found = self._work[group] = IterationWork()
        return found

    def _held(self, group: VirtualGroup, plan: Plan | None) -> int:
        """How much longer the iteration with this plan takes."""
        costs, index = self._assigned, group.instance.index
        if costs is None:
            return 0
        if plan is not None and plan is not self._plans.get(index):
            self._plans[index] = plan
            if plan.assignments:
                self._assign(group.instance, plan, costs)
        work = self._work.pop(index, None)
        held_ns = 0 if work is None else work.total_ns()
        if index not in self._started:
            self._started.add(index)
            held_ns = max(held_ns, self._start_ns)
        return held_ns

    def _assign(self, instance: Instance, plan: Plan, costs: Assigned) -> None:
        """Its requests take work; one that all ranks get takes it once."""
        work = self.work(instance.index)
        seen: set[int] = set()
        for place, specs in plan.assignments.items():
            new = [one for one in specs if one.request_id not in seen]
            seen.update(one.request_id for one in new)
            blocks = sum([-(-one.prompt_tokens // costs.block_tokens) for one in new])
            rank = instance.members[place]
            work.add(rank, costs.work, len(new), blocks, blocks * costs.block_bytes)

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
            columns = group.step_columns()
            if self._schedule is not None:
                columns = paced(self._schedule, group.instance.index, first.iteration, columns)
            if self.timeline is not None or self._calibration is not None:
                lines = lines_of(columns)
            if self._calibration is None:
                most = group.offers.most() if quiet and self.jump else 1
                overhead_ns = group.debt * self._collective_ns
                stretch = StepStretch(now_ns, overhead_ns, columns, most, self._ticks)
            else:
                stretch = self._measured(group, lines, now_ns, quiet=quiet)
        elif type(first) is Wait:
            limit_ns = group.offers.limit_ns()
            held_ns = self._held(group, first.plan)
            began_ns, overhead_ns = now_ns + held_ns, self._overhead_ns(group)
            stretch = WaitStretch(began_ns, overhead_ns, limit_ns)
            if self._calibration is not None:
                index = group.instance.index
                _, past = self._noise(group)
                backoff_ns = self._calibration.messages.backoff_ns
                stretch = NoticedWaits(
                    began_ns, overhead_ns, limit_ns, self._notice, index, past, backoff_ns
                )
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

    def _measured(
        self, group: VirtualGroup, lines: list[Line], now_ns: int, *, quiet: bool
    ) -> StepStretch:
        index = group.instance.index
        most = group.offers.most() if quiet and self.jump else 1
        overhead_ns = self._overhead_ns(group)
        jitter, past = self._noise(group)
        return MeasuredStretch(
            now_ns,
            overhead_ns,
            lines,
            most,
            self._ticks,
            jitter=jitter,
            first=self._steps.get(index, 0),
            held_ns=self._held(group, group.plan),
            past=past,
        )

    def _noise(self, group: VirtualGroup) -> tuple[Callable[[int], int], Past | None]:
        index = group.instance.index
        noise = self._noises.get(index)
        if noise is None:
            found = self._calibration and self._calibration.group(group.instance.ranks)
            draw = drawing(found.jitter if found else None, self._seed, "jitter")
            past = None
            if found and found.stalls.every_ns and found.stalls.length.longest_ns:
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
        if type(group.current[0]) is Step:
            overhead_ns += self._prefill_ns(group)
        return overhead_ns

    def _prefill_ns(self, group: VirtualGroup) -> int:
        """What prompt tokens cost beside the step that computes them."""
        assert self._calibration is not None
        tokens = max(at.work.prefill_tokens for at in group.current)
        if not tokens:
            return 0
        once_ns = self._calibration.requests.prefilled.once_ns
        return ceil(once_ns + int(tokens) * self._token_ns)

    def _record(
        self, timeline: WorldTimeline, group: VirtualGroup, lines: list[Line], now_ns: int
    ) -> None:
        # The iteration's collectives are the last of the history; a wait is behind them.
        paid, each_ns = group.debt, self.collective_ns(group)
        timeline.began(
            group.instance.index,
            group.iteration,
            group.members,
            group.sites(paid + (not lines)),
            group.current,
            lines,
            now_ns,
            paid,
            each_ns,
            self._overhead_ns(group) - paid * each_ns,
            self._ticks,
        )
