# cython: language_level=3
"""Chains of elementwise ops, block by block: every op of a chain runs over a short block that stays in L1 before the next is touched.

Ops that call a function run as the loops of the single ops (the same machine code); arithmetic between them runs in registers
(plan/chain_machine.h), by the same operations: fusion changes no bit. Memory is read once, a block ahead, and written once. A value that is
only summed is never written: a chunk of it is as long as a segment of `reduce_sum`'s tree, and that kernel sums the chunk, part by part of
the tree, then the sums.
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

cdef extern from "plan/chain_abi.h":
    cpdef enum:
        CHAIN_ELEMENTS, CHAIN_ITEMSIZE, CHAIN_BLOCK, CHAIN_OPS, CHAIN_SLOTS, CHAIN_SUMS, CHAIN_SEGMENT, CHAIN_REDUCE_SUM
        CHAIN_FETCHED_AT, CHAIN_FETCHED, CHAIN_RUNS, CHAIN_MACHINE, CHAIN_STRIP, CHAIN_OPS_AT, CHAIN_STRETCHED, CHAIN_ROOM, CHAIN_STRETCHER
        CHAIN_WIDTH, CHAIN_TILE, CHAIN_SHARE, CHAIN_VALUES, CHAIN_ADD_ROWS, CHAIN_PART, CHAIN_SUM_PART, CHAIN_SIZE
        STRETCHED_INPUT, STRETCHED_KIND, STRETCHED_ROOM, STRETCHED_LENGTH, STRETCHED_AXES, STRETCHED_SIZE
        STRETCHED_BLOCK, STRETCHED_ROW, STRETCHED_POINTER, STRETCHED_COLUMN, STRETCHED_OFFSET, STRETCHED_RANGE
        CHAIN_SUM_OUTPUT, CHAIN_SUM_FLOATS, CHAIN_SUM_VALUE, CHAIN_SUM_KIND, CHAIN_SUM_KERNEL, CHAIN_SUM_SIZE
        CHAIN_TOTAL, CHAIN_ROW_SUMS, CHAIN_COLUMN_SUMS, CHAIN_LOGSUMEXP
        CHAIN_OP_LOOP, CHAIN_OP_FLOATS, CHAIN_OP_TARGET, CHAIN_OP_OPERANDS, CHAIN_OP_SIZE
        CHAIN_STEP_ADDRESS, CHAIN_STEP_FLOATS, CHAIN_STEP_OPERANDS, CHAIN_STEP_SIZE
        CHAIN_OUTPUT, CHAIN_SLOT, CHAIN_SUM, CHAIN_SCALAR, CHAIN_REPEATED, CHAIN_STRETCH, CHAIN_MOST_STEPS, CHAIN_MOST_OPERANDS
        CHAIN_SIZED, CHAIN_BYTES

cdef extern from "plan/stretch.h" nogil:
    int64_t tl_stretched_at(const int64_t* axes, int64_t first)

cdef extern from "plan/gaps.h" nogil:
    void tl_fill_gaps(char* out, const char* base, const int64_t* axes, int64_t offset, int64_t end, int64_t item)

cdef extern from "plan/chain_machine.h" nogil:
    ctypedef struct tl_code:
        void* step
        char* at[4]
        const double* floats
        const char* number
        int64_t rest
        int64_t along

ctypedef void (*inner_fn)(void* out, void** inp, int64_t n, const double* floats, int accumulate) noexcept nogil
ctypedef void (*stretch_fn)(void* out, const void* x, const int64_t* axes, int64_t first, int64_t count) noexcept nogil
ctypedef void (*run_fn)(const tl_code* code, int64_t nbytes) noexcept nogil

cdef enum:
    # Slots of short chains live on the stack.
    NEAR_BYTES = 8192
    # Blocks in one unit of work of a thread, where nothing is summed.
    BLOCKS = 8
    # The same where rows are written out for them.
    ROW_BLOCKS = 32
    # Room for the state of a sum in parts: four vectors.
    STATE_BYTES = 256


cdef char* repeated(Chain* chain, const int64_t* s, char* slots, int64_t at) noexcept nogil:
    # Where a block that begins at element `at` finds a stretched input.
    cdef int64_t item = chain.ints[CHAIN_ITEMSIZE]
    if s[STRETCHED_KIND] == STRETCHED_ROW:
        return slots + (chain.ints[CHAIN_SLOTS] * chain.ints[CHAIN_BLOCK] + s[STRETCHED_ROOM] + at % s[STRETCHED_LENGTH]) * item
    if s[STRETCHED_KIND] == STRETCHED_OFFSET:
        return chain.inp[s[STRETCHED_INPUT]] + (s[STRETCHED_ROOM] + at) * item
    if s[STRETCHED_KIND] == STRETCHED_RANGE:
        return chain.out[s[STRETCHED_INPUT]] + (s[STRETCHED_ROOM] + at) * item
    return chain.inp[s[STRETCHED_INPUT]] + tl_stretched_at(s + STRETCHED_AXES, at) * item


cdef inline const int64_t* first_stretched(const int64_t* ints) noexcept nogil:
    return ints + CHAIN_SIZE + CHAIN_SUM_SIZE * ints[CHAIN_SUMS]


cdef inline const int64_t* next_stretched(const int64_t* s) noexcept nogil:
    return s + STRETCHED_SIZE + 2 * s[STRETCHED_AXES]


cdef inline int64_t in_runs(const int64_t* ints, int64_t at, int64_t count) noexcept nogil:
    # As many of the elements from `at` on as lie in one run of each input that is read where it is.
    cdef const int64_t* s = first_stretched(ints)
    cdef int64_t _k
    for _k in range(ints[CHAIN_STRETCHED]):
        if s[STRETCHED_KIND] == STRETCHED_POINTER:
            count = min(count, s[STRETCHED_LENGTH] - at % s[STRETCHED_LENGTH])
        s = next_stretched(s)
    return count


cdef void write_rows(Chain* chain, int64_t start, int64_t stop, char* slots) noexcept nogil:
    # The patterns that blocks of a range read: the part that its only block does, or a whole pattern and a block more. The last elements of
    # a range that make no whole strips are another block.
    cdef const int64_t* ints = chain.ints
    cdef const int64_t* s = first_stretched(ints)
    cdef int64_t length = stop - start, first, count, _k
    cdef bint one = length <= ints[CHAIN_BLOCK] and (length < ints[CHAIN_STRIP] or length % ints[CHAIN_STRIP] == 0)
    one = one and in_runs(ints, start, length) == length
    for _k in range(ints[CHAIN_STRETCHED]):
        if s[STRETCHED_KIND] == STRETCHED_ROW:
            first = start if one else 0
            count = length if one else s[STRETCHED_LENGTH] + min(length, ints[CHAIN_BLOCK])
            stretch(chain, repeated(chain, s, slots, first), s, first, count)
        s = next_stretched(s)


cdef char* other_operand(Chain* chain, int64_t code, char* slots, char* summed, int64_t at, int64_t start) noexcept nogil:
    # An operand that is neither an input, an output nor a slot of the group's dtype.
    cdef int64_t k
    if code >= CHAIN_SIZED:
        k = (code - CHAIN_SIZED) % CHAIN_BYTES
        return (chain.out[k - CHAIN_OUTPUT] if k >= CHAIN_OUTPUT else chain.inp[k]) + at * ((code - CHAIN_SIZED) // CHAIN_BYTES)
    if code >= CHAIN_REPEATED:
        return repeated(chain, chain.ints + (code - CHAIN_REPEATED), slots, at)
    if code >= CHAIN_SCALAR:
        return chain.inp[code - CHAIN_SCALAR]
    return summed + ((code - CHAIN_SUM) * chain.step + at - start) * chain.ints[CHAIN_ITEMSIZE]


cdef inline char* operand(Chain* chain, int64_t code, char* slots, char* summed, int64_t at, int64_t start) noexcept nogil:
    cdef int64_t item = chain.ints[CHAIN_ITEMSIZE]
    if code < CHAIN_SUM:
        if code >= CHAIN_SLOT:
            return slots + (code - CHAIN_SLOT) * chain.ints[CHAIN_BLOCK] * item
        if code >= CHAIN_OUTPUT:
            return chain.out[code - CHAIN_OUTPUT] + at * item
        return chain.inp[code] + at * item
    return other_operand(chain, code, slots, summed, at, start)


# A block: elements at … at + count − 1 of a range that begins at `start`.
cdef struct Block:
    int64_t at
    int64_t count
    int64_t start
    char* slots
    char* summed


cdef void write_op(Chain* chain, Block* b, const int64_t* op) noexcept nogil:
    # An op without a separate loop: it spreads a number, or writes a stretched input out if that is not read where it is.
    cdef char* target
    cdef const int64_t* s
    if op[CHAIN_OP_TARGET] >= CHAIN_REPEATED:
        return
    target = operand(chain, op[CHAIN_OP_TARGET], b.slots, b.summed, b.at, b.start)
    if op[CHAIN_OP_LOOP] == CHAIN_STRETCH:
        s = chain.ints + (op[CHAIN_OP_SIZE] - CHAIN_REPEATED)
        stretch(chain, target, s, b.at, b.count)
    else:
        spread(target, operand(chain, op[CHAIN_OP_SIZE], b.slots, b.summed, b.at, b.start), b.count, chain.ints[CHAIN_ITEMSIZE])


cdef inline void run_op(Chain* chain, Block* b, const int64_t* op) noexcept nogil:
    cdef void* arguments[CHAIN_MOST_OPERANDS]
    cdef void* target
    cdef int64_t j
    if op[CHAIN_OP_LOOP] == 0 or op[CHAIN_OP_LOOP] == CHAIN_STRETCH:
        write_op(chain, b, op)
        return
    target = operand(chain, op[CHAIN_OP_TARGET], b.slots, b.summed, b.at, b.start)
    for j in range(op[CHAIN_OP_OPERANDS]):
        arguments[j] = operand(chain, op[CHAIN_OP_SIZE + j], b.slots, b.summed, b.at, b.start)
    (<inner_fn><size_t>op[CHAIN_OP_LOOP])(target, arguments, b.count, chain.floats + op[CHAIN_OP_FLOATS],
                                          chain.accumulate and op[CHAIN_OP_TARGET] == CHAIN_OUTPUT)


cdef inline void stretch(Chain* chain, char* target, const int64_t* s, int64_t first, int64_t count) noexcept nogil:
    (<stretch_fn><size_t>chain.ints[CHAIN_STRETCHER])(target, chain.inp[s[STRETCHED_INPUT]], s + STRETCHED_AXES, first, count)


cdef void fetch_share(Chain* chain, int64_t at, int64_t count, int64_t share, int64_t shares) noexcept nogil:
    # One share of the cache lines that the block at `at` will use. What is written is fetched where loops of functions hide its way; a
    # single run of arithmetic has no time for more than what it reads.
    cdef const int64_t* far = chain.ints + chain.ints[CHAIN_FETCHED_AT]
    cdef int64_t size = count * chain.ints[CHAIN_ITEMSIZE], first = share * size // shares, last = (share + 1) * size // shares, k, i
    cdef char* p
    for k in range(chain.ints[CHAIN_FETCHED]):
        p = operand(chain, far[k], NULL, NULL, at, 0)
        if far[k] >= CHAIN_OUTPUT and shares == 1:
            continue
        for i in range(first, last, 64):
            if far[k] < CHAIN_OUTPUT:
                tl_fetch(p + i, 0)
            else:
                tl_fetch(p + i, 1)


cdef inline void begin_column(Chain* chain, tl_code* code, int64_t operand, int64_t at) noexcept nogil:
    # A step that fills strips with runs of one value needs to know where; another reads a stretched input as any.
    cdef const int64_t* s = chain.ints + (operand - CHAIN_REPEATED)
    if s[STRETCHED_KIND] == STRETCHED_COLUMN:
        code.at[3] = code.at[1]
        code.number = code.at[0]
        code.rest = s[STRETCHED_LENGTH] - at % s[STRETCHED_LENGTH]
        code.along = s[STRETCHED_AXES + 3] * chain.ints[CHAIN_ITEMSIZE] if s[STRETCHED_AXES] == 2 else -1
        code.at[0], code.at[1], code.at[2] = <char*>(s + STRETCHED_AXES), chain.inp[s[STRETCHED_INPUT]], <char*>at


cdef void run_strips(Chain* chain, Block* b, int64_t ahead) noexcept nogil:
    # The runs of a block of whole strips; `ahead` elements of the next one are fetched meanwhile.
    cdef const int64_t* ints = chain.ints
    cdef const int64_t* p = ints + ints[CHAIN_FETCHED_AT] + ints[CHAIN_FETCHED]
    cdef tl_code code[CHAIN_MOST_STEPS]
    cdef int64_t run, k, j, steps
    for run in range(ints[CHAIN_RUNS]):
        if ahead > 0:
            fetch_share(chain, b.at + b.count, ahead, run, ints[CHAIN_RUNS])
        steps = p[0]
        p += 1
        if steps == 0:
            run_op(chain, b, ints + p[0])
            p += 1
            continue
        for k in range(steps):
            code[k].step = <void*><size_t>p[CHAIN_STEP_ADDRESS]
            code[k].floats = chain.floats + p[CHAIN_STEP_FLOATS]
            for j in range(p[CHAIN_STEP_OPERANDS]):
                code[k].at[j] = operand(chain, p[CHAIN_STEP_SIZE + j], b.slots, b.summed, b.at, b.start)
            if p[CHAIN_STEP_OPERANDS] and CHAIN_REPEATED <= p[CHAIN_STEP_SIZE] < CHAIN_SIZED:
                begin_column(chain, &code[k], p[CHAIN_STEP_SIZE], b.at)
            p += CHAIN_STEP_SIZE + p[CHAIN_STEP_OPERANDS]
        (<run_fn><size_t>ints[CHAIN_MACHINE])(code, b.count * ints[CHAIN_ITEMSIZE])


cdef void run_blocks(Chain* chain, int64_t start, int64_t stop, char* slots, char* summed) noexcept nogil:
    if chain.ints[CHAIN_ROOM]:
        write_rows(chain, start, stop, slots)
    run_elements(chain, start, stop, slots, summed)


cdef void run_elements(Chain* chain, int64_t start, int64_t stop, char* slots, char* summed) noexcept nogil:
    # The same where rows are written out already.
    cdef const int64_t* ints = chain.ints
    cdef const int64_t* op
    cdef int64_t strips = ints[CHAIN_STRIP] if ints[CHAIN_RUNS] and not chain.accumulate else 0, ahead, _k
    cdef Block b
    b.at, b.start, b.slots, b.summed = start, start, slots, summed
    while b.at < stop:
        b.count = min(ints[CHAIN_BLOCK], stop - b.at)
        if ints[CHAIN_STRETCHED]:
            b.count = in_runs(ints, b.at, b.count)
        if strips and b.count >= strips:
            b.count -= b.count % strips
            ahead = min(ints[CHAIN_BLOCK], ints[CHAIN_ELEMENTS] - b.at - b.count) if ints[CHAIN_FETCHED] else 0
            run_strips(chain, &b, ahead)
        else:
            op = ints + ints[CHAIN_OPS_AT]
            for _k in range(ints[CHAIN_OPS]):
                run_op(chain, &b, op)
                op += CHAIN_OP_SIZE + op[CHAIN_OP_OPERANDS]
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
    (<tl_kernel><size_t>ints[CHAIN_REDUCE_SUM])(&target, &values, shape, divisor, 0)


cdef void sum_chunk(Chain* chain, int64_t chunk, int64_t count, char* summed) noexcept nogil:
    cdef const int64_t* ints = chain.ints
    cdef const int64_t* sum_ = ints + CHAIN_SIZE
    cdef int64_t item = ints[CHAIN_ITEMSIZE], k, chunks = (ints[CHAIN_ELEMENTS] + chain.step - 1) // chain.step
    cdef double one = 1.0
    cdef char* value
    for k in range(ints[CHAIN_SUMS]):
        value = summed + sum_[CHAIN_SUM_VALUE] * chain.step * item
        if chunks == 1:
            total(ints, chain.out[sum_[CHAIN_SUM_OUTPUT]], value, count, chain.floats + sum_[CHAIN_SUM_FLOATS])
        else:
            total(ints, chain.partial + (k * chunks + chunk) * item, value, count, &one)
        sum_ += CHAIN_SUM_SIZE


cdef void sum_parts(Chain* chain, int64_t chunk, int64_t start, int64_t stop, char* slots, char* states, char* summed) noexcept nogil:
    # A chunk part by part: what is summed of each is still in the nearest cache.
    cdef const int64_t* ints = chain.ints
    cdef const int64_t* sum_
    cdef int64_t item = ints[CHAIN_ITEMSIZE], k, chunks = (ints[CHAIN_ELEMENTS] + chain.step - 1) // chain.step, at = start, end
    cdef int64_t numbers[3]
    cdef double one = 1.0
    cdef const double* divisor
    cdef void* target[2]
    cdef void* value
    if ints[CHAIN_ROOM]:
        write_rows(chain, start, stop, slots)
    while at < stop:
        end = min(at + ints[CHAIN_PART], stop)
        run_elements(chain, at, end, slots, summed)
        numbers[0], numbers[1], numbers[2] = end - at, at == start, end == stop
        sum_ = ints + CHAIN_SIZE
        for k in range(ints[CHAIN_SUMS]):
            value = summed + sum_[CHAIN_SUM_VALUE] * chain.step * item
            target[0], target[1], divisor = chain.partial + (k * chunks + chunk) * item, states + k * STATE_BYTES, &one
            if chunks == 1:
                target[0], divisor = chain.out[sum_[CHAIN_SUM_OUTPUT]], chain.floats + sum_[CHAIN_SUM_FLOATS]
            (<tl_kernel><size_t>ints[CHAIN_SUM_PART])(target, &value, numbers, divisor, 0)
            sum_ += CHAIN_SUM_SIZE
        at = end


cdef inline int64_t sum_bytes(const int64_t* ints, int64_t step) noexcept nogil:
    # Of what a chunk sums: the states, then the values.
    return ints[CHAIN_SUMS] * (STATE_BYTES + step * ints[CHAIN_ITEMSIZE])


cdef inline int64_t slot_bytes(const int64_t* ints) noexcept nogil:
    return ((ints[CHAIN_SLOTS] * ints[CHAIN_BLOCK] + ints[CHAIN_ROOM]) * ints[CHAIN_ITEMSIZE] + 63) & ~63


# Sums of rows and columns: rows of the summed values are made in a tile, whole ones, and the tile is summed while it is in a cache.

cdef inline int64_t row_shares(const int64_t* ints) noexcept nogil:
    return (ints[CHAIN_ELEMENTS] // ints[CHAIN_WIDTH] + ints[CHAIN_SHARE] - 1) // ints[CHAIN_SHARE]


cdef inline int64_t tile_bytes(const int64_t* ints) noexcept nogil:
    # The values of a tile, and a row for each sum.
    return (ints[CHAIN_VALUES] * ints[CHAIN_TILE] + ints[CHAIN_SUMS]) * ints[CHAIN_WIDTH] * ints[CHAIN_ITEMSIZE]


cdef void sum_tile(Chain* chain, int64_t share, int64_t row, int64_t rows, bint last, char* tile) noexcept nogil:
    # `rows` rows from `row` on, which are the last of their share or not.
    cdef const int64_t* ints = chain.ints
    cdef const int64_t* sum_ = ints + CHAIN_SIZE
    cdef int64_t item = ints[CHAIN_ITEMSIZE], width = ints[CHAIN_WIDTH], k
    cdef int64_t line = width * item
    cdef int64_t numbers[4]
    cdef void* target[2]
    cdef void* value
    for k in range(ints[CHAIN_SUMS]):
        value = tile + sum_[CHAIN_SUM_VALUE] * chain.step * item
        target[0] = chain.out[sum_[CHAIN_SUM_OUTPUT]] + row * item
        numbers[0], numbers[1], numbers[2], numbers[3] = 2, 0, rows, width
        if sum_[CHAIN_SUM_KIND] == CHAIN_LOGSUMEXP:
            numbers[0], numbers[1], numbers[2] = rows, width, 1
        elif sum_[CHAIN_SUM_KIND] == CHAIN_COLUMN_SUMS:
            target[0] = chain.partial + (k * row_shares(ints) + share) * line
            target[1] = tile + (ints[CHAIN_VALUES] * ints[CHAIN_TILE] + k) * line
            numbers[0], numbers[1], numbers[2], numbers[3] = row - share * ints[CHAIN_SHARE], rows, width, last
        (<tl_kernel><size_t>sum_[CHAIN_SUM_KERNEL])(target, &value, numbers, chain.floats + sum_[CHAIN_SUM_FLOATS], 0)
        sum_ += CHAIN_SUM_SIZE


cdef void run_share(void* context, Py_ssize_t share) noexcept nogil:
    cdef Chain* chain = <Chain*>context
    cdef const int64_t* ints = chain.ints
    cdef int64_t room = slot_bytes(ints), width = ints[CHAIN_WIDTH], row = share * ints[CHAIN_SHARE], rows
    cdef int64_t stop = min(row + ints[CHAIN_SHARE], ints[CHAIN_ELEMENTS] // width)
    cdef char* slots = <char*>scratch(TL_SLOT_CHAIN, room + tile_bytes(ints))
    while row < stop:
        rows = min(ints[CHAIN_TILE], stop - row)
        run_blocks(chain, row * width, (row + rows) * width, slots, slots + room)
        sum_tile(chain, share, row, rows, row + rows == stop, slots + room)
        row += rows


cdef int fused_rows(Chain* chain) noexcept nogil:
    cdef const int64_t* ints = chain.ints
    cdef const int64_t* sum_ = ints + CHAIN_SIZE
    cdef int64_t shares = row_shares(ints), width = ints[CHAIN_WIDTH], line = ints[CHAIN_WIDTH] * ints[CHAIN_ITEMSIZE], k
    cdef int64_t numbers[4]
    cdef void* value
    cdef int status
    chain.step = ints[CHAIN_TILE] * width
    # Every thread requests memory for itself; the caller finds out here whether there is that much.
    chain.partial = <char*>scratch(TL_SLOT_CHAIN_SUMS, ints[CHAIN_SUMS] * shares * line)
    if chain.partial == NULL or scratch(TL_SLOT_CHAIN, slot_bytes(ints) + tile_bytes(ints)) == NULL:
        return TL_NO_MEMORY
    parallel_for(run_share, chain, shares, <double>ints[CHAIN_ELEMENTS] * ints[CHAIN_OPS] * 0.3)
    numbers[0], numbers[1], numbers[2], numbers[3] = 2, 1, shares, width
    for k in range(ints[CHAIN_SUMS]):
        if sum_[CHAIN_SUM_KIND] == CHAIN_COLUMN_SUMS:
            value = chain.partial + k * shares * line
            status = (<tl_kernel><size_t>ints[CHAIN_REDUCE_SUM])(
                <void**>&chain.out[sum_[CHAIN_SUM_OUTPUT]], &value, numbers, chain.floats + sum_[CHAIN_SUM_FLOATS], 0)
            if status != TL_OK:
                return status
        sum_ += CHAIN_SUM_SIZE
    return TL_OK


cdef void run_chunk(void* context, Py_ssize_t chunk) noexcept nogil:
    cdef Chain* chain = <Chain*>context
    cdef const int64_t* ints = chain.ints
    cdef int64_t start = chunk * chain.step, stop = min(start + chain.step, ints[CHAIN_ELEMENTS])
    cdef int64_t room = slot_bytes(ints)
    cdef char* slots = <char*>scratch(TL_SLOT_CHAIN, room + sum_bytes(ints, chain.step))
    cdef char* summed = slots + room + ints[CHAIN_SUMS] * STATE_BYTES
    if ints[CHAIN_SUMS] and stop - start > ints[CHAIN_PART]:
        sum_parts(chain, chunk, start, stop, slots, slots + room, summed)
        return
    run_blocks(chain, start, stop, slots, summed)
    if ints[CHAIN_SUMS]:
        sum_chunk(chain, chunk, stop - start, summed)


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


cdef void fill_gaps(Chain* chain) noexcept nogil:
    # Of outputs that are written in a box only, all else.
    cdef const int64_t* ints = chain.ints
    cdef const int64_t* s = first_stretched(ints)
    cdef char* base
    cdef int64_t _k
    for _k in range(ints[CHAIN_STRETCHED]):
        if s[STRETCHED_KIND] == STRETCHED_RANGE:
            base = chain.inp[s[STRETCHED_LENGTH] - 1] if s[STRETCHED_LENGTH] else NULL
            tl_fill_gaps(chain.out[s[STRETCHED_INPUT]], base, s + STRETCHED_AXES, s[STRETCHED_ROOM],
                         s[STRETCHED_ROOM] + ints[CHAIN_ELEMENTS], ints[CHAIN_ITEMSIZE])
        s = next_stretched(s)


cdef int fused(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    cdef Chain chain
    cdef int status
    chain.out = <char**>out
    chain.inp = <char**>inp
    chain.ints = ints
    chain.floats = floats
    chain.accumulate = accumulate
    chain.partial = NULL
    status = run_chain(&chain, out, ints, floats)
    if ints[CHAIN_STRETCHED] and status == TL_OK:
        fill_gaps(&chain)
    return status


cdef int run_chain(Chain* chain, void** out, const int64_t* ints, const double* floats) noexcept nogil:
    cdef const int64_t* sum_ = ints + CHAIN_SIZE
    cdef int64_t n = ints[CHAIN_ELEMENTS], item = ints[CHAIN_ITEMSIZE], room = slot_bytes(ints), k, chunks
    if ints[CHAIN_WIDTH]:
        return fused_rows(chain)
    chain.step = ints[CHAIN_SEGMENT] if ints[CHAIN_SUMS] else (ROW_BLOCKS if ints[CHAIN_ROOM] else BLOCKS) * ints[CHAIN_BLOCK]
    if ints[CHAIN_SUMS] == 0 and n <= ints[CHAIN_BLOCK] and room <= NEAR_BYTES:
        return run_range(chain, 0, n)
    chain.step = min(chain.step, n)
    chunks = (n + chain.step - 1) // chain.step
    # Every thread requests memory for itself; the caller finds out here whether there is that much.
    if scratch(TL_SLOT_CHAIN, room + sum_bytes(ints, chain.step)) == NULL:
        return TL_NO_MEMORY
    if ints[CHAIN_SUMS] and chunks > 1:
        chain.partial = <char*>scratch(TL_SLOT_CHAIN_SUMS, ints[CHAIN_SUMS] * chunks * item)
        if chain.partial == NULL:
            return TL_NO_MEMORY
    parallel_for(run_chunk, chain, chunks, <double>n * ints[CHAIN_OPS] * 0.3)
    if chunks > 1:
        for k in range(ints[CHAIN_SUMS]):
            total(ints, out[sum_[CHAIN_SUM_OUTPUT]], chain.partial + k * chunks * item, chunks, floats + sum_[CHAIN_SUM_FLOATS])
            sum_ += CHAIN_SUM_SIZE
    return TL_OK


ADDRESS = <size_t>&fused
