# cython: language_level=3
"""Chains of elementwise ops, block by block: every op of a chain runs over a short block that stays in L1 before the next is touched.

Ops that call a function run as the loops of the single ops (the same machine code); arithmetic between them runs in registers
(plan/chain_machine.h), by the same operations: fusion changes no bit. Memory is read once, a block ahead, and written once. A value that is
only summed is never written: a chunk of it is as long as a segment of `reduce_sum`'s tree, and that kernel sums the chunk, then the sums.
"""
from libc.stdint cimport int64_t
from libc.string cimport memcpy

from tlean._core.kernel cimport TL_NO_MEMORY, TL_OK, TL_SLOT_CHAIN, TL_SLOT_CHAIN_SUMS, tl_kernel
from tlean._core.threads.threads cimport parallel_for, scratch

cdef extern from *:
    """
    #if defined(__GNUC__)
    #define tl_fetch(p, write) __builtin_prefetch(p, write, 3)
    #else
    #define tl_fetch(p, write) ((void)(p))
    #endif
    """
    void tl_fetch(const void* p, int write) nogil

cdef extern from "plan/chain_machine.h" nogil:
    ctypedef struct tl_code:
        void* step
        char* at[4]
        const double* floats

ctypedef void (*inner_fn)(void* out, void** inp, int64_t n, const double* floats, int accumulate) noexcept nogil
ctypedef void (*run_fn)(const tl_code* code, int64_t nbytes) noexcept nogil

# Layout of `ints`:
#   n, itemsize, block, ops, slots, sums, segment, the address of `reduce_sum`, where the operands to fetch begin, how many they are,
#   runs, the address that starts a run, elements of a strip;
#   for every sum its output and its first float (the divisor);
#   for every op: inner loop (an address; 0 = spread the scalar argument), first float, destination, number of arguments, arguments;
#   the operands to fetch ahead;
#   the runs, which together do what the ops do, on whole strips: 0 and the place of an op, or a number of steps and for every step its
#   address, first float, number of operands, operands.
# An operand is input k as k, output k as OUTPUT + k, slot k as SLOT + k, the value of sum k as SUM + k, input k as a scalar as SCALAR + k.
cdef enum:
    OUTPUT = 1 << 20
    SLOT = 1 << 21
    SUM = 1 << 22
    SCALAR = 1 << 23
    HEADER = 13
    MOST_ARGUMENTS = 8
    MOST_STEPS = 64
    # Slots of short chains live on the stack.
    NEAR_BYTES = 8192
    # Blocks in one unit of work of a thread, where nothing is summed.
    BLOCKS = 8


cdef inline char* operand(Chain* chain, int64_t code, char* slots, char* summed, int64_t at, int64_t start) noexcept nogil:
    cdef int64_t item = chain.ints[1]
    if code >= SCALAR:
        return chain.inp[code - SCALAR]
    if code >= SUM:
        return summed + ((code - SUM) * chain.step + at - start) * item
    if code >= SLOT:
        return slots + (code - SLOT) * chain.ints[2] * item
    if code >= OUTPUT:
        return chain.out[code - OUTPUT] + at * item
    return chain.inp[code] + at * item


# A block: elements at … at + count − 1 of a range that begins at `start`.
cdef struct Block:
    int64_t at
    int64_t count
    int64_t start
    char* slots
    char* summed


cdef inline void run_op(Chain* chain, Block* b, const int64_t* op) noexcept nogil:
    cdef void* arguments[MOST_ARGUMENTS]
    cdef void* target = operand(chain, op[2], b.slots, b.summed, b.at, b.start)
    cdef int64_t j
    if op[0] == 0:
        spread(<char*>target, operand(chain, op[4], b.slots, b.summed, b.at, b.start), b.count, chain.ints[1])
        return
    for j in range(op[3]):
        arguments[j] = operand(chain, op[4 + j], b.slots, b.summed, b.at, b.start)
    (<inner_fn><size_t>op[0])(target, arguments, b.count, chain.floats + op[1], chain.accumulate and op[2] == OUTPUT)


cdef void fetch_share(Chain* chain, int64_t at, int64_t count, int64_t share, int64_t shares) noexcept nogil:
    # One share of the cache lines that the block at `at` will use. What is written is fetched where loops of functions hide its way; a
    # single run of arithmetic has no time for more than what it reads.
    cdef const int64_t* far = chain.ints + chain.ints[8]
    cdef int64_t item = chain.ints[1], first = share * count * item // shares, last = (share + 1) * count * item // shares, k, i
    cdef char* p
    for k in range(chain.ints[9]):
        p = operand(chain, far[k], NULL, NULL, at, 0)
        if far[k] >= OUTPUT and shares == 1:
            continue
        for i in range(first, last, 64):
            if far[k] < OUTPUT:
                tl_fetch(p + i, 0)
            else:
                tl_fetch(p + i, 1)


