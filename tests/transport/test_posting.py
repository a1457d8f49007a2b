"""The bounds of posting: pieces that a list stands for, posted to peers in turn."""

from __future__ import annotations

from adpkv.transport.posting import NO_LIMIT, Posted, Posting, PostLimits

PIECE_BYTES = 10


class Send:
    """A transfer of so many pieces."""

    def __init__(self, to: int, pieces: int) -> None:
        self.to, self.left = to, pieces

    def peer(self) -> int:
        return self.to

    def is_posted(self) -> bool:
        return not self.left


class Rig:
    """`posted` has the peer of each posted piece; the library refuses those to `refusing`."""

    def __init__(self, **limits: int) -> None:
        self.posted: list[int] = []
        self.refusing: set[int] = set()
        self.has_time = NO_LIMIT
        """For so many pieces."""
        self.posting: Posting[Send] = Posting(
            self.post, PostLimits(**{"budget_bytes": 1_000, "window_bytes": 1_000, **limits})
        )

    def post(self, send: Send) -> Posted | None:
        if send.to in self.refusing or not self.has_time:
            return None
        self.has_time -= 1
        send.left -= 1
        self.posted.append(send.to)
        return Posted(PIECE_BYTES, 3)

    def polled(self) -> list[int]:
        """The peers of the pieces that the next poll posts."""
        self.posted.clear()
        self.posting.poll()
        return list(self.posted)


def test_a_poll_posts_no_more_bytes_than_its_budget() -> None:
    rig = Rig(budget_bytes=25)
    rig.posting.add(Send(1, 5))
    assert rig.posted == [1, 1, 1], "the last piece begins within the budget"
    rig.posting.add(Send(2, 1))
    assert rig.posted == [1, 1, 1], "the budget is for all peers together"
    assert sorted(rig.polled()) == [1, 1, 2]
    assert not rig.posting


def test_a_poll_posts_no_more_descriptors_than_its_budget() -> None:
    rig = Rig(budget_descriptors=4)
    rig.posting.add(Send(1, 5))
    assert rig.posted == [1, 1]
    assert rig.polled() == [1, 1]
    assert rig.polled() == [1]


def test_peers_are_served_in_turn() -> None:
    rig = Rig(budget_bytes=10)
    for peer in (1, 2, 3):
        rig.posting.add(Send(peer, 2))
    assert rig.posted == [1]
    assert [rig.polled() for _ in range(5)] == [[1], [2], [3], [2], [3]]


def test_a_full_window_holds_up_nobody_else() -> None:
    rig = Rig(window_bytes=20)
    rig.posting.add(Send(1, 4))
    rig.posting.add(Send(2, 1))
    assert rig.posted == [1, 1, 2]
    assert rig.polled() == []
    rig.posting.ended(1, PIECE_BYTES)
    assert rig.polled() == [1]


def test_a_refused_piece_is_tried_again_at_the_next_poll() -> None:
    rig = Rig()
    rig.refusing = {1}
    rig.posting.add(Send(1, 1))
    rig.posting.add(Send(2, 1))
    assert rig.posted == [2]
    rig.refusing = set()
    assert rig.polled() == [1]


def test_whom_a_poll_had_no_time_for_comes_first_in_the_next() -> None:
    """As where the transport's own limit of time ends the poll, and not a budget."""
    rig = Rig(window_bytes=NO_LIMIT)
    for peer in (1, 2, 3):
        rig.posting.queue(Send(peer, 100))
    first = []
    for _ in range(6):
        rig.has_time = 4
        assert len(rig.polled()) == 4
        first.append(rig.posted[0])
        assert set(rig.posted) == {first[-1]}
    assert first == [1, 2, 3, 1, 2, 3]


def test_what_was_removed_is_not_posted() -> None:
    rig = Rig(budget_bytes=10)
    first, second = Send(1, 2), Send(1, 1)
    rig.posting.add(first)
    rig.posting.add(second)
    rig.posting.remove(first)
    rig.posting.remove(first)
    assert list(rig.posting) == [second]
    assert rig.polled() == [1]
    assert (first.left, second.left) == (1, 0)
    rig.posting.add(Send(1, 1))
    rig.posting.clear()
    assert not rig.posting


def test_one_piece_alone_counts_as_what_is_posted() -> None:
    rig = Rig(budget_bytes=30, window_bytes=15)
    assert rig.posting.charge(1, PIECE_BYTES)
    assert rig.posting.charge(1, PIECE_BYTES), "the last piece begins within the window"
    assert not rig.posting.charge(1, PIECE_BYTES), "the window is full"
    assert rig.posting.charge(2, PIECE_BYTES)
    assert not rig.posting.charge(3, PIECE_BYTES), "the budget is used up"
    rig.posting.poll()
    rig.posting.ended(1, PIECE_BYTES)
    assert rig.posting.charge(1, PIECE_BYTES)
    rig.posting.queue(Send(2, 1))
    assert not rig.posting.charge(3, PIECE_BYTES), "others come first"


def test_what_was_charged_and_not_posted_is_left_to_others() -> None:
    rig = Rig(budget_bytes=PIECE_BYTES, window_bytes=PIECE_BYTES, budget_descriptors=3)
    assert rig.posting.charge(1, PIECE_BYTES, 3)
    rig.posting.give_back(1, PIECE_BYTES, 3)
    assert rig.posting.charge(2, PIECE_BYTES, 3)
    rig.posting.give_back(2, PIECE_BYTES, 3)
    rig.posting.add(Send(1, 1))
    assert rig.posted == [1]


def test_what_is_charged_does_not_exceed_the_rest_of_the_descriptors() -> None:
    rig = Rig(budget_descriptors=10)
    assert rig.posting.charge(1, PIECE_BYTES, 6)
    assert rig.posting.left_descriptors == 4
    assert not rig.posting.charge(1, PIECE_BYTES, 5)
    rig.posting.poll()
    assert rig.posting.charge(1, PIECE_BYTES, 5)
