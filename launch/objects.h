/* Tuples, lists, loops and the ends of objects, without what Python does around each.

A request makes 120 tuples in compiled code (what waits in a heap, what goes to whoever is not
compiled) and 50 lists, and most are one that was given back a moment ago: Python keeps those, the
tuples by their size. They are taken from there and brought back, in a third of the instructions. A
loop over a list or a tuple of which mypyc does not know that it is one has an iterator of ours,
which is used again; of any other the next item is asked for as its type says. An object that nobody
refers to any more goes at once to the function that ends it. How deep such ends are in each other
is counted here, where it is less than Python allows; what the cycle collector does not know of is
not counted, as Python keeps what would be too deep in the collector's own fields.

Where these wait depends on how the interpreter's own state is laid out, which may change with any
release: so it is tried before it is believed. Only in Python 3.11. */

#ifndef ADPKV_OBJECTS_H
#define ADPKV_OBJECTS_H

#if defined(__GNUC__) && PY_VERSION_HEX < 0x030C0000 && !defined(PYPY_VERSION) \
    && !defined(Py_REF_DEBUG) && !defined(Py_TRACE_REFS)

#ifndef Py_BUILD_CORE
#define Py_BUILD_CORE /* for the next lines */
#endif
#undef _PyGC_FINALIZED /* they have it anew */
#include "internal/pycore_gc.h"
#include "internal/pycore_interp.h"
#if PyTuple_NFREELISTS > 0 && PyList_MAXFREELIST > 0 /* a Python may be built without */
#define ADPKV_KEEPS
#endif
#endif

#ifdef ADPKV_KEEPS

#define ADPKV_WEAK __attribute__((weak, visibility("hidden")))
#define ADPKV_ONLY __attribute__((weak, visibility("hidden"), noinline, unused))

ADPKV_WEAK PyInterpreterState *adpkv_keeper = NULL; /* if they wait where they are thought to */
ADPKV_WEAK int adpkv_keeper_tries = 20;             /* how often more that is tried */

/* Whether what is given back waits there, and what is new is where the collector begins. */
ADPKV_ONLY int adpkv_is_keeper(PyInterpreterState *all) {
    PyGC_Head *youngest = all->gc.generation0;
    if (youngest != &all->gc.generations[0].head)
        return 0;
    PyObject *list = PyList_New(0), *tuple = PyTuple_New(7);
    if (list == NULL || tuple == NULL) {
        PyErr_Clear();
        Py_XDECREF(list);
        Py_XDECREF(tuple);
        return 0;
    }
    int is_last = (PyGC_Head *)youngest->_gc_prev == _Py_AS_GC(tuple);
    PyObject *next = (PyObject *)all->tuple.free_list[6];
    int tuples = all->tuple.numfree[6], lists = all->list.numfree;
    Py_DECREF(tuple); /* looked at again only if it waits there */
    Py_DECREF(list);
    return is_last && (PyObject *)all->tuple.free_list[6] == tuple
           && all->tuple.numfree[6] == tuples + 1 && PyTuple_GET_ITEM(tuple, 0) == next
           && lists >= 0 && lists < PyList_MAXFREELIST && all->list.numfree == lists + 1
           && (PyObject *)all->list.free_list[lists] == list;
}

/* The interpreter whose tuples and lists are taken and brought back here; NULL: none. */
static inline PyInterpreterState *adpkv_keeps(void) {
    if (__builtin_expect(adpkv_keeper == NULL && adpkv_keeper_tries > 0, 0)) {
        --adpkv_keeper_tries;
        PyInterpreterState *tried = PyThreadState_Get()->interp;
        if (adpkv_is_keeper(tried))
            adpkv_keeper = tried;
    }
    return adpkv_keeper;
}

static inline void adpkv_track(PyInterpreterState *all, void *made) {
    PyGC_Head *here = _Py_AS_GC(made), *youngest = all->gc.generation0;
    PyGC_Head *last = (PyGC_Head *)youngest->_gc_prev;
    _PyGCHead_SET_NEXT(last, here);
    _PyGCHead_SET_PREV(here, last);
    _PyGCHead_SET_NEXT(here, youngest);
    youngest->_gc_prev = (uintptr_t)here;
}

ADPKV_ONLY PyObject *adpkv_tuple(Py_ssize_t size) {
    PyInterpreterState *all = adpkv_keeps();
    PyTupleObject *made = all != NULL && (size_t)(size - 1) < PyTuple_MAXSAVESIZE - 1
                              ? all->tuple.free_list[size - 1] : NULL;
    if (made == NULL)
        return PyTuple_New(size);
    all->tuple.free_list[size - 1] = (PyTupleObject *)made->ob_item[0];
    all->tuple.numfree[size - 1]--;
    Py_SET_REFCNT(made, 1);
    for (Py_ssize_t i = 0; i < size; i++)
        made->ob_item[i] = NULL;
    adpkv_track(all, made);
    ADPKV_HIT(tuple);
    return (PyObject *)made;
}

