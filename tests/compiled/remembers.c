/* One place of each kind that `inline_cache.h` is about, to be asked from Python: `field`, `call`
and `name` take whatever is to be looked up there. `another_field`, `in_turns` and `own` are places
of their own, for tests of what a place has met before. `hits` says how often each kind had
remembered what it was asked for, and how often what the others are about was done here and not by
Python. `box` makes a number as `boxes.h` does, and `unbox` reads one; `apply` and what follows are
those of `calls.h`, `item` and what follows those of `lookups.h`, `filled` and what follows those of
`objects.h`. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

static PyObject *CPyDict_GetItem(PyObject *dict, PyObject *key) {
    PyObject *found = PyObject_GetItem(dict, key);
    return found;
}

static __attribute__((unused)) PyObject *
CPyDict_Get(PyObject *dict, PyObject *key, PyObject *fallback) {
    PyObject *found = PyDict_GetItemWithError(dict, key);
    return found != NULL ? Py_NewRef(found) : PyErr_Occurred() ? NULL : Py_NewRef(fallback);
}

#define ADPKV_COUNT_HITS
#include "inline_cache.h"
#include "objects.h"

/* As mypyc has them: a number is shifted by one, and what is odd is the address of an object. */
#define CPY_INT_TAG 1
typedef size_t CPyTagged;

static __attribute__((unused)) Py_ssize_t
CPyLong_AsSsize_tAndOverflow(PyObject *number, int *overflow) {
    long long value = PyLong_AsLongLongAndOverflow(number, overflow);
    *overflow = *overflow || value >= 1LL << 62 || value < -(1LL << 62);
    return (Py_ssize_t)value;
}

static CPyTagged CPyTagged_BorrowFromObject(PyObject *number) { return (CPyTagged)number | 1; }

static CPyTagged CPyTagged_FromObject(PyObject *number) {
    return CPyTagged_BorrowFromObject(Py_NewRef(number));
}

static PyObject *CPyTagged_StealAsObject(CPyTagged number) {
    return PyLong_FromSsize_t((Py_ssize_t)number >> 1);
}

#include "boxes.h"
#include "lookups.h"

static PyObject *box(PyObject *self, PyObject *number) {
    Py_ssize_t value = PyLong_AsSsize_t(number);
    return PyErr_Occurred() ? NULL : CPyTagged_StealAsObject((CPyTagged)value << 1);
}

/* What is made of the object and back: a number, or the object itself if it has too many digits. */
static PyObject *unbox(PyObject *self, PyObject *number) {
    CPyTagged lent = CPyTagged_BorrowFromObject(number), owned = CPyTagged_FromObject(number);
    PyObject *one = lent & CPY_INT_TAG ? Py_NewRef((PyObject *)(lent ^ CPY_INT_TAG))
                                       : PyLong_FromSsize_t((Py_ssize_t)lent >> 1);
    PyObject *two = owned & CPY_INT_TAG ? (PyObject *)(owned ^ CPY_INT_TAG)
                                        : PyLong_FromSsize_t((Py_ssize_t)owned >> 1);
    return Py_BuildValue("(NN)", one, two);
}

/* Calls of functions, and what `calls.h` does without a call. */
static PyObject *apply(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    return PyObject_Vectorcall(args[0], args + 1, count - 1, NULL);
}

static PyObject *apply_named(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    return PyObject_Vectorcall(args[0], args + 2, count - 2 - PyTuple_GET_SIZE(args[1]), args[1]);
}

