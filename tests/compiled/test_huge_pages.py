"""`huge_pages.c`: where objects are, that they are whole, and what happens where it has no room."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import pytest

from adpkv import huge_pages
from tests.compiled.in_c import extension

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="huge pages are Linux's"),
    pytest.mark.skipif(sys.version_info >= (3, 12), reason="from Python 3.12 on it does nothing"),
]

PROBE = """
import mmap, resource, sys

advice, smaps = int(sys.argv[1]), sys.argv[2]
try:
    memory = mmap.mmap(-1, 4 << 20)
    memory.madvise(advice)
    with open(smaps) as lines:
        if not any(line.startswith("VmFlags:") and "hg" in line.split() for line in lines):
            print(f"{smaps} does not say where huge pages may be")
    if resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY:
        print("addresses are limited (ulimit -v)")
except OSError as error:
    print(f"no process may ask for huge pages here: {error}")
"""
MADV_HUGEPAGE = 14
SMAPS = "/proc/self/smaps"

BEGIN = """
import importlib.util, json, os, random, resource, sys

spec = importlib.util.spec_from_file_location("huge_pages", sys.argv[1])
huge_pages = importlib.util.module_from_spec(spec)
spec.loader.exec_module(huge_pages)

def flags(thing):
    "Those of the memory in which an object is."
    here = False
    for line in open("/proc/self/smaps"):
        words = line.split()
        if "-" in words[0]:
            first, end = (int(one, 16) for one in words[0].split("-"))
            here = first <= id(thing) < end
        elif here and words[0] == "VmFlags:":
            return words[1:]

def pages(place):
    return int(open("/proc/self/statm").read().split()[place]) * resource.getpagesize()

def small(count):
    return [(number, None) for number in range(count)]

def leave(more):
    limit = pages(0) + more
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

"""
NONE: Final[Mapping[str, str]] = MappingProxyType({})
WATCHES = ("PYTHONMALLOC", "PYTHONDEVMODE", "PYTHONTRACEMALLOC")
"""With these nothing is in huge pages: a test that wants one sets it."""
SMALL_RANGE = "MOST_BITS=22"
"""4 MiB."""


def _said(
    script: str, *defined: str, options: Sequence[str] = (), variables: Mapping[str, str] = NONE
) -> Any:
    """What a process of its own prints in JSON, with `huge_pages` and the functions above."""
    ended = subprocess.run(
        [sys.executable, *options, "-c", BEGIN + script, extension("huge_pages", *defined)],
        capture_output=True, text=True, timeout=120, check=False,
        env={**{key: os.environ[key] for key in os.environ if key not in WATCHES}, **variables},
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def _lacking(advice: int = MADV_HUGEPAGE, smaps: str = SMAPS) -> str:
    """What this system lacks for such tests; empty if nothing."""
    command = [sys.executable, "-c", PROBE, str(advice), smaps]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


@pytest.fixture(scope="module")
def whole_system() -> None:
    if lacking := _lacking():
        pytest.skip(lacking.strip())


needs_huge_pages = pytest.mark.usefixtures("whole_system")


def test_a_system_without_huge_pages_is_noticed(tmp_path: Path) -> None:
    assert "no process may ask for huge pages here: [Errno 22]" in _lacking(advice=9_999)
    less = tmp_path / "smaps"
    less.write_text("VmFlags: rd wr mr\n")
    assert "smaps does not say where" in _lacking(advice=0, smaps=str(less))
    assert "No such file" in _lacking(advice=0, smaps=str(tmp_path / "none"))
    less.write_text("VmFlags: rd wr mr hg\n")
    assert "smaps" not in _lacking(advice=0, smaps=str(less))


@needs_huge_pages
def test_small_objects_are_where_huge_pages_may_be() -> None:
    uses, again, before, after, large = _said("""
old = small(1000)[-1]
before = flags(old)
said = [huge_pages.use(), huge_pages.use()]
print(json.dumps([*said, before, flags(small(100_000)[-1]), flags(bytes(3000))]))
""")
    assert uses is True
    assert again is True
    assert "hg" not in before
    assert "hg" in after
    assert "hg" not in large


def test_what_is_freed_is_used_again() -> None:
    least, most, *others = _said("""
huge_pages.use()
sizes = [pages(1)]
for _ in range(4):
    small(1_000_000)
    sizes.append(pages(1))
