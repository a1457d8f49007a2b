/* A process's small objects in huge pages: huge_pages.py in C.

   Objects of up to 512 bytes come from one range of addresses, of which the system is told that it
   may use huge pages for it. It is cut into pools, each for blocks of one size, in order of need;
   and a block that is freed is the next one of its size that is given out, while it is still in the
   processor's caches. So an object takes some ten instructions to get and to free, a fifth of what
   it is in CPython, whose allocator can give pools back to the system. This one gives nothing back:
   what it has had at its most stays for objects of the same sizes, until the process ends.

   What is larger, what is there before, and what is behind the end of the range belongs to the
   allocator that was there before. Where no range is to be had (a limit of address space, no
   madvise), all does; and where somebody looks at memory (tracemalloc, PYTHONMALLOC, -X dev), who
   would see less, and who, as tracemalloc does, puts back the allocator that he had found.

   Who calls has the GIL: Python 3.11 says so of both of its kinds of memory that are taken over.
   From 3.12 on each interpreter of a process may have its own, so all is as it was there. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#if defined(__linux__) && !defined(PYPY_VERSION) && PY_VERSION_HEX < 0x030C0000
#include <sys/mman.h>
#include <sys/resource.h>
#endif

#if defined(MADV_HUGEPAGE)

#include <stdint.h>

#define HUGE_PAGE ((size_t)2 << 20)
#define POOL_BITS 16
#define POOL ((size_t)1 << POOL_BITS)
#define UNIT 16      /* blocks are multiples of it, as large as Python aligns objects */
#define LARGEST 512  /* as in CPython */

#ifndef MOST_BITS    /* a test has a small range */
#define MOST_BITS 36 /* of the range: 64 GiB, which are only addresses until they are used */
#endif
#define LEAST_BITS (MOST_BITS - 8)
#define STEP ((size_t)32 << 20) /* of what is opened at a time */

/* The next block of this size to be given out: where many ranks take turns, it has left the caches
   since it was freed, and whoever gets it reads in it where the one after it is. */
#if defined(__GNUC__)
#define FETCH(block) __builtin_prefetch(block, 1)
#else
#define FETCH(block) ((void)0)
#endif

typedef struct block {
    struct block *next;
} Block;

static char *range, *unused, *closed; /* from there on nothing may be written */
static size_t size;          /* of the range; 0: there is none */
static unsigned char *units; /* by pool: how large its blocks are */
static Block *freed[LARGEST / UNIT + 1];
static char *fresh[LARGEST / UNIT + 1], *ends[LARGEST / UNIT + 1]; /* of the last pools */

typedef struct {
    PyMemAllocatorDomain domain;
    PyMemAllocatorEx before;
} Kind;

static Kind kinds[] = {{.domain = PYMEM_DOMAIN_OBJ}, {.domain = PYMEM_DOMAIN_MEM}};

/* What is closed is no memory that was promised: a system that promises no more than it has would
   count it. */
static int open_more(void) {
    size_t left = (size_t)(range + size - closed), step = left < STEP ? left : STEP;
    if (step == 0 || mprotect(closed, step, PROT_READ | PROT_WRITE) != 0) return 0;
    closed += step;
    return 1;
}

/* A block that nobody has had; NULL where the range is used up. */
static __attribute__((noinline)) void *first(size_t unit) {
    if (fresh[unit] == NULL || fresh[unit] + unit * UNIT > ends[unit]) {
        if (unused == closed && !open_more()) return NULL;
        units[(unused - range) >> POOL_BITS] = (unsigned char)unit;
        fresh[unit] = unused;
        ends[unit] = unused += POOL;
    }
    void *found = fresh[unit];
    fresh[unit] += unit * UNIT;
    return found;
}

static void *get(void *context, size_t bytes) {
    if (__builtin_expect(bytes - 1 < LARGEST, 1)) {
        size_t unit = (bytes + UNIT - 1) / UNIT;
        Block *found = freed[unit];
        if (__builtin_expect(found != NULL, 1)) {
            Block *next = found->next;
            freed[unit] = next;
            FETCH(next);
            return found;
        }
        void *block = first(unit);
        if (block != NULL) return block;
    }
    Kind *kind = context;
    return kind->before.malloc(kind->before.ctx, bytes);
}

static void *get_zeros(void *context, size_t count, size_t each) {
    if (each != 0 && count > LARGEST / each) {
        Kind *kind = context;
        return kind->before.calloc(kind->before.ctx, count, each);
    }
    void *found = get(context, count * each);
    return found == NULL ? NULL : memset(found, 0, count * each);
}

