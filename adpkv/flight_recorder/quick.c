/* One small collective through shared memory, with its record, in one call: quick.py in C.

   It does what `worlds.mpi.group` and its exchange do where nobody says anything new, all come, and
   all are in the same collective; and it gives everything else to them. So there is one place for
   each of those other cases, and they are in Python. What both change is kept in the structures
   of quick_states.h, from which the classes in Python inherit.

   Memory is written as Python's `struct` writes it there (slot_layout, format): the number of a
   head or a record is 0 until all else is there. Loads and stores of such numbers have the order
   that this takes, on any processor. A process that is killed in here leaves what one leaves that
   is killed in Python. */

#include "quick_states.h"

#include <sched.h>
#include <stdint.h>
#include <time.h>

#if defined(__x86_64__) || defined(__i386__)
#define PAUSE() __builtin_ia32_pause()
#else
#define PAUSE() ((void)0)
#endif

#define ROUND 6       /* the word of a head that tells of which round it is */
#define PLACE_WORDS 6 /* those before it: tag and place, equal on all where nothing is new */
#define LOOKS 64      /* between two readings of the clock */
#define SPIN_NS 10000 /* for so long it looks before it yields, where each rank has its own core */
#define WAIT_NS 50000 /* then Python looks after everything else: shared.ATTEND_NS */

/* -- the call -------------------------------------------------------------------------------- */

enum { SITE, KIND, ITERATION, PLAN, SAID, THEN, FIELDS };
enum { COLLECTIVE, STEP, TYPES };
static const char *const field_names[TYPES][FIELDS] = {
    {"site", "kind", "iteration", "plan", "payload", "combine"},
    {"site", "kind", "iteration", "plan", "batch", "run"}};

typedef struct {
    PyObject *type, *names[FIELDS];
    Py_ssize_t at[FIELDS]; /* of its fields; 0: ask by name */
} Operation;

typedef struct {
    PyObject_HEAD
    PyObject *state, *rounds, *counts, *ring; /* the structures above; `state`: of the group */
    PyObject *sites, *names;          /* dict: a `Site` by its text; kind and names, likewise */
    PyObject *slots, *go_on, *finish; /* in Python: a round, the rest of one, of a collective */
    PyObject *stepped, *elapsed;      /* of a step: what counts it, the type of its result */
    PyObject *interrupted;            /* the error of a step that counts as come to */
    Operation types[TYPES];
    Py_buffer memory, records;
    word *heads[2]; /* of all members, in both sets */
    Py_ssize_t members, index, first, end, current; /* first and end of the ring, in words */
    word place;
    int32_t group;
    int crowded;
} Quick;

static PyObject *missed;

static word now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (word)t.tv_sec * 1000000000u + (word)t.tv_nsec;
}

