/* What Python and quick.c change: the structures from which the classes of quick.py inherit. */

#ifndef ADPKV_QUICK_STATES_H
#define ADPKV_QUICK_STATES_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stddef.h>
#include <string.h>
#include <structmember.h>

#define LINE_WORDS 8 /* of a head, and of a record */

typedef unsigned long long word;

typedef struct { PyObject_HEAD long long written, next, at; } Ring;
typedef struct { PyObject_HEAD word round; } Rounds;
typedef struct { PyObject_HEAD word count, total_ns; } Counts;
typedef struct { PyObject_HEAD PyObject *plan; word digest, sequence, payload_bytes; } Group;
typedef struct {
    PyObject_HEAD
    PyObject *kind, *payload, *result;
    PyObject *heads; /* NULL: all were as `head` */
    word tag, code, nbytes;
    char speaks;
    Py_ssize_t members;
    word head[LINE_WORDS];
} Site;

#define FREE(name, clear)                      \
    static void name##_free(PyObject *self) {  \
        PyObject_GC_UnTrack(self);             \
        clear;                                 \
        Py_TYPE(self)->tp_free(self);          \
    }

static int site_visit(PyObject *o, visitproc visit, void *arg) {
    Site *self = (Site *)o;
    Py_VISIT(self->kind); Py_VISIT(self->payload); Py_VISIT(self->result); Py_VISIT(self->heads);
    return 0;
}
static int site_clear(PyObject *o) {
    Site *self = (Site *)o;
    Py_CLEAR(self->kind); Py_CLEAR(self->payload); Py_CLEAR(self->result); Py_CLEAR(self->heads);
    return 0;
}
FREE(site, site_clear(self))
static PyObject *site_heads(PyObject *o, void *unused) {
    Site *self = (Site *)o;
    if (self->heads == NULL) {
        Py_ssize_t size = sizeof self->head;
        PyObject *all = PyBytes_FromStringAndSize(NULL, self->members * size);
        if (all == NULL) return NULL;
        for (Py_ssize_t i = 0; i < self->members; i++)
            memcpy(PyBytes_AS_STRING(all) + i * size, self->head, size);
        self->heads = all;
    }
    return Py_NewRef(self->heads);
}
static int site_set_heads(PyObject *o, PyObject *to, void *unused) {
    Py_XSETREF(((Site *)o)->heads, Py_XNewRef(to));
    return 0;
}
static int group_visit(PyObject *o, visitproc visit, void *arg) {
    Py_VISIT(((Group *)o)->plan);
    return 0;
}
static int group_clear(PyObject *o) { Py_CLEAR(((Group *)o)->plan); return 0; }
FREE(group, group_clear(self))

#define NUMBER(type, name, field, kind) {name, kind, offsetof(type, field), 0, NULL}
static PyMemberDef ring_members[] = {
    NUMBER(Ring, "_written", written, T_LONGLONG), NUMBER(Ring, "_next", next, T_LONGLONG),
    NUMBER(Ring, "_at", at, T_LONGLONG), {NULL}};
static PyMemberDef rounds_members[] = {NUMBER(Rounds, "_round", round, T_ULONGLONG), {NULL}};
static PyMemberDef counts_members[] = {
    NUMBER(Counts, "count", count, T_ULONGLONG), NUMBER(Counts, "total_ns", total_ns, T_ULONGLONG),
    {NULL}};
static PyMemberDef group_members[] = {
    NUMBER(Group, "_plan", plan, T_OBJECT_EX), NUMBER(Group, "_plan_digest", digest, T_ULONGLONG),
    NUMBER(Group, "sequence", sequence, T_ULONGLONG),
    NUMBER(Group, "payload_bytes", payload_bytes, T_ULONGLONG), {NULL}};
static PyMemberDef site_members[] = {
    NUMBER(Site, "kind", kind, T_OBJECT_EX), NUMBER(Site, "payload", payload, T_OBJECT_EX),
    NUMBER(Site, "result", result, T_OBJECT_EX), NUMBER(Site, "tag", tag, T_ULONGLONG),
    NUMBER(Site, "code", code, T_ULONGLONG), NUMBER(Site, "nbytes", nbytes, T_ULONGLONG),
    NUMBER(Site, "speaks", speaks, T_BOOL), {NULL}};
static PyGetSetDef site_getset[] = {{"heads", site_heads, site_set_heads, NULL, NULL}, {NULL}};

#define BASE(Name, type, mem, ...)                                                              \
    static PyTypeObject Name##Type = {                                                          \
        PyVarObject_HEAD_INIT(NULL, 0).tp_name = "adpkv.flight_recorder.quick." #Name "State",  \
        .tp_basicsize = sizeof(type), .tp_new = PyType_GenericNew, .tp_members = mem, __VA_ARGS__}
#define OPEN_FLAGS (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE)
BASE(Ring, Ring, ring_members, .tp_flags = OPEN_FLAGS);
BASE(Rounds, Rounds, rounds_members, .tp_flags = OPEN_FLAGS);
BASE(Counts, Counts, counts_members, .tp_flags = OPEN_FLAGS);
BASE(Group, Group, group_members, .tp_flags = OPEN_FLAGS | Py_TPFLAGS_HAVE_GC,
     .tp_traverse = group_visit, .tp_clear = group_clear, .tp_dealloc = group_free);
BASE(Site, Site, site_members, .tp_flags = OPEN_FLAGS | Py_TPFLAGS_HAVE_GC,
     .tp_getset = site_getset, .tp_traverse = site_visit, .tp_clear = site_clear,
     .tp_dealloc = site_free);

#endif
