"""The kernels over KV blocks, as CUDA source: filling, checking, patterns, copies.

Each kernel gets a list of jobs, or of blocks' numbers, and one launch does them all: block `x` of
the grid does job `x`, and the blocks along `y` share its bytes. A check stores 1 into `bad[job]`
where it finds a difference; nothing else writes there, so no atomic operation is needed. The source
includes no header and calls no library, so it needs no toolkit to be compiled when it is first
used. It is also valid C++ for a processor, with a few definitions in front of it: the tests run it
that way.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import numpy as np

__all__ = ["JOB", "KERNELS", "SLICE_BYTES", "SOURCE", "THREADS"]

THREADS: Final = 256
"""Threads of one block of the grid."""

SLICE_BYTES: Final = 16384
"""How many bytes of a job one block of the grid does."""

JOB: Final = np.dtype([("a", "<u8"), ("b", "<u8"), ("c", "<u8"), ("d", "<u8")])
"""One job. What the four numbers mean is said at each kernel."""

KERNELS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "adpkv_fill": "P",
        "adpkv_untouched": "PP",
        "adpkv_mark": "P",
        "adpkv_marked": "PP",
        "adpkv_pack": "PQQQ",
        "adpkv_unpack": "PQQQ",
        "adpkv_pattern": "PI",
        "adpkv_compare": "PPI",
        "adpkv_read": "PP",
    }
)
"""By name: the kinds of its arguments, each `P`: an address, `Q`: 64 bits or `I`: 32 bits."""

SOURCE: Final = r"""
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

struct Job { u64 a, b, c, d; };

#define FIRST ((u64)blockIdx.y * blockDim.x + threadIdx.x)
#define STRIDE ((u64)gridDim.y * blockDim.x)
#define ODD 0x9E3779B97F4A7C15ULL

/* The bytes before the first address that is a multiple of `width`, a power of two. */
static __device__ inline u64 head_of(u64 address, u64 nbytes, u64 width) {
    u64 head = (0 - address) & (width - 1);
    return head < nbytes ? head : nbytes;
}

/* a: address, b: the value of each byte, c: bytes */
extern "C" __global__ void adpkv_fill(const Job *jobs) {
    const Job job = jobs[blockIdx.x];
    const u32 word = (u32)job.b * 0x01010101u;
    const u64 head = head_of(job.a, job.c, 16), wide = (job.c - head) / 16;
    u8 *at = (u8 *)job.a;
    uint4 *body = (uint4 *)(job.a + head);
    uint4 value;
    value.x = value.y = value.z = value.w = word;
    for (u64 i = FIRST; i < head; i += STRIDE) at[i] = (u8)job.b;
    for (u64 i = FIRST; i < wide; i += STRIDE) body[i] = value;
    for (u64 i = head + wide * 16 + FIRST; i < job.c; i += STRIDE) at[i] = (u8)job.b;
}

/* As adpkv_fill; is each byte still so? */
extern "C" __global__ void adpkv_untouched(const Job *jobs, u32 *bad) {
    const Job job = jobs[blockIdx.x];
    const u32 word = (u32)job.b * 0x01010101u;
    const u64 head = head_of(job.a, job.c, 16), wide = (job.c - head) / 16;
    const u8 *at = (const u8 *)job.a;
    const uint4 *body = (const uint4 *)(job.a + head);
    u32 wrong = 0;
    for (u64 i = FIRST; i < head; i += STRIDE) wrong |= at[i] ^ (u32)job.b;
    for (u64 i = FIRST; i < wide; i += STRIDE) {
        const uint4 found = body[i];
        wrong |= (found.x ^ word) | (found.y ^ word) | (found.z ^ word) | (found.w ^ word);
    }
    for (u64 i = head + wide * 16 + FIRST; i < job.c; i += STRIDE) wrong |= at[i] ^ (u32)job.b;
    if (wrong) bad[blockIdx.x] = 1;
}

/* a: address of the first mark, b: the value of each byte | bytes of a mark << 8, c: marks,
   d: bytes from one to the next */
extern "C" __global__ void adpkv_mark(const Job *jobs) {
    const Job job = jobs[blockIdx.x];
    const u64 nbytes = job.b >> 8;
    for (u64 i = FIRST; i < job.c * nbytes; i += STRIDE)
        ((u8 *)job.a)[i / nbytes * job.d + i % nbytes] = (u8)job.b;
}

/* As adpkv_mark; is each byte still so? */
extern "C" __global__ void adpkv_marked(const Job *jobs, u32 *bad) {
    const Job job = jobs[blockIdx.x];
    const u64 nbytes = job.b >> 8;
    u32 wrong = 0;
    for (u64 i = FIRST; i < job.c * nbytes; i += STRIDE)
        wrong |= ((const u8 *)job.a)[i / nbytes * job.d + i % nbytes] ^ (u8)job.b;
    if (wrong) bad[blockIdx.x] = 1;
}

