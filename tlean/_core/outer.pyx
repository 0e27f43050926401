# cython: language_level=3
"""An optimiser's step whose gradient is an outer product u vᵀ: rows of the gradient are made in L1 and used at once, never stored.

That is the weight update of a linear layer on a single sample. Rows are made by the loop of `scale` (u_i · v) and used by the step's own
kernel, so the bits are those of the product followed by the step.
"""
from libc.stdint cimport int64_t

from tlean._core.kernel cimport tl_kernel
from tlean._core.threads cimport parallel_for, scratch

ctypedef void (*inner_fn)(void* out, void** inp, int64_t n, const double* floats, int accumulate) noexcept nogil

# Layout of `ints`: the step's kernel, the loop of `scale` (addresses), rows, columns, itemsize, states.
# Inputs: parameter, u, v, states, hyper. Outputs: parameter, states.
cdef enum:
    BLOCK = 4096
    MOST = 8


cdef struct Job:
    char** out
    char** inp
    const int64_t* ints


cdef void update_rows(void* context, Py_ssize_t chunk) noexcept nogil:
    cdef Job* job = <Job*>context
    cdef const int64_t* ints = job.ints
    cdef int64_t rows = ints[2], columns = ints[3], item = ints[4], states = ints[5]
    cdef int64_t step = max(1, BLOCK // columns), first = chunk * step, count, i, k, n
    cdef char* g = <char*>scratch(6, step * columns * item)
    cdef void* outs[MOST]
    cdef void* ins[MOST]
    cdef void* v = job.inp[2]
    cdef double u
    count = min(step, rows - first)
    for i in range(count):
        u = (<const float*>job.inp[1])[first + i] if item == 4 else (<const double*>job.inp[1])[first + i]
        (<inner_fn><size_t>ints[1])(g + i * columns * item, &v, columns, &u, 0)
    n = count * columns
    ins[0] = job.inp[0] + first * columns * item
    ins[1] = g
    outs[0] = job.out[0] + first * columns * item
    for k in range(states):
        ins[2 + k] = job.inp[3 + k] + first * columns * item
        outs[1 + k] = job.out[1 + k] + first * columns * item
    ins[2 + states] = job.inp[3 + states]
    (<tl_kernel><size_t>ints[0])(outs, ins, &n, NULL, 0)


cdef int outer_update(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    cdef Job job
    cdef int64_t step = max(1, BLOCK // max(1, ints[3]))
    if ints[2] == 0 or ints[3] == 0:
        return 0
    if scratch(6, step * ints[3] * ints[4]) == NULL:
        return 2
    job.out, job.inp, job.ints = <char**>out, <char**>inp, ints
    parallel_for(update_rows, &job, (ints[2] + step - 1) // step, 0.3 * <double>(ints[2] * ints[3]) * (1 + ints[5]))
    return 0


ADDRESS = <size_t>&outer_update
