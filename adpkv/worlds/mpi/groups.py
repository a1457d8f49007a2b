"""Creates the groups of a rank from the job's communicators."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from adpkv.core.topology import Instance
from adpkv.executor.collectives import WORLD
from adpkv.executor.messages import PAYLOADS
from adpkv.executor.ports import Clock
from adpkv.worlds.mpi.communicators import Communicators
from adpkv.worlds.mpi.group import CollectiveStats, Group

__all__ = ["make_groups"]


def make_groups(
    communicators: Communicators,
    instance: Instance,
    stats: CollectiveStats,
    last: Mapping[int, int] | None,
    *,
    has_input: Callable[[], bool],
    clock: Clock,
    computed: Callable[[int], None],
) -> dict[int, Group]:
    """The groups of a rank of `instance`, with their living members, by number: its instance's and
    the whole job's.

    `last` are the sequence numbers of the groups' last collectives; None for new groups. The
    callables are those of `Group`.
    """
    living = communicators.rank_map.ranks
    own = [rank for rank in living if rank in instance.members]
    members = {instance.index: (communicators.own, own), WORLD: (communicators.world, living)}
    groups = {}
    for number, (communicator, ranks) in members.items():
        group = groups[number] = Group(
            communicator,
            number,
            ranks,
            types=PAYLOADS,
            has_input=has_input,
            stats=stats,
            clock=clock,
            computed=computed,
            epoch=communicators.epoch,
            sequence=last[number] if last else 0,
        )
        communicators.keep(group.communicators)
    return groups
