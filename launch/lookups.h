/* What a dictionary has for an integer, or for a member of an enum.

Most dictionaries of a run have integers as keys: requests, ranks, sessions; tables of transitions
have members of enums of strings. Python asks such a key for its hash, compares hashes, and asks the
key whether it equals the one that is there, four calls. Here an integer of up to two digits is its
own hash, and two such integers are compared as numbers; a string knows its hash, and is found where
it is the very same. The places that are looked at are Python's, in Python's order; where anything
else has the same hash, Python looks. Only where a dictionary looks as it does in Python 3.11. */

#ifndef ADPKV_LOOKUPS_H
#define ADPKV_LOOKUPS_H

#if defined(__GNUC__) && PY_VERSION_HEX < 0x030C0000 && PYLONG_BITS_IN_DIGIT == 30 \
    && SIZEOF_VOID_P >= 8 && !defined(PYPY_VERSION)

#ifndef Py_BUILD_CORE
#define Py_BUILD_CORE /* for the next line: it says what a dictionary looks like */
#endif
#include "internal/pycore_dict.h"

#define ADPKV_ONE __attribute__((weak, visibility("hidden"), noinline, unused))

/* From 0 on, of up to two digits. */
static inline int adpkv_is_plain(PyObject *key) {
    return PyLong_CheckExact(key) && (size_t)Py_SIZE(key) <= 2;
}

static inline Py_hash_t adpkv_number(PyObject *key) {
    digit *digits = ((PyLongObject *)key)->ob_digit;
    Py_ssize_t size = Py_SIZE(key);
    return size == 2 ? (Py_hash_t)digits[1] << PyLong_SHIFT | digits[0] : size == 1 ? digits[0] : 0;
}

/* Its hash, -1 if Python has to be asked for it. */
static inline Py_hash_t adpkv_hash(PyObject *key) {
    if (adpkv_is_plain(key))
        return adpkv_number(key);
    return PyUnicode_Check(key) && Py_TYPE(key)->tp_hash == PyUnicode_Type.tp_hash
               ? ((PyASCIIObject *)key)->hash : -1;
}

enum { ADPKV_ABSENT, ADPKV_PRESENT, ADPKV_ASK };

/* Whether and where it is; ADPKV_ASK: Python has to look. */
ADPKV_ONE int adpkv_find(PyObject *dict, PyObject *key, PyObject **found) {
    PyDictKeysObject *keys = ((PyDictObject *)dict)->ma_keys;
    Py_hash_t hash = adpkv_hash(key);
    if (hash == -1)
        return ADPKV_ASK;
    if (keys->dk_kind != DICT_KEYS_GENERAL) /* all that is there are strings */
        return PyLong_CheckExact(key) ? ADPKV_ABSENT : ADPKV_ASK;
    int width = keys->dk_log2_index_bytes - keys->dk_log2_size; /* of an index, as a power of 2 */
    PyDictKeyEntry *entries =
        (PyDictKeyEntry *)(keys->dk_indices + ((size_t)1 << keys->dk_log2_index_bytes));
    size_t mask = ((size_t)1 << keys->dk_log2_size) - 1, left = (size_t)hash, at = left & mask;
    for (;;) {
        Py_ssize_t index = width == 0   ? ((int8_t *)keys->dk_indices)[at]
                           : width == 1 ? ((int16_t *)keys->dk_indices)[at]
                           : width == 2 ? ((int32_t *)keys->dk_indices)[at]
                                        : ((int64_t *)keys->dk_indices)[at];
        if (index >= 0) {
            PyDictKeyEntry *entry = &entries[index];
            if (entry->me_key == key || entry->me_hash == hash) {
                if (entry->me_key != key
                    && (!adpkv_is_plain(key) || !adpkv_is_plain(entry->me_key)))
                    return ADPKV_ASK; /* two plain ones of one hash are equal */
                *found = entry->me_value;
                return ADPKV_PRESENT;
            }
        } else if (index == DKIX_EMPTY) {
            return ADPKV_ABSENT;
        }
        left >>= 5; /* PERTURB_SHIFT of dictobject.c */
        at = (at * 5 + left + 1) & mask;
    }
}

static inline int adpkv_look(PyObject *dict, PyObject *key, PyObject **found) {
    int where = PyDict_CheckExact(dict) ? adpkv_find(dict, key, found) : ADPKV_ASK;
    if (where != ADPKV_ASK)
        ADPKV_HIT(lookup);
    return where;
}

ADPKV_ONE PyObject *adpkv_item(PyObject *dict, PyObject *key) {
    PyObject *found;
    return adpkv_look(dict, key, &found) == ADPKV_PRESENT ? Py_NewRef(found)
                                                          : CPyDict_GetItem(dict, key);
}

ADPKV_ONE PyObject *adpkv_item_or(PyObject *dict, PyObject *key, PyObject *fallback) {
    PyObject *found;
    int where = adpkv_look(dict, key, &found);
    if (where == ADPKV_ASK)
        return CPyDict_Get(dict, key, fallback);
    return Py_NewRef(where == ADPKV_PRESENT ? found : fallback);
}

ADPKV_ONE int adpkv_contains(PyObject *dict, PyObject *key) {
    PyObject *found;
    int where = adpkv_look(dict, key, &found);
    return where == ADPKV_ASK ? PyDict_Contains(dict, key) : where == ADPKV_PRESENT;
}

#define CPyDict_GetItem(dict, key) adpkv_item((dict), (key))
#define CPyDict_Get(dict, key, fallback) adpkv_item_or((dict), (key), (fallback))
#define CPyDict_GetWithNone(dict, key) adpkv_item_or((dict), (key), Py_None)
#define PyDict_Contains(dict, key) adpkv_contains((dict), (key))

#endif
#endif
