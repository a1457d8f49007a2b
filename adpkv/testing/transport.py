"""What every transport must do, as bodies that any implementation can be put through.

A body gets a `Pair`: one transport that sends, one that receives, over memories of their own, and
`step()`, which lets time pass or progress happen. Where the two ends live in two processes, each
runs the whole body, and the calls of the side that is not `here` do nothing; `meet()` is where both
have come to the same place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from adpkv.transport.port import EndKind, Transfer, TransportEnd

__all__ = ["BODIES", "Pair", "transfer"]

BLOCKS = 64
PATIENCE_STEPS = 20_000


class Side(Protocol):
    """The calls of one end. A side that lives in another process ignores them."""

    here: bool

    def expect(self, transfer: Transfer) -> bool: ...
    def post(self, transfer: Transfer) -> None: ...
    def withdraw(self, session: tuple[int, int]) -> None: ...
    def peer_ended(self, session: tuple[int, int], pieces: int) -> None: ...
    def poll(self) -> list[TransportEnd]: ...
    def ready(self) -> bool: ...
    def last_moved_ns(self) -> int: ...
    def fill(self, blocks: tuple[int, ...], seed: int) -> None: ...
    def holds(self, blocks: tuple[int, ...], seed: int) -> bool: ...


class Pair(Protocol):
    """Two ends of one link."""

    sender: Side
    receiver: Side
    blocks_per_piece: int

    def step(self) -> None:
        """Let a little time or progress pass, on what is here."""
        ...

    def meet(self) -> None:
        """Wait until both sides have come here; progress goes on meanwhile."""
        ...

    def agree(self, pieces: int) -> int:
        """The sender's number, on both sides (it travels beside the transport)."""
        ...


def transfer(
    number: int, source: tuple[int, ...], target: tuple[int, ...], attempt: int = 0
) -> Transfer:
    """A transfer between ranks 0 and 1, its tag following from its number."""
    return Transfer(
        request_id=number,
        attempt=attempt,
        sender=0,
        receiver=1,
        tag=2 * number + attempt,
        source=source,
        target=target,
        nbytes=0,
    )


def ends(pair: Pair, side: Side, count: int) -> dict[tuple[int, int], TransportEnd]:
    """Poll until `count` transfers of a side have ended; each ends once."""
    found: dict[tuple[int, int], TransportEnd] = {}
    for _ in range(PATIENCE_STEPS):
        for end in side.poll():
            assert end.session not in found, f"{end.session} ended twice"
            found[end.session] = end
        if len(found) == count or not side.here:
            return found
        pair.step()
    raise AssertionError(f"{len(found)} of {count} ends after {PATIENCE_STEPS} steps: {found}")


def finish(pair: Pair, count: int) -> list[dict[tuple[int, int], TransportEnd]]:
    """Both sides' ends, of as many transfers."""
    found = [ends(pair, side, count) for side in (pair.sender, pair.receiver)]
    pair.meet()
    return [
        kinds for kinds, side in zip(found, (pair.sender, pair.receiver), strict=True) if side.here
    ]


def check_bytes_land_in_the_blocks(pair: Pair) -> None:
    """Contiguous, scattered and reversed blocks arrive where they were promised."""
    shapes = [
        (tuple(range(8)), tuple(range(20, 28))),
        ((9, 11, 13), (30, 29, 28)),
        ((15,), (40,)),
    ]
    links = [transfer(i, source, target) for i, (source, target) in enumerate(shapes)]
    for i, link in enumerate(links):
        pair.sender.fill(link.source, i)
        registered = pair.receiver.expect(link)
        assert registered or not pair.receiver.here, "nothing keeps it from registering them"
    pair.meet()
    for link in links:
        pair.sender.post(link)
    for found in finish(pair, len(links)):
        assert {end.kind for end in found.values()} == {EndKind.DONE}
    for i, link in enumerate(links):
        assert not pair.receiver.here or pair.receiver.holds(link.target, i)


