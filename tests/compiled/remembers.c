/* One place of each kind that `inline_cache.h` is about, to be asked from Python: `field`, `call`
and `name` take whatever is to be looked up there. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

static PyObject *CPyDict_GetItem(PyObject *dict, PyObject *key) {
    PyObject *found = PyObject_GetItem(dict, key);
    return found;
}

#include "inline_cache.h"

static PyObject *field(PyObject *self, PyObject *args) {
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

static PyMethodDef methods[] = {
    {"field", field, METH_VARARGS, NULL},
    {"call", call, METH_VARARGS, NULL},
    {"name", name, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "remembers", NULL, -1, methods};

PyMODINIT_FUNC PyInit_remembers(void) { return PyModule_Create(&module); }
