/* tlean at C level: for C, C++ and, through tlean/__init__.pxd, Cython. docs/cython.md describes it.
 *
 * There is nothing to link against. `tl_import` finds the table of functions in the tlean that is installed, and fails with an ImportError
 * where that has another ABI than this header. Call it once, when the module is imported; a function that is called before does it itself.
 *
 * Arrays, tapes and references are Python objects; what is in them is not known here. Functions that take or return a PyObject need the GIL and
 * set a Python error where they return NULL or −1. The others may be called without the GIL.
 */
#ifndef TLEAN_H
#define TLEAN_H
#include <Python.h>
#include "../kernel.h"

/* What modules are built for. It is another number whenever a function of the table, or anything in kernel.h, changes; functions that are
 * added at the end of the table do not change it. */
#ifndef TL_ABI
#define TL_ABI 1
#endif

/* Codes of the dtypes. */
enum { TL_F32 = 0, TL_F64 = 1, TL_I64 = 2, TL_I32 = 3, TL_BOOL = 4 };
enum { TL_MOST_AXES = 16, TL_MOST_LOOP_INPUTS = 8 };

/* A share of a job of parallel_for. */
typedef void (*tl_chunk)(void *context, Py_ssize_t chunk);
/* n elements of an elementwise op on one thread: out[i] depends on the inputs' element i alone. `out` may be one of the inputs. With
 * `accumulate`, which only kernels that say so are asked for, the results are added to `out`. */
typedef void (*tl_loop)(void *out, void **in, int64_t n, const double *floats, int accumulate);
/* What a node of a tape computes, and its cotangents: grads[k] is to be written, or NULL where none is needed. Both return a status of
 * kernel.h, and run without the GIL. */
typedef int (*tl_forward)(void *context, void *out, void **in);
typedef int (*tl_backward)(void *context, void **grads, const void *g, const void *out, void **in);

/* What an array holds, dense and row-major. The pointers are valid as long as the array. */
typedef struct tl_view {
    const void *data;
    const Py_ssize_t *shape;
    int64_t size; /* elements */
    int ndim;
    int dtype;
} tl_view;

/* A convolution y (batch, out_channels, *out) = x (batch, in_channels, *in) ⋆ w (out_channels, in_channels / groups, *kernel) + b, over 1 to
 * 3 axes, with out = (in + 2·padding − dilation·(kernel − 1) − 1) / stride + 1. */
typedef struct tl_convolution {
    int dtype, axes;
    int64_t batch, in_channels, out_channels, groups;
    int64_t in[3], kernel[3], stride[3], padding[3], dilation[3];
} tl_convolution;

typedef struct tl_api {
    int abi;
    int count; /* the functions below */
    const char *version;
    void (*parallel_for)(tl_chunk, void *, Py_ssize_t, double);
    void *(*scratch)(int, size_t);
    int (*active_threads)(void);
    int (*fail)(const char *, const char *);
    int (*raised)(PyObject *);
    tl_kernel (*find_kernel)(const char *);
    tl_loop (*find_loop)(const char *);
    int (*run_loop)(tl_loop, int, int, void **, void **, int64_t, const double *, int, double);
    int (*gemm)(int, int, int, int64_t, int64_t, int64_t, int64_t, const void *, const void *, void *);
    int (*convolve)(const tl_convolution *, const void *, const void *, const void *, void *);
    int (*convolve_grad_x)(const tl_convolution *, const void *, const void *, void *);
    int (*convolve_grad_w)(const tl_convolution *, const void *, const void *, void *);
    PyObject *(*array_new)(int, int, const Py_ssize_t *, void **);
    int (*array_view)(PyObject *, tl_view *);
    int64_t (*tape_size)(PyObject *);
    PyObject *(*tape_value)(PyObject *, int64_t);
    int64_t (*tape_leaf)(PyObject *, PyObject *, int, PyObject *);
    PyObject *(*tape_record)(PyObject *, PyObject *, PyObject *, int, int, const Py_ssize_t *, tl_forward, tl_backward, void *, PyObject *);
    PyObject *(*tape_backward)(PyObject *, int64_t, PyObject *);
} tl_api;
enum { TL_API_COUNT = 19 };

static const tl_api *tl_table = NULL;

