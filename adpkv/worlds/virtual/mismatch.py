"""Members of a virtual group that are not together: the errors, each with both sides and with where
every member is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from adpkv.errors import CollectiveMismatchError
from adpkv.executor.collectives import Operation
from adpkv.worlds.virtual.places import ALONE, LEFT, agreed, describe

if TYPE_CHECKING:
    from adpkv.worlds.virtual.group import VirtualGroup

__all__ = ["check_batches", "goes_on", "left_alone", "mismatch"]


def check_batches(group: VirtualGroup) -> None:
    """Check that all members compute the same batch, quiet members included.

    Raises:
        CollectiveMismatchError: two differ; the message names both.
    """
    members = len(group.current)
    now = [
        at.after(done, group.iteration, group.plan)
        for at, done in zip(group.current, map(group.offers.steps, range(members)), strict=True)
    ]
    for index, at in enumerate(now):
        if at.batch != now[0].batch:
            raise _between(group, 0, now[0], index, at)


def left_alone(group: VirtualGroup) -> CollectiveMismatchError:
    """A program has ended while other members go on; the message names both."""
    gone = [f"rank {place.rank}" for place in group.places() if place.kind == LEFT]
    lines = [f"{group.instance.name}: {', '.join(gone)} left while others go on", *group.where()]
    return CollectiveMismatchError("\n".join(lines), group.places(), group.instance.index)


def goes_on(group: VirtualGroup, index: int) -> CollectiveMismatchError:
    """A program has not ended with the collective that ends the job."""
    said = f"rank {group.members[index]} goes on after the job's last collective"
    return CollectiveMismatchError(said, group.places(), group.instance.index)


def mismatch(group: VirtualGroup, operations: Sequence[Any]) -> CollectiveMismatchError:
    """Members are in different collectives; `operations` are those of all members."""
    together = [i for i, operation in enumerate(operations) if type(operation) not in ALONE]
    first, *rest = together
    second = next(i for i in rest if agreed([operations[first], operations[i]]) is None)
    return _between(group, first, operations[first], second, operations[second])


def _between(
    group: VirtualGroup, index: int, operation: Operation, other_index: int, other: Operation
) -> CollectiveMismatchError:
    alike = (operation.kind, operation.place, operation.iteration, operation.group) == (
        other.kind,
        other.place,
        other.iteration,
        other.group,
    )
    why = "; they agreed on different plans" if alike else ""
    lines = [
        f"{group.instance.name}: rank {group.members[index]} {describe(operation)}, "
        f"rank {group.members[other_index]} {describe(other)}{why}",
        *group.where(),
    ]
    return CollectiveMismatchError("\n".join(lines), group.places(), group.instance.index)
