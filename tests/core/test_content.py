"""What a block's content follows from: shared prefixes by hash, the rest by request."""

from __future__ import annotations

from core_parts import spec
from hypothesis import given
from hypothesis import strategies as st

from adpkv.core.content import content_keys, prompt_blocks


def test_full_blocks_have_their_hash_and_the_rest_is_private() -> None:
    keys = content_keys(spec(7, prompt=10, hashes=(50, 51)), 4)
    assert keys[:2] == (50, 51)
    assert len(keys) == prompt_blocks(spec(7, prompt=10), 4) == 3
    assert keys[2] < 0


@given(st.integers(0, 5000), st.integers(0, 5000), st.integers(1, 400), st.integers(1, 400))
def test_private_blocks_of_two_requests_never_look_alike(a: int, b: int, m: int, n: int) -> None:
    if a != b:
        mine = content_keys(spec(a, prompt=m), 1)
        others = content_keys(spec(b, prompt=n), 1)
        assert not set(mine) & set(others)
        assert len(set(mine)) == m