/* Find the functions. 0, or −1 with an ImportError. Needs the GIL. */
static inline int tl_import(void) {
    if (tl_table != NULL) return 0;
    const tl_api *table = NULL;
    PyObject *capsule = NULL, *module = PyImport_ImportModule("tlean._core.capi.table");
    if (module == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_ModuleNotFoundError)) return -1;
        PyErr_Clear();
        module = PyImport_ImportModule("tlean");
        if (module == NULL) return -1;
        Py_DECREF(module);
        PyErr_Format(PyExc_ImportError, "this module was built for ABI %d of tlean, and the tlean that is installed has none", TL_ABI);
        return -1;
    }
    capsule = PyObject_GetAttrString(module, "API");
    Py_DECREF(module);
    if (capsule == NULL) return -1;
    table = (const tl_api *)PyCapsule_GetPointer(capsule, "tlean._core.capi.table.API");
    Py_DECREF(capsule); /* the module, which stays, has it */
    if (table == NULL) return -1;
    if (table->abi != TL_ABI) {
        PyErr_Format(PyExc_ImportError, "this module was built for ABI %d of tlean, and tlean %s has ABI %d: build the module again",
                     TL_ABI, table->version, table->abi);
        return -1;
    }
    if (table->count < TL_API_COUNT) {
        PyErr_Format(PyExc_ImportError, "this module was built for the %d functions of a later tlean, and tlean %s has %d: install that one",
                     (int)TL_API_COUNT, table->version, table->count);
        return -1;
    }
    tl_table = table;
    return 0;
}

/* The functions, with the GIL or without it; NULL, and a message on stderr, where they are not to be had. */
static inline const tl_api *tl_functions(void) {
    if (tl_table == NULL) {
        PyGILState_STATE state = PyGILState_Ensure();
        if (tl_import() < 0) PyErr_WriteUnraisable(NULL);
        PyGILState_Release(state);
    }
    return tl_table;
}

/* Without the GIL ---------------------------------------------------------------------------------------------------------------------- */

/* Call fn(context, 0) … fn(context, chunks − 1), in any order, on as many threads as are allowed and worth it; `nanoseconds` is the whole
 * job's time on one core, roughly. What a chunk covers must not depend on the number of threads. */
static inline void tl_parallel_for(tl_chunk fn, void *context, Py_ssize_t chunks, double nanoseconds) {
    const tl_api *api = tl_functions();
    if (api != NULL) {
        api->parallel_for(fn, context, chunks, nanoseconds);
        return;
    }
    for (Py_ssize_t chunk = 0; chunk < chunks; chunk++) fn(context, chunk);
}

/* Memory of the calling thread, aligned to 64 bytes, valid until the same thread requests the same slot again: TL_SLOT_GUEST_A or _B. NULL
 * where there is none. */
static inline void *tl_scratch(int slot, size_t nbytes) {
    const tl_api *api = tl_functions();
    return api != NULL ? api->scratch(slot, nbytes) : NULL;
}

/* How many threads parallel_for uses at most. */
static inline int tl_active_threads(void) {
    const tl_api *api = tl_functions();
    return api != NULL ? api->active_threads() : 1;
}

/* Note an error for the caller of the kernel, which it raises: a class of tlean by name (any other is a ValueError) and a message. Returns
 * TL_RAISED, which the kernel is to return. Only on the thread that the kernel was called on, not in a chunk. */
static inline int tl_fail(const char *error, const char *message) {
    const tl_api *api = tl_functions();
    return api != NULL ? api->fail(error, message) : TL_RAISED;
}

/* An elementwise kernel made of its loop: n elements in chunks, on several threads where that is worth it. All operands have elements of
 * `itemsize` bytes; `nanoseconds` is the time of one element. Returns a status. */
static inline int tl_run_loop(tl_loop loop, int inputs, int itemsize, void **out, void **in, int64_t n, const double *floats, int accumulate,
                              double nanoseconds) {
    const tl_api *api = tl_functions();
    return api != NULL ? api->run_loop(loop, inputs, itemsize, out, in, n, floats, accumulate, nanoseconds) : TL_NO_MEMORY;
}

/* Products c (m, n) = a' (m, k) b' (k, n), `batch` of them one behind another. A transposed a is stored as (k, m), a transposed b as (n, k).
 * c is aligned to 64 bytes, as arrays and scratch are, and is neither a nor b. Returns a status. */