print(json.dumps(sizes))
""")
    assert most - least > 50 << 20
    assert max(others) - most < 10 << 20


CHURN = """
uses = huge_pages.use()
draw = random.Random(7)
texts = [bytearray() for _ in range(300)]
told = [b""] * 300
names, ints, kept = {}, [], []
for step in range(60_000):
    which = draw.randrange(300)
    size = draw.choice((0, 1, 15, 16, 17, 100, 250, 511, 512, 513, 600, 3000))
    letter = bytes([65 + step % 26])
    texts[which][size:] = b""
    texts[which] += letter * (size - len(texts[which]))
    told[which] = (told[which][:size]).ljust(size, letter)
    names[f"{which} {step % 700}"] = step
    ints.append(step << 40)
    kept.append((step, [step] * (step % 90)))
    if len(kept) > 500:
        del kept[draw.randrange(500)]
    if step % 1000 == 999:
        assert [bytes(text) for text in texts] == told
        assert all(len(many) == number % 90 for number, many in kept)
        assert ints == [number << 40 for number in range(step + 1)]
        names = dict(list(names.items())[::2])
print(json.dumps(uses))
"""


@needs_huge_pages
@pytest.mark.parametrize("defined", [(), (SMALL_RANGE,)])
def test_objects_stay_whole_as_they_come_and_go(defined: tuple[str, ...]) -> None:
    """Of all sizes, growing and shrinking; and in a range that is too small for them."""
    assert _said(CHURN, *defined) is True


@needs_huge_pages
def test_behind_the_range_objects_are_where_they_were() -> None:
    script = """
uses = huge_pages.use()
first, more = small(100), small(200_000)
print(json.dumps([uses, *["hg" in flags(thing) for thing in (first[-1], more[-1])]]))
"""
    assert _said(script, SMALL_RANGE) == [True, True, False]
    assert _said(script) == [True, True, True]


@needs_huge_pages
def test_where_addresses_are_few_the_range_is_small_or_there_is_none() -> None:
    """It takes a quarter of them at most: 1 GiB of some 5; then all are refused."""
    script = """
before = pages(0)
leave(%d << 20)
uses = huge_pages.use()
print(json.dumps([uses, pages(0) - before >> 30, "hg" in flags(small(200_000)[-1])]))
"""
    assert _said(script % 5_000) == [True, 1, True]
    assert _said(script % 100) == [False, 0, False]


def test_children_of_a_process_have_their_own() -> None:
    (same,) = _said("""
huge_pages.use()
kept = small(300_000)
if (child := os.fork()) == 0:
    kept.clear()
    os._exit(small(300_000) != [(number, None) for number in range(300_000)])
ended = os.waitpid(child, 0)[1]
print(json.dumps([ended == 0 and kept == small(300_000)]))
""")
    assert same


def test_plain_python_has_no_other_memory_than_ever() -> None:
    """In a process of its own: numpy, which other tests load, asks for huge pages too."""
    assert Path(huge_pages.__file__).suffix == ".py"
    uses, asked = _said("""
from adpkv import huge_pages
kept = [huge_pages.use(), small(100_000)]
print(json.dumps([kept[0], " hg" in open("/proc/self/smaps").read()]))
""")
    assert uses is False
    assert not asked


WATCHED = """
uses = huge_pages.use()
kept = small(100_000)
if tracemalloc := sys.modules.get("tracemalloc"):
    tracemalloc.stop()
del kept
kept = small(100_000)
print(json.dumps([uses, "hg" in flags(kept[-1])]))
"""


@pytest.mark.parametrize(
    ("options", "variables"),
    [
        (("-X", "tracemalloc"), {}),
        ((), {"PYTHONTRACEMALLOC": "1"}),
        (("-X", "dev"), {}),
        ((), {"PYTHONMALLOC": "malloc"}),
        ((), {"PYTHONMALLOC": "debug"}),
    ],
)
def test_whoever_looks_at_memory_sees_all_of_it(
    options: tuple[str, ...], variables: dict[str, str]
) -> None:
    """And what tracemalloc puts back at its end, with the process too, has given out all."""
    script = WATCHED.replace("uses =", "import tracemalloc; uses =", 1)
    assert _said(script, options=options, variables=variables) == [False, False]


@needs_huge_pages
def test_who_begins_to_look_later_sees_what_comes_then() -> None:
    script = WATCHED.replace("kept =", "import tracemalloc; tracemalloc.start(); kept =", 1)
    assert _said(script) == [True, True]


@needs_huge_pages
def test_what_is_reserved_is_no_memory_that_the_system_promised() -> None:
    """Only what is opened counts, 32 MiB at a time: else a worker's 64 GiB would be too much for a
    system that promises no more than it has (`vm.overcommit_memory=2`)."""
    reserved, at_first, later = _said("""
def data():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if "VmData" in line)

none, addresses = data(), pages(0)
huge_pages.use()
kept = [small(1000)]
at_first, reserved = data() - none, pages(0) - addresses
kept.append(small(1_000_000))
print(json.dumps([reserved >> 20, at_first >> 10, data() - none >> 10]))
""")
    assert reserved >= 256
    assert at_first < 64
    assert 64 < later < 400
