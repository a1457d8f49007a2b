/* JSON as text, written value by value, for `event_buffer.c`. */

#ifndef ADPKV_JSON_TEXT_H
#define ADPKV_JSON_TEXT_H

#include <Python.h>
#include <stdint.h>

static PyObject *encode; /* msgspec.json.encode, for what is not written here */

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

static int add_number(Text *text, long long number) {
    char digits[24], *at = digits + sizeof digits;
    uint64_t left = number < 0 ? -(uint64_t)number : (uint64_t)number;
    do {
        *--at = (char)('0' + left % 10);
        left /= 10;
    } while (left != 0);
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
    int failed = PyBytes_Check(made)
                     ? text_add(text, PyBytes_AS_STRING(made), (size_t)PyBytes_GET_SIZE(made))
                     : -1;
    Py_DECREF(made);
    return failed;
}

static int add_value(Text *text, PyObject *value) {
    if (PyUnicode_CheckExact(value) && PyUnicode_IS_COMPACT_ASCII(value)) {
        const char *at = (const char *)PyUnicode_1BYTE_DATA(value);
        size_t size = (size_t)PyUnicode_GET_LENGTH(value);
        if (is_plain(at, size))
            return ADD(text, "\"") < 0 || text_add(text, at, size) < 0 || ADD(text, "\"") < 0 ? -1
                                                                                           : 0;
    } else if (PyLong_CheckExact(value)) {
        int over;
        long long number = PyLong_AsLongLongAndOverflow(value, &over);
        if (!over) return add_number(text, number);
    } else if (value == Py_None) {
        return ADD(text, "null");
    } else if (PyBool_Check(value)) {
        return value == Py_True ? ADD(text, "true") : ADD(text, "false");
    }
    return add_encoded(text, value);
}

/* 0 with msgspec at hand. */
static int json_begin(void) {
    PyObject *json = PyImport_ImportModule("msgspec.json");
    if (json == NULL) return -1;
    encode = PyObject_GetAttrString(json, "encode");
    Py_DECREF(json);
    return encode == NULL ? -1 : 0;
}

#endif
