"""Which instance is to be taken out when transfers are stuck: a pure judgement from what is told.

A transfer that is stuck makes both of its ends unhealthy, and only one of them is to blame. Who has
stuck transfers with several instances is more likely so than who has them with one. An instance
whose stuck transfers are all with instances that are out has its reason, and goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

import msgspec

from adpkv.core.stop import StopReason

__all__ = ["Illness", "is_excused", "summed_up", "to_blame"]

Ill = Mapping[int, Collection[int]]
"""Unhealthy instance -> the instances with which its stuck transfers are."""


class Illness(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A rank, or an instance, whose transceiver was unhealthy for its grace."""

    reason: StopReason
    peers: tuple[int, ...] = ()
    """The world ranks with which its stuck transfers are, in order."""


def summed_up(ill: Iterable[Illness | None]) -> Illness | None:
    """The illness of an instance, from its ranks': the first reason, and all their peers."""
    found = [one for one in ill if one is not None]
    if not found:
        return None
    return Illness(found[0].reason, tuple(sorted({peer for one in found for peer in one.peers})))


def is_excused(index: int, ill: Ill, out: Collection[int]) -> bool:
    """Whether all stuck transfers of an instance are with instances that are out."""
    with_whom = ill.get(index, ())
    return bool(with_whom) and all(other in out for other in with_whom)


def to_blame(ill: Ill, out: Collection[int], is_replaceable: Callable[[int], bool]) -> int | None:
    """The instance to be taken out next; None if every unhealthy one is out or excused.

    Of several the one with stuck transfers with most instances; then one that can be replaced; then
    one that is unhealthy itself; then the last.
    """
    accused = [one for one in ill if one not in out and not is_excused(one, ill, out)]
    suspects = {*accused, *(other for one in accused for other in ill[one] if other not in out)}
    if not suspects:
        return None

    def evidence(one: int) -> tuple[int, bool, bool, int]:
        others = {*ill.get(one, ()), *(other for other in ill if one in ill[other])}
        return len(others), is_replaceable(one), one in ill, one

    return max(sorted(suspects), key=evidence)
