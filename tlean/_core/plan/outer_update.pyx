# cython: language_level=3
"""An optimiser's step whose gradient is an outer product u vᵀ: rows of the gradient are made in L1 and used at once, never stored.

That is the weight update of a linear layer on a single sample. Rows are made by the loop of `scale` (u_i · v) and used by the step's own
kernel, so the bits are those of the product followed by the step.
"""
from libc.stdint cimport int64_t

from tlean._core.kernel cimport TL_OK, tl_kernel
from tlean._core.threads.threads cimport parallel_for

ctypedef void (*inner_fn)(void* out, void** inp, int64_t n, const double* floats, int accumulate) noexcept nogil

cdef extern from "plan/chain_abi.h":
    cpdef enum:
        OUTER_KERNEL, OUTER_SCALE, OUTER_ROWS, OUTER_COLUMNS, OUTER_ITEMSIZE, OUTER_STATES, OUTER_SIZE, OUTER_MOST_STATES

# Inputs: parameter, u, v, states, hyper. Outputs: parameter, states.
cdef enum:
    BLOCK = 4096


cdef struct Job:
    char** out
    char** inp
    const int64_t* ints


cdef void update_part(Job* job, int64_t row, int64_t rows, int64_t column, int64_t columns, char* g) noexcept nogil:
    # The step of elements that follow each other: whole rows, or a part of one. `g` is room for their gradient.
    cdef const int64_t* ints = job.ints
    cdef int64_t item = ints[OUTER_ITEMSIZE], states = ints[OUTER_STATES], at = (row * ints[OUTER_COLUMNS] + column) * item, i, k
    cdef int64_t n = rows * columns
    cdef void* outs[1 + OUTER_MOST_STATES]
    cdef void* ins[3 + OUTER_MOST_STATES]
    cdef void* v = job.inp[2] + column * item
    cdef double u
    for i in range(rows):
        u = (<const float*>job.inp[1])[row + i] if item == 4 else (<const double*>job.inp[1])[row + i]
        (<inner_fn><size_t>ints[OUTER_SCALE])(g + i * columns * item, &v, columns, &u, 0)
    ins[0] = job.inp[0] + at
    ins[1] = g
    outs[0] = job.out[0] + at
    for k in range(states):
        ins[2 + k] = job.inp[3 + k] + at
        outs[1 + k] = job.out[1 + k] + at
    ins[2 + states] = job.inp[3 + states]
    (<tl_kernel><size_t>ints[OUTER_KERNEL])(outs, ins, &n, NULL, 0)


cdef void update_rows(void* context, Py_ssize_t chunk) noexcept nogil:
    # The gradient lies on the stack: an update needs no memory, so that it cannot fail when others have been made.
    cdef Job* job = <Job*>context
    cdef int64_t rows = job.ints[OUTER_ROWS], columns = job.ints[OUTER_COLUMNS], step = max(1, BLOCK // columns), first = chunk * step
    cdef int64_t column
    cdef double g[BLOCK]
    if columns <= BLOCK:
        update_part(job, first, min(step, rows - first), 0, columns, <char*>&g[0])
        return
    column = 0
    while column < columns:
        update_part(job, first, 1, column, min(<int64_t>BLOCK, columns - column), <char*>&g[0])
        column += BLOCK


cdef int outer_update(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    cdef Job job
    cdef int64_t rows = ints[OUTER_ROWS], columns = ints[OUTER_COLUMNS], step = max(1, BLOCK // max(1, columns))
    if rows == 0 or columns == 0:
        return TL_OK
    job.out, job.inp, job.ints = <char**>out, <char**>inp, ints
    parallel_for(update_rows, &job, (rows + step - 1) // step, 0.3 * <double>(rows * columns) * (1 + ints[OUTER_STATES]))
    return TL_OK


ADDRESS = <size_t>&outer_update
