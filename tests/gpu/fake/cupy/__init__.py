"""As much of CuPy as adpkv uses, on the processor: a stand-in for a GPU that nobody has here.

Device memory is shared memory, so IPC handles work between processes. The kernels are adpkv's own
source, compiled by the C++ compiler. A stream keeps its work until somebody asks: each query of an
event does one piece of it, so nothing is done at once, as on a device. `cuda.runtime.forbid` makes
every call raise that would wait for a device.
"""

from __future__ import annotations

import numpy as np

from . import cuda as cuda
from . import kernels
from .cuda import driver as driver

__version__ = "14.2.0+fake"

RawModule = kernels.RawModule
random = np.random

float16, float32, uint8, uint64 = np.float16, np.float32, np.uint8, np.uint64
asarray = np.asarray
empty, zeros, matmul, ndarray = np.empty, np.zeros, np.matmul, np.ndarray
