/* The names that values have in lines of events, for `event_buffer.c`. */

#ifndef ADPKV_EVENT_KEYS_H
#define ADPKV_EVENT_KEYS_H

#include <Python.h>

/* 1 if a detail may have this key; 0 if it is one of the fixed ones. */
static int is_free(PyObject *key) {
    static const char *const fixed[] = {"at_ns", "rank", "kind", "request"};
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
        if (PyUnicode_CompareWithASCIIString(key, fixed[i]) == 0) return 0;
    return 1;
}

#define SHAPES 4 /* of lines with one value besides: their classes, and what stands before it */

static struct {
    PyObject *shape, *key;
} shapes[SHAPES];

static PyObject *fields_name; /* "__struct_fields__" */

static int keys_begin(void) {
    fields_name = PyUnicode_InternFromString("__struct_fields__");
    return fields_name == NULL ? -1 : 0;
}

/* The name of the value that such a line has besides: a new reference, as another line may take the
   place in the table while this one is written. */
static PyObject *key_of(PyObject *shape) {
    for (int i = 0; i < SHAPES; i++)
        if (shapes[i].shape == shape) return Py_NewRef(shapes[i].key);
    PyObject *fields = PyObject_GetAttr(shape, fields_name);
    if (fields == NULL) return NULL;
    if (!PyTuple_Check(fields) || PyTuple_GET_SIZE(fields) != 5) {
        PyErr_Format(PyExc_TypeError, "%R is no line with one value", shape);
        Py_DECREF(fields);
        return NULL;
    }
    static unsigned next;
    unsigned place = next++ % SHAPES;
    PyObject *key = Py_NewRef(PyTuple_GET_ITEM(fields, 4));
    PyObject *old_shape = shapes[place].shape, *old_key = shapes[place].key;
    shapes[place].shape = Py_NewRef(shape);
    shapes[place].key = Py_NewRef(key);
    /* Whoever lets go of these may write a line: only now, when both are there. */
    Py_XDECREF(old_shape);
    Py_XDECREF(old_key);
    Py_DECREF(fields);
    return key;
}

#endif
