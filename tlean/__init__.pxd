"""tlean for Cython: `cimport tlean as tl`, with `tl.get_include()` among the include directories. docs/cython.md describes it.

Call `import_tlean()` where the module is imported: it raises an ImportError where the tlean that is installed has another ABI.
"""
from libc.stddef cimport size_t
from libc.stdint cimport int64_t

cdef extern from "tlean.h":
    enum:
        TL_ABI
        TL_MOST_AXES, TL_MOST_LOOP_INPUTS
    # dtypes
    enum:
        TL_F32, TL_F64, TL_I64, TL_I32, TL_BOOL
    # statuses that a kernel may return
    enum:
        TL_OK, TL_INDEX_OUT_OF_RANGE, TL_NO_MEMORY, TL_RAISED, TL_SINGULAR, TL_INDEFINITE
    # slots of scratch memory
    enum:
        TL_SLOT_GUEST_A, TL_SLOT_GUEST_B

    ctypedef int (*kernel_fn "tl_kernel")(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil
    ctypedef void (*loop_fn "tl_loop")(void* out, void** inp, int64_t n, const double* floats, int accumulate) noexcept nogil
    ctypedef void (*chunk_fn "tl_chunk")(void* context, Py_ssize_t chunk) noexcept nogil
    ctypedef int (*forward_fn "tl_forward")(void* context, void* out, void** inp) noexcept nogil
    ctypedef int (*backward_fn "tl_backward")(void* context, void** grads, const void* g, const void* out, void** inp) noexcept nogil
    ctypedef struct array_view_t "tl_view":
        const void* data
        const Py_ssize_t* shape
        int64_t size
        int ndim
        int dtype
    ctypedef struct convolution_t "tl_convolution":
        int dtype
        int axes
        int64_t batch
        int64_t in_channels
        int64_t out_channels
        int64_t groups
        int64_t in_sizes "in"[3]
        int64_t kernel[3]
        int64_t stride[3]
        int64_t padding[3]
        int64_t dilation[3]

    int import_tlean "tl_import"() except -1

    # With the GIL
    int raised "tl_raised"(object exception) noexcept
    kernel_fn find_kernel "tl_find_kernel"(const char* name) except NULL
    loop_fn find_loop "tl_find_loop"(const char* name) except NULL
    object array_new "tl_array_new"(int dtype, int ndim, const Py_ssize_t* shape, void** data)
    int array_view "tl_array_view"(object array, array_view_t* view) except -1
    int64_t tape_size "tl_tape_size"(object tape) except -1
    object tape_value "tl_tape_value"(object tape, int64_t node)
    int64_t tape_leaf "tl_tape_leaf"(object tape, object array, int requires_grad, object name) except -1
    object tape_record "tl_tape_record"(
        object tape, object name, object inputs, int dtype, int ndim, const Py_ssize_t* shape,
        forward_fn forward, backward_fn backward, void* context, object owner
    )
    object tape_backward "tl_tape_backward"(object tape, int64_t node, object seed)

cdef extern from "tlean.h" nogil:
    void parallel_for "tl_parallel_for"(chunk_fn fn, void* context, Py_ssize_t chunks, double nanoseconds) noexcept
    void* scratch "tl_scratch"(int slot, size_t nbytes) noexcept
    int active_threads "tl_active_threads"() noexcept
    int fail "tl_fail"(const char* error, const char* message) noexcept
    int run_loop "tl_run_loop"(
        loop_fn loop, int inputs, int itemsize, void** out, void** inp, int64_t n, const double* floats, int accumulate, double nanoseconds
    ) noexcept
    int gemm "tl_gemm"(
        int dtype, int transpose_a, int transpose_b, int64_t batch, int64_t m, int64_t n, int64_t k,
        const void* a, const void* b, void* c
    ) noexcept
    int convolve "tl_convolve"(const convolution_t* window, const void* x, const void* w, const void* b, void* y) noexcept
    int convolve_grad_x "tl_convolve_grad_x"(const convolution_t* window, const void* g, const void* w, void* grad) noexcept
    int convolve_grad_w "tl_convolve_grad_w"(const convolution_t* window, const void* g, const void* x, void* grad) noexcept