/* Write a line, its number last; the number is 0 meanwhile. */
static inline void publish(word *to, const word *line, int number) {
    __atomic_store_n(to + number, 0, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    for (int i = 0; i < LINE_WORDS; i++)
        if (i != number) __atomic_store_n(to + i, line[i], __ATOMIC_RELAXED);
    __atomic_store_n(to + number, line[number], __ATOMIC_RELEASE);
}

/* Look until all members have published this round; 0 if some have not after WAIT_NS. */
static int await(Quick *q, const word *heads, word round) {
    Py_ssize_t next = 0;
    word began = 0, yielded = 0;
    for (int looks = 1;; looks++) {
        while (next < q->members &&
               __atomic_load_n(heads + next * LINE_WORDS + ROUND, __ATOMIC_ACQUIRE) == round)
            next++;
        if (next == q->members) return 1;
        if (!q->crowded && looks % LOOKS) {
            PAUSE();
            continue;
        }
        word now = now_ns();
        if (!began) began = yielded = now;
        if (now - began >= WAIT_NS) return 0;
        if (q->crowded || now - yielded >= SPIN_NS) {
            Py_BEGIN_ALLOW_THREADS
            sched_yield();
            Py_END_ALLOW_THREADS
            yielded = now;
        }
    }
}

/* Contribute a slot in which nothing is new. 1 if all said the same; 0: Python must go on. */
static int meet(Quick *q, Site *site, word sequence, word iteration, word code, word digest) {
    word round = ++((Rounds *)q->rounds)->round;
    word *heads = q->heads[round & 1], *own = heads + q->index * LINE_WORDS;
    word line[LINE_WORDS] = {0, q->place, sequence, iteration, code, digest, round, 0};
    publish(own, line, ROUND);
    if (!await(q, heads, round)) return 0;
    for (Py_ssize_t i = 0; i < q->members; i++)
        if (memcmp(heads + i * LINE_WORDS, line, PLACE_WORDS * sizeof(word))) return 0;
    memcpy(site->head, line, sizeof line);
    site->members = q->members;
    Py_CLEAR(site->heads);
    return 1;
}

/* As `Exchange.slots`: site, changed, group, sequence, iteration, code, digest. */
static PyObject *quick_slots(Quick *q, PyObject *const *args, Py_ssize_t count) {
    if (count != 7 || !PyObject_TypeCheck(args[0], &SiteType) || !PyBytes_Check(args[1]))
        return PyErr_Format(PyExc_TypeError, "a site, bytes, and five numbers");
    Site *site = (Site *)args[0];
    if (site->tag || PyBytes_GET_SIZE(args[1])) return PyObject_Vectorcall(q->slots, args, 7, NULL);
    word numbers[4];
    for (int i = 0; i < 4; i++) {
        numbers[i] = PyLong_AsUnsignedLongLong(args[3 + i]);
        if (PyErr_Occurred()) return NULL;
    }
    if (meet(q, site, numbers[0], numbers[1], numbers[2], numbers[3])) Py_RETURN_TRUE;
    return PyObject_CallOneArg(q->go_on, args[0]);
}

/* What is left to do of a step when all have made it. */
static PyObject *end_step(Quick *q, PyObject *op, PyObject *const *field, word began, word ready) {
    PyObject *done = PyObject_CallFunction(q->stepped, "OKK", op, began, ready);
    if (done == NULL) return NULL;
    Py_DECREF(done);
    return PyObject_CallFunction(q->elapsed, "iOO", 1, field[ITERATION], field[PLAN]);
}

/* An operation of which all fields are known; NULL with no error: it is not for here. */
static PyObject *perform(Quick *q, PyObject *op, PyObject *const *field, int steps) {
    PyObject *kind = field[KIND];
    Site *site = (Site *)PyDict_GetItemWithError(q->sites, field[SITE]);
    PyObject *named = PyDict_GetItemWithError(q->names, field[SITE]);
    Group *group = (Group *)q->state;
    if (site == NULL || named == NULL || site->kind != kind || site->tag ||
        PyTuple_GET_ITEM(named, 0) != kind || field[PLAN] != group->plan ||
        (steps || site->speaks ? field[SAID] : Py_None) != site->payload)
        return NULL; /* nobody says anything in a step; one with a batch to compare is Python's */
    word iteration = PyLong_AsUnsignedLongLong(field[ITERATION]);
    word names = PyLong_AsUnsignedLongLong(PyTuple_GET_ITEM(named, 1));
    if (PyErr_Occurred()) return NULL;

    Ring *ring = (Ring *)q->ring;
    word *words = q->records.buf, began = now_ns(), ready = 0, sequence = group->sequence + 1;
    word number = (word)++ring->written;
    Py_ssize_t at = ring->at = ring->next;
    ring->next = at + LINE_WORDS == q->end ? q->first : at + LINE_WORDS;
    words[q->current] = number; /* claimed before it is written */
    word who = (uint32_t)q->group | names << 32; /* two fields of four bytes: little endian */
    word record[LINE_WORDS] = {began, 0, 0, sequence, iteration, 0, who, number};
    publish(words + at, record, LINE_WORDS - 1);

    PyObject *result = NULL;
    Py_INCREF(site);
    if (steps) {
        PyObject *ran = PyObject_CallNoArgs(field[THEN]);
        if (ran == NULL) {
            if (PyErr_ExceptionMatches(q->interrupted)) group->sequence++;
            Py_DECREF(site);
            return NULL;
        }
        Py_DECREF(ran);
        ready = now_ns();
        __atomic_store_n(words + ring->at + 1, ready, __ATOMIC_RELEASE);
    }
    group->sequence = sequence;
    group->payload_bytes = site->nbytes;
    if (meet(q, site, sequence, iteration, site->code, group->digest)) {
        ((Counts *)q->counts)->count++;
        result = steps || field[THEN] == Py_None ? Py_XNewRef(site->result)
                                                 : PyObject_CallOneArg(field[THEN], site->result);
    } else {
        result = PyObject_CallOneArg(q->finish, op);
    }
    if (steps && result != NULL) Py_SETREF(result, end_step(q, op, field, began, ready));
    word nbytes = site->nbytes;
    Py_DECREF(site);
    if (result == NULL) return NULL; /* the record stays open: the driver closes it */
    word ended = now_ns();
    if (!steps) ((Counts *)q->counts)->total_ns += ended - began;
    if (nbytes) words[ring->at + 5] = nbytes;
    __atomic_store_n(words + ring->at + 2, ended, __ATOMIC_RELEASE);
    return result;
}

/* As the driver performs a collective: its record, the round, its result. MISSED, and nothing has
   been done, where it is not for here. */
static PyObject *quick_perform(Quick *q, PyObject *op) {
    int which = 0, got = 0;
    while (which < TYPES && (PyObject *)Py_TYPE(op) != q->types[which].type) which++;
    if (which == TYPES) return Py_NewRef(missed);
    Operation *type = &q->types[which];
    PyObject *field[FIELDS], *result = NULL;
    for (; got < FIELDS; got++) {
        Py_ssize_t at = type->at[got];
        field[got] = at ? Py_XNewRef(*(PyObject **)((char *)op + at))
                        : PyObject_GetAttr(op, type->names[got]);
        if (field[got] == NULL) {
            if (at) PyErr_SetObject(PyExc_AttributeError, type->names[got]);
            break;
        }
    }
    if (got == FIELDS) {
        result = perform(q, op, field, which == STEP);
        if (result == NULL && !PyErr_Occurred()) result = Py_NewRef(missed);
    }
    while (got) Py_DECREF(field[--got]);
    return result;
}

static PyMethodDef quick_methods[] = {
    {"slots", (PyCFunction)(void (*)(void))quick_slots, METH_FASTCALL, NULL},
    {"perform", (PyCFunction)quick_perform, METH_O, NULL},
    {NULL}};

#define OBJECTS(DO)                                                                     \
    DO(q->state); DO(q->rounds); DO(q->counts); DO(q->ring); DO(q->sites);            \
    DO(q->names); DO(q->slots); DO(q->go_on); DO(q->finish); DO(q->stepped);            \
    DO(q->elapsed); DO(q->interrupted); DO(q->types[0].type); DO(q->types[1].type)
static int quick_visit(PyObject *o, visitproc visit, void *arg) {
    Quick *q = (Quick *)o;
    OBJECTS(Py_VISIT);
    return 0;
}
static int quick_clear(PyObject *o) {
    Quick *q = (Quick *)o;
    OBJECTS(Py_CLEAR);
    for (int i = 0; i < TYPES * FIELDS; i++) Py_CLEAR(q->types[i / FIELDS].names[i % FIELDS]);
    if (q->memory.obj) PyBuffer_Release(&q->memory);
    if (q->records.obj) PyBuffer_Release(&q->records);
    return 0;
}
FREE(quick, quick_clear(self))
static PyTypeObject QuickType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "adpkv.flight_recorder.quick.Quick",
    .tp_basicsize = sizeof(Quick),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_methods = quick_methods,
    .tp_traverse = quick_visit,
    .tp_clear = quick_clear,
    .tp_dealloc = quick_free};

