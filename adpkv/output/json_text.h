/* JSON as text, written value by value, for `event_buffer.c`. */

#ifndef ADPKV_JSON_TEXT_H
#define ADPKV_JSON_TEXT_H

#include <Python.h>
#include <stdint.h>

static PyObject *encode;           /* msgspec.json.encode, for what is not written here */
static PyTypeObject *enumerations; /* the type of enumerations */

/* Text that grows; short ones need no memory of their own. */

typedef struct {
    char *at;
    size_t size, room;
    char own[512];
} Text;

static void text_begin(Text *text) {
    text->at = text->own;
    text->size = 0;
    text->room = sizeof text->own;
}

static void text_end(Text *text) {
    if (text->at != text->own) PyMem_Free(text->at);
}

static int text_make_room(Text *text, size_t more) {
    size_t room = 2 * (text->size + more);
    char *at = PyMem_Malloc(room);
    if (at == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    memcpy(at, text->at, text->size);
    text_end(text);
    text->at = at;
    text->room = room;
    return 0;
}

static inline int text_add(Text *text, const char *what, size_t size) {
    if (text->size + size > text->room && text_make_room(text, size) < 0) return -1;
    memcpy(text->at + text->size, what, size);
    text->size += size;
    return 0;
}

#define ADD(text, literal) text_add((text), (literal), sizeof(literal) - 1)

static const char two_digits[] =
    "00010203040506070809101112131415161718192021222324252627282930313233343536373839"
    "40414243444546474849505152535455565758596061626364656667686970717273747576777879"
    "8081828384858687888990919293949596979899";

static int add_number(Text *text, long long number) {
    char digits[24], *at = digits + sizeof digits;
    uint64_t left = number < 0 ? -(uint64_t)number : (uint64_t)number;
    for (; left >= 100; left /= 100) memcpy(at -= 2, two_digits + 2 * (left % 100), 2);
    if (left >= 10)
        memcpy(at -= 2, two_digits + 2 * left, 2);
    else
        *--at = (char)('0' + left);
    if (number < 0) *--at = '-';
    return text_add(text, at, (size_t)(digits + sizeof digits - at));
}

/* Whether a string is written as it is: neither control characters, nor quotes, nor backslashes. */
static int is_plain(const char *at, size_t size) {
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)at[i] < ' ' || at[i] == '"' || at[i] == '\\') return 0;
    return 1;
}

/* What Python's encoder makes of it. */
static int add_encoded(Text *text, PyObject *value) {
    PyObject *made = PyObject_CallOneArg(encode, value);
    if (made == NULL) return -1;
    int failed = -1;
    if (PyBytes_Check(made))
        failed = text_add(text, PyBytes_AS_STRING(made), (size_t)PyBytes_GET_SIZE(made));
    else
        PyErr_Format(PyExc_TypeError, "encoded as %R, which is no text", made);
    Py_DECREF(made);
    return failed;
}

static int add_string(Text *text, PyObject *string) {
    if (!PyUnicode_IS_COMPACT_ASCII(string)) return add_encoded(text, string);
    const char *at = (const char *)PyUnicode_1BYTE_DATA(string);
    size_t size = (size_t)PyUnicode_GET_LENGTH(string);
    if (!is_plain(at, size)) return add_encoded(text, string);
    return ADD(text, "\"") < 0 || text_add(text, at, size) < 0 || ADD(text, "\"") < 0 ? -1 : 0;
}

/* What is the same text each time: members of enumerations, and names that the code has. */

#define NAMES 256 /* a power of two */
#define LONGEST_NAME 48

static struct {
    PyObject *what; /* it is ours as well: nothing else gets its address */
    size_t size;
    char text[LONGEST_NAME];
} names[NAMES];

static inline int is_constant(PyObject *value) {
    return PyUnicode_CheckExact(value) ? PyUnicode_CHECK_INTERNED(value) != 0
                                       : Py_IS_TYPE(Py_TYPE(value), enumerations);
}

static int add_constant(Text *text, PyObject *value) {
    size_t place = ((uintptr_t)value >> 4 ^ (uintptr_t)value >> 12) % NAMES;
    if (names[place].what == value) return text_add(text, names[place].text, names[place].size);
    size_t before = text->size;
    if ((PyUnicode_CheckExact(value) ? add_string : add_encoded)(text, value) < 0) return -1;
    size_t size = text->size - before;
    if (size <= LONGEST_NAME) {
        names[place].size = size;
        memcpy(names[place].text, text->at + before, size);
        Py_INCREF(value);
        Py_XSETREF(names[place].what, value);
    }
    return 0;
}

static int add_value(Text *text, PyObject *value) {
    if (PyLong_CheckExact(value)) {
        int over;
        long long number = PyLong_AsLongLongAndOverflow(value, &over);
        return over ? add_encoded(text, value) : add_number(text, number);
    }
    if (is_constant(value)) return add_constant(text, value);
    if (PyUnicode_CheckExact(value)) return add_string(text, value);
    if (value == Py_None) return ADD(text, "null");
    if (PyBool_Check(value)) return value == Py_True ? ADD(text, "true") : ADD(text, "false");
    return add_encoded(text, value);
}

/* A key that is no plain string is what it is as the one key of an object: msgspec takes others for
   keys than for values. */
static int add_other_key(Text *text, PyObject *key) {
    PyObject *object = PyDict_New();
    if (object == NULL) return -1;
    size_t before = text->size;
    int failed = PyDict_SetItem(object, key, Py_None) < 0 || add_encoded(text, object) < 0;
    Py_DECREF(object);
    if (failed) return -1;
    text->at[before] = ',';           /* in place of the brace */
    text->size -= sizeof "null}" - 1; /* up to the colon */
    return 0;
}

static int add_key(Text *text, PyObject *key) {
    if (!PyUnicode_CheckExact(key)) return add_other_key(text, key);
    return ADD(text, ",") < 0 || add_value(text, key) < 0 || ADD(text, ":") < 0 ? -1 : 0;
}

static PyObject *of_module(const char *module, const char *name) {
    PyObject *found = PyImport_ImportModule(module);
    if (found == NULL) return NULL;
    PyObject *value = PyObject_GetAttrString(found, name);
    Py_DECREF(found);
    return value;
}

/* 0 with all at hand that is asked of others. */
static int json_begin(void) {
    encode = of_module("msgspec.json", "encode");
    enumerations = (PyTypeObject *)of_module("enum", "EnumType");
    return encode == NULL || enumerations == NULL ? -1 : 0;
}

#endif
