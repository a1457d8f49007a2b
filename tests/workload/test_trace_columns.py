"""Rows become columns some thousand at a time; what comes out does not depend on when."""

from __future__ import annotations

import pytest

from adpkv.workload.columns import MOST_ROWS, NAMES, Columns
from adpkv.workload.traces import Trace


def added(count: int) -> Trace:
    columns = Columns(512)
    for number in range(count):
        row = tuple(number * len(NAMES) + place for place in range(len(NAMES)))
        columns.add(row, range(number, 2 * number))
    return columns.trace()


def test_each_value_comes_into_its_column() -> None:
    trace = added(2 * MOST_ROWS + 3)
    for place, name in enumerate(NAMES):
        values = list(getattr(trace, name))
        assert values == [n * len(NAMES) + place for n in range(2 * MOST_ROWS + 3)], name


def test_ids_are_found_where_rows_wait_and_where_they_do_not() -> None:
    for count in (0, 1, MOST_ROWS - 1, MOST_ROWS, MOST_ROWS + 1):
        trace = added(count)
        assert len(trace) == count
        for n in range(count):
            ids = trace.ids[trace.first_id[n] : trace.first_id[n + 1]]
            assert list(ids) == list(range(n, 2 * n))


def test_every_column_is_filled() -> None:
    made = {*NAMES, "ids", "first_id", "hash_tokens"}
    assert made == set(Trace.__slots__)


@pytest.mark.parametrize("values", [(), (1,), (1,) * (len(NAMES) - 1), (1,) * (len(NAMES) + 1)])
def test_rows_with_too_many_or_too_few_values_are_refused(values: tuple[int, ...]) -> None:
    columns = Columns(512)
    columns.add(values, [])
    with pytest.raises(ValueError, match=r"zip\(\) argument"):
        columns.trace()
    columns = Columns(512)
    columns.add((1,) * len(NAMES), [])
    columns.add(values, [])
    with pytest.raises(ValueError, match=r"zip\(\) argument"):
        columns.trace()
