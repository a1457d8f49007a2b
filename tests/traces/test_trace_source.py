"""Compressed files are read as they are, and those that are cut off are refused."""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

import pytest

from adpkv.errors import MissingPieceError, TraceError
from adpkv.traces.registry import notice
from adpkv.traces.source import PART_BYTES, has
from adpkv.workload.reading import Scaling, read

LINE = b'{"timestamp": 0, "input_length": 9, "output_length": 2, "hash_ids": [1]}\n'


def packed(kind: str, data: bytes) -> bytes:
    if kind == "gzip":
        return gzip.compress(data)
    zstandard = pytest.importorskip("zstandard", reason="the extra zstd is not installed")
    compressed: bytes = zstandard.ZstdCompressor().compress(data)
    return compressed


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_a_compressed_trace_is_read_as_it_is(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "trace.csv"  # the name says nothing
    # Two members, as `cat a.gz b.gz` makes them.
    file.write_bytes(packed(kind, LINE * 3) + packed(kind, LINE * 2))
    assert len(read(file, None, Scaling())) == 5


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_one_that_is_cut_off_is_refused(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "trace"
    whole = packed(kind, LINE * 3) + packed(kind, bytes(range(256)) * 9)
    file.write_bytes(whole[:-9])
    with pytest.raises(TraceError, match=r"trace(:\d+)?: the trace cannot be decompressed"):
        read(file, None, Scaling())


@pytest.mark.parametrize("begin", [b"\x1f\x8b", b"\x28\xb5\x2f\xfd"])
def test_one_that_only_looks_compressed_is_refused(tmp_path: Path, begin: bytes) -> None:
    file = tmp_path / "trace"
    file.write_bytes(begin + b"nothing of the kind, and long enough to be looked at")
    with pytest.raises(TraceError, match="cannot be decompressed"):
        notice(file)


def test_zstd_says_what_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "trace"
    file.write_bytes(packed("zstd", LINE))
    for name in ("zstandard", "compression", "compression.zstd"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingPieceError, match=r"pip install 'adpkv\[zstd\]'"):
        notice(file)


def test_a_byte_order_mark_is_no_part_of_the_first_heading(tmp_path: Path) -> None:
    file = tmp_path / "trace.csv"
    file.write_bytes(b"\xef\xbb\xbfarrived_at,num_prefill_tokens,num_decode_tokens\r\n0.5,3,4\r\n")
    assert list(read(file, None, Scaling()).prompt_tokens) == [3]


def test_a_folder_is_no_trace(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="cannot be read: Is a directory"):
        notice(tmp_path)


@pytest.mark.parametrize("kind", ["", "gzip", "zstd"])
def test_a_text_is_found_wherever_it_stands(tmp_path: Path, kind: str) -> None:
    """Also where it begins in one part and ends in another."""
    file, text = tmp_path / "trace", b'"fault"'
    for at in (0, PART_BYTES - len(text), *range(PART_BYTES - 3, PART_BYTES + 3), 3 * PART_BYTES):
        data = b"." * at + text + b"." * 9
        file.write_bytes(packed(kind, data) if kind else data)
        assert has(file, text), at
        cut = data.replace(text, text[:-1])
        file.write_bytes(packed(kind, cut) if kind else cut)
        assert not has(file, text), at
