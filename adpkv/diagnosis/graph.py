"""Who waits for whom, between classes of ranks, and the circle in it if there is one.

A collective waits for *all* its members, a transfer or the messages for *any* input. So a class is
stuck if it waits for all of some of which one is stuck, or for any of some of which all are.

Ranks that are in the same place are one line of a report, so that a thousand fit a screen.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

from adpkv.diagnosis.classify import Diagnosis
from adpkv.diagnosis.divergence import alike
from adpkv.diagnosis.evidence import Evidence, Position, RankState, State

__all__ = ["Edge", "RankClass", "WaitGraph", "folded", "wait_graph"]


class RankClass(msgspec.Struct, frozen=True):
    """Ranks of equal state, operation, position and site."""

    ranks: tuple[int, ...]
    state: State
    odd: bool
    concerned: bool
    """Members of the group in which the job got stuck."""
    at: Position | None
    since_s: float | None = None
    """The longest."""
    stack: tuple[str, ...] = ()
    """Of the first rank whose stack is known."""


def folded(evidence: Evidence, diagnosis: Diagnosis) -> list[RankClass]:
    """All ranks: the outliers first, then the rest of their group, then the others. Those are told
    apart by what they do only: each group of a large job is at another iteration."""
    odd = set(diagnosis.outliers)
    concerned = {rank_state.rank for rank_state in evidence.of_group(diagnosis.group)}
    classes: dict[tuple[object, ...], list[RankState]] = {}
    for rank_state in evidence.rank_states:
        key = _key(rank_state, odd, concerned)
        classes.setdefault(key, []).append(rank_state)
    found = [_class(members, odd, concerned) for members in classes.values()]
    return sorted(found, key=lambda c: (not c.odd, not c.concerned, len(c.ranks), c.ranks))


def _key(
    rank_state: RankState, odd: Collection[int], concerned: Collection[int]
) -> tuple[object, ...]:
    at = rank_state.at
    place: tuple[object, ...] = () if at is None else (at.kind, at.site)
    if rank_state.rank in concerned and at is not None:
        place = (*place, at.group, at.iteration, at.sequence, at.argument, at.plan)
    return rank_state.rank in odd, rank_state.rank in concerned, rank_state.state, place


def _class(
    members: Sequence[RankState], odd: Collection[int], concerned: Collection[int]
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
        odd=first.rank in odd,
        concerned=first.rank in concerned,
        at=at,
        since_s=max(waited) if waited else None,
        stack=next((member.stack for member in members if member.stack), ()),
    )


class Edge(msgspec.Struct, frozen=True):
    """Ranks that wait: for all of some, or for any input of some."""

    waiting: tuple[int, ...]
    needs: str
    """`all` or `any`."""
    of: tuple[tuple[int, ...], ...]
    """Classes of ranks."""
    coordinator: bool = False
    """Its messages are input too."""


class WaitGraph(msgspec.Struct, frozen=True):
    """All edges, and what is circular."""

    edges: tuple[Edge, ...]
    cycle: tuple[tuple[int, ...], ...] = ()
    """Classes of ranks, each waiting for the next and the last for the first."""
    ends: tuple[tuple[int, ...], ...] = ()
    """Those for which others wait, and which wait for nobody: running, stopped, failed, gone."""


def wait_graph(evidence: Evidence, classes: Sequence[RankClass]) -> WaitGraph:
    """The graph of a stuck job."""
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
    """The classes of members of a collective's group that are not in it."""
    at = found.at
    assert at is not None
    absent = set()
    for member in evidence.of_group(at.group):
        place = member.in_group(at.group)
        if place is None or not alike(place, at):
            absent.add(class_of[member.rank])
    return sorted(absent)


def _stuck(edges: dict[int, tuple[Edge, list[int]]], classes: Sequence[RankClass]) -> set[int]:
    """What is left when all that can go on has gone on. Who waits for nobody goes on, unless its
    process does not live or its program is over."""
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
    """A circle of waits among the stuck, by walking until somebody comes up again."""
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
