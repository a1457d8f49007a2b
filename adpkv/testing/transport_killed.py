"""Conformance bodies of a transport whose peer dies: before, during and after a transfer, as its
sender and as its receiver. What is asserted is what the living end reports, and what it holds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from adpkv.testing.transport_pair import BLOCKS, PATIENCE_STEPS, bodies_of
from adpkv.transport.port import EndKind, Transfer, TransportEnd

__all__ = ["BODIES", "LIVING", "MORTAL", "SEED", "Mortal"]

LIVING, MORTAL = 0, 1
"""The ranks of the two ends."""
SEED = 5
"""What all blocks of the mortal end hold, as one list."""
OTHER = 99
WHOLE = tuple(range(BLOCKS))
QUIET_STEPS = 2_000
NOT_FINAL = (EndKind.ERROR, EndKind.LOST)


class Mortal(Protocol):
    """The living end of a link, and the means to have the other end act and die."""

    def expect(self, transfer: Transfer) -> bool:
        """As of the port; of this end, as all but `tell`."""
        ...

    def post(self, transfer: Transfer) -> None:
        """As of the port."""
        ...

    def poll(self) -> list[TransportEnd]:
        """As of the port."""
        ...

    def fill(self, blocks: Sequence[int], seed: int) -> None:
        """Write what belongs to this seed into the blocks, by their place in the list."""
        ...

    def holds(self, blocks: Sequence[int], seed: int) -> bool:
        """Whether the blocks have it."""
        ...

    def tell(self, word: str, transfer: Transfer) -> None:
        """Have the other end call `expect` or `post`; returns when it has begun to."""
        ...

    def kill(self) -> None:
        """End the other end in this instant, and let this one know as a job does: all living ranks
        have agreed that it has failed."""
        ...

    def step(self) -> None:
        """Let a little time pass."""
        ...


def _link(number: int, *, to_living: bool) -> Transfer:
    sender, receiver = (MORTAL, LIVING) if to_living else (LIVING, MORTAL)
    return Transfer(number, 0, sender, receiver, number, WHOLE, WHOLE, 0)


def _until_over(end: Mortal) -> list[EndKind]:
    """What is told of the one transfer until it has ended."""
    found: list[EndKind] = []
    for _ in range(PATIENCE_STEPS):
        found += [one.kind for one in end.poll()]
        if found and found[-1] not in NOT_FINAL:
            return found
        end.step()
    raise AssertionError(f"no end after {PATIENCE_STEPS} steps: {found}")


def _a_while(end: Mortal, steps: int = QUIET_STEPS) -> list[EndKind]:
    found: list[EndKind] = []
    for _ in range(steps):
        found += [one.kind for one in end.poll()]
        end.step()
    return found


def _is_never_touched_again(end: Mortal) -> None:
    """The blocks belong to somebody else now, and keep what that one writes."""
    end.fill(WHOLE, OTHER)
    assert _a_while(end) == []
    assert end.holds(WHOLE, OTHER), "bytes landed after the end"


def check_a_sender_that_dies_before_it_posts(end: Mortal) -> None:
    """Its receiver has advertised: the blocks are proven quiescent, untouched, and nothing more is
    expected of it."""
    end.fill(WHOLE, OTHER)
    assert end.expect(_link(1, to_living=True))
    end.kill()
    assert _until_over(end) == [EndKind.LOST, EndKind.FAILED]
    assert end.holds(WHOLE, OTHER)
    assert not end.expect(_link(2, to_living=True)), "nobody would write"
    _is_never_touched_again(end)


def check_a_sender_that_dies_in_the_middle(end: Mortal) -> None:
    """Lost, then ended by proof, or arrived whole; no byte lands after that."""
    end.expect(_link(1, to_living=True))
    end.tell("post", _link(1, to_living=True))
    early = _a_while(end, 3)
    end.kill()
    kinds = early if EndKind.DONE in early else early + _until_over(end)
    assert kinds in ([EndKind.LOST, EndKind.FAILED], [EndKind.LOST, EndKind.DONE], [EndKind.DONE])
    if kinds[-1] is EndKind.DONE:
        assert end.holds(WHOLE, SEED)
    _is_never_touched_again(end)


def check_a_sender_that_dies_afterwards(end: Mortal) -> None:
    """What has arrived stays, and nothing more is said of it."""
    end.expect(_link(1, to_living=True))
    end.tell("post", _link(1, to_living=True))
    assert _until_over(end) == [EndKind.DONE]
    end.kill()
    assert _a_while(end) == []
    assert end.holds(WHOLE, SEED)


def check_a_receiver_that_dies_before_the_post(end: Mortal) -> None:
    """Nobody is left to be written to: what is posted ends at once."""
    end.tell("expect", _link(1, to_living=False))
    end.kill()
    end.post(_link(1, to_living=False))
    kinds = _until_over(end)
    assert kinds in ([EndKind.FAILED], [EndKind.LOST, EndKind.FAILED])
    assert _a_while(end) == []


def check_a_receiver_that_dies_in_the_middle(end: Mortal) -> None:
    """Lost, then ended, or all was read before; the sender's blocks are free afterwards."""
    end.tell("expect", _link(1, to_living=False))
    end.post(_link(1, to_living=False))
    early = _a_while(end, 3)
    end.kill()
    kinds = early if EndKind.DONE in early else early + _until_over(end)
    assert kinds in ([EndKind.LOST, EndKind.FAILED], [EndKind.FAILED], [EndKind.DONE])
    assert _a_while(end) == []


def check_a_receiver_that_dies_afterwards(end: Mortal) -> None:
    """The end stands, and is told once."""
    end.tell("expect", _link(1, to_living=False))
    end.post(_link(1, to_living=False))
    assert _until_over(end) == [EndKind.DONE]
    end.kill()
    assert _a_while(end) == []


BODIES: dict[str, Callable[[Mortal], None]] = bodies_of(globals())
"""Every body by its name."""
