"""What is free: of the machine, and of the control groups above the process."""

from __future__ import annotations

from pathlib import Path

import pytest

from adpkv.errors import UsageError
from adpkv.worlds.memory_check import available_bytes, refuse_what_cannot_fit, size_text

MEMINFO = "MemTotal: 9000 kB\nMemAvailable:    7000 kB\n"
UNLIMITED = "9223372036854771712\n"


def left(tmp_path: Path, of_self: str, files: dict[str, str]) -> int | None:
    (tmp_path / "meminfo").write_text(MEMINFO)
    (tmp_path / "self").write_text(of_self)
    for name, text in files.items():
        place = tmp_path / "groups" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    return available_bytes(tmp_path / "meminfo", tmp_path / "groups", tmp_path / "self")


@pytest.mark.parametrize(
    ("of_self", "files", "free"),
    [
        ("0::/a/b\n", {}, 7_168_000),
        ("0::/a/b\n", {"a/b/memory.max": "5000\n", "a/b/memory.current": "1000\n"}, 4000),
        (
            "0::/a/b\n",
            {
                "a/b/memory.max": "5000\n",
                "a/b/memory.current": "1000\n",
                "a/memory.max": "9000\n",
                "a/memory.current": "6000\n",
                "memory.max": "max\n",
            },
            3000,
        ),
        (
            "0::/\n",
            {
                "memory.max": "5000\n",
                "memory.current": "4000\n",
                "memory.stat": "anon 100\ninactive_file 2500\n",
            },
            3500,
        ),
        (
            "4:memory:/x/y\n3:cpu:/a\n",
            {
                "memory/x/y/memory.limit_in_bytes": UNLIMITED,
                "memory/x/y/memory.usage_in_bytes": "100\n",
                "memory/x/memory.limit_in_bytes": "8000\n",
                "memory/x/memory.usage_in_bytes": "9000\n",
                "memory/x/memory.stat": "total_inactive_file 3000\n",
            },
            2000,
        ),
        (
            "4:memory:/not/here\n",
            {
                "memory/memory.limit_in_bytes": "8000\n",
                "memory/memory.usage_in_bytes": "9000\n",
            },
            0,
        ),
    ],
    ids=["no-limit", "own", "smallest-on-the-way-up", "cache", "version-1", "version-1-container"],
)
def test_the_least_of_machine_and_control_groups_counts(
    tmp_path: Path, of_self: str, files: dict[str, str], free: int
) -> None:
    assert left(tmp_path, of_self, files) == free


def test_where_nothing_is_known_nothing_is_refused(tmp_path: Path) -> None:
    nothing = tmp_path / "none"
    assert available_bytes(nothing, nothing, nothing) is None
    assert (available_bytes() or 1) > 0


def test_what_is_refused_says_the_figure_and_of_what() -> None:
    parts = {"ranks": 2_000_000_000, "nothing": 0, "blocks": 20_000_000}
    refuse_what_cannot_fit("it", parts, "less fits", 2_020_000_000)
    words = r"it takes at least 2\.0 GB of memory \(2\.0 GB for ranks, 20\.0 MB for blocks\),"
    with pytest.raises(UsageError, match=words + r" and 200 MB are free; less fits"):
        refuse_what_cannot_fit("it", parts, "less fits", 200_000_000)


def test_sizes_for_people() -> None:
    told = [size_text(n) for n in (0, 40_100_000, 130_400_000, 1_250_000_000, 4_716_400_000_000)]
    assert told == ["0.0 MB", "40.1 MB", "130 MB", "1.2 GB", "4,716.4 GB"]
