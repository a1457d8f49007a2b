"""adpkv's kernels, compiled for the processor: a grid is a loop."""

from __future__ import annotations

import ctypes
import hashlib
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

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
                if (!strcmp(name, "adpkv_fill")) adpkv_fill(jobs);
                else if (!strcmp(name, "adpkv_untouched")) adpkv_untouched(jobs, (u32 *)args[1]);
                else if (!strcmp(name, "adpkv_copy")) adpkv_copy(jobs);
                else if (!strcmp(name, "adpkv_pattern")) adpkv_pattern(jobs, (u32)args[1]);
                else if (!strcmp(name, "adpkv_compare"))
                    adpkv_compare(jobs, (u32 *)args[1], (u32)args[2]);
                else if (!strcmp(name, "adpkv_read")) adpkv_read(jobs, (u32 *)args[1]);
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
        own = folder / f"{digest}.{os.getpid()}"
        own.with_suffix(".cc").write_text(text)
        command = ["g++", "-O2", "-std=c++17", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror"]
        target = own.with_suffix(".so")
        subprocess.run([*command, str(own.with_suffix(".cc")), "-o", str(target)], check=True)
        target.rename(found)
        own.with_suffix(".cc").unlink()
    return ctypes.CDLL(str(found))


class RawModule:
    def __init__(self, code: str) -> None:
        self.library = library(code)

    def get_function(self, name: str) -> Kernel:
        return Kernel(self.library, name)


class Kernel:
    most_threads = 4
    """A loop for each of 256 threads would only take longer; tests of the kernels set it."""

    def __init__(self, library: ctypes.CDLL, name: str) -> None:
        self._launch, self._name = library.launch, name.encode()

    def __call__(self, grid: Any, block: Any, args: Any) -> None:
        from .cuda import current

        numbers = (ctypes.c_uint64 * len(args))(*map(int, args))
        threads = min(block[0], self.most_threads)
        grid_x, grid_y = ctypes.c_uint(grid[0]), ctypes.c_uint(grid[1])
        current().add(
            lambda: self._launch(self._name, grid_x, grid_y, ctypes.c_uint(threads), numbers)
        )
