/* What compiled code looks up by name, remembered at the place in the code that asks for it.

mypyc knows the fields and methods of what it compiles. Those of anything else (structures of
msgspec, deques, what stands behind a port) it has Python look up by name, each time. Here each such
place keeps what it found and for which version of the type, as Python's own interpreter does since
3.11: a type that changes gets another version, and is looked up again. So it behaves as before.

`compiling.py` includes this in what mypyc has made, not in mypyc's own library. Without the
GIL, or with another compiler than GCC and Clang, nothing is remembered. One interpreter a process,
as mypyc's own statics need. */

#ifndef ADPKV_INLINE_CACHE_H
#define ADPKV_INLINE_CACHE_H

#ifdef ADPKV_COUNT_HITS /* for tests: how often what was remembered was what was asked for */
static unsigned long adpkv_field_hits, adpkv_method_hits, adpkv_global_hits, adpkv_lookup_hits,
    adpkv_tuple_hits, adpkv_list_hits, adpkv_back_hits, adpkv_items_hits;
#define ADPKV_HIT(kind) ((void)++adpkv_##kind##_hits)
#else
#define ADPKV_HIT(kind) ((void)0)
#endif

#if defined(__GNUC__) && !defined(Py_GIL_DISABLED) && PY_VERSION_HEX >= 0x030B0000 \
    && !defined(PYPY_VERSION)

#include <structmember.h> /* until 3.11 it alone says what a PyMemberDef is */

#if PY_VERSION_HEX < 0x030C0000
#ifndef Py_BUILD_CORE
#define Py_BUILD_CORE /* for the next lines: where things have their values */
#endif
#include "internal/pycore_dict.h"
/* As pycore_object.h has it: its values in the order of its type's names, or a dictionary. */
#define ADPKV_VALUES(thing) (((PyDictValues **)(thing))[-4])
#define ADPKV_DICT(thing) (((PyObject **)(thing))[-3])
#endif

#include "calls.h"

#define ADPKV_NO_VERSION 0xFFFFFFFFu /* which no type gets */
#define ADPKV_TRIES 64               /* a place that meets more looks up each time */
#define ADPKV_MOST_VALUES 30         /* of a thing itself that are looked through */
#define ADPKV_CLOSE __attribute__((aligned(8))) /* one beside the other, and not 32 apart */

enum { ADPKV_SLOT, ADPKV_VALUE, ADPKV_GETTER, ADPKV_NAME };

/* A request asks a thousand such places, most of them once: what is small is less to fetch. */
typedef struct adpkv_field {
    unsigned int version;
    unsigned short left, kind;
    PyObject *name; /* most places ask for one; `getattr` may ask for any */
    union {
        Py_ssize_t offset; /* of a slot */
        Py_ssize_t number; /* of a value that the thing has itself, beside its type */
        struct {           /* or of a native class: the function and what it is called with */
            getter get;
            void *closure;
        } by;
        struct { /* or the module that was asked, as long as its names have this version */
            PyObject *module;
            uint64_t names;
            PyObject *value;
        } of;
    } at;
    struct adpkv_field *before; /* what the place met before, which it may meet again; or NULL */
} adpkv_field_t;

typedef struct {
    unsigned int version;
    unsigned short left;
    PyObject *name;
    PyObject *method; /* the type has it as long as it has this version */
} adpkv_method_t;

static inline int adpkv_may_keep(PyTypeObject *type, unsigned short *left) {
    if (*left == 0 || type->tp_getattro != PyObject_GenericGetAttr || type->tp_version_tag == 0)
        return 0;
    --*left;
    return 1;
}

static inline void adpkv_forget(adpkv_field_t *kept) {
    PyObject *module = kept->kind == ADPKV_NAME ? kept->at.of.module : NULL;
    kept->version = ADPKV_NO_VERSION;
    kept->kind = ADPKV_SLOT;
    Py_XDECREF(module);
}

#if PY_VERSION_HEX < 0x030C0000 /* since then a dictionary's version is not to be used */
#define ADPKV_NAMES(module) (((PyDictObject *)PyModule_GetDict(module))->ma_version_tag)

/* A name of a module, `heapq.heappush` or `min`, which Python finds in its dictionary. */
static inline void adpkv_keep_module(PyObject *module, PyObject *name, PyObject *found,
                                     adpkv_field_t *kept) {
    PyTypeObject *type = Py_TYPE(module);
    if (kept->left == 0 || !PyModule_CheckExact(module))
        return;
    if (type->tp_version_tag == 0 || _PyType_Lookup(type, name) != NULL
        || PyDict_GetItemWithError(PyModule_GetDict(module), name) != found) {
        PyErr_Clear();
        return;
    }
    --kept->left;
    Py_INCREF(name);
    Py_XSETREF(kept->name, name);
    Py_INCREF(module); /* it is compared: nothing else is to have its address */
    adpkv_forget(kept);
    kept->kind = ADPKV_NAME;
    kept->at.of.module = module;
    kept->at.of.value = found;
    kept->at.of.names = ADPKV_NAMES(module);
    kept->version = type->tp_version_tag;
}
#else
#define ADPKV_NAMES(module) 0
static inline void adpkv_keep_module(PyObject *module, PyObject *name, PyObject *found,
                                     adpkv_field_t *kept) {}
