"""Creates the groups of a rank from the job's communicators."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from adpkv.core.topology import Instance
from adpkv.executor.collectives import WORLD
from adpkv.executor.messages import PAYLOADS
from adpkv.executor.ports import Clock
from adpkv.flight_recorder.writer import FlightRecorder
from adpkv.worlds.mpi.communicators import Communicators
from adpkv.worlds.mpi.exchange.opening import ExchangeMaker
from adpkv.worlds.mpi.group import CollectiveStats, Group

__all__ = ["GroupMaker"]


@dataclass(frozen=True, slots=True)
class GroupMaker:
    """Creates the groups of a rank of `instance`, whenever it gets new communicators. The other
    fields are those of `Group`."""

    instance: Instance
    stats: CollectiveStats
    has_input: Callable[[], bool]
    clock: Clock
    computed: Callable[[int], None]
    exchanges: ExchangeMaker
    recorder: FlightRecorder | None = None

    def make(
        self, communicators: Communicators, last: Mapping[int, int] | None = None
    ) -> dict[int, Group]:
        """The rank's groups with their living members, by number: its instance's and the whole
        job's. `last` are the sequence numbers of the groups' last collectives; None for new groups.

        Raises:
            AgreedError: on some rank the exchange on which the experiment insists cannot be had.
        """
        living = communicators.rank_map.ranks
        own = [rank for rank in living if rank in self.instance.members]
        members = {
            self.instance.index: (communicators.own, own),
            WORLD: (communicators.world, living),
        }
        exchanges = {
            number: self.exchanges.open(communicator, number, communicators.epoch, ranks)
            for number, (communicator, ranks) in members.items()
        }
        groups = {}
        for number, (communicator, ranks) in members.items():
            group = groups[number] = Group(
                communicator,
                number,
                ranks,
                types=PAYLOADS,
                has_input=self.has_input,
                stats=self.stats,
                clock=self.clock,
                computed=self.computed,
                epoch=communicators.epoch,
                sequence=last[number] if last else 0,
                exchange=exchanges[number],
                recorder=self.recorder,
            )
            communicators.keep(group.communicators, group.break_off)
        return groups
