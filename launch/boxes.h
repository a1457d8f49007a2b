/* Integers of which compiled code makes objects: for lists, tuples, and whoever is not compiled.

mypyc has Python make them, which counts the digits of any number. One of two digits, 60 bits, is
made here, in half the instructions: every time in nanoseconds is. Only where a number looks as it
did until Python 3.11; all others, and those that Python has ready, are left to mypyc. */

#ifndef ADPKV_BOXES_H
#define ADPKV_BOXES_H

#if defined(CPY_INT_TAG) && PY_VERSION_HEX < 0x030C0000 && PYLONG_BITS_IN_DIGIT == 30 \
    && !defined(PYPY_VERSION)

static __attribute__((unused)) PyObject *adpkv_box(CPyTagged number) {
    Py_ssize_t value = (Py_ssize_t)number >> 1;
    size_t size = value < 0 ? -(size_t)value : (size_t)value;
    if ((number & CPY_INT_TAG) || size >> 60 || (-6 < value && value < 257))
        return CPyTagged_StealAsObject(number);
    Py_ssize_t digits = size >> PyLong_SHIFT ? 2 : 1;
    PyLongObject *made =
        PyObject_Malloc(offsetof(PyLongObject, ob_digit) + digits * sizeof(digit));
    if (made == NULL)
        return CPyTagged_StealAsObject(number); /* which ends the process in this case */
    PyObject_InitVar((PyVarObject *)made, &PyLong_Type, value < 0 ? -digits : digits);
    made->ob_digit[0] = (digit)(size & PyLong_MASK);
    if (digits == 2)
        made->ob_digit[1] = (digit)(size >> PyLong_SHIFT);
    return (PyObject *)made;
}

#define CPyTagged_StealAsObject(number) adpkv_box(number)

#endif
#endif
