"""Who owned the wake-up that never came: of ranks that are stuck, and of transfers that stay open.

For each thing that waits there is one who must give it its wake-up: the rank that never came to a
collective, the peer of a transfer, or the coordinator. The chain of waits is followed to its end,
as whoever waits himself is not to blame.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from adpkv.core.session import Session
from adpkv.diagnosis.evidence import Evidence
from adpkv.diagnosis.graph import WaitGraph
from adpkv.diagnosis.names import named, verb
from adpkv.diagnosis.report import make_report
from adpkv.errors import CollectiveMismatchError, StuckError
from adpkv.worlds.virtual.run import Simulation

__all__ = ["owner_of_doubt", "owner_of_stuck", "owners_of_open"]

COORDINATOR: Final = "the coordinator"
BOTH: Final = 2
MOST_TOLD: Final = 3
"""Transfers that one sentence names."""


def owner_of_stuck(error: StuckError, job: Simulation) -> str:
    """Of ranks that cannot go on together, as a sentence; empty where nothing is known."""
    if not isinstance(error.evidence, Evidence):
        return ""
    report = make_report(error.evidence)
    found = [] if isinstance(error, CollectiveMismatchError) else [report.diagnosis.sentence]
    outliers = report.diagnosis.outliers or report.diagnosis.others
    if report.graph.cycle:
        found.append(_circle(report.graph))
    else:
        owners = _owners(error.evidence, report.graph, outliers)
        found.append(f"the wake-up that never came was {' or '.join(owners)}'s to give")
        waiting = [rank for e in report.graph.edges if e.needs == "any" for rank in e.waiting]
        found += _told(job, sorted(waiting, key=lambda rank: rank not in outliers))
    return "; ".join(found)


def _circle(graph: WaitGraph) -> str:
    names = [named(ranks) for ranks in graph.cycle]
    if len(names) == BOTH:
        return f"{' and '.join(names)} each owned the other's wake-up"
    chain = [f"{a} waits for {b}" for a, b in zip(names, [*names[1:], names[0]], strict=True)]
    return f"each owned the wake-up of the one before: {', '.join(chain)}"


def _owners(evidence: Evidence, graph: WaitGraph, start: Sequence[int]) -> list[str]:
    """The ends of the chains of waits that begin at these ranks."""
    edge_of = {rank: edge for edge in graph.edges for rank in edge.waiting}
    peers = {state.rank: state.peers for state in evidence.rank_states}
    found: dict[str, None] = {}
    seen: set[int] = set()
    ahead = list(start)
    while ahead:
        rank = ahead.pop(0)
        if rank in seen:
            continue
        seen.add(rank)
        edge = edge_of.get(rank)
        if edge is None:
            found[named([rank])] = None
            continue
        if edge.needs == "any":
            # Any of these could have ended the wait.
            found.update(dict.fromkeys([COORDINATOR] * edge.coordinator))
            found.update(dict.fromkeys(named([peer]) for peer in peers[rank]))
            continue
        ahead += [other for ranks in edge.of for other in ranks]
    return list(found)


def _told(job: Simulation, ranks: Iterable[int]) -> list[str]:
    """The open transfers of these ranks, as both ends know them."""
    found = []
    for rank in ranks:
        sessions = job.programs[rank].phases.rank.transceiver.book.sessions
        for request_id in sorted(sessions):
            session = sessions[request_id]
            if not session.state.is_over and session.peer >= 0:
                found.append(_both_ends(job, rank, session))
    return found[:MOST_TOLD]


def _both_ends(job: Simulation, rank: int, session: Session) -> str:
    request_id, attempt = session.session_id
    there = job.programs[session.peer].phases.rank.transceiver.book.sessions.get(request_id)
    if there is None or there.session_id[1] != attempt:
        known = "has no such transfer any more"
    else:
        known = f"has it as {there.state}"
    return (
        f"request {request_id}'s transfer is {session.state} on rank {rank}, and"
        f" {named([session.peer])} {known}"
    )


def owner_of_doubt(job: Simulation, rank: int) -> str:
    """Who owes the proofs for which a rank keeps transfers in quarantine, as a sentence; empty
    where it has none."""
    book = job.programs[rank].phases.rank.transceiver.book
    doubtful = [
        one for one in book.sessions.values() if one.session_id in book.quarantine and one.peer >= 0
    ]
    peers = sorted({session.peer for session in doubtful})
    if not peers:
        return ""
    ends = [_both_ends(job, rank, session) for session in doubtful[:MOST_TOLD]]
    return f"{verb(peers, 'owes', 'owe')} the proof: {'; '.join(ends)}"


def owners_of_open(job: Simulation) -> str:
    """Who has each request that has no answer, as a sentence: whoever it is, its wake-up never
    came."""
    found = []
    for program in job.programs:
        rank = program.phases.rank
        for request_id, request in sorted(rank.serving.requests.items()):
            session = request.session
            what = request.state if session is None else f"{request.state}, {session.state}"
            peer = "" if session is None or session.peer < 0 else f" with {named([session.peer])}"
            found.append(f"rank {rank.rank} has request {request_id} ({what}{peer})")
    if found:
        return "; ".join(found[:MOST_TOLD])
    left = job.coordinator.total - job.coordinator.done
    return f"no rank has any of the {left} open requests: {COORDINATOR} owns their wake-up"