ADPKV_ONLY PyObject *adpkv_list(Py_ssize_t size) {
    PyInterpreterState *all = adpkv_keeps();
    if (all == NULL || all->list.numfree <= 0 || size < 0)
        return PyList_New(size);
    PyObject **items = size == 0 ? NULL : PyMem_Calloc(size, sizeof(PyObject *));
    if (items == NULL && size != 0)
        return PyErr_NoMemory();
    PyListObject *made = all->list.free_list[--all->list.numfree];
    Py_SET_REFCNT(made, 1);
    Py_SET_SIZE(made, size);
    made->ob_item = items;
    made->allocated = size;
    adpkv_track(all, made);
    ADPKV_HIT(list);
    return (PyObject *)made;
}

static inline __attribute__((unused)) void adpkv_untrack(void *thing) {
    PyGC_Head *here = _Py_AS_GC(thing);
    if (here->_gc_next == 0)
        return;
    PyGC_Head *last = _PyGCHead_PREV(here), *next = _PyGCHead_NEXT(here);
    _PyGCHead_SET_NEXT(last, next);
    _PyGCHead_SET_PREV(next, last);
    here->_gc_next = 0;
    here->_gc_prev &= _PyGC_PREV_MASK_FINALIZED;
}

#define ADPKV_DEEP 40 /* from 50 on Python puts off what is to end */

/* As `Py_TRASHCAN_BEGIN`: a subclass's function has counted already. */
#define ADPKV_END_BEGIN(thing, function)                                                        \
    do {                                                                                        \
        PyThreadState *adpkv_thread = NULL;                                                     \
        if (Py_TYPE(thing)->tp_dealloc == (destructor)(function)                                \
            && PyType_IS_GC(Py_TYPE(thing))) {                                                  \
            adpkv_thread = PyThreadState_Get();                                                 \
            if (adpkv_thread->trash_delete_nesting < ADPKV_DEEP)                                \
                ++adpkv_thread->trash_delete_nesting;                                           \
            else if (_PyTrash_begin(adpkv_thread, _PyObject_CAST(thing)))                       \
                break;                                                                          \
        }

#define ADPKV_END_END                                                                           \
        if (adpkv_thread != NULL) {                                                             \
            if (adpkv_thread->trash_delete_later == NULL)                                       \
                --adpkv_thread->trash_delete_nesting;                                           \
            else                                                                                \
                _PyTrash_end(adpkv_thread);                                                     \
        }                                                                                       \
    } while (0);

/* A tuple or a list goes back to where such wait, if there is room. */
ADPKV_ONLY void adpkv_end_kept(PyObject *thing) {
    PyInterpreterState *all = adpkv_keeper;
    PyThreadState *thread = PyThreadState_Get();
    Py_ssize_t size = Py_SIZE(thing);
    int is_list = Py_IS_TYPE(thing, &PyList_Type);
    if (all == NULL || thread->trash_delete_nesting >= ADPKV_DEEP
        || (!is_list && (size_t)(size - 1) >= PyTuple_MAXSAVESIZE - 1)) {
        Py_TYPE(thing)->tp_dealloc(thing);
        return;
    }
    PyTupleObject *tuple = (PyTupleObject *)thing;
    PyListObject *list = (PyListObject *)thing;
    PyObject **items = is_list ? list->ob_item : tuple->ob_item;
    adpkv_untrack(thing);
    ++thread->trash_delete_nesting;
    for (Py_ssize_t i = size; i-- > 0;)
        Py_XDECREF(items[i]);
    if (is_list && items != NULL)
        PyMem_Free(items);
    if (is_list && all->list.numfree < PyList_MAXFREELIST) {
        all->list.free_list[all->list.numfree++] = list;
        ADPKV_HIT(back);
    } else if (!is_list && all->tuple.numfree[size - 1] < PyTuple_MAXFREELIST) {
        tuple->ob_item[0] = (PyObject *)all->tuple.free_list[size - 1];
        all->tuple.free_list[size - 1] = tuple;
        all->tuple.numfree[size - 1]++;
        ADPKV_HIT(back);
    } else {
        PyObject_GC_Del(thing);
    }
    if (thread->trash_delete_later == NULL)
        --thread->trash_delete_nesting;
    else
        _PyTrash_end(thread);
}

ADPKV_ONLY void adpkv_end(PyObject *thing) {
    PyTypeObject *type = Py_TYPE(thing);
    if (type == &PyTuple_Type || type == &PyList_Type)
        adpkv_end_kept(thing);
    else
        type->tp_dealloc(thing);
}

static inline __attribute__((unused)) void adpkv_drop(PyObject *thing) {
    if (--thing->ob_refcnt == 0)
        adpkv_end(thing);
}

/* What goes through a list or a tuple, as Python's own iterators of these do. Most of these live as
   long as a loop, so the last few are used again. The cycle collector knows of each from its first
   loop on, also while it waits for the next one: the array has it then, so it counts as alive. To
   tell the collector of every loop would cost as much as all else that a loop begins with. None can
   be copied or pickled, or say how many are left: nothing that is compiled asks for it. */
