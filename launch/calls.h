/* Calls of functions in C, without what Python does around each.

Whoever is called by compiled code without that mypyc knows it (what stands behind a port, a stored
function such as a clock, a method of a list) is most often a function in C: compiled as well, or
Python's. Python asks then what kind of thing it calls, counts how deep it is, and looks whether
the function has returned a result or an error, but not both: some seventy instructions, at three
hundred such calls a request. Here the function is called as `Py_TYPE` says. It is as deep as one
compiled function that calls another, which nobody counts either.

`min` and `max` of a list of integers look at its integers: for others they are Python's. A list is
appended to, and a truth value asked for, without a call where nothing has to be done.
`inline_cache.h` includes this. */

#ifndef ADPKV_CALLS_H
#define ADPKV_CALLS_H

#if defined(__GNUC__) && !defined(Py_GIL_DISABLED) && !defined(PYPY_VERSION)

#define ADPKV_ONCE __attribute__((weak, visibility("hidden"), noinline, unused))
#define ADPKV_KINDS \
    (METH_VARARGS | METH_FASTCALL | METH_NOARGS | METH_O | METH_KEYWORDS | METH_METHOD)

/* Call a function in C, of one of the kinds that take no tuple of arguments; any other way is
   `otherwise`. */
#define ADPKV_CALL_IN_C(told, self, args, count, names, otherwise)                              \
    do {                                                                                        \
        PyMethodDef *adpkv_told = (told);                                                       \
        switch (adpkv_told->ml_flags & ADPKV_KINDS) {                                           \
        case METH_FASTCALL | METH_KEYWORDS:                                                     \
            return ((_PyCFunctionFastWithKeywords)(void (*)(void))adpkv_told->ml_meth)(         \
                (self), (args), (count), (names));                                              \
        case METH_FASTCALL:                                                                     \
            if ((names) == NULL)                                                                \
                return ((_PyCFunctionFast)(void (*)(void))adpkv_told->ml_meth)((self), (args),  \
                                                                               (count));        \
            break;                                                                              \
        case METH_O:                                                                            \
            if ((names) == NULL && (count) == 1)                                                \
                return adpkv_told->ml_meth((self), (args)[0]);                                  \
            break;                                                                              \
        case METH_NOARGS:                                                                       \
            if ((names) == NULL && (count) == 0)                                                \
                return adpkv_told->ml_meth((self), NULL);                                       \
            break;                                                                              \
        }                                                                                       \
        return otherwise;                                                                       \
    } while (0)

#define ADPKV_IS_DEFAULT(names)                                                                 \
    (PyTuple_GET_SIZE(names) == 1                                                               \
     && PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, 0), "default") == 0)

/* -1 for `min`, 1 for `max`, 0 for anybody else. */
ADPKV_ONCE int adpkv_extreme_of(PyObject *whom) {
    static PyObject *least, *most;
    if (least == NULL) {
        PyObject *builtins = PyImport_ImportModule("builtins");
        if (builtins != NULL) {
            least = PyObject_GetAttrString(builtins, "min");
            most = PyObject_GetAttrString(builtins, "max");
            Py_DECREF(builtins);
        }
        PyErr_Clear();
    }
    return whom == least ? -1 : whom == most ? 1 : 0;
}

/* The first of the least or most numbers of a list, borrowed; NULL if something else is in it. */
ADPKV_ONCE PyObject *adpkv_extreme(PyObject *list, int sign) {
    PyObject *found = NULL;
    long long best = 0;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list); i++) {
        PyObject *item = PyList_GET_ITEM(list, i);
        int over = 0;
        if (!PyLong_CheckExact(item))
            return NULL;
#if PY_VERSION_HEX < 0x030C0000
        Py_ssize_t digits = Py_SIZE(item);
        digit *digit = ((PyLongObject *)item)->ob_digit;
        long long value = digits == 1 ? digit[0]
                          : digits == 2
                              ? (long long)digit[1] << PyLong_SHIFT | digit[0]
                              : PyLong_AsLongLongAndOverflow(item, &over);
#else
        long long value = PyLong_AsLongLongAndOverflow(item, &over);
#endif
        if (over)
            return NULL;
        if (found == NULL || (sign < 0 ? value < best : value > best)) {
            found = item;
            best = value;
        }
    }
    return found;
}

ADPKV_ONCE PyObject *adpkv_call(PyObject *whom, PyObject *const *args, size_t nargsf,
                                PyObject *names) {
    if (Py_IS_TYPE(whom, &PyCFunction_Type)) {
        Py_ssize_t count = PyVectorcall_NARGS(nargsf);
        if (count == 1 && PyList_CheckExact(args[0])
            && (PyCFunction_GET_FLAGS(whom) & ADPKV_KINDS) == (METH_VARARGS | METH_KEYWORDS)
            && (names == NULL || ADPKV_IS_DEFAULT(names))) {
            int sign = adpkv_extreme_of(whom);
            PyObject *found = sign ? adpkv_extreme(args[0], sign) : NULL;
            if (found != NULL)
                return Py_NewRef(found);
        }
        ADPKV_CALL_IN_C(((PyCFunctionObject *)whom)->m_ml, PyCFunction_GET_SELF(whom), args,
                        count, names, PyObject_Vectorcall(whom, args, nargsf, names));
    }
    return PyObject_Vectorcall(whom, args, nargsf, names);
}

/* A method that the type of args[0] has, which is what Python would look at first. */
ADPKV_ONCE PyObject *adpkv_call_method(PyObject *method, PyObject *const *args, size_t nargsf,
                                       PyObject *names) {
    if (Py_IS_TYPE(method, &PyMethodDescr_Type))
        ADPKV_CALL_IN_C(((PyMethodDescrObject *)method)->d_method, args[0], args + 1,
                        PyVectorcall_NARGS(nargsf) - 1, names,
                        PyObject_Vectorcall(method, args, nargsf, names));
    return PyObject_Vectorcall(method, args, nargsf, names);
}

static inline __attribute__((unused)) int adpkv_append(PyObject *list, PyObject *item) {
    PyListObject *kept = (PyListObject *)list;
    Py_ssize_t size = Py_SIZE(kept);
    if (!PyList_CheckExact(list) || size >= kept->allocated)
        return PyList_Append(list, item);
    Py_INCREF(item);
    PyList_SET_ITEM(list, size, item);
    Py_SET_SIZE(kept, size + 1);
    return 0;
}

static inline __attribute__((unused)) int adpkv_truth(PyObject *thing) {
    if (thing == Py_True)
        return 1;
    if (thing == Py_False || thing == Py_None)
        return 0;
    return PyObject_IsTrue(thing);
}

#define PyObject_Vectorcall(whom, args, nargsf, names) adpkv_call(whom, args, nargsf, names)
#define PyList_Append(list, item) adpkv_append(list, item)
#define PyObject_IsTrue(thing) adpkv_truth(thing)

#endif
#endif
