/* One place of each kind that `inline_cache.h` is about, to be asked from Python: `field`, `call`
and `name` take whatever is to be looked up there. `another_field` is a place of its own, for a test
that wears it out. `hits` says how often each kind had remembered what it was asked for. `box` makes
a number as `boxes.h` does. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

static PyObject *CPyDict_GetItem(PyObject *dict, PyObject *key) {
    PyObject *found = PyObject_GetItem(dict, key);
    return found;
}

#define ADPKV_COUNT_HITS
#include "inline_cache.h"

/* As mypyc has them: a number is shifted by one, and what is odd is the address of an object. */
#define CPY_INT_TAG 1
typedef size_t CPyTagged;

static PyObject *CPyTagged_StealAsObject(CPyTagged number) {
    return PyLong_FromSsize_t((Py_ssize_t)number >> 1);
}

#include "boxes.h"

static PyObject *box(PyObject *self, PyObject *number) {
    Py_ssize_t value = PyLong_AsSsize_t(number);
    return PyErr_Occurred() ? NULL : CPyTagged_StealAsObject((CPyTagged)value << 1);
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

static PyObject *hits(PyObject *self, PyObject *unused) {
    return Py_BuildValue("{s:k,s:k,s:k}", "field", adpkv_field_hits, "method", adpkv_method_hits,
                         "name", adpkv_global_hits);
}

static PyMethodDef methods[] = {
    {"field", field, METH_VARARGS, NULL},
    {"another_field", another_field, METH_VARARGS, NULL},
    {"call", call, METH_VARARGS, NULL},
    {"name", name, METH_VARARGS, NULL},
    {"box", box, METH_O, NULL},
    {"hits", hits, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "remembers", NULL, -1, methods};

PyMODINIT_FUNC PyInit_remembers(void) { return PyModule_Create(&module); }
