"""How large the staging area of a rank is, and when there is one."""

from __future__ import annotations

from typing import Any

import pytest
from config_minimal import minimal

from adpkv.config import parse
from adpkv.config.base import LARGEST
from adpkv.config.staging import Staging


def area(**transceiver: Any) -> Staging | None:
    cache = transceiver.pop("cache", {})
    data = minimal(transceiver=transceiver, kv_cache={"blocks": 1000} | cache)
    return parse(data, "x").staging


def test_a_slot_has_two_halves_of_whole_blocks() -> None:
    assert area(staging="on", staging_slot="1MiB") == Staging(8, 8)
    assert area(staging="on", staging_slot="1000KiB") == Staging(8, 7)


def test_nothing_is_larger_than_could_be_used() -> None:
    """A transfer is never longer than the pool, and there are only so many in flight."""
    assert area(staging="on", staging_slot="1GiB", cache={"blocks": 9}) == Staging(8, 5)
    assert area(
        staging="on",
        staging_slot="1MiB",
        max_inflight_transfers=3,
        max_inflight_transfers_per_peer=3,
    ) == Staging(3, 8)


@pytest.mark.parametrize("wanted", ["auto", "off"])
def test_host_memory_has_none_unless_it_is_asked_for(wanted: str) -> None:
    assert area(staging=wanted) is None


def test_with_staging_no_limit_counts_blocks() -> None:
    limit: dict[str, Any] = {"max_inflight_blocks_per_peer": 30}
    assert parse(minimal(transceiver=limit), "x").most_peer_blocks == 30
    assert parse(minimal(transceiver=limit | {"staging": "on"}), "x").most_peer_blocks == LARGEST


@pytest.mark.parametrize(("given", "read"), [(True, "on"), (False, "off")])
def test_other_programs_may_have_read_and_written_the_file(given: bool, read: str) -> None:
    """In YAML 1.1 `on` and `off` are true and false."""
    assert parse(minimal(transceiver={"staging": given}), "x").transceiver.staging == read