/* Four words at a time: they are on their way from memory together. */
template <class W> static __device__ inline void copy_as(u64 from, u64 to, u64 nbytes) {
    const u64 head = head_of(to, nbytes, sizeof(W)), wide = (nbytes - head) / sizeof(W);
    const u64 stride = STRIDE;
    const u8 *__restrict__ source = (const u8 *)from;
    u8 *__restrict__ target = (u8 *)to;
    const W *__restrict__ wide_source = (const W *)(from + head);
    W *__restrict__ wide_target = (W *)(to + head);
    for (u64 i = FIRST; i < head; i += STRIDE) target[i] = source[i];
    u64 at = FIRST;
    for (; at + 3 * stride < wide; at += 4 * stride) {
        const W w0 = wide_source[at], w1 = wide_source[at + stride];
        const W w2 = wide_source[at + 2 * stride], w3 = wide_source[at + 3 * stride];
        wide_target[at] = w0;
        wide_target[at + stride] = w1;
        wide_target[at + 2 * stride] = w2;
        wide_target[at + 3 * stride] = w3;
    }
    for (; at < wide; at += stride) wide_target[at] = wide_source[at];
    for (u64 i = head + wide * sizeof(W) + FIRST; i < nbytes; i += STRIDE) target[i] = source[i];
}

/* As wide as the two addresses can be aligned together. */
static __device__ inline void copy(u64 from, u64 to, u64 nbytes) {
    const u64 apart = from ^ to;
    if ((apart & 15) == 0) copy_as<uint4>(from, to, nbytes);
    else if ((apart & 7) == 0) copy_as<u64>(from, to, nbytes);
    else if ((apart & 3) == 0) copy_as<u32>(from, to, nbytes);
    else copy_as<u8>(from, to, nbytes);
}

/* Blocks of the pool, by their numbers, to adjacent ones from address `area`; `nbytes` each. */
extern "C" __global__ void adpkv_pack(const u32 *blocks, u64 pool, u64 area, u64 nbytes) {
    copy(pool + blocks[blockIdx.x] * nbytes, area + blockIdx.x * nbytes, nbytes);
}

/* The reverse. */
extern "C" __global__ void adpkv_unpack(const u32 *blocks, u64 pool, u64 area, u64 nbytes) {
    copy(area + blockIdx.x * nbytes, pool + blocks[blockIdx.x] * nbytes, nbytes);
}

/* The pattern's word at a place of a block whose content key is mixed to `key`. */
static __device__ inline u64 pattern(u64 place, u64 key) {
    u64 number = (place + 1) * ODD;
    number ^= number >> 29;
    return (number ^ key) * ODD;
}

/* a: address, b: mixed key, c: first word of a row | words of it << 32, d: rows | stride << 32 */
template <class W> static __device__ inline void write_as(const Job &job) {
    const u32 first = (u32)job.c, count = (u32)(job.c >> 32);
    const u32 stride = (u32)(job.d >> 32), total = (u32)job.d * count;
    W *words = (W *)job.a;
    for (u64 i = FIRST; i < total; i += STRIDE) {
        const u32 row = (u32)i / count, at = row * stride + first + ((u32)i - row * count);
        words[at] = (W)(pattern(at, job.b) >> (64 - 8 * sizeof(W)));
    }
}

template <class W> static __device__ inline u32 differ_as(const Job &job) {
    const u32 first = (u32)job.c, count = (u32)(job.c >> 32);
    const u32 stride = (u32)(job.d >> 32), total = (u32)job.d * count;
    const W *words = (const W *)job.a;
    u32 wrong = 0;
    for (u64 i = FIRST; i < total; i += STRIDE) {
        const u32 row = (u32)i / count, at = row * stride + first + ((u32)i - row * count);
        wrong |= words[at] != (W)(pattern(at, job.b) >> (64 - 8 * sizeof(W)));
    }
    return wrong;
}

/* `word`: the size of a word in bytes, 1, 2, 4 or 8. */
extern "C" __global__ void adpkv_pattern(const Job *jobs, u32 word) {
    const Job job = jobs[blockIdx.x];
    if (word == 8) write_as<u64>(job);
    else if (word == 4) write_as<u32>(job);
    else if (word == 2) write_as<u16>(job);
    else write_as<u8>(job);
}

/* As adpkv_pattern; is each word so? */
extern "C" __global__ void adpkv_compare(const Job *jobs, u32 *bad, u32 word) {
    const Job job = jobs[blockIdx.x];
    u32 wrong;
    if (word == 8) wrong = differ_as<u64>(job);
    else if (word == 4) wrong = differ_as<u32>(job);
    else if (word == 2) wrong = differ_as<u16>(job);
    else wrong = differ_as<u8>(job);
    if (wrong) bad[blockIdx.x] = 1;
}

/* a: address, a multiple of 16, c: bytes. Reads all of them, as attention does; what it makes of
   them is of no interest, and is stored so that the reads are not left out. */
extern "C" __global__ void adpkv_read(const Job *jobs, u32 *sink) {
    const Job job = jobs[blockIdx.x];
    const uint4 *from = (const uint4 *)job.a;
    u32 sum = 0;
    for (u64 i = FIRST; i < job.c / 16; i += STRIDE) {
        const uint4 found = from[i];
        sum += found.x ^ found.y ^ found.z ^ found.w;
    }
    if (sum == 0x9E3779B9u) sink[0] = sum;
}
"""
