"""The pattern of KV bytes: many keys at once are mixed as one by one."""

from __future__ import annotations

import random

from adpkv.memory.pattern import mixed, mixed_all


def test_many_keys_are_mixed_as_one_by_one() -> None:
    draw = random.Random(3)
    keys = [0, 1, -1, 1 << 63, (1 << 64) - 1, 1 << 64, -(1 << 90)]
    keys += [draw.getrandbits(draw.choice((8, 60, 64, 200))) for _ in range(200)]
    assert mixed_all(keys).tolist() == [int(mixed(key)) for key in keys]
    assert len(set(mixed_all(range(1000)).tolist())) == 1000
    assert mixed_all([]).tolist() == []
