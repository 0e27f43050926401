# cython: language_level=3
"""The functions behind `tlean.h`, as a table in a capsule. It is loaded when a module of another project first needs it."""
from cpython.pycapsule cimport PyCapsule_New
from libc.stdint cimport int64_t
from libc.stddef cimport size_t

import sys

from tlean._core.arena cimport buffer_new, raise_error
from tlean._core.array cimport (
    TL_BOOL, TL_F32, TL_F64, AnyTensor, intern_shape, itemsize_of, tensor_from_buffer, tensor_from_object
)
from tlean._core.eager.eager cimport EagerCore, TensorRef
from tlean._core.eager.nodes cimport node_at
from tlean._core.kernel cimport (
    TL_INDEFINITE, TL_INDEX_OUT_OF_RANGE, TL_NO_MEMORY, TL_OK, TL_RAISED, TL_SINGULAR, tl_kernel
)
from tlean._core.plan.callback import UNNOTED, note_failure, take_failure
from tlean._core.table import INNER, KERNELS
from tlean._core.tape cimport TapeStore, append_leaf, tape_backward, tape_size, tape_value
from tlean._core.threads.threads cimport active_threads, chunk_fn, parallel_for, scratch

cdef extern from "capi/tlean.h":
    enum: TL_ABI, TL_API_COUNT, TL_MOST_LOOP_INPUTS
    ctypedef void (*tl_chunk)(void* context, Py_ssize_t chunk) noexcept nogil
    ctypedef void (*tl_loop)(void* out, void** inp, int64_t n, const double* floats, int accumulate) noexcept nogil
    ctypedef int (*tl_forward)(void* context, void* out, void** inp) noexcept nogil
    ctypedef int (*tl_backward)(void* context, void** grads, const void* g, const void* out, void** inp) noexcept nogil
    ctypedef struct tl_view:
        const void* data
        const Py_ssize_t* shape
        int64_t size
        int ndim
        int dtype
    ctypedef struct tl_convolution:
        int dtype
        int axes
        int64_t batch
        int64_t in_channels
        int64_t out_channels
        int64_t groups
        int64_t inp "in"[3]
        int64_t kernel[3]
        int64_t stride[3]
        int64_t padding[3]
        int64_t dilation[3]
    ctypedef struct tl_api:
        int abi
        int count
        const char* version
        void (*parallel_for)(tl_chunk, void*, Py_ssize_t, double) noexcept nogil
        void* (*scratch)(int, size_t) noexcept nogil
        int (*active_threads)() noexcept nogil
        int (*fail)(const char*, const char*) noexcept nogil
        int (*raised)(object) noexcept
        tl_kernel (*find_kernel)(const char*) except NULL
        tl_loop (*find_loop)(const char*) except NULL
        int (*run_loop)(tl_loop, int, int, void**, void**, int64_t, const double*, int, double) noexcept nogil
        int (*gemm)(int, int, int, int64_t, int64_t, int64_t, int64_t, const void*, const void*, void*) noexcept nogil
        int (*convolve)(const tl_convolution*, const void*, const void*, const void*, void*) noexcept nogil
        int (*convolve_grad_x)(const tl_convolution*, const void*, const void*, void*) noexcept nogil
        int (*convolve_grad_w)(const tl_convolution*, const void*, const void*, void*) noexcept nogil
        object (*array_new)(int, int, const Py_ssize_t*, void**)
        int (*array_view)(object, tl_view*) except -1
        int64_t (*tape_size)(object) except -1
        object (*tape_value)(object, int64_t)
        int64_t (*tape_leaf)(object, object, int, object) except -1
        object (*tape_record)(object, object, object, int, int, const Py_ssize_t*, tl_forward, tl_backward, void*, object)
        object (*tape_backward)(object, int64_t, object)


cdef enum:
    TL_MOST_NODE_INPUTS = 32


# Errors ---------------------------------------------------------------------------------------------------------------

cdef int fail(const char* error, const char* message) noexcept with gil:
    try:
        raise_error(error.decode("utf-8", "replace"), message.decode("utf-8", "replace"))
    except BaseException as failure:
        note_failure(failure)
    return TL_RAISED


cdef int raised(object exception) noexcept:
    note_failure(exception if isinstance(exception, BaseException) else TypeError(f"no exception: {exception!r}"))
    return TL_RAISED


cdef int require_ok(str who, int status) except -1:
    # Raises what a function's status says.
    if status == TL_OK:
        return 0
    if status == TL_RAISED:
        error = take_failure()
        if error is None:
            raise_error("OptionError", f"{who}: {UNNOTED.replace('kernel', 'function')}")
        raise error
    if status == TL_NO_MEMORY:
        raise MemoryError(f"{who}: no memory for temporaries")
    if status == TL_INDEX_OUT_OF_RANGE:
        raise_error("IndexRangeError", f"{who}: an index is out of range")
    if status == TL_SINGULAR or status == TL_INDEFINITE:
        raise_error("LinAlgError", f"{who}: a matrix must be {'invertible' if status == TL_SINGULAR else 'positive definite'}")
    raise_error("OptionError", f"{who}: a function returns a status of kernel.h, got {status}")


include "kernels.pxi"
include "tapes.pxi"

# The table ------------------------------------------------------------------------------------------------------------

VERSION = sys.modules["tlean"].__version__
cdef bytes _version = VERSION.encode()
cdef tl_api _api
_api.abi = TL_ABI
_api.count = TL_API_COUNT
_api.version = _version
_api.parallel_for = guest_parallel_for
_api.scratch = scratch
_api.active_threads = active_threads
_api.fail = fail
_api.raised = raised
_api.find_kernel = find_kernel
_api.find_loop = find_loop
_api.run_loop = run_loop
_api.gemm = gemm
_api.convolve = convolve
_api.convolve_grad_x = convolve_grad_x
_api.convolve_grad_w = convolve_grad_w
_api.array_new = array_new
_api.array_view = array_view
_api.tape_size = size_of
_api.tape_value = value_of
_api.tape_leaf = leaf_on
_api.tape_record = record_on
_api.tape_backward = backward_of

#: What modules of other projects must have been built for.
ABI = TL_ABI
API = PyCapsule_New(&_api, "tlean._core.capi.table.API", NULL)
