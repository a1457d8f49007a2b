"""The errors of a virtual world that cannot go on; their messages say where every rank is."""

from __future__ import annotations

from collections.abc import Sequence

from adpkv.errors import DeadlockError, LivelockError, Place
from adpkv.worlds.virtual.coordinator import VirtualHost
from adpkv.worlds.virtual.group import VirtualGroup

__all__ = ["deadlock", "livelock"]


def deadlock(
    why: str,
    group: int | None,
    groups: Sequence[VirtualGroup],
    host: VirtualHost | None,
    now_ns: int,
) -> DeadlockError:
    """No rank can go on, or those of one `group` cannot; `why` is the beginning of the message."""
    where = _where(groups, host)
    return DeadlockError(
        f"{why} at {now_ns / 1e9:.6f} s of virtual time\n{where}", _places(groups), group
    )


def livelock(
    group: VirtualGroup,
    rounds: int,
    groups: Sequence[VirtualGroup],
    host: VirtualHost | None,
    now_ns: int,
) -> LivelockError:
    """A group repeats its collectives, and time does not advance."""
    where = _where(groups, host)
    return LivelockError(
        f"{group.instance.name}: {rounds} rounds, and time stands still "
        f"at {now_ns / 1e9:.6f} s of virtual time\n{where}",
        _places(groups),
        group.instance.index,
    )


def _places(groups: Sequence[VirtualGroup]) -> list[Place]:
    return [place for group in groups for place in group.places()]


def _where(groups: Sequence[VirtualGroup], host: VirtualHost | None) -> str:
    lines = [line for group in groups for line in group.where()]
    if host is not None and host.waits:
        lines.append("  the coordinator waits for messages")
    return "\n".join(lines)
