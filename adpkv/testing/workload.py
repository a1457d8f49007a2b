"""What every workload must do, as bodies that any implementation can be put through.

A body gets a `Rig`, which makes the same workload anew as often as it is asked. The body plays the
coordinator: it takes what is due, and answers each request some time after it arrived.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from typing import Protocol

from adpkv.core.ids import LAST_NS, NEVER
from adpkv.workload.port import Arrival, Workload

__all__ = ["BODIES", "Rig"]

ANSWER_NS = 50_000_000
MOST_TAKEN = 2_000
"""Requests that are checked: the first ones of a longer workload."""


class Rig(Protocol):
    """A workload under test."""

    block_tokens: int
    """Tokens of a KV block, by which prompts are hashed."""

    def made(self) -> Workload:
        """The workload, from its beginning."""
        ...


def _taken(workload: Workload, answer_ns: int = ANSWER_NS) -> Iterator[tuple[int, Arrival]]:
    """Each request, and when it was due; all are answered `answer_ns` after they came."""
    open_: list[tuple[int, int]] = []
    for number in range(min(workload.total, MOST_TAKEN)):
        while open_ and open_[0][0] <= workload.due_ns():
            workload.ended(*heapq.heappop(open_))
        due_ns = workload.due_ns()
        assert due_ns != NEVER, "nothing is due, though requests are left and all are answered"
        arrival = workload.take()
        heapq.heappush(open_, (due_ns + answer_ns, number))
        yield due_ns, arrival


def check_there_are_as_many_as_it_says(rig: Rig) -> None:
    """`total` from the beginning; after the last nothing is due, whatever is answered."""
    workload = rig.made()
    total = workload.total
    assert total >= 0
    count = sum(1 for _ in _taken(workload))
    assert count == min(total, MOST_TAKEN)
    assert workload.total == total
    if total <= MOST_TAKEN:
        workload.ended(LAST_NS // 2, total - 1)
        assert workload.due_ns() == NEVER


def check_time_does_not_go_back(rig: Rig) -> None:
    """Each comes when it is due, and no earlier than the one before."""
    before_ns = 0
    for due_ns, arrival in _taken(rig.made()):
        assert arrival.at_ns == due_ns
        assert before_ns <= due_ns <= LAST_NS
        before_ns = due_ns


def check_requests_can_be_served(rig: Rig) -> None:
    """At least a token of prompt, a hash for each full block of the prompt, or none."""
    for _, arrival in _taken(rig.made()):
        assert arrival.prompt_tokens >= 1, arrival
        assert arrival.output_tokens >= 0, arrival
        assert -1 <= arrival.stops_after <= arrival.output_tokens, arrival
        blocks = arrival.prompt_tokens // rig.block_tokens
        assert len(arrival.block_hashes) in (0, blocks), arrival
        assert arrival.cancel_ns >= -1, arrival
        assert arrival.wanted is None or arrival.wanted >= 0, arrival


def check_it_is_the_same_each_time(rig: Rig) -> None:
    """With the same answers at the same times, the same requests; a run can be made again."""
    assert list(_taken(rig.made())) == list(_taken(rig.made()))


def check_asking_changes_nothing(rig: Rig) -> None:
    """`due_ns` may be asked at any time, and as often as one likes."""
    workload, other = rig.made(), rig.made()
    asked = []
    for due_ns, arrival in _taken(workload):
        assert workload.due_ns() == workload.due_ns()
        asked.append((due_ns, arrival))
    assert asked == list(_taken(other))


def check_only_take_and_ended_change_what_is_due(rig: Rig) -> None:
    """Neither asking nor what happens to another workload of the kind: `due_ns` is remembered."""
    workload, others = rig.made(), _taken(rig.made())
    for _ in _taken(workload):
        due_ns = workload.due_ns()
        next(others, None)
        assert workload.due_ns() == due_ns


BODIES: dict[str, Callable[[Rig], None]] = {
    name.removeprefix("check_"): body
    for name, body in sorted(globals().items())
    if name.startswith("check_")
}
"""Every body by its name."""
