/* Lines of `events.jsonl` as text at once: event_buffer.py in C.

   A line is written where the event happens, without a structure, a dictionary and an encoder in
   between: some hundred instructions in place of five thousand. Numbers, plain strings, None and
   truth are written here; msgspec writes any other value, so that a line always says what it says
   in Python. A line is put together apart and then added whole: a value that cannot be written
   leaves nothing behind, and another thread never comes between its parts. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#include "event_keys.h"
#include "json_text.h"

#if defined(Py_GIL_DISABLED)
#error "another thread could add a line meanwhile: leave this out, and event_buffer.py does it"
#endif

#define RANK ",\"rank\":"
#define KIND ",\"kind\":"

static int add_when(Text *text, PyObject *at_ns) {
    return ADD(text, "{\"at_ns\":") < 0 ? -1 : add_value(text, at_ns);
}

static int add_what(Text *text, PyObject *kind, PyObject *request) {
    return add_value(text, kind) < 0 || ADD(text, ",\"request\":") < 0
                   || add_value(text, request) < 0
               ? -1
               : 0;
}

static int refuse(PyObject *kind, PyObject *detail) {
    PyErr_Format(PyExc_ValueError, "event %S: a detail hides a fixed key: %S", kind, detail);
    return -1;
}

/* The lines that are kept until there are enough of them. */

typedef struct {
    PyObject_HEAD
    char *kept;
    size_t size, room;
    Py_ssize_t count, batch;
    PyObject *write;
} Buffer;

static PyTypeObject buffer_type;