static inline int is_here(void *block) { return (size_t)((char *)block - range) < size; }

static inline size_t unit_of(void *block) {
    return units[(size_t)((char *)block - range) >> POOL_BITS];
}

static void give(void *context, void *block) {
    if (__builtin_expect(is_here(block), 1)) {
        size_t unit = unit_of(block);
        ((Block *)block)->next = freed[unit];
        freed[unit] = block;
        return;
    }
    Kind *kind = context;
    kind->before.free(kind->before.ctx, block);
}

static void *change(void *context, void *block, size_t bytes) {
    if (block == NULL) return get(context, bytes);
    if (!is_here(block)) {
        Kind *kind = context;
        return kind->before.realloc(kind->before.ctx, block, bytes);
    }
    size_t had = unit_of(block) * UNIT;
    if (bytes <= had && 4 * bytes > 3 * had) return block; /* as CPython decides it */
    void *found = get(context, bytes);
    if (found == NULL) return NULL;
    memcpy(found, block, bytes < had ? bytes : had);
    give(context, block);
    return found;
}

static int reserve(int bits) {
    size_t bytes = (size_t)1 << bits;
    struct rlimit limit;
    /* Whoever may have few addresses needs most of them for what is larger, and for libraries. */
    if (getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY
        && bytes > limit.rlim_cur / 4)
        return 0;
    int how = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    char *map = mmap(NULL, bytes + HUGE_PAGE, PROT_NONE, how, -1, 0);
    if (map == MAP_FAILED) return 0;
    char *begin = (char *)(((uintptr_t)map + HUGE_PAGE - 1) & ~(uintptr_t)(HUGE_PAGE - 1));
    void *table = mmap(NULL, bytes >> POOL_BITS, PROT_READ | PROT_WRITE, how, -1, 0);
    if (table == MAP_FAILED || madvise(begin, bytes, MADV_HUGEPAGE) != 0) {
        munmap(map, bytes + HUGE_PAGE);
        if (table != MAP_FAILED) munmap(table, bytes >> POOL_BITS);
        return 0;
    }
    units = table;
    range = unused = closed = begin;
    size = bytes;
    return 1;
}

/* Whether somebody looks at memory; -1: Python raised. */
static int is_watched(void) {
    const char *asked = getenv("PYTHONMALLOC");
    if (asked != NULL && *asked != '\0') return 1;
    PyObject *flags = PySys_GetObject("flags"); /* borrowed */
    PyObject *mode = flags == NULL ? NULL : PyObject_GetAttrString(flags, "dev_mode");
    int watched = mode == NULL ? -1 : PyObject_IsTrue(mode);
    Py_XDECREF(mode);
    if (watched != 0) return watched;
    PyObject *tracemalloc = PyImport_ImportModule("_tracemalloc");
    PyObject *traces =
        tracemalloc == NULL ? NULL : PyObject_CallMethod(tracemalloc, "is_tracing", NULL);
    watched = traces == NULL ? -1 : PyObject_IsTrue(traces);
    Py_XDECREF(traces);
    Py_XDECREF(tracemalloc);
    return watched;
}

static int use_them(void) {
    if (size != 0) return 1;
    int watched = is_watched();
    if (watched != 0) {
        PyErr_Clear();
        return 0;
    }
    for (int bits = MOST_BITS; size == 0 && bits >= LEAST_BITS; bits -= 2) {
        if (!reserve(bits)) continue;
        for (size_t i = 0; i < Py_ARRAY_LENGTH(kinds); i++) {
            PyMem_GetAllocator(kinds[i].domain, &kinds[i].before);
            PyMemAllocatorEx ours = {&kinds[i], get, get_zeros, change, give};
            PyMem_SetAllocator(kinds[i].domain, &ours);
        }
    }
    return size != 0;
}

#else

static int use_them(void) { return 0; }

#endif

static PyObject *use(PyObject *self, PyObject *none) { return PyBool_FromLong(use_them()); }

static PyMethodDef functions[] = {
    {"use", use, METH_NOARGS,
     "From now on, take small objects from huge pages; whether the system lets us."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "adpkv.huge_pages",
    .m_doc = "A process's small objects in huge pages.",
    .m_size = -1,
    .m_methods = functions,
};

PyMODINIT_FUNC PyInit_huge_pages(void) { return PyModule_Create(&module); }
