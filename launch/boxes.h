/* Integers of which compiled code makes objects (for lists, tuples, and whoever is not compiled),
and objects of which it makes integers.

mypyc has Python make them, which counts the digits of any number. One of two digits, 60 bits, is
made and read here, in half the instructions: every time in nanoseconds is. So are those that Python
has ready, one beside the other, from -5 to 256. Only where a number looks as it did until Python
3.11 and two digits fit into a word (64 bits); all others are left to mypyc.

What is `weak` is in the library once, whoever includes this. */

#ifndef ADPKV_BOXES_H
#define ADPKV_BOXES_H

#include <stddef.h>

#if defined(CPY_INT_TAG) && PY_VERSION_HEX < 0x030C0000 && PYLONG_BITS_IN_DIGIT == 30 \
    && SIZEOF_VOID_P >= 8 && !defined(PYPY_VERSION)

#define ADPKV_SHARED __attribute__((weak, visibility("hidden"), noinline, unused))
#define ADPKV_LEAST (-5)
#define ADPKV_MOST 256

#define ADPKV_SHARED_DATA __attribute__((weak, visibility("hidden")))

ADPKV_SHARED_DATA char *adpkv_zero = NULL; /* the object 0, if the others are around it */

/* Looks whether they are; until then, and if not, each is asked for. */
ADPKV_SHARED PyObject *adpkv_ready(CPyTagged number) {
    static int tried = 0;
    if (!tried) {
        tried = 1;
        char *zero = (char *)PyLong_FromLong(0);
        for (long value = ADPKV_LEAST; value <= ADPKV_MOST; value++) {
            char *found = (char *)PyLong_FromLong(value);
            if (found != zero + value * (Py_ssize_t)sizeof(PyLongObject))
                zero = NULL;
            Py_XDECREF((PyObject *)found);
            if (zero == NULL)
                break;
        }
        adpkv_zero = zero;
    }
    return CPyTagged_StealAsObject(number);
}

/* What was made lately: the same instant is asked for several times, and then in another place. */
#define ADPKV_LATELY_BITS 6
typedef struct {
    Py_ssize_t value; /* 0, which is not made here: none */
    PyObject *object;
} adpkv_lately_t;
ADPKV_SHARED_DATA adpkv_lately_t adpkv_lately[1 << ADPKV_LATELY_BITS];

ADPKV_SHARED PyObject *adpkv_made(CPyTagged number) {
    Py_ssize_t value = (Py_ssize_t)number >> 1;
    size_t size = value < 0 ? -(size_t)value : (size_t)value;
    if ((number & CPY_INT_TAG) || size >> 60)
        return CPyTagged_StealAsObject(number);
    size_t place = size * 0x9E3779B97F4A7C15u >> (64 - ADPKV_LATELY_BITS);
    if (adpkv_lately[place].value == value) {
        Py_INCREF(adpkv_lately[place].object);
        return adpkv_lately[place].object;
    }
    Py_ssize_t digits = size >> PyLong_SHIFT ? 2 : 1;
    PyLongObject *made =
        PyObject_Malloc(offsetof(PyLongObject, ob_digit) + digits * sizeof(digit));
    if (made == NULL)
        return CPyTagged_StealAsObject(number); /* which ends the process in this case */
    Py_SET_REFCNT(made, 1);
    Py_SET_TYPE(made, &PyLong_Type);
    Py_SET_SIZE(made, value < 0 ? -digits : digits);
    made->ob_digit[0] = (digit)(size & PyLong_MASK);
    if (digits == 2)
        made->ob_digit[1] = (digit)(size >> PyLong_SHIFT);
    PyObject *before = adpkv_lately[place].object;
    Py_INCREF(made);
    adpkv_lately[place].value = value;
    adpkv_lately[place].object = (PyObject *)made;
    Py_XDECREF(before);
    return (PyObject *)made;
}

static inline PyObject *adpkv_box(CPyTagged number) {
    Py_ssize_t value = (Py_ssize_t)number >> 1;
    if ((number & CPY_INT_TAG) || value < ADPKV_LEAST || value > ADPKV_MOST)
        return adpkv_made(number);
    if (__builtin_expect(adpkv_zero == NULL, 0))
        return adpkv_ready(number);
    PyObject *found = (PyObject *)(adpkv_zero + value * (Py_ssize_t)sizeof(PyLongObject));
    Py_INCREF(found);
    return found;
}

/* What mypyc asks for numbers of other than one digit. */
static inline Py_ssize_t adpkv_unboxed(PyObject *object, int *overflow) {
    PyLongObject *number = (PyLongObject *)object;
    Py_ssize_t digits = Py_SIZE(number);
    *overflow = 0;
    if (digits == 1)
        return number->ob_digit[0];
    if (digits == 2)
        return (Py_ssize_t)number->ob_digit[1] << PyLong_SHIFT | number->ob_digit[0];
    return CPyLong_AsSsize_tAndOverflow(object, overflow);
}

static inline CPyTagged adpkv_borrowed(PyObject *object) {
    int overflow;
    Py_ssize_t value = adpkv_unboxed(object, &overflow);
    if (__builtin_expect(overflow != 0, 0))
        return CPyTagged_BorrowFromObject(object);
    return (CPyTagged)value << 1;
}

static inline CPyTagged adpkv_from(PyObject *object) {
    int overflow;
    Py_ssize_t value = adpkv_unboxed(object, &overflow);
    if (__builtin_expect(overflow != 0, 0))
        return CPyTagged_FromObject(object);
    return (CPyTagged)value << 1;
}

#define CPyTagged_StealAsObject(number) adpkv_box(number)
#define CPyTagged_BorrowFromObject(object) adpkv_borrowed(object)
#define CPyTagged_FromObject(object) adpkv_from(object)

#endif
#endif