static int buffer_flush(Buffer *self) {
    if (self->count == 0) return 0;
    PyObject *taken = PyBytes_FromStringAndSize(self->kept, (Py_ssize_t)self->size);
    if (taken == NULL) return -1;
    self->size = 0;
    self->count = 0;
    PyObject *done = PyObject_CallOneArg(self->write, taken);
    Py_DECREF(taken);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

static int buffer_take(Buffer *self, Text *text, int failed) {
    if (!failed && ADD(text, "\n") < 0) failed = 1;
    if (!failed && self->size + text->size > self->room) {
        size_t room = 2 * (self->size + text->size) + 4096;
        char *kept = PyMem_Realloc(self->kept, room);
        if (kept == NULL) {
            PyErr_NoMemory();
            failed = 1;
        } else {
            self->kept = kept;
            self->room = room;
        }
    }
    if (!failed) {
        memcpy(self->kept + self->size, text->at, text->size);
        self->size += text->size;
        if (++self->count >= self->batch) failed = buffer_flush(self) < 0;
    }
    text_end(text);
    return failed ? -1 : 0;
}

static int buffer_init(Buffer *self, PyObject *args, PyObject *named) {
    static char *names[] = {"write", "batch", NULL};
    PyObject *write;
    Py_ssize_t batch;
    if (!PyArg_ParseTupleAndKeywords(args, named, "On", names, &write, &batch)) return -1;
    Py_INCREF(write);
    Py_XSETREF(self->write, write);
    self->batch = batch;
    return 0;
}

static int buffer_traverse(Buffer *self, visitproc visit, void *arg) {
    Py_VISIT(self->write);
    return 0;
}

static int buffer_clear(Buffer *self) {
    Py_CLEAR(self->write);
    return 0;
}

static void buffer_dealloc(Buffer *self) {
    PyObject_GC_UnTrack(self);
    buffer_clear(self);
    PyMem_Free(self->kept);
    Py_TYPE(self)->tp_free(self);
}

static int is_ready(Buffer *self) {
    if (self->write != NULL) return 1;
    PyErr_SetString(PyExc_RuntimeError, "a buffer without a place to write them");
    return 0;
}

static PyObject *buffer_write(Buffer *self, PyObject *const *args, Py_ssize_t count) {
    if (count != 5) {
        PyErr_SetString(PyExc_TypeError, "write(at_ns, rank, kind, request_id, detail)");
        return NULL;
    }
    if (!PyDict_Check(args[4])) {
        PyErr_Format(PyExc_TypeError, "event %S: a detail is a dictionary, and not %R", args[2],
                     args[4]);
        return NULL;
    }
    if (!is_ready(self)) return NULL;
    Text text;
    text_begin(&text);
    int failed = add_when(&text, args[0]) < 0 || ADD(&text, RANK) < 0
                 || add_value(&text, args[1]) < 0 || ADD(&text, KIND) < 0
                 || add_what(&text, args[2], args[3]) < 0;
    PyObject *key, *value;
    for (Py_ssize_t place = 0; !failed && PyDict_Next(args[4], &place, &key, &value);) {
        Py_INCREF(key); /* writing one may ask Python, which may change the dictionary */
        Py_INCREF(value);
        failed = (PyUnicode_Check(key) && !is_free(key) && refuse(args[2], args[4]) < 0)
                 || add_key(&text, key) < 0 || add_value(&text, value) < 0;
        Py_DECREF(key);
        Py_DECREF(value);
    }
    failed = failed || ADD(&text, "}") < 0;
    if (buffer_take(self, &text, failed) < 0) return NULL;
    Py_RETURN_NONE;
}

static PyObject *buffer_add(Buffer *self, PyObject *line) {
    if (!is_ready(self)) return NULL;
    Text text;
    text_begin(&text);
    int failed = add_encoded(&text, line) < 0;
    if (buffer_take(self, &text, failed) < 0) return NULL;
    Py_RETURN_NONE;
}

static PyObject *buffer_flush_now(Buffer *self, PyObject *unused) {
    if (!is_ready(self) || buffer_flush(self) < 0) return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef buffer_methods[] = {
    {"write", (PyCFunction)buffer_write, METH_FASTCALL, NULL},
    {"add", (PyCFunction)buffer_add, METH_O, NULL},
    {"flush", (PyCFunction)buffer_flush_now, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyTypeObject buffer_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "adpkv.output.event_buffer.EventBuffer",
    .tp_basicsize = sizeof(Buffer),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .tp_doc = "Lines of events, kept as text until there are enough of them.",
    .tp_new = PyType_GenericNew,
    .tp_init = (initproc)buffer_init,
    .tp_dealloc = (destructor)buffer_dealloc,
    .tp_traverse = (traverseproc)buffer_traverse,
    .tp_clear = (inquiry)buffer_clear,
    .tp_methods = buffer_methods,
};

typedef struct {
    PyObject_HEAD
    Buffer *buffer;         /* or NULL: then whoever keeps events is told in Python */
    PyObject *write, *add; /* of the log */
    PyObject *clock, *rank;
    char who[40]; /* what each line of this rank has in its middle */
    size_t who_size;
} Recorder;

/* A subclass that writes in its own way is asked for it. */
static int is_plain_log(PyObject *log) {
    if (!PyObject_TypeCheck(log, &buffer_type)) return 0;
    int plain = 1;
    for (PyMethodDef *method = buffer_methods; method->ml_name != NULL; method++) {
        PyObject *name = PyUnicode_FromString(method->ml_name);
        if (name == NULL) return -1;
        plain = plain && _PyType_Lookup(Py_TYPE(log), name) == _PyType_Lookup(&buffer_type, name);
        Py_DECREF(name);
    }
    return plain;
}

static int recorder_init(Recorder *self, PyObject *args, PyObject *named) {
    static char *names[] = {"log", "rank", "clock", NULL};
    PyObject *log, *rank, *clock;
    if (!PyArg_ParseTupleAndKeywords(args, named, "OOO", names, &log, &rank, &clock)) return -1;
    int plain = is_plain_log(log);
    if (plain < 0) return -1;
    Py_XSETREF(self->write, PyObject_GetAttrString(log, "write"));
    Py_XSETREF(self->add, PyObject_GetAttrString(log, "add"));
    if (self->write == NULL || self->add == NULL) return -1;
    Py_XSETREF(self->buffer, (Buffer *)(plain ? Py_NewRef(log) : NULL));
    Py_XSETREF(self->rank, Py_NewRef(rank));
    Py_XSETREF(self->clock, Py_NewRef(clock));
    Text text;
    text_begin(&text);
    int failed = ADD(&text, RANK) < 0 || add_value(&text, rank) < 0 || ADD(&text, KIND) < 0;
    if (!failed && text.size > sizeof self->who) {
        PyErr_Format(PyExc_ValueError, "rank %R: no number of a rank", rank);
        failed = 1;
    }
    if (!failed) memcpy(self->who, text.at, self->who_size = text.size);
    text_end(&text);
    return failed ? -1 : 0;
}

static int add_begin(Text *text, Recorder *self, PyObject *at_ns, PyObject *const *what) {
    return add_when(text, at_ns) < 0 || text_add(text, self->who, self->who_size) < 0
                   || add_what(text, what[0], what[1]) < 0
               ? -1
               : 0;
}

static int recorder_traverse(Recorder *self, visitproc visit, void *arg) {
    Py_VISIT(self->buffer);
    Py_VISIT(self->write);
    Py_VISIT(self->add);
    Py_VISIT(self->clock);
    Py_VISIT(self->rank);
    return 0;
}

static int recorder_clear(Recorder *self) {
    Py_CLEAR(self->buffer);
    Py_CLEAR(self->write);
    Py_CLEAR(self->add);
    Py_CLEAR(self->clock);
    Py_CLEAR(self->rank);
    return 0;
}

static void recorder_dealloc(Recorder *self) {
    PyObject_GC_UnTrack(self);
    recorder_clear(self);
    Py_TYPE(self)->tp_free(self);
}

static PyObject *now(Recorder *self) {
    if (self->clock != NULL) return PyObject_CallNoArgs(self->clock);
    PyErr_SetString(PyExc_RuntimeError, "a recorder without a clock");
    return NULL;
}

static PyObject *recorder_event(Recorder *self, PyObject *const *args, Py_ssize_t count,
                                PyObject *names) {
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "event(kind, request_id, /, **detail)");
        return NULL;
    }
    PyObject *at_ns = now(self);
    if (at_ns == NULL) return NULL;
    Py_ssize_t many = names == NULL ? 0 : PyTuple_GET_SIZE(names);
    int failed = 0, fits = self->buffer != NULL;
    for (Py_ssize_t i = 0; fits && i < many; i++) fits = is_free(PyTuple_GET_ITEM(names, i));
    if (fits) {
        Text text;
        text_begin(&text);
        failed = add_begin(&text, self, at_ns, args) < 0;
        for (Py_ssize_t i = 0; !failed && i < many; i++)
            failed = add_key(&text, PyTuple_GET_ITEM(names, i)) < 0
                     || add_value(&text, args[2 + i]) < 0;
        failed = failed || ADD(&text, "}") < 0;
        failed = buffer_take(self->buffer, &text, failed) < 0;
    } else { /* for another log; or it is refused there */
        PyObject *detail = PyDict_New();
        failed = detail == NULL;
        for (Py_ssize_t i = 0; !failed && i < many; i++)
            failed = PyDict_SetItem(detail, PyTuple_GET_ITEM(names, i), args[2 + i]) < 0;
        PyObject *told[] = {at_ns, self->rank, args[0], args[1], detail};
        PyObject *done = failed ? NULL : PyObject_Vectorcall(self->write, told, 5, NULL);
        failed = done == NULL;
        Py_XDECREF(done);
        Py_XDECREF(detail);
    }
    Py_DECREF(at_ns);
    if (failed) return NULL;
    Py_RETURN_NONE;
}

static PyObject *recorder_note(Recorder *self, PyObject *const *args, Py_ssize_t count) {
    if (count != 4) {
        PyErr_SetString(PyExc_TypeError, "note(shape, kind, request_id, what, /)");
        return NULL;
    }
    PyObject *at_ns = now(self);
    if (at_ns == NULL) return NULL;
    int failed;
    if (self->buffer != NULL) {
        PyObject *key = key_of(args[0]);
        Text text;
        text_begin(&text);
        failed = key == NULL || add_begin(&text, self, at_ns, args + 1) < 0
                 || add_key(&text, key) < 0 || add_value(&text, args[3]) < 0
                 || ADD(&text, "}") < 0;
        Py_XDECREF(key);
        failed = buffer_take(self->buffer, &text, failed) < 0;
    } else {
        PyObject *told[] = {at_ns, self->rank, args[1], args[2], args[3]};
        PyObject *line = PyObject_Vectorcall(args[0], told, 5, NULL);
        PyObject *done = line == NULL ? NULL : PyObject_CallOneArg(self->add, line);
        failed = done == NULL;
        Py_XDECREF(done);
        Py_XDECREF(line);
    }
    Py_DECREF(at_ns);
    if (failed) return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef recorder_methods[] = {
    {"event", (PyCFunction)(void (*)(void))recorder_event, METH_FASTCALL | METH_KEYWORDS, NULL},
    {"note", (PyCFunction)recorder_note, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

/* What a subclass has of the one in Python. */
static PyMemberDef recorder_members[] = {
    {"_add", T_OBJECT, offsetof(Recorder, add), READONLY, NULL},
    {"_clock", T_OBJECT, offsetof(Recorder, clock), READONLY, NULL},
    {"_rank", T_OBJECT, offsetof(Recorder, rank), READONLY, NULL},
    {"_write", T_OBJECT, offsetof(Recorder, write), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyTypeObject recorder_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "adpkv.output.event_buffer.EventRecorder",
    .tp_basicsize = sizeof(Recorder),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .tp_doc = "Tells a log of events what happens on one rank, and when.",
    .tp_new = PyType_GenericNew,
    .tp_init = (initproc)recorder_init,
    .tp_dealloc = (destructor)recorder_dealloc,
    .tp_traverse = (traverseproc)recorder_traverse,
    .tp_clear = (inquiry)recorder_clear,
    .tp_methods = recorder_methods,
    .tp_members = recorder_members,
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "adpkv.output.event_buffer",
    .m_doc = "Lines of events as text at once.",
    .m_size = -1,
};

PyMODINIT_FUNC PyInit_event_buffer(void) {
    if (keys_begin() < 0 || json_begin() < 0) return NULL;
    PyObject *made = PyModule_Create(&module);
    if (made == NULL || PyModule_AddType(made, &buffer_type) < 0
        || PyModule_AddType(made, &recorder_type) < 0)
        Py_CLEAR(made);
    return made;
}