cdef void run_strips(Chain* chain, Block* b, int64_t ahead) noexcept nogil:
    # The runs of a block of whole strips; `ahead` elements of the next one are fetched meanwhile.
    cdef const int64_t* ints = chain.ints
    cdef const int64_t* p = ints + ints[8] + ints[9]
    cdef tl_code code[MOST_STEPS]
    cdef int64_t run, k, j, steps
    for run in range(ints[10]):
        if ahead > 0:
            fetch_share(chain, b.at + b.count, ahead, run, ints[10])
        steps = p[0]
        p += 1
        if steps == 0:
            run_op(chain, b, ints + p[0])
            p += 1
            continue
        for k in range(steps):
            code[k].step = <void*><size_t>p[0]
            code[k].floats = chain.floats + p[1]
            for j in range(p[2]):
                code[k].at[j] = operand(chain, p[3 + j], b.slots, b.summed, b.at, b.start)
            p += 3 + p[2]
        (<run_fn><size_t>ints[11])(code, b.count * ints[1])


cdef void run_blocks(Chain* chain, int64_t start, int64_t stop, char* slots, char* summed) noexcept nogil:
    cdef const int64_t* ints = chain.ints
    cdef const int64_t* op
    cdef int64_t strips = ints[12] if ints[10] and not chain.accumulate else 0, ahead, _k
    cdef Block b
    b.at, b.start, b.slots, b.summed = start, start, slots, summed
    while b.at < stop:
        b.count = min(ints[2], stop - b.at)
        if strips and b.count >= strips:
            b.count -= b.count % strips
            ahead = min(ints[2], ints[0] - b.at - b.count) if ints[9] else 0
            run_strips(chain, &b, ahead)
        else:
            op = ints + HEADER + 2 * ints[5]
            for _k in range(ints[3]):
                run_op(chain, &b, op)
                op += 4 + op[3]
        b.at += b.count


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


cdef void total(const int64_t* ints, void* target, void* values, int64_t count, const double* divisor) noexcept nogil:
    # One run of `reduce_sum` over all elements.
    cdef int64_t shape[3]
    shape[0], shape[1], shape[2] = 1, 1, count
    (<tl_kernel><size_t>ints[7])(&target, &values, shape, divisor, 0)


cdef void sum_chunk(Chain* chain, int64_t chunk, int64_t count, char* summed) noexcept nogil:
    cdef const int64_t* ints = chain.ints
    cdef int64_t k, chunks = (ints[0] + chain.step - 1) // chain.step
    cdef double one = 1.0
    for k in range(ints[5]):
        if chunks == 1:
            total(ints, chain.out[ints[HEADER + 2 * k]], summed + k * chain.step * ints[1], count, chain.floats + ints[HEADER + 2 * k + 1])
        else:
            total(ints, chain.partial + (k * chunks + chunk) * ints[1], summed + k * chain.step * ints[1], count, &one)


cdef inline int64_t slot_bytes(const int64_t* ints) noexcept nogil:
    return (ints[4] * ints[2] * ints[1] + 63) & ~63


cdef void run_chunk(void* context, Py_ssize_t chunk) noexcept nogil:
    cdef Chain* chain = <Chain*>context
    cdef const int64_t* ints = chain.ints
    cdef int64_t start = chunk * chain.step, stop = min(start + chain.step, ints[0])
    cdef int64_t room = slot_bytes(ints)
    cdef char* slots = <char*>scratch(TL_SLOT_CHAIN, room + ints[5] * chain.step * ints[1])
    run_blocks(chain, start, stop, slots, slots + room)
    if ints[5]:
        sum_chunk(chain, chunk, stop - start, slots + room)


cdef int run_range(Chain* chain, int64_t start, int64_t stop) noexcept nogil:
    cdef char near[NEAR_BYTES]
    cdef int64_t room = slot_bytes(chain.ints)
    cdef char* slots = &near[0]
    if room > NEAR_BYTES:
        slots = <char*>scratch(TL_SLOT_CHAIN, room)
        if slots == NULL:
            return TL_NO_MEMORY
    run_blocks(chain, start, stop, slots, NULL)
    return TL_OK


cdef int fused(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    cdef Chain chain
    cdef int64_t n = ints[0], k, chunks
    cdef int64_t room = slot_bytes(ints)
    chain.out = <char**>out
    chain.inp = <char**>inp
    chain.ints = ints
    chain.floats = floats
    chain.accumulate = accumulate
    chain.partial = NULL
    chain.step = ints[6] if ints[5] else BLOCKS * ints[2]
    if ints[5] == 0 and n <= ints[2] and room <= NEAR_BYTES:
        return run_range(&chain, 0, n)
    chain.step = min(chain.step, n)
    chunks = (n + chain.step - 1) // chain.step
    # Every thread requests its own; the caller finds out here whether there is that much.
    if scratch(TL_SLOT_CHAIN, room + ints[5] * chain.step * ints[1]) == NULL:
        return TL_NO_MEMORY
    if ints[5] and chunks > 1:
        chain.partial = <char*>scratch(TL_SLOT_CHAIN_SUMS, ints[5] * chunks * ints[1])
        if chain.partial == NULL:
            return TL_NO_MEMORY
    parallel_for(run_chunk, &chain, chunks, <double>n * ints[3] * 0.3)
    if chunks > 1:
        for k in range(ints[5]):
            total(ints, out[ints[HEADER + 2 * k]], chain.partial + k * chunks * ints[1], chunks, floats + ints[HEADER + 2 * k + 1])
    return TL_OK


ADDRESS = <size_t>&fused