def check_nothing_ends_before_it_was_posted(pair: Pair) -> None:
    """An expected transfer whose sender is silent stays open, and polling returns at once."""
    link = transfer(1, (0,), (5,))
    pair.receiver.expect(link)
    for _ in range(5):
        pair.meet()
        assert pair.receiver.poll() == []
        assert not pair.receiver.ready()
    pair.meet()
    pair.sender.post(link)
    finish(pair, 1)


def check_never_started_is_a_proof(pair: Pair) -> None:
    """The sender never began: the receiver's blocks are proven quiescent, and untouched."""
    link = transfer(2, tuple(range(4)), tuple(range(4)))
    pair.receiver.fill(link.target, 99)
    pair.receiver.expect(link)
    pair.meet()
    pair.receiver.peer_ended(link.session, 0)
    found = ends(pair, pair.receiver, 1)
    if pair.receiver.here:
        assert found[link.session].kind is EndKind.FAILED
        assert pair.receiver.holds(link.target, 99)
    pair.meet()


def check_a_withdrawn_transfer_ends_proven(pair: Pair) -> None:
    """Withdrawn in the middle: the sender says how far it came, the receiver frees on proof."""
    count = BLOCKS // 2
    link = transfer(3, tuple(range(count)), tuple(range(count)))
    pair.sender.fill(link.source, 3)
    pair.receiver.expect(link)
    pair.meet()
    pair.sender.post(link)
    pair.sender.withdraw(link.session)
    sent = ends(pair, pair.sender, 1).get(link.session)
    posted = pair.agree(sent.pieces if sent else -1)
    whole = -(-count // pair.blocks_per_piece)
    if sent:
        assert sent.kind is (EndKind.DONE if posted == whole else EndKind.FAILED)
    pair.receiver.peer_ended(link.session, posted)
    got = ends(pair, pair.receiver, 1).get(link.session)
    if got:
        assert got.kind is (EndKind.DONE if posted == whole else EndKind.FAILED)
    pair.meet()
    # The link still works, and what comes next is not mistaken for the rest of this.
    check_bytes_land_in_the_blocks(pair)


def check_a_late_withdrawal_changes_nothing(pair: Pair) -> None:
    """Withdrawn after the end, or never known: ignored, on either side."""
    link = transfer(4, (1,), (2,))
    pair.receiver.expect(link)
    pair.meet()
    pair.sender.post(link)
    for found in finish(pair, 1):
        assert found[link.session].kind is EndKind.DONE
    for side in (pair.sender, pair.receiver):
        side.withdraw(link.session)
        side.withdraw((77, 0))
        side.peer_ended((77, 0), 0)
        side.peer_ended(link.session, 0)
        assert side.poll() == []
    pair.meet()


def check_an_id_can_live_again(pair: Pair) -> None:
    """The same request in its next attempt is another session."""
    for attempt in (0, 1):
        link = transfer(5, (3, 4), (6, 7), attempt)
        pair.sender.fill(link.source, attempt)
        pair.receiver.expect(link)
        pair.meet()
        pair.sender.post(link)
        for found in finish(pair, 1):
            assert list(found) == [(5, attempt)]
        assert not pair.receiver.here or pair.receiver.holds(link.target, attempt)


def check_ready_announces_what_poll_reports(pair: Pair) -> None:
    """`ready` makes progress, and is true exactly while `poll` has something to say."""
    link = transfer(6, (0, 1, 2), (0, 1, 2))
    pair.receiver.expect(link)
    pair.meet()
    pair.sender.post(link)
    for side in (pair.sender, pair.receiver):
        for _ in range(PATIENCE_STEPS):
            if side.ready() or not side.here:
                break
            pair.step()
        if side.here:
            assert side.ready()
            assert side.last_moved_ns() > 0
            assert len(side.poll()) == 1
            assert not side.ready()
    pair.meet()


BODIES: dict[str, Callable[[Pair], None]] = {
    name.removeprefix("check_"): body
    for name, body in sorted(globals().items())
    if name.startswith("check_")
}
"""Every body by its name."""
