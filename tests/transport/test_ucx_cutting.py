"""How transfers over UCX are cut."""

from __future__ import annotations

from random import Random

import pytest

from adpkv.core.content import pieces
from adpkv.transport.port import Transfer
from adpkv.transport.ucx_cutting import Cutter

SIZE = 10


def transfer(source: tuple[int, ...], target: tuple[int, ...]) -> Transfer:
    return Transfer(1, 0, 0, 1, 5, source, target, SIZE * len(source))


def whole(cutter: Cutter, of: Transfer) -> list[tuple[int, int, int]]:
    """All pieces, asked for one more at a time."""
    cut = cutter.cut(of)
    for end in range(cut.count + 1):
        assert len(cut.until(end)) >= end
    return cut.until(cut.count + 1)


@pytest.mark.parametrize("splits", [True, False])
def test_a_block_is_split_where_messages_are_sent_at_once(splits: bool) -> None:
    cutter = Cutter(SIZE, 4, splits=splits)
    cut = whole(cutter, transfer((0, 3), (1, 2)))
    if splits:
        assert cut == [(0, 10, 4), (4, 14, 4), (8, 18, 2), (30, 20, 4), (34, 24, 4), (38, 28, 2)]
    else:
        assert cut == [(0, 10, 10), (30, 20, 10)]
    assert cutter.most_bytes == max(nbytes for _, _, nbytes in cut)


def test_adjacent_blocks_are_one_piece_up_to_its_limit() -> None:
    cutter = Cutter(SIZE, 39, splits=True)
    assert whole(cutter, transfer((0, 1, 2, 3), (4, 5, 6, 7))) == [(0, 40, 30), (30, 70, 10)]
    assert cutter.most_bytes == 30


@pytest.mark.parametrize("seed", range(40))
def test_blocks_that_have_no_neighbour_are_cut_as_all_others_are(seed: int) -> None:
    draws = Random(seed)
    count, most, step = draws.randint(0, 12), draws.randint(1, 4), draws.choice((1, 2))
    source = tuple(draws.sample(range(0, 14 * step, step), count))
    target = tuple(sorted(source) if draws.random() < 0.5 else draws.sample(source, count))
    if draws.random() < 0.3:
        source = tuple(sorted(source))
    wanted = [(s * SIZE, t * SIZE, n * SIZE) for s, t, n in pieces(source, target, most)]
    assert whole(Cutter(SIZE, most * SIZE, splits=False), transfer(source, target)) == wanted


@pytest.mark.parametrize("count", [1, 2, 5])
def test_lists_of_different_lengths_are_refused(count: int) -> None:
    with pytest.raises(ValueError, match="target blocks"):
        Cutter(SIZE, SIZE, splits=False).cut(transfer(tuple(range(count)), (7, 9, 11)))
