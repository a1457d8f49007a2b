"""A recorded transport is the transport it is around, and its ring says what it was asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from adpkv.flight_recorder.format import What
from adpkv.flight_recorder.job_directory import ring_path
from adpkv.flight_recorder.reader import Ring, Snapshot
from adpkv.flight_recorder.transport import RecordedTransport
from adpkv.testing.transport import BODIES, transfer
from tests.conformance.test_virtual_transport import BLOCK_BYTES, Link
from tests.flight_recorder.rings import recorder


def recorded(folder: Path) -> Link:
    return Link(lambda link, rank, _: RecordedTransport(link, recorder(folder, rank)))


def rings(folder: Path) -> list[Snapshot]:
    return [Ring.open(ring_path(folder, rank)).snapshot() for rank in (0, 1)]


@pytest.mark.parametrize("name", BODIES)
def test_it_conforms(name: str, tmp_path: Path) -> None:
    BODIES[name](recorded(tmp_path))


def test_both_ends_of_a_transfer_are_recorded(tmp_path: Path) -> None:
    link = recorded(tmp_path)
    one = transfer(17, (1, 2), (3, 4))
    link.receiver.expect(one)
    link.sender.post(one)
    assert link.receiver.poll() == []
    while not link.receiver.ready():
        link.step()
    link.receiver.poll()
    sent, received = rings(tmp_path)
    (post,) = sent.records
    assert (post.what, post.group, post.sequence) == (What.POST, 1, 17)
    assert post.nbytes == 2 * BLOCK_BYTES
    assert [(r.what, r.group, r.sequence) for r in received.records] == [
        (What.EXPECT, 0, 17),
        (What.POLL, -1, 1),
    ]
    assert received.empty_polls == 1
