"""Which ranks wait for which, between classes of ranks, and a cycle of waits if there is one.

A collective waits for *all* its members; a wait for transfers or messages ends with *any* input. So
a class is stuck if it needs all of some classes and one of them is stuck, or needs any of some
classes and all of them are.

Ranks in the same place are one class and one line of a report, so that a thousand fit a screen.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

from adpkv.diagnosis.classify import Diagnosis
from adpkv.diagnosis.divergence import alike
from adpkv.diagnosis.evidence import Evidence, Position, RankState, State

__all__ = ["Edge", "RankClass", "WaitGraph", "folded", "wait_graph"]


class RankClass(msgspec.Struct, frozen=True):
    """Ranks with equal state, operation, position and site."""

    ranks: tuple[int, ...]
    state: State
    is_outlier: bool
    concerned: bool
    """They are members of the group in which the job got stuck."""
    at: Position | None
    since_s: float | None = None
    """The longest time that any of them has been there, in seconds."""
    stack: tuple[str, ...] = ()
    """The stack of the first rank whose stack is known."""


def folded(evidence: Evidence, diagnosis: Diagnosis) -> list[RankClass]:
    """All ranks in classes: the outliers first, then the rest of their group, then all other ranks.
    Those are grouped by what they do alone: each group of a large job is at another iteration."""
    outliers = set(diagnosis.outliers)
    concerned = {rank_state.rank for rank_state in evidence.of_group(diagnosis.group)}
    classes: dict[tuple[object, ...], list[RankState]] = {}
    for rank_state in evidence.rank_states:
        key = _key(rank_state, outliers, concerned)
        classes.setdefault(key, []).append(rank_state)
    found = [_class(members, outliers, concerned) for members in classes.values()]
    return sorted(found, key=lambda c: (not c.is_outlier, not c.concerned, len(c.ranks), c.ranks))


def _key(
    rank_state: RankState, outliers: Collection[int], concerned: Collection[int]
) -> tuple[object, ...]:
    at = rank_state.at
    place: tuple[object, ...] = () if at is None else (at.kind, at.site)
    if rank_state.rank in concerned and at is not None:
        place = (*place, at.group, at.iteration, at.sequence, at.argument, at.plan)
    return rank_state.rank in outliers, rank_state.rank in concerned, rank_state.state, place


def _class(
    members: Sequence[RankState], outliers: Collection[int], concerned: Collection[int]
) -> RankClass:
    first = members[0]
    waited = [m.since_s for m in members if m.since_s is not None]
    at = first.at
    if at is not None and first.rank not in concerned:
        positions = {(m.at.iteration, m.at.sequence) for m in members if m.at is not None}
        if len(positions) > 1:
            at = msgspec.structs.replace(at, iteration=-1, sequence=0)
    return RankClass(
        ranks=tuple(member.rank for member in members),
        state=first.state,
        is_outlier=first.rank in outliers,
        concerned=first.rank in concerned,
        at=at,
        since_s=max(waited) if waited else None,
        stack=next((member.stack for member in members if member.stack), ()),
    )


class Edge(msgspec.Struct, frozen=True):
    """Ranks that wait: for all of some classes, or for any input from some classes."""

    waiting: tuple[int, ...]
    needs: str
    """`all` or `any`."""
    of: tuple[tuple[int, ...], ...]
    """The classes that they wait for, as their ranks."""
    coordinator: bool = False
    """Messages of the coordinator would be input too."""


class WaitGraph(msgspec.Struct, frozen=True):
    """All edges, and one cycle if there is one."""

    edges: tuple[Edge, ...]
    cycle: tuple[tuple[int, ...], ...] = ()
    """Classes of ranks: each waits for the next, and the last for the first."""
    ends: tuple[tuple[int, ...], ...] = ()
    """Classes for which others wait and which wait for no rank: running, suspended, failed or
    gone."""


def wait_graph(evidence: Evidence, classes: Sequence[RankClass]) -> WaitGraph:
    """The wait graph of a stuck job."""
    class_of = {rank: i for i, found in enumerate(classes) for rank in found.ranks}
    peers = {s.rank: s for s in evidence.rank_states}
    edges: dict[int, tuple[Edge, list[int]]] = {}
    for i, found in enumerate(classes):
        if found.at is None or found.state not in (State.COLLECTIVE, State.ALONE):
            continue
        if found.at.collective:
            targets = _missing(evidence, found, class_of)
            edge = Edge(found.ranks, "all", tuple(classes[t].ranks for t in targets))
        else:
            of = {class_of[p] for r in found.ranks for p in peers[r].peers if p in class_of}
            targets = sorted(of)
            messages = any(peers[rank].messages for rank in found.ranks)
            edge = Edge(found.ranks, "any", tuple(classes[t].ranks for t in targets), messages)
        if targets or edge.coordinator:
            edges[i] = (edge, targets)
    stuck = _stuck(edges, classes)
    reached = {target for _, targets in edges.values() for target in targets}
    return WaitGraph(
        edges=tuple(edge for edge, _ in edges.values()),
        cycle=tuple(classes[i].ranks for i in _circle(edges, stuck)),
        ends=tuple(classes[i].ranks for i in sorted(reached - set(edges))),
    )


def _missing(evidence: Evidence, found: RankClass, class_of: dict[int, int]) -> list[int]:
    """The classes of the group's members that are not in this collective."""
    at = found.at
    assert at is not None
    absent = set()
    for member in evidence.of_group(at.group):
        place = member.in_group(at.group)
        if place is None or not alike(place, at):
            absent.add(class_of[member.rank])
    return sorted(absent)


def _stuck(edges: dict[int, tuple[Edge, list[int]]], classes: Sequence[RankClass]) -> set[int]:
    """The classes that are left when everything that can go on has gone on. A class that waits for
    no rank can go on, unless its process is not running or its program has ended."""
    still = {State.STOPPED, State.SILENT, State.FAILED, State.LEFT, State.UNBEGUN}
    stuck = set(edges) | {i for i, found in enumerate(classes) if found.state in still}
    moved = True
    while moved:
        moved = False
        for i in sorted(stuck & set(edges)):
            edge, targets = edges[i]
            free = [target not in stuck for target in targets]
            if free and (any(free) if edge.needs == "any" else all(free)):
                stuck.discard(i)
                moved = True
    return stuck


def _circle(edges: dict[int, tuple[Edge, list[int]]], stuck: set[int]) -> list[int]:
    """A cycle of waits among the stuck classes: follow the edges until a class comes up again."""
    for start in sorted(stuck & set(edges)):
        path: list[int] = []
        at: int | None = start
        while at is not None and at not in path:
            path.append(at)
            onward = [t for t in edges[at][1] if t in stuck and t in edges and t != at]
            at = next((t for t in onward if t in path), onward[0] if onward else None)
        if at is not None:
            return path[path.index(at) :]
    return []
