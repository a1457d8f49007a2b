/* Heaps of tuples that begin with integers: heaps.py in C.

   A comparison of two tuples asks Python first which of their items differ, then which of those is
   less: some 150 instructions for two integers. Here integers are compared as such, and tuples item
   by item. Whatever else an item is, if the ones before it are equal, Python compares the tuples as
   a whole. The result is always what Python says, and the heaps are those of heapq.

   And heaps of events, which keep each as a record in one piece of memory: tuples and their numbers
   lie all over it. */

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

typedef struct {
    long long at, kind, owner, number;
    PyObject *action, *what;
} Event;

typedef struct {
    PyObject_HEAD
    Event *events;
    Py_ssize_t size, room;
} EventHeap;

static inline int before(const Event *a, const Event *b) {
    if (a->at != b->at) return a->at < b->at;
    if (a->kind != b->kind) return a->kind < b->kind;
    if (a->owner != b->owner) return a->owner < b->owner;
    return a->number < b->number;
}

/* One that is added belongs near the leaves, mostly. */
static void event_rise(Event *events, Py_ssize_t at, Event added) {
    while (at > 0 && before(&added, &events[(at - 1) >> 1])) {
        events[at] = events[(at - 1) >> 1];
        at = (at - 1) >> 1;
    }
    events[at] = added;
}

static PyTypeObject *event_type;

static int is_event_heap(PyObject *heap) {
    if (event_type != NULL && Py_IS_TYPE(heap, event_type)) return 1;
    PyErr_Format(PyExc_TypeError, "no heap of events: %R", heap);
    return 0;
}

static PyObject *push_event(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    if (!has_two("push_event", count) || !is_event_heap(args[0])) return NULL;
    EventHeap *self = (EventHeap *)args[0];
    if (!PyTuple_CheckExact(args[1]) || PyTuple_GET_SIZE(args[1]) != 6) {
        PyErr_Format(PyExc_TypeError, "no event: %R", args[1]);
        return NULL;
    }
    PyObject **items = ((PyTupleObject *)args[1])->ob_item;
    long long told[4];
    for (int i = 0; i < 4; i++) {
        int over;
        told[i] = PyLong_AsLongLongAndOverflow(items[i], &over);
        if (told[i] == -1 && !over && PyErr_Occurred()) return NULL;
        /* A time that is too late for a record is too late for any run: it comes last. */
        if (over > 0 && i == 0) told[i] = LLONG_MAX;
        else if (over) {
            PyErr_SetString(PyExc_OverflowError, "an event's numbers have 64 bits");
            return NULL;
        }
    }
    if (self->size == self->room) {
        Py_ssize_t room = self->room ? 2 * self->room : 64;
        Event *events = PyMem_Realloc(self->events, (size_t)room * sizeof(Event));
        if (events == NULL) return PyErr_NoMemory();
        self->events = events;
        self->room = room;
    }
    Event added = {told[0], told[1], told[2], told[3], Py_NewRef(items[4]), Py_NewRef(items[5])};
    event_rise(self->events, self->size++, added);
    Py_RETURN_NONE;
}

static PyObject *pop_event(PyObject *module, PyObject *heap) {
    if (!is_event_heap(heap)) return NULL;
    EventHeap *self = (EventHeap *)heap;
    if (self->size == 0) {
        PyErr_SetString(PyExc_IndexError, "index out of range");
        return NULL;
    }
    /* First: it may collect garbage, and whatever is finalised then may add events. */
    PyObject *found = PyTuple_New(6);
    if (found == NULL || self->size == 0) {
        if (found != NULL) PyErr_SetString(PyExc_IndexError, "index out of range");
        Py_XDECREF(found);
        return NULL;
    }
    Event *events = self->events;
    long long numbers[4] = {events[0].at, events[0].kind, events[0].owner, events[0].number};
    for (int i = 0; i < 4; i++) {
        PyObject *number = PyLong_FromLongLong(numbers[i]);
        if (number == NULL) {
            Py_DECREF(found);
            return NULL;
        }
        PyTuple_SET_ITEM(found, i, number);
    }
    PyTuple_SET_ITEM(found, 4, events[0].action);
    PyTuple_SET_ITEM(found, 5, events[0].what);
    Py_ssize_t end = --self->size, hole = 0;
    while (2 * hole + 1 < end) {
        Py_ssize_t child = 2 * hole + 1;
        if (child + 1 < end && before(&events[child + 1], &events[child])) child++;
        events[hole] = events[child];
        hole = child;
    }
    if (hole != end) event_rise(events, hole, events[end]);
    return found;
}

static int event_clear(EventHeap *self) {
    Event *events = self->events;
    Py_ssize_t size = self->size;
    self->events = NULL;
    self->size = self->room = 0;
    for (Py_ssize_t i = 0; i < size; i++) {
        Py_DECREF(events[i].action);
        Py_DECREF(events[i].what);
    }
    PyMem_Free(events);
    return 0;
}

static PyObject *event_forget(EventHeap *self, PyObject *ignored) {
    event_clear(self);
    Py_RETURN_NONE;
}

static int event_traverse(EventHeap *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    for (Py_ssize_t i = 0; i < self->size; i++) {
        Py_VISIT(self->events[i].action);
        Py_VISIT(self->events[i].what);
    }
    return 0;
}

static void event_dealloc(EventHeap *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    event_clear(self);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

static PyObject *event_new(PyTypeObject *type, PyObject *args, PyObject *named) {
    if (PyTuple_GET_SIZE(args) == 0 && (named == NULL || PyDict_GET_SIZE(named) == 0))
        return type->tp_alloc(type, 0);
    PyErr_SetString(PyExc_TypeError, "EventHeap() takes no arguments");
    return NULL;
}

static Py_ssize_t event_count(EventHeap *self) { return self->size; }

static PyMethodDef event_methods[] = {
    {"clear", (PyCFunction)event_forget, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot event_slots[] = {
    {Py_tp_dealloc, event_dealloc},
    {Py_tp_traverse, event_traverse},
    {Py_tp_clear, event_clear},
    {Py_tp_methods, event_methods},
    {Py_sq_length, event_count},
    {Py_tp_new, event_new},
    {0, NULL},
};

static PyType_Spec event_heap = {
    .name = "adpkv.heaps.EventHeap",
    .basicsize = sizeof(EventHeap),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = event_slots,
};

static PyMethodDef functions[] = {
    {"heapify", heapify, METH_O, NULL},
    {"heappop", heappop, METH_O, NULL},
    {"heappush", (PyCFunction)heappush, METH_FASTCALL, NULL},
    {"heapreplace", (PyCFunction)heapreplace, METH_FASTCALL, NULL},
    {"pop_event", pop_event, METH_O, NULL},
    {"push_event", (PyCFunction)push_event, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "adpkv.heaps",
    .m_doc = "Heaps of tuples that begin with integers, and of events.",
    .m_size = -1,
    .m_methods = functions,
};

PyMODINIT_FUNC PyInit_heaps(void) {
    PyObject *made = PyModule_Create(&module);
    PyObject *type = made == NULL ? NULL : PyType_FromSpec(&event_heap);
    if (type == NULL || PyModule_AddObjectRef(made, "EventHeap", type) < 0) Py_CLEAR(made);
    event_type = (PyTypeObject *)type; /* for ever: it is the module's, of which there is one */
    return made;
}