#endif

/* What a thing has itself, beside its type: the value that is the so-and-so-many-th by its name.
   Borrowed; NULL if that has another name, or is none. */
static inline PyObject *adpkv_value(PyObject *thing, PyObject *name, Py_ssize_t number) {
#if PY_VERSION_HEX < 0x030C0000
    PyDictValues *values = ADPKV_VALUES(thing);
    PyDictObject *dict = (PyDictObject *)ADPKV_DICT(thing);
    PyDictKeysObject *keys = values != NULL ? ((PyHeapTypeObject *)Py_TYPE(thing))->ht_cached_keys
                             : dict != NULL ? dict->ma_keys : NULL;
    if (keys == NULL || keys->dk_kind == DICT_KEYS_GENERAL || number >= keys->dk_nentries)
        return NULL;
    PyDictUnicodeEntry *entry = &DK_UNICODE_ENTRIES(keys)[number];
    if (entry->me_key != name)
        return NULL;
    if (values == NULL)
        values = dict->ma_values;
    return values == NULL ? entry->me_value : values->values[number];
#else
    return NULL;
#endif
}

/* Which of its values has this name, -1: none that `adpkv_value` finds. */
static inline Py_ssize_t adpkv_number_of(PyObject *thing, PyObject *name) {
#if PY_VERSION_HEX < 0x030C0000
    if (PyType_HasFeature(Py_TYPE(thing), Py_TPFLAGS_MANAGED_DICT))
        for (Py_ssize_t number = 0; number < ADPKV_MOST_VALUES; number++)
            if (adpkv_value(thing, name, number) != NULL)
                return number;
#endif
    return -1;
}

/* Keep what was kept, where there is anything, for the next time that it is met. */
static inline void adpkv_keep_before(adpkv_field_t *kept) {
    if (kept->version == ADPKV_NO_VERSION)
        return;
    if (kept->before == NULL) {
        kept->before = PyMem_RawCalloc(1, sizeof(adpkv_field_t));
        if (kept->before == NULL)
            return;
        kept->before->version = ADPKV_NO_VERSION;
    }
    adpkv_field_t last = *kept, *before = kept->before;
    *kept = *before;
    *before = last;
    kept->left = last.left;
    kept->before = before;
    before->before = NULL;
}

ADPKV_ONCE PyObject *adpkv_find_field(PyObject *thing, PyObject *name, adpkv_field_t *kept) {
    PyObject *found = PyObject_GetAttr(thing, name);
    PyTypeObject *type = Py_TYPE(thing);
    if (found == NULL)
        return found;
    if (!adpkv_may_keep(type, &kept->left)) {
        adpkv_keep_module(thing, name, found, kept);
        return found;
    }
    PyObject *descr = _PyType_Lookup(type, name);
    adpkv_keep_before(kept);
    adpkv_forget(kept);
    Py_INCREF(name);
    Py_XSETREF(kept->name, name);
    if (descr == NULL) {
        PyErr_Clear();
    } else if (Py_TYPE(descr) == &PyMemberDescr_Type) {
        PyMemberDef *member = ((PyMemberDescrObject *)descr)->d_member;
        if (member->type == T_OBJECT_EX && (member->flags & ~READONLY) == 0) {
            kept->at.offset = member->offset;
            kept->version = type->tp_version_tag;
        }
        return found;
    } else if (Py_TYPE(descr) == &PyGetSetDescr_Type) {
        PyGetSetDef *pair = ((PyGetSetDescrObject *)descr)->d_getset;
        if (pair->get != NULL) {
            kept->kind = ADPKV_GETTER;
            kept->at.by.get = pair->get;
            kept->at.by.closure = pair->closure;
            kept->version = type->tp_version_tag;
        }
        return found;
    } else if (Py_TYPE(descr)->tp_descr_set != NULL) {
        return found; /* a property stands before what the thing has itself */
    }
    Py_ssize_t number = adpkv_number_of(thing, name);
    if (number >= 0) {
        kept->kind = ADPKV_VALUE;
        kept->at.number = number;
        kept->version = type->tp_version_tag;
    }
    return found;
}

static inline int adpkv_is_kept(PyObject *thing, PyObject *name, const adpkv_field_t *kept) {
    return Py_TYPE(thing)->tp_version_tag == kept->version && kept->name == name;
}

/* Whatever is not a slot of the type that the place met last. */
ADPKV_ONCE PyObject *adpkv_other_field(PyObject *thing, PyObject *name, adpkv_field_t *first) {
    for (adpkv_field_t *kept = first; kept != NULL; kept = kept->before) {
        PyObject *found = NULL;
        if (!adpkv_is_kept(thing, name, kept))
            continue;
        if (kept->kind == ADPKV_GETTER) {
            ADPKV_HIT(field);
            return kept->at.by.get(thing, kept->at.by.closure);
        }
        if (kept->kind == ADPKV_SLOT) {
            found = *(PyObject **)((char *)thing + kept->at.offset);
        } else if (kept->kind == ADPKV_VALUE) {
            found = adpkv_value(thing, name, kept->at.number);
        } else if (kept->at.of.module == thing && ADPKV_NAMES(thing) == kept->at.of.names) {
            found = kept->at.of.value;
        }
        if (found != NULL) {
            ADPKV_HIT(field);
            return Py_NewRef(found);
        }
    }
    return adpkv_find_field(thing, name, first);
}

