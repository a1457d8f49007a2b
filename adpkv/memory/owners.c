/* Blocks change hands in a list of their owners: owners.py in C. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#if defined(Py_GIL_DISABLED)
#error "another thread could change a list: leave this out, and Python does it"
#endif

/* The list of owners that is asked for, if it is one. */
static PyObject *list_of(const char *name, Py_ssize_t count, Py_ssize_t wanted, PyObject *owners) {
    if (count != wanted) {
        PyErr_Format(PyExc_TypeError, "%s() takes %zd arguments, not %zd", name, wanted, count);
        return NULL;
    }
    if (!PyList_CheckExact(owners)) {
        PyErr_Format(PyExc_TypeError, "owners must be a list, not %.200s",
                     Py_TYPE(owners)->tp_name);
        return NULL;
    }
    return owners;
}

/* Where a block's owner is in the list; -1 with an error, which is Python's. */
static inline Py_ssize_t place_of(PyObject *owners, PyObject *block) {
#if PY_VERSION_HEX < 0x030C0000 && !defined(PYPY_VERSION)
    if (PyLong_CheckExact(block) && (size_t)Py_SIZE(block) <= 1) {
        Py_ssize_t place = Py_SIZE(block) ? ((PyLongObject *)block)->ob_digit[0] : 0;
        if (place < PyList_GET_SIZE(owners)) return place;
    }
#endif
    Py_ssize_t place = PyNumber_AsSsize_t(block, PyExc_IndexError);
    if (place == -1 && PyErr_Occurred()) return -1;
    if (place < 0) place += PyList_GET_SIZE(owners);
    if (place >= 0 && place < PyList_GET_SIZE(owners)) return place;
    PyErr_SetString(PyExc_IndexError, "list index out of range");
    return -1;
}

static PyObject *exchange(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    PyObject *owners = list_of("exchange", count, 4, count > 0 ? args[0] : Py_None);
    if (!owners) return NULL;
    PyObject *blocks = PySequence_Fast(args[1], "blocks must be a sequence");
    if (!blocks) return NULL;
    PyObject *before = args[2], *after = args[3];
    Py_ssize_t done = 0;
    for (; done < PySequence_Fast_GET_SIZE(blocks); done++) {
        Py_ssize_t place = place_of(owners, PySequence_Fast_GET_ITEM(blocks, done));
        if (place < 0) break;
        PyObject **owner = &((PyListObject *)owners)->ob_item[place];
        if (*owner != before) break;
        *owner = Py_NewRef(after);
        Py_DECREF(before); /* the caller has it too: nothing ends here */
    }
    Py_DECREF(blocks);
    return PyErr_Occurred() ? NULL : PyLong_FromSsize_t(done);
}

static PyObject *take(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    PyObject *owners = list_of("take", count, 3, count > 0 ? args[0] : Py_None);
    if (!owners) return NULL;
    PyObject *blocks = PySequence_Fast(args[1], "blocks must be a sequence");
    if (!blocks) return NULL;
    PyObject *found = PyList_New(0), *after = args[2], *last = NULL;
    for (Py_ssize_t at = 0; found && at < PySequence_Fast_GET_SIZE(blocks); at++) {
        Py_ssize_t place = place_of(owners, PySequence_Fast_GET_ITEM(blocks, at));
        PyObject *before = place < 0 ? NULL : PyList_GET_ITEM(owners, place);
        if (!before || (before != last && PyList_Append(found, before) < 0)) {
            Py_CLEAR(found);
            break;
        }
        last = before;
        PyList_SET_ITEM(owners, place, Py_NewRef(after));
        Py_DECREF(before); /* `found` has it too: nothing ends here */
    }
    Py_DECREF(blocks);
    return found;
}

static PyMethodDef functions[] = {
    {"exchange", (PyCFunction)exchange, METH_FASTCALL, NULL},
    {"take", (PyCFunction)take, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "adpkv.memory.owners",
    .m_doc = "Blocks change hands in a list of their owners.",
    .m_size = -1,
    .m_methods = functions,
};

PyMODINIT_FUNC PyInit_owners(void) { return PyModule_Create(&module); }
