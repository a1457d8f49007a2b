"""The table as Parquet: every kind of column comes back, and pandas stays outside."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from adpkv.sweeps.parquet import write_parquet

ROWS = [
    {"n": 1, "x": 0.5, "b": True, "t": "a", "mixed": 1, "none": None, "huge": 1 << 63},
    {"n": None, "x": 2, "b": None, "t": None, "mixed": "b", "none": None, "huge": 0},
    {"n": -3, "x": None, "b": False, "t": "c", "mixed": None, "none": None, "huge": 1},
]


def test_columns_come_back(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    many = ROWS * 5  # more than a byte of flags
    write_parquet(tmp_path / "t", many)
    table = parquet.read_table(tmp_path / "t")
    kinds = ["int64", "double", "bool", "string", "string", "null", "string"]
    assert [str(field.type) for field in table.schema] == kinds
    texts = [
        {**row, **{key: None if row[key] is None else str(row[key]) for key in ("mixed", "huge")}}
        for row in many
    ]
    assert table.to_pylist() == texts


def test_numbers_at_the_limits_come_back(tmp_path: Path) -> None:
    """As numbers as far as there are such; one that no float is near to makes its column text."""
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = [
        {"whole": -(1 << 63), "below": -(1 << 63) - 1, "beyond": 10**400, "large": 1 << 900},
        {"whole": (1 << 63) - 1, "below": 0, "beyond": 0.5, "large": 0.5},
    ]
    write_parquet(tmp_path / "t", rows)
    table = parquet.read_table(tmp_path / "t")
    assert [str(field.type) for field in table.schema] == ["int64", "string", "string", "double"]
    text = [{key: str(row[key]) for key in ("below", "beyond")} for row in rows]
    assert table.to_pylist() == [{**row, **more} for row, more in zip(rows, text, strict=True)]


def test_pandas_is_not_imported(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    code = (
        "import sys; from pathlib import Path; from adpkv.sweeps.parquet import write_parquet;"
        f"write_parquet(Path('t'), {ROWS!r}); sys.exit('pandas' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, timeout=60, check=True)