static PyObject *append(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    return PyList_Append(args[0], args[1]) < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *truth(PyObject *self, PyObject *thing) {
    int found = PyObject_IsTrue(thing);
    return found < 0 ? NULL : PyBool_FromLong(found);
}

static PyObject *field(PyObject *self, PyObject *args) {
    PyObject *thing, *name;
    if (!PyArg_ParseTuple(args, "OO", &thing, &name))
        return NULL;
    return PyObject_GetAttr(thing, name);
}

static PyObject *another_field(PyObject *self, PyObject *args) {
    PyObject *thing, *name;
    if (!PyArg_ParseTuple(args, "OO", &thing, &name))
        return NULL;
    return PyObject_GetAttr(thing, name);
}

static PyObject *in_turns(PyObject *self, PyObject *args) {
    PyObject *thing, *name;
    if (!PyArg_ParseTuple(args, "OO", &thing, &name))
        return NULL;
    return PyObject_GetAttr(thing, name);
}

static PyObject *own(PyObject *self, PyObject *args) {
    PyObject *thing, *name;
    if (!PyArg_ParseTuple(args, "OO", &thing, &name))
        return NULL;
    return PyObject_GetAttr(thing, name);
}

static PyObject *call(PyObject *self, PyObject *args) {
    PyObject *name, *given[3] = {NULL, NULL, NULL};
    if (!PyArg_ParseTuple(args, "OO|O", &name, &given[1], &given[2]))
        return NULL;
    size_t count = given[2] == NULL ? 1 : 2;
    return PyObject_VectorcallMethod(name, given + 1, count | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
}

static PyObject *name(PyObject *self, PyObject *args) {
    PyObject *dict, *key;
    if (!PyArg_ParseTuple(args, "OO", &dict, &key))
        return NULL;
    return ADPKV_GLOBAL(dict, key);
}

static PyObject *item(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    return CPyDict_GetItem(args[0], args[1]);
}

static PyObject *item_or(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    return CPyDict_Get(args[0], args[1], args[2]);
}

static PyObject *contains(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    int found = PyDict_Contains(args[0], args[1]);
    return found < 0 ? NULL : PyBool_FromLong(found);
}

/* A tuple of what is given, and what was in it when it was new. */
static PyObject *filled(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    PyObject *made = PyTuple_New(count);
    for (Py_ssize_t i = 0; made != NULL && i < count; i++) {
        if (PyTuple_GET_ITEM(made, i) != NULL) {
            PyErr_SetString(PyExc_AssertionError, "it was not empty");
            Py_CLEAR(made);
        } else {
            PyTuple_SET_ITEM(made, i, Py_NewRef(args[i]));
        }
    }
    return made;
}

/* A list of what is given. */
static PyObject *listed(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    PyObject *made = PyList_New(count);
    for (Py_ssize_t i = 0; made != NULL && i < count; i++) {
        if (PyList_GET_ITEM(made, i) != NULL) {
            PyErr_SetString(PyExc_AssertionError, "it was not empty");
            Py_CLEAR(made);
        } else {
            PyList_SET_ITEM(made, i, Py_NewRef(args[i]));
        }
    }
    return made;
}

/* Takes away what is in a list, which ends as it ends in compiled code. */
static PyObject *let_go(PyObject *self, PyObject *list) {
    Py_ssize_t size = PyList_GET_SIZE(list);
    for (Py_ssize_t i = 0; i < size; i++) {
        PyObject *item = PyList_GET_ITEM(list, i);
        PyList_SET_ITEM(list, i, Py_NewRef(Py_None));
        Py_DECREF(item);
    }
    Py_RETURN_NONE;
}

/* As a loop begins. */
static PyObject *iter_of(PyObject *self, PyObject *thing) { return PyObject_GetIter(thing); }

/* As it goes on: the next item, or the last argument where there is none. */
static PyObject *next_of(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    PyObject *item = PyIter_Next(args[0]);
    return item != NULL ? item : PyErr_Occurred() ? NULL : Py_NewRef(args[1]);
}

/* All that an iterator has. */
static PyObject *all_of(PyObject *self, PyObject *iterator) {
    PyObject *found = PyList_New(0), *next;
    while (found != NULL && (next = PyIter_Next(iterator)) != NULL) {
        if (PyList_Append(found, next) < 0)
            Py_CLEAR(found);
        Py_DECREF(next);
    }
    if (PyErr_Occurred())
        Py_CLEAR(found);
    return found;
}

/* A chain of objects, each with the next one, that ends as those of mypyc do. */
typedef struct {
    PyObject_HEAD
    PyObject *next;
} Link;

static int ended;

static void end_link(Link *self) {
    PyObject_GC_UnTrack(self);
    ADPKV_END_BEGIN(self, end_link)
    ++ended;
    Py_CLEAR(self->next);
    Py_TYPE(self)->tp_free((PyObject *)self);
    ADPKV_END_END
}

static int visit_link(Link *self, visitproc visit, void *arg) {
    Py_VISIT(self->next);
    return 0;
}

static PyTypeObject LinkType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "remembers.Link",
    .tp_basicsize = sizeof(Link),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_dealloc = (destructor)end_link,
    .tp_traverse = (traverseproc)visit_link,
};

/* Make a chain of so many, and let it go; returns how many have ended. */
static PyObject *chain(PyObject *self, PyObject *many) {
    PyObject *last = NULL;
    ended = 0;
    for (long left = PyLong_AsLong(many); left > 0; left--) {
        Link *link = (Link *)LinkType.tp_alloc(&LinkType, 0);
        if (link == NULL)
            break;
        link->next = last;
        last = (PyObject *)link;
    }
    Py_XDECREF(last);
    return PyErr_Occurred() ? NULL : PyLong_FromLong(ended);
}

static PyObject *hits(PyObject *self, PyObject *unused) {
    return Py_BuildValue("{s:k,s:k,s:k,s:k,s:k,s:k,s:k,s:k}", "field", adpkv_field_hits, "method",
                         adpkv_method_hits, "name", adpkv_global_hits, "lookup", adpkv_lookup_hits,
                         "tuple", adpkv_tuple_hits, "list", adpkv_list_hits, "back",
                         adpkv_back_hits, "items", adpkv_items_hits);
}

static PyMethodDef methods[] = {
    {"field", field, METH_VARARGS, NULL},
    {"another_field", another_field, METH_VARARGS, NULL},
    {"in_turns", in_turns, METH_VARARGS, NULL},
    {"own", own, METH_VARARGS, NULL},
    {"call", call, METH_VARARGS, NULL},
    {"name", name, METH_VARARGS, NULL},
    {"box", box, METH_O, NULL},
    {"unbox", unbox, METH_O, NULL},
    {"apply", (PyCFunction)apply, METH_FASTCALL, NULL},
    {"apply_named", (PyCFunction)apply_named, METH_FASTCALL, NULL},
    {"append", (PyCFunction)append, METH_FASTCALL, NULL},
    {"truth", truth, METH_O, NULL},
    {"item", (PyCFunction)item, METH_FASTCALL, NULL},
    {"item_or", (PyCFunction)item_or, METH_FASTCALL, NULL},
    {"contains", (PyCFunction)contains, METH_FASTCALL, NULL},
    {"filled", (PyCFunction)filled, METH_FASTCALL, NULL},
    {"listed", (PyCFunction)listed, METH_FASTCALL, NULL},
    {"let_go", let_go, METH_O, NULL},
    {"iter_of", iter_of, METH_O, NULL},
    {"next_of", (PyCFunction)next_of, METH_FASTCALL, NULL},
    {"all_of", all_of, METH_O, NULL},
    {"chain", chain, METH_O, NULL},
    {"hits", hits, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "remembers", NULL, -1, methods};

PyMODINIT_FUNC PyInit_remembers(void) {
    return PyType_Ready(&LinkType) < 0 ? NULL : PyModule_Create(&module);
}