static inline int tl_gemm(int dtype, int transpose_a, int transpose_b, int64_t batch, int64_t m, int64_t n, int64_t k, const void *a,
                          const void *b, void *c) {
    const tl_api *api = tl_functions();
    return api != NULL ? api->gemm(dtype, transpose_a, transpose_b, batch, m, n, k, a, b, c) : TL_NO_MEMORY;
}

/* A convolution, of which b may be NULL, and its cotangents by x and by w of the cotangent g of y. The results are aligned to 64 bytes.
 * Each returns a status. */
static inline int tl_convolve(const tl_convolution *c, const void *x, const void *w, const void *b, void *y) {
    const tl_api *api = tl_functions();
    return api != NULL ? api->convolve(c, x, w, b, y) : TL_NO_MEMORY;
}
static inline int tl_convolve_grad_x(const tl_convolution *c, const void *g, const void *w, void *grad) {
    const tl_api *api = tl_functions();
    return api != NULL ? api->convolve_grad_x(c, g, w, grad) : TL_NO_MEMORY;
}
static inline int tl_convolve_grad_w(const tl_convolution *c, const void *g, const void *x, void *grad) {
    const tl_api *api = tl_functions();
    return api != NULL ? api->convolve_grad_w(c, g, x, grad) : TL_NO_MEMORY;
}

/* With the GIL ------------------------------------------------------------------------------------------------------------------------- */

/* Like tl_fail, of an exception that was caught. */
static inline int tl_raised(PyObject *exception) { return tl_import() < 0 ? TL_RAISED : tl_table->raised(exception); }

/* The kernel, or the loop, of that name, "<kernel>:<f32|f64|i64|i32|b8>": ours, or a registered one. NULL with an OptionError. */
static inline tl_kernel tl_find_kernel(const char *name) { return tl_import() < 0 ? NULL : tl_table->find_kernel(name); }
static inline tl_loop tl_find_loop(const char *name) { return tl_import() < 0 ? NULL : tl_table->find_loop(name); }

/* A new array, whose memory `data` is to be filled before anything else sees the array. */
static inline PyObject *tl_array_new(int dtype, int ndim, const Py_ssize_t *shape, void **data) {
    return tl_import() < 0 ? NULL : tl_table->array_new(dtype, ndim, shape, data);
}
/* What an array holds. 0, or −1 with a DTypeError for what is no array of tlean. */
static inline int tl_array_view(PyObject *array, tl_view *view) { return tl_import() < 0 ? -1 : tl_table->array_view(array, view); }

/* A tape is a TapeM or an eager session of the CPU. The nodes on it. */
static inline int64_t tl_tape_size(PyObject *tape) { return tl_import() < 0 ? -1 : tl_table->tape_size(tape); }
/* The value of a node. */
static inline PyObject *tl_tape_value(PyObject *tape, int64_t node) { return tl_import() < 0 ? NULL : tl_table->tape_value(tape, node); }
/* Append an array as a leaf, with a name or None. Returns its id. */
static inline int64_t tl_tape_leaf(PyObject *tape, PyObject *array, int requires_grad, PyObject *name) {
    return tl_import() < 0 ? -1 : tl_table->tape_leaf(tape, array, requires_grad, name);
}
/* Run `forward` on the values of `inputs`, a tuple of references or ids, and record the result, of that dtype and shape, as one node. The
 * sweep runs `backward`, which may be NULL: no gradient passes the node then. `context` is handed to both and `owner`, an object, is kept as
 * long as the node. Returns a reference. */
static inline PyObject *tl_tape_record(PyObject *tape, PyObject *name, PyObject *inputs, int dtype, int ndim, const Py_ssize_t *shape,
                                       tl_forward forward, tl_backward backward, void *context, PyObject *owner) {
    if (tl_import() < 0) return NULL;
    return tl_table->tape_record(tape, name, inputs, dtype, ndim, shape, forward, backward, context, owner);
}
/* The gradients of a node with the cotangent `seed`, an array: a list with an array or None for each node. */
static inline PyObject *tl_tape_backward(PyObject *tape, int64_t node, PyObject *seed) {
    return tl_import() < 0 ? NULL : tl_table->tape_backward(tape, node, seed);
}
#endif
