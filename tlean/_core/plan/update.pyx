"""Updates of parameters by kernels alone, without a plan: all parameters of a step in one call, or none of them."""
from libc.stdint cimport int64_t
from libc.stdlib cimport free

from tlean._core.arena cimport raise_error
from tlean._core.array cimport TL_I64, AnyTensor
from tlean._core.threads.clock cimport nanoseconds
from tlean._core.plan.commit cimport Commit
from tlean._core.eager.instance cimport grab
from tlean._core.kernel cimport TL_NOT_FINITE, TL_OK, tl_kernel
from tlean._core.plan.plan cimport profiling
from tlean._core.plan.plan import count_kernel


def first_not_finite(size_t address, tensors):
    """Which of these arrays of one float dtype holds a NaN or an infinity first, and that number; None if all are finite.

    Args:
        address: of the kernel `_finite` for their dtype.
    """
    cdef Py_ssize_t k, n = len(tensors)
    cdef double found[2]
    cdef double hyper[2]
    cdef void* out = &found[0]
    cdef int status
    cdef void** ins = <void**>grab((n + 1) * sizeof(void*))
    cdef int64_t* ints = NULL
    try:
        ints = <int64_t*>grab((n + 2) * sizeof(int64_t))
        hyper[0] = hyper[1] = 0.0
        ins[0], ints[0], ints[1] = &hyper[0], 2, n
        for k, t in enumerate(tensors):
            (<AnyTensor?>t).check()
            if (<AnyTensor>t).code != (<AnyTensor?>tensors[0]).code:
                raise_error("DTypeError", f"the arrays must have one dtype, got {t.dtype} and {tensors[0].dtype}")
            ins[1 + k], ints[2 + k] = (<AnyTensor>t).buffer.data, (<AnyTensor>t).info.size
        status = (<tl_kernel><size_t>address)(&out, ins, ints, NULL, 0)
        return (int(found[0]), found[1]) if status == TL_NOT_FINITE else None
    finally:
        free(ins)
        free(ints)


cdef enum:
    MOST_OPERANDS = 8


cdef struct Move:
    tl_kernel kernel
    void* outs[MOST_OPERANDS]
    void* ins[MOST_OPERANDS]
    int64_t ints[3]
    int64_t spent          # nanoseconds, while a profile is taken


cdef int gather_rows(Move* move, AnyTensor first, AnyTensor sums, AnyTensor rows) except -1:
    # The numbers of a step whose gradient is rows of the parameter.
    cdef int64_t count = rows.info.size, length = sums.info.size // count if count else 1
    if sums.code != first.code or rows.code != TL_I64 or sums.info.size != count * length or not length or first.info.size % length:
        raise ValueError("update_all: the rows of a gradient are not as the parameter's")
    move.ints[0], move.ints[1], move.ints[2] = first.info.size // length, length, count
    return 0


cdef int gather_move(Move* move, row) except -1:
    # The arrays of one parameter's step, all of the parameter's dtype and shape but for the last, which holds the numbers of the step.
    cdef AnyTensor first, t
    cdef tuple out_tensors, in_tensors
    cdef bint by_rows
    cdef Py_ssize_t k, inputs, outputs
    address, out_tensors, in_tensors, kernel, by_rows = row
    inputs, outputs = len(in_tensors), len(out_tensors)
    move.kernel = <tl_kernel><size_t>address
    if outputs > MOST_OPERANDS or inputs > MOST_OPERANDS:
        raise ValueError(f"update_all: at most {MOST_OPERANDS} operands")
    first = <AnyTensor?>in_tensors[0]
    for k in range(inputs):
        t = <AnyTensor?>in_tensors[k]
        t.check()
        if k < inputs - 1 and not (by_rows and k) and (t.code != first.code or t.info is not first.info):
            raise_error("DTypeError" if t.code != first.code else "ShapeError",
                        f"{kernel.strip('_')}: the gradient and the states are as the parameter, {first.info.dims} {first.dtype}, "
                        f"got {t.info.dims} {t.dtype}")
        move.ins[k] = t.buffer.data
    for k in range(outputs):
        t = <AnyTensor?>out_tensors[k]
        t.check()
        if t.code != first.code or t.info is not first.info:
            raise ValueError("update_all: an output is not as the parameter")
        move.outs[k] = t.buffer.data
    move.ints[0] = first.info.size
    if by_rows:
        gather_rows(move, first, in_tensors[1], in_tensors[2])
    return 0


def update_all(rows, Commit changes not None):
    """Run optimiser kernels on several parameters, in place: how a step updates all of them in one call, or none.

    Args:
        rows: (kernel address, outputs, inputs, the op's name, whether the gradient is rows and their numbers) for each; an output
            may be the very array that an input is. The kernels are those of `optim`, which need no memory and cannot fail.
        changes: what becomes real with it, and the calls of a device that belong to it.

    Raises: DTypeError, ShapeError for arrays that do not go together; MemoryError; then nothing was updated.
    """
    cdef Py_ssize_t k, n = len(rows)
    cdef Move* moves = <Move*>grab(n * sizeof(Move))
    cdef int status = TL_OK
    cdef int64_t begun = 0
    try:
        for k, row in enumerate(rows):
            gather_move(&moves[k], row)
        changes.prepare([])
        changes.launch()
        for k in range(n):
            if profiling:
                begun = nanoseconds()
            with nogil:
                status |= moves[k].kernel(moves[k].outs, moves[k].ins, moves[k].ints, NULL, 0)
            if begun:
                moves[k].spent = nanoseconds() - begun
        changes.apply()
        if begun:
            for k in range(n):
                count_kernel(<size_t>moves[k].kernel, moves[k].spent)
    finally:
        free(moves)
    if status != TL_OK:
        raise_error("DeviceError", f"a kernel failed with status {status}")
