/* Heaps of tuples that begin with integers: heaps.py in C.

   A comparison of two tuples asks Python first which of their items differ, then which of those is
   less: some 150 instructions for two integers. Here integers are compared as such, and tuples item
   by item. Whatever else an item is, if the ones before it are equal, Python compares the tuples as
   a whole. The result is always what Python says, and the heaps are those of heapq. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#if defined(Py_GIL_DISABLED)
#error "another thread could change a heap: leave this out, and heapq does it"
#endif

enum { LESS = -1, EQUAL = 0, MORE = 1, UNKNOWN = 2 };

#define DEPTH 4 /* of tuples in tuples */

#if PY_VERSION_HEX < 0x030C0000 && PYLONG_BITS_IN_DIGIT == 30 && !defined(PYPY_VERSION)
/* A number of up to two digits, which every time is; until Python 3.11 all look like this. */
static inline int is_short(PyObject *number) { return (size_t)(Py_SIZE(number) + 2) <= 4; }

static inline long long value(PyObject *number) {
    Py_ssize_t size = Py_SIZE(number);
    digit *digits = ((PyLongObject *)number)->ob_digit;
    if (size == 0) return 0;
    long long found = digits[0];
    if (size == 2 || size == -2) found |= (long long)digits[1] << PyLong_SHIFT;
    return size < 0 ? -found : found;
}
#else
static inline int is_short(PyObject *number) { return 0; }
static inline long long value(PyObject *number) { return 0; }
#endif

static inline int integers(PyObject *a, PyObject *b) {
    if (is_short(a) && is_short(b)) {
        long long one = value(a), two = value(b);
        return (one > two) - (one < two);
    }
    int a_over, b_over;
    long long one = PyLong_AsLongLongAndOverflow(a, &a_over);
    long long two = PyLong_AsLongLongAndOverflow(b, &b_over);
    if (a_over || b_over) return UNKNOWN;
    return (one > two) - (one < two);
}

static int order(PyObject *a, PyObject *b, int depth) {
    if (PyLong_CheckExact(a) && PyLong_CheckExact(b)) return integers(a, b);
    if (depth == 0 || !PyTuple_CheckExact(a) || !PyTuple_CheckExact(b)) return UNKNOWN;
    Py_ssize_t many = PyTuple_GET_SIZE(a), others = PyTuple_GET_SIZE(b);
    for (Py_ssize_t i = 0; i < many && i < others; i++) {
        PyObject *one = PyTuple_GET_ITEM(a, i), *two = PyTuple_GET_ITEM(b, i);
        if (one == two) continue;
        int found = PyLong_CheckExact(one) && PyLong_CheckExact(two)
                        ? integers(one, two)
                        : order(one, two, depth - 1);
        if (found != EQUAL) return found;
    }
    return (many > others) - (many < others);
}

/* Whether item `a` of a heap is less than item `b`; -1 with an error. */
static int less(PyObject *heap, PyObject *a, PyObject *b) {
    int found = order(a, b, DEPTH);
    if (found != UNKNOWN) return found == LESS;
    Py_ssize_t size = PyList_GET_SIZE(heap);
    Py_INCREF(a);
    Py_INCREF(b);
    found = PyObject_RichCompareBool(a, b, Py_LT);
    Py_DECREF(a);
    Py_DECREF(b);
    if (found >= 0 && PyList_GET_SIZE(heap) != size) {
        PyErr_SetString(PyExc_RuntimeError, "list changed size during iteration");
        return -1;
    }
    return found;
}

static inline void swap(PyObject *heap, Py_ssize_t a, Py_ssize_t b) {
    PyObject **items = ((PyListObject *)heap)->ob_item;
    PyObject *one = items[a];
    items[a] = items[b];
    items[b] = one;
}

/* Move an item towards the root, down to `first` at most, past those that are more. */
static int rise(PyObject *heap, Py_ssize_t first, Py_ssize_t at) {
    while (at > first) {
        Py_ssize_t parent = (at - 1) >> 1;
        int found = less(heap, PyList_GET_ITEM(heap, at), PyList_GET_ITEM(heap, parent));
        if (found < 0) return -1;
        if (found == 0) break;
        swap(heap, at, parent);
        at = parent;
    }
    return 0;
}

/* Move an item to a leaf, past the lesser of each two; from there to where it belongs. Most items
   that come to the root belong near a leaf: so it takes fewer comparisons. */
static int sink(PyObject *heap, Py_ssize_t at) {
    Py_ssize_t first = at, end = PyList_GET_SIZE(heap);
    while (2 * at + 1 < end) {
        Py_ssize_t child = 2 * at + 1;
        if (child + 1 < end) {
            PyObject *one = PyList_GET_ITEM(heap, child), *two = PyList_GET_ITEM(heap, child + 1);
            int found = less(heap, one, two);
            if (found < 0) return -1;
            if (found == 0) child++;
        }
        swap(heap, at, child);
        at = child;
    }
    return rise(heap, first, at);
}

static int is_heap(PyObject *heap) {
    if (PyList_Check(heap)) return 1;
    PyErr_Format(PyExc_TypeError, "heap argument must be a list, not %.200s",
                 Py_TYPE(heap)->tp_name);
    return 0;
}

static int has_two(const char *name, Py_ssize_t count) {
    if (count == 2) return 1;
    PyErr_Format(PyExc_TypeError, "%s expected 2 arguments, got %zd", name, count);
    return 0;
}

static PyObject *heappush(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    if (!has_two("heappush", count) || !is_heap(args[0])) return NULL;
    if (PyList_Append(args[0], args[1]) < 0) return NULL;
    if (rise(args[0], 0, PyList_GET_SIZE(args[0]) - 1) < 0) return NULL;
    Py_RETURN_NONE;
}

static PyObject *heappop(PyObject *self, PyObject *heap) {
    if (!is_heap(heap)) return NULL;
    Py_ssize_t size = PyList_GET_SIZE(heap);
    if (size == 0) {
        PyErr_SetString(PyExc_IndexError, "index out of range");
        return NULL;
    }
    swap(heap, 0, size - 1);
    PyObject *found = Py_NewRef(PyList_GET_ITEM(heap, size - 1));
    if (PyList_SetSlice(heap, size - 1, size, NULL) < 0 || (size > 1 && sink(heap, 0) < 0))
        Py_CLEAR(found);
    return found;
}

static PyObject *heapreplace(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    if (!has_two("heapreplace", count) || !is_heap(args[0])) return NULL;
    if (PyList_GET_SIZE(args[0]) == 0) {
        PyErr_SetString(PyExc_IndexError, "index out of range");
        return NULL;
    }
    PyObject *found = PyList_GET_ITEM(args[0], 0);
    PyList_SET_ITEM(args[0], 0, Py_NewRef(args[1]));
    if (sink(args[0], 0) < 0) Py_CLEAR(found);
    return found;
}

static PyObject *heapify(PyObject *self, PyObject *heap) {
    if (!is_heap(heap)) return NULL;
    for (Py_ssize_t at = PyList_GET_SIZE(heap) / 2 - 1; at >= 0; at--)
        if (sink(heap, at) < 0) return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"heapify", heapify, METH_O, NULL},
    {"heappop", heappop, METH_O, NULL},
    {"heappush", (PyCFunction)heappush, METH_FASTCALL, NULL},
    {"heapreplace", (PyCFunction)heapreplace, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "adpkv.heaps",
    .m_doc = "Heaps of tuples that begin with integers.",
    .m_size = -1,
    .m_methods = functions,
};

PyMODINIT_FUNC PyInit_heaps(void) { return PyModule_Create(&module); }
