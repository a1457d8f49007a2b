"""adpkv's kernels, compiled for the processor: a grid is a loop."""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
import subprocess
import tempfile
from pathlib import Path
from typing import ClassVar

BEFORE = r"""
#include <cstring>
#define __global__
#define __device__
struct uint4 { unsigned x, y, z, w; };
struct Dim { unsigned x, y, z; };
static Dim blockIdx, blockDim, threadIdx, gridDim;
"""

AFTER = r"""
extern "C" void launch(const char *name, unsigned gx, unsigned gy, unsigned bx, const u64 *args) {
    gridDim = {gx, gy, 1};
    blockDim = {bx, 1, 1};
    for (unsigned x = 0; x < gx; x++)
        for (unsigned y = 0; y < gy; y++)
            for (unsigned t = 0; t < bx; t++) {
                blockIdx = {x, y, 0};
                threadIdx = {t, 0, 0};
                const Job *jobs = (const Job *)args[0];
                const u32 *blocks = (const u32 *)args[0];
                u32 *bad = (u32 *)args[1];
                if (!strcmp(name, "adpkv_fill")) adpkv_fill(jobs);
                else if (!strcmp(name, "adpkv_untouched")) adpkv_untouched(jobs, bad);
                else if (!strcmp(name, "adpkv_mark")) adpkv_mark(jobs);
                else if (!strcmp(name, "adpkv_marked")) adpkv_marked(jobs, bad);
                else if (!strcmp(name, "adpkv_pack")) adpkv_pack(blocks, args[1], args[2], args[3]);
                else if (!strcmp(name, "adpkv_unpack"))
                    adpkv_unpack(blocks, args[1], args[2], args[3]);
                else if (!strcmp(name, "adpkv_pattern")) adpkv_pattern(jobs, (u32)args[1]);
                else if (!strcmp(name, "adpkv_compare")) adpkv_compare(jobs, bad, (u32)args[2]);
                else if (!strcmp(name, "adpkv_read")) adpkv_read(jobs, bad);
            }
}
"""


def library(source: str) -> ctypes.CDLL:
    """The compiled kernels; compiled once for each source."""
    text = BEFORE + source + AFTER
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"adpkv-fake-gpu-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    found = folder / f"{digest}.so"
    if not found.exists():
        # Processes that start together may each compile it.
        own = folder / f"{digest}-{os.getpid()}.cc"
        own.write_text(text)
        command = ["g++", "-O2", "-std=c++17", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror"]
        target = own.with_suffix(".so")
        subprocess.run([*command, str(own), "-o", str(target)], check=True)
        target.rename(found)
        own.unlink()
    return ctypes.CDLL(str(found))


SOURCES: dict[int, str] = {}
"""By library."""


class RawModule:
    def __init__(self, code: str) -> None:
        self.library = library(code)
        SOURCES[id(self.library)] = code

    def get_function(self, name: str) -> Kernel:
        return Kernel(self.library, name)


class Kernel:
    """CuPy's raw kernel and its function in one."""

    most_threads = 4
    """A loop for each of 256 threads would only take longer; tests of the kernels set it."""
    every: ClassVar[dict[int, Kernel]] = {}

    def __init__(self, library: ctypes.CDLL, name: str) -> None:
        self._launch, self._name = library.launch, name.encode()
        self.kernel = self
        self.ptr = len(self.every) + 1
        self.every[self.ptr] = self
        # By its declaration in the source, as the driver knows how many bytes an argument has.
        declared = re.search(rf"\b{name}\(([^)]*)\)", SOURCES[id(library)])
        assert declared, name
        self._sizes = [
            4 if one.strip().startswith("u32 w") else 8 for one in declared[1].split(",")
        ]

    def launch(self, grid: tuple[int, int], threads: int, stream: int, pointers_at: int) -> None:
        """The arguments are taken over now, as the driver does."""
        count = len(self._sizes)
        places = (ctypes.c_uint64 * count).from_address(pointers_at)
        values = [
            int.from_bytes(ctypes.string_at(at, size), "little")
            for at, size in zip(places, self._sizes, strict=True)
        ]
        numbers = (ctypes.c_uint64 * max(count, 2))(*values)
        grid_x, grid_y = ctypes.c_uint(grid[0]), ctypes.c_uint(grid[1])
        some = ctypes.c_uint(min(threads, self.most_threads))
        from .cuda import runtime

        runtime.streams[stream].add(lambda: self._launch(self._name, grid_x, grid_y, some, numbers))
