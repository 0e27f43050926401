# cython: language_level=3
"""Chains of elementwise ops, block by block: every op of the chain runs over a short block in L1 before the next block is touched.

The loops are those of the single ops (the same machine code), so fusion changes no bit. Memory is read once and written once.
"""
from libc.stdint cimport int64_t
from libc.string cimport memcpy

from tlean._core.threads cimport parallel_for, scratch

ctypedef void (*inner_fn)(void* out, void** inp, int64_t n, const double* floats, int accumulate) noexcept nogil

# Layout of `ints`: n, itemsize, block, ops, slots, then for every op: inner loop (an address; 0 = spread the scalar argument),
# first float, destination, number of arguments, arguments. An operand is input k as k, output k as OUTPUT + k, slot k as SLOT + k.
cdef enum:
    OUTPUT = 1 << 20
    SLOT = 1 << 21
    HEADER = 5
    MOST_ARGUMENTS = 8
    # Slots of short chains live on the stack.
    NEAR_BYTES = 8192
    # Blocks in one unit of work of a thread.
    BLOCKS = 8


cdef struct Chain:
    char** out
    char** inp
    const int64_t* ints
    const double* floats
    int accumulate


cdef inline char* operand(Chain* chain, int64_t code, char* slots, int64_t start_bytes, int64_t block_bytes) noexcept nogil:
    if code >= SLOT:
        return slots + (code - SLOT) * block_bytes
    if code >= OUTPUT:
        return chain.out[code - OUTPUT] + start_bytes
    return chain.inp[code] + start_bytes


cdef void run_blocks(Chain* chain, int64_t start, int64_t stop, char* slots) noexcept nogil:
    cdef const int64_t* ints = chain.ints
    cdef int64_t item = ints[1], block = ints[2], ops = ints[3]
    cdef int64_t block_bytes = block * item
    cdef int64_t at, count, start_bytes, _k, j, dst
    cdef const int64_t* op
    cdef void* arguments[MOST_ARGUMENTS]
    cdef char* target
    at = start
    while at < stop:
        count = min(block, stop - at)
        start_bytes = at * item
        op = ints + HEADER
        for _k in range(ops):
            dst = op[2]
            target = operand(chain, dst, slots, start_bytes, block_bytes)
            if op[0] == 0:
                spread(target, chain.inp[op[4]] if op[4] < OUTPUT else operand(chain, op[4], slots, start_bytes, block_bytes), count, item)
            else:
                for j in range(op[3]):
                    arguments[j] = operand(chain, op[4 + j], slots, start_bytes, block_bytes)
                (<inner_fn><size_t>op[0])(target, arguments, count, chain.floats + op[1], chain.accumulate and dst == OUTPUT)
            op += 4 + op[3]
        at += count


cdef void spread(char* target, const char* value, int64_t count, int64_t item) noexcept nogil:
    cdef int64_t i
    cdef float f
    cdef double d
    if item == 4:
        memcpy(&f, value, 4)
        for i in range(count):
            (<float*>target)[i] = f
    else:
        memcpy(&d, value, 8)
        for i in range(count):
            (<double*>target)[i] = d


cdef void run_chunk(void* context, Py_ssize_t chunk) noexcept nogil:
    cdef Chain* chain = <Chain*>context
    cdef const int64_t* ints = chain.ints
    cdef int64_t step = BLOCKS * ints[2]
    cdef int64_t start = chunk * step
    cdef char* slots = <char*>scratch(6, ints[4] * ints[2] * ints[1])
    run_blocks(chain, start, min(start + step, ints[0]), slots)


cdef int fused(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    cdef Chain chain
    cdef char near[NEAR_BYTES]
    cdef int64_t n = ints[0], need = ints[4] * ints[2] * ints[1]
    chain.out = <char**>out
    chain.inp = <char**>inp
    chain.ints = ints
    chain.floats = floats
    chain.accumulate = accumulate
    if n <= ints[2]:
        if need <= NEAR_BYTES:
            run_blocks(&chain, 0, n, near)
            return 0
        if scratch(6, need) == NULL:
            return 2
        run_blocks(&chain, 0, n, <char*>scratch(6, need))
        return 0
    if scratch(6, need) == NULL:
        return 2
    parallel_for(run_chunk, &chain, (n + BLOCKS * ints[2] - 1) // (BLOCKS * ints[2]), <double>n * ints[3] * 0.3)
    return 0


ADDRESS = <size_t>&fused