static inline PyObject *adpkv_field(PyObject *thing, PyObject *name, adpkv_field_t *kept) {
    if (__builtin_expect(adpkv_is_kept(thing, name, kept) && kept->kind == ADPKV_SLOT, 1)) {
        PyObject *found = *(PyObject **)((char *)thing + kept->at.offset);
        if (__builtin_expect(found != NULL, 1)) {
            ADPKV_HIT(field);
            Py_INCREF(found);
            return found;
        }
    }
    return adpkv_other_field(thing, name, kept);
}

static __attribute__((noinline, unused)) PyObject *
adpkv_find_method(PyObject *name, PyObject *const *args, size_t nargsf, PyObject *names,
                  adpkv_method_t *kept) {
    PyTypeObject *type = Py_TYPE(args[0]);
    PyObject *method = NULL;
    /* What has fields of its own, by name, may have one that stands before the method. */
    if (type->tp_dictoffset == 0 && adpkv_may_keep(type, &kept->left)) {
        method = _PyType_Lookup(type, name);
        if (method == NULL)
            PyErr_Clear();
        else if (!PyType_HasFeature(Py_TYPE(method), Py_TPFLAGS_METHOD_DESCRIPTOR))
            method = NULL;
        else if (Py_IS_TYPE(method, &PyMethodDescr_Type)
                 && !PyType_IsSubtype(type, PyDescr_TYPE(method)))
            method = NULL; /* another type's, which says so when it is called */
    }
    kept->version = method == NULL ? ADPKV_NO_VERSION : type->tp_version_tag;
    kept->method = method;
    Py_INCREF(name);
    Py_XSETREF(kept->name, name);
    return PyObject_VectorcallMethod(name, args, nargsf, names);
}

static inline PyObject *
adpkv_method(PyObject *name, PyObject *const *args, size_t nargsf, PyObject *names,
             adpkv_method_t *kept) {
    if (Py_TYPE(args[0])->tp_version_tag != kept->version || kept->name != name)
        return adpkv_find_method(name, args, nargsf, names, kept);
    ADPKV_HIT(method);
    /* args[-1] is not ours to give: there `self` is in front of the other arguments. */
    nargsf &= ~PY_VECTORCALL_ARGUMENTS_OFFSET;
    PyObject *method = kept->method; /* the call may change the type */
    Py_INCREF(method);
    PyObject *result = adpkv_call_method(method, args, nargsf, names);
    Py_DECREF(method);
    return result;
}

#define ADPKV_NOTHING_YET {.version = ADPKV_NO_VERSION, .left = ADPKV_TRIES}

#define PyObject_GetAttr(thing, name)                                               \
    ({                                                                              \
        static ADPKV_CLOSE adpkv_field_t adpkv_kept = ADPKV_NOTHING_YET;            \
        adpkv_field((thing), (name), &adpkv_kept);                                  \
    })

#define PyObject_VectorcallMethod(name, args, nargsf, names)                        \
    ({                                                                              \
        static ADPKV_CLOSE adpkv_method_t adpkv_kept = ADPKV_NOTHING_YET;           \
        adpkv_method((name), (args), (nargsf), (names), &adpkv_kept);               \
    })

#if PY_VERSION_HEX < 0x030C0000

typedef struct {
    uint64_t version;
    PyObject *value; /* the module has it as long as it has this version */
} adpkv_global_t;

static __attribute__((noinline, unused)) PyObject *
adpkv_find_global(PyObject *dict, PyObject *key, adpkv_global_t *kept) {
    PyObject *found = CPyDict_GetItem(dict, key);
    kept->version = 0; /* which no dictionary has */
    if (found != NULL && PyDict_CheckExact(dict)) {
        kept->value = found;
        kept->version = ((PyDictObject *)dict)->ma_version_tag;
    }
    return found;
}

static inline PyObject *adpkv_global(PyObject *dict, PyObject *key, adpkv_global_t *kept) {
    if (__builtin_expect(((PyDictObject *)dict)->ma_version_tag != kept->version, 0))
        return adpkv_find_global(dict, key, kept);
    ADPKV_HIT(global);
    Py_INCREF(kept->value);
    return kept->value;
}

#define ADPKV_GLOBAL(dict, key)                                                     \
    ({                                                                              \
        static ADPKV_CLOSE adpkv_global_t adpkv_kept = {0, NULL};                   \
        adpkv_global((dict), (key), &adpkv_kept);                                   \
    })

#endif
#endif

#ifndef ADPKV_GLOBAL /* a name of a module, which compiling.py writes in CPyDict_GetItem's place */
#define ADPKV_GLOBAL(dict, key) CPyDict_GetItem((dict), (key))
#endif

#endif