typedef struct adpkv_items {
    PyObject_HEAD
    Py_ssize_t at;
    PyObject *of; /* NULL: it has ended */
} adpkv_items_t;

#define ADPKV_MOST_ITEMS 8
ADPKV_WEAK adpkv_items_t *adpkv_idle_items[ADPKV_MOST_ITEMS] = {NULL};
ADPKV_WEAK int adpkv_idle = 0;

ADPKV_ONLY PyObject *adpkv_next_item(PyObject *iterator) {
    adpkv_items_t *items = (adpkv_items_t *)iterator;
    PyObject *of = items->of;
    if (of == NULL)
        return NULL;
    PyObject **all = PyList_CheckExact(of) ? ((PyListObject *)of)->ob_item
                                           : ((PyTupleObject *)of)->ob_item;
    if (items->at < Py_SIZE(of))
        return Py_NewRef(all[items->at++]);
    items->of = NULL;
    Py_DECREF(of);
    return NULL;
}

ADPKV_ONLY void adpkv_end_items(PyObject *iterator) {
    adpkv_items_t *items = (adpkv_items_t *)iterator;
    PyObject *of = items->of;
    items->of = NULL;
    if (adpkv_idle < ADPKV_MOST_ITEMS) {
        Py_SET_REFCNT(items, 1); /* the array's */
        adpkv_idle_items[adpkv_idle++] = items;
    } else {
        PyObject_GC_Del(items);
    }
    Py_XDECREF(of); /* last: whatever ends with it may collect, and begin loops */
}

ADPKV_ONLY int adpkv_visit_items(PyObject *iterator, visitproc visit, void *arg) {
    Py_VISIT(((adpkv_items_t *)iterator)->of);
    return 0;
}

ADPKV_WEAK PyTypeObject adpkv_items_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "adpkv.items",
    .tp_basicsize = sizeof(adpkv_items_t),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_doc = "Goes through a list or a tuple.",
    .tp_dealloc = adpkv_end_items,
    .tp_traverse = adpkv_visit_items,
    .tp_iter = PyObject_SelfIter,
    .tp_iternext = adpkv_next_item,
};

ADPKV_ONLY PyObject *adpkv_items(PyObject *of) {
    if (!PyList_CheckExact(of) && !PyTuple_CheckExact(of))
        return PyObject_GetIter(of);
    adpkv_items_t *items;
    if (adpkv_idle > 0) {
        items = adpkv_idle_items[--adpkv_idle];
        ADPKV_HIT(items);
    } else {
        if (!PyType_HasFeature(&adpkv_items_type, Py_TPFLAGS_READY)
            && PyType_Ready(&adpkv_items_type) < 0)
            return NULL;
        items = PyObject_GC_New(adpkv_items_t, &adpkv_items_type);
        if (items == NULL)
            return NULL;
        items->of = NULL;
        PyObject_GC_Track(items);
    }
    items->at = 0;
    items->of = Py_NewRef(of);
    return (PyObject *)items;
}

static inline __attribute__((unused)) PyObject *adpkv_next(PyObject *iterator) {
    if (Py_IS_TYPE(iterator, &adpkv_items_type))
        return adpkv_next_item(iterator);
    PyObject *item = Py_TYPE(iterator)->tp_iternext(iterator);
    if (item == NULL && PyErr_Occurred() && PyErr_ExceptionMatches(PyExc_StopIteration))
        PyErr_Clear();
    return item;
}

#undef Py_DECREF
#undef Py_XDECREF
#undef PyObject_GC_UnTrack
#define Py_DECREF(thing) adpkv_drop(_PyObject_CAST(thing))
#define Py_XDECREF(thing)                                                                       \
    do {                                                                                        \
        PyObject *adpkv_dropped = _PyObject_CAST(thing);                                        \
        if (adpkv_dropped != NULL)                                                              \
            adpkv_drop(adpkv_dropped);                                                          \
    } while (0)
#define PyObject_GC_UnTrack(thing) adpkv_untrack(thing)
#define PyTuple_New(size) adpkv_tuple(size)
#define PyList_New(size) adpkv_list(size)
#define PyIter_Next(iterator) adpkv_next(iterator)
#define PyObject_GetIter(of) adpkv_items(of)

#ifdef CPy_TRASHCAN_BEGIN
#undef CPy_TRASHCAN_BEGIN
#undef CPy_TRASHCAN_END
#define CPy_TRASHCAN_BEGIN(thing, function) ADPKV_END_BEGIN(thing, function)
#define CPy_TRASHCAN_END(thing) ADPKV_END_END
#endif

#else
#define ADPKV_END_BEGIN(thing, function) Py_TRASHCAN_BEGIN(thing, function)
#define ADPKV_END_END Py_TRASHCAN_END
#endif

#endif