/* Where the fields of an operation are, as far as they are kept as `__slots__` are. */
static int find_fields(Operation *type, const char *const *names) {
    for (int i = 0; i < FIELDS; i++) {
        type->names[i] = PyUnicode_InternFromString(names[i]);
        if (type->names[i] == NULL) return 0;
        PyObject *found = PyObject_GetAttr(type->type, type->names[i]);
        if (found == NULL) PyErr_Clear();
        if (found != NULL && Py_IS_TYPE(found, &PyMemberDescr_Type)) {
            PyMemberDef *member = ((PyMemberDescrObject *)found)->d_member;
            type->at[i] = member->type == T_OBJECT_EX ? member->offset : 0;
        }
        Py_XDECREF(found);
    }
    return 1;
}

static PyObject *make(PyObject *module, PyObject *args, PyObject *named) {
    static char *words[] = {
        "state", "rounds", "counts", "ring", "sites", "names", "slots", "go_on", "finish",
        "types", "stepped", "elapsed", "interrupted", "memory", "records", "heads", "members",
        "index", "bounds", "group", "place", "crowded", NULL};
    Quick *q = PyObject_GC_New(Quick, &QuickType);
    if (q == NULL) return NULL;
    memset((char *)q + sizeof(PyObject), 0, sizeof *q - sizeof(PyObject));
    Py_ssize_t heads[2];
    if (!PyArg_ParseTupleAndKeywords(
            args, named, "$O!O!O!O!O!O!OOO(O!O!)OOOw*w*(nn)nn(nnn)iKp", words, &GroupType,
            &q->state, &RoundsType, &q->rounds, &CountsType, &q->counts, &RingType, &q->ring,
            &PyDict_Type, &q->sites, &PyDict_Type, &q->names, &q->slots, &q->go_on, &q->finish,
            &PyType_Type, &q->types[0].type, &PyType_Type, &q->types[1].type, &q->stepped,
            &q->elapsed, &q->interrupted, &q->memory, &q->records, &heads[0], &heads[1],
            &q->members, &q->index, &q->first, &q->end, &q->current, &q->group, &q->place,
            &q->crowded)) {
        PyObject_GC_Del(q);
        return NULL;
    }
    OBJECTS(Py_INCREF);
    for (int i = 0; i < 2; i++) q->heads[i] = (word *)((char *)q->memory.buf + heads[i]);
    PyObject_GC_Track(q);
    for (int i = 0; i < TYPES; i++)
        if (!find_fields(&q->types[i], field_names[i])) {
            Py_DECREF(q);
            return NULL;
        }
    return (PyObject *)q;
}

static PyMethodDef methods[] = {
    {"quick", (PyCFunction)(void (*)(void))make, METH_VARARGS | METH_KEYWORDS, NULL}, {NULL}};
static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "quick", "quick.py in C.", -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_quick(void) {
    PyObject *module = PyModule_Create(&definition);
    if (module == NULL || PyType_Ready(&QuickType) < 0 || PyModule_AddType(module, &RingType) < 0 ||
        PyModule_AddType(module, &RoundsType) < 0 || PyModule_AddType(module, &CountsType) < 0 ||
        PyModule_AddType(module, &GroupType) < 0 || PyModule_AddType(module, &SiteType) < 0)
        return NULL;
    missed = PyObject_CallNoArgs((PyObject *)&PyBaseObject_Type);
    if (missed == NULL || PyModule_AddObjectRef(module, "MISSED", missed) < 0) return NULL;
    return module;
}
