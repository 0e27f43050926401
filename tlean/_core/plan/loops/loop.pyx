# cython: language_level=3
"""Kernels that run plans: a body n times (`scan`), while a condition holds, or one of several (`switch`), inside one instruction.

A body's plan is taken apart once into `Code` (body.pyx): a row of calls, and where each operand is. A run writes one table of pointers,
which each step moves on. All memory that a run needs is one operand, `work`, so a step allocates nothing.

A `while_loop` has its carries as states of the body's plan: their new values are in the same memory after a step.
"""
from libc.stdint cimport int64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy

from tlean._core.kernel cimport (
    TL_INDEFINITE, TL_INTERRUPTED, TL_NO_MEMORY, TL_OK, TL_SINGULAR, TL_STATUS_BITS, TL_STATUS_MASK, tl_kernel, tl_producer,
)
from tlean._core.plan.loops.body cimport COLLECT, DEAL, KERNEL, LOOP, MOVE, PRODUCER, REPEATED, STRETCHED, Body, Call, Outside, Pack
from tlean._core.plan.plan cimport AT_CONST, AT_INPUT, AT_OUTPUT, Place, failed_inside, interrupted
from tlean._core.threads.clock cimport nanoseconds

cdef extern from "kernels/layout/pieces.h" nogil:
    void tl_move(char* to, const char* source, int64_t nbytes)
    void tl_collect(char* to, void** source, int64_t count, int64_t nbytes)
    void tl_deal(void** to, const char* source, int64_t count, int64_t nbytes)
    void tl_repeat(char* to, const char* source, int64_t times, int64_t nbytes)

ctypedef void (*inner_fn)(void* out, void** inp, int64_t n, const double* floats, int accumulate) noexcept nogil
ctypedef void (*stretch_fn)(void* out, const void* x, const int64_t* axes, int64_t first, int64_t count) noexcept nogil

# How often a loop looks for signals, in nanoseconds.
cdef enum:
    BETWEEN_LOOKS = 10_000_000


# A body -----------------------------------------------------------------------------------------------------------------

cdef void fill(Body* body, void** table, void** inputs, void** outputs, char* scratch) noexcept nogil:
    # The pointers of the first step: of each operand, then where each copy is from and to.
    cdef int k
    cdef Outside* other = body.outside
    for k in range(body.n_operands):
        table[k] = scratch + body.inside[k]
    for k in range(body.n_outside[0]):
        table[other[k].entry] = <void*>(<size_t>inputs[other[k].n] + other[k].at)
    other += body.n_outside[0]
    for k in range(body.n_outside[1]):
        table[other[k].entry] = <void*>(<size_t>outputs[other[k].n] + other[k].at)
    other += body.n_outside[1]
    for k in range(body.n_outside[2]):
        table[other[k].entry] = <char*>body.constants[other[k].n] + other[k].at
    other += body.n_outside[2]
    for k in range(body.n_outside[3]):
        table[other[k].entry] = NULL
    table += body.n_operands
    for k in range(body.n_copies):
        table[2 * k] = inputs[body.copies[k].source]
        table[2 * k + 1] = outputs[body.copies[k].target]


cdef void prepare(Body* body, void** inputs, char* scratch) noexcept nogil:
    # Packs what is packed once; `inputs` are those of the first step.
    cdef int i
    cdef Pack* pack
    cdef void* source
    cdef void* target
    for i in range(body.n_packs):
        pack = &body.packs[i]
        source = body.constants[pack.source.n] if pack.source.kind == AT_CONST else inputs[pack.source.n]
        target = scratch + pack.at
        (<tl_kernel>pack.run)(&target, &source, pack.ints, NULL, 0)


cdef int other_call(Call* call, void** operands) noexcept nogil:
    # One that is neither a loop, a kernel nor a move: its status.
    cdef int64_t i
    cdef float f
    cdef double d
    if call.kind == PRODUCER:
        return (<tl_producer>call.run)(operands, operands + call.n_out, call.ints, call.floats, NULL)
    if call.kind == COLLECT:
        tl_collect(<char*>operands[0], operands + 1, call.count, call.bytes)
    elif call.kind == DEAL:
        tl_deal(operands + 1, <const char*>operands[0], call.count, call.bytes)
    elif call.kind == REPEATED:
        tl_repeat(<char*>operands[0], <const char*>operands[1], call.count, call.bytes)
    elif call.kind == STRETCHED:
        (<stretch_fn>call.run)(operands[0], operands[1], call.ints, 0, call.count)
    elif call.bytes == 4:
        f = (<float*>operands[1])[0]
        for i in range(call.count):
            (<float*>operands[0])[i] = f
    else:
        d = (<double*>operands[1])[0]
        for i in range(call.count):
            (<double*>operands[0])[i] = d
    return TL_OK


cdef int run_once(Body* body, void** table) noexcept nogil:
    # One step: TL_OK, or (instruction << TL_STATUS_BITS) | status.
    cdef int i, status
    cdef Call* call = body.calls
    cdef Call* end = call + body.n_calls
    cdef void** operands = table
    while call < end:
        if call.kind == LOOP:
            (<inner_fn>call.run)(operands[0], operands + 1, call.count, call.floats, 0)
        elif call.kind == MOVE:
            tl_move(<char*>operands[0], <const char*>operands[1], call.bytes)
        else:
            if call.kind == KERNEL:
                status = (<tl_kernel>call.run)(operands, operands + call.n_out, call.ints, call.floats, 0)
            else:
                status = other_call(call, operands)
            if status != TL_OK and status != TL_SINGULAR and status != TL_INDEFINITE:
                return (call.instruction << TL_STATUS_BITS) | (status if 0 < status < TL_STATUS_MASK else TL_STATUS_MASK)
        operands += call.n_operands
        call += 1
    for i in range(body.n_copies):
        tl_move(<char*>operands[2 * i + 1], <const char*>operands[2 * i], body.copies[i].bytes)
    return TL_OK


cdef inline int looked(int64_t* last) noexcept nogil:
    # TL_INTERRUPTED if it was time to look for signals, and a handler raised.
    cdef int64_t now = nanoseconds()
    if now - last[0] < BETWEEN_LOOKS:
        return TL_OK
    if interrupted():
        return TL_INTERRUPTED
    last[0] = nanoseconds()
    return TL_OK


# scan -------------------------------------------------------------------------------------------------------------------
# out: final carries, stacked outputs, work. inp: first carries, stacked inputs, invariants. An output that is never read is NULL, and has
# room in `work`. The body's inputs are these, of one step; its outputs the carries that have buffers, and a step of the stacked outputs.
# ints: (body, turns, reverse, carries, stacked inputs, invariants, stacked outputs, steps of a turn, pointers at, for each carry: bytes,
# two rooms, how; for each stacked input of each step of a turn: bytes of a turn, where the step is in them; for each stacked output of
# each: these, two rooms). The body does the steps of a turn one after the other. How a carry goes on: HELD, it does not; BUFFERED, in two
# buffers that swap; COUNTED, one at most, an int64 that grows by 1; WRITTEN, it is a state of the body, in one buffer, of which a step
# writes a part; else it is the stacked output of that number, and is read there. `work` begins with the body's scratch block; then come the
# rooms, and from `pointers at` on the pointers of inputs, those of outputs, a table for even steps, one for odd steps, and the moves:
# (entry, bytes) of each entry of a table that is another each time.
cdef enum:
    COUNTED = -4
    WRITTEN = -3
    HELD = -2
    BUFFERED = -1

ctypedef struct Scan:
    void** out
    void** inp
    char* work
    int64_t length          # turns
    bint backward
    int carries
    int xs                  # stacked inputs, of one step
    int invariants
    int ys
    int steps               # of a turn
    const int64_t* carry
    const int64_t* x_step
    const int64_t* y


cdef inline char* row_of(Scan* s, int k, int64_t i) noexcept nogil:
    # Where stacked output k of turn i is.
    cdef const int64_t* y = s.y + 4 * k
    cdef char* base = <char*>s.out[s.carries + k % s.ys]
    if base == NULL:
        return s.work + y[2 + (i & 1)]
    return base + y[1] + y[0] * (s.length - 1 - i if s.backward else i)


cdef inline char* buffer_of(Scan* s, int k, int64_t i) noexcept nogil:
    # Where carry k is after turn i: at the end in the output.
    cdef const int64_t* carry = s.carry + 4 * k
    if (s.length - 1 - i) & 1:
        return s.work + carry[2]
    return <char*>s.out[k] if s.out[k] != NULL else s.work + carry[1]


cdef inline char* written_at(Scan* s, int k) noexcept nogil:
    return <char*>s.out[k] if s.out[k] != NULL else s.work + s.carry[4 * k + 1]


cdef void point(Scan* s, int64_t i, void** inputs, void** outputs) noexcept nogil:
    # The pointers of turn i.
    cdef int k, made = 0, own = s.carries + s.steps * s.xs
    cdef int64_t how, at = s.length - 1 - i if s.backward else i
    for k in range(s.carries):
        how = s.carry[4 * k + 3]
        if how <= WRITTEN:
            inputs[k] = written_at(s, k)
        elif how == HELD or i == 0:
            inputs[k] = s.inp[k]
        else:
            inputs[k] = buffer_of(s, k, i - 1) if how == BUFFERED else row_of(s, <int>how, i - 1)
        if how == BUFFERED:
            outputs[made] = buffer_of(s, k, i)
            made += 1
    for k in range(s.steps * s.xs):
        inputs[s.carries + k] = <char*>s.inp[s.carries + k % s.xs] + s.x_step[2 * k + 1] + s.x_step[2 * k] * at
    for k in range(s.invariants):
        inputs[own + k] = s.inp[s.carries + s.xs + k]
    for k in range(s.steps * s.ys):
        outputs[made + k] = row_of(s, k, i)


cdef int64_t stride_of(Scan* s, Place place, int buffered) noexcept nogil:
    # By how many bytes an operand of the body moves in two turns.
    cdef int64_t step = 0, k = place.n
    if place.kind == AT_INPUT and k < s.carries and s.carry[4 * k + 3] >= 0:
        place.kind, k = AT_OUTPUT, buffered + s.carry[4 * k + 3]
    if place.kind == AT_INPUT and s.carries <= k < s.carries + s.steps * s.xs:
        step = s.x_step[2 * (k - s.carries)]
    elif place.kind == AT_OUTPUT and k >= buffered and s.out[s.carries + (k - buffered) % s.ys] != NULL:
        step = s.y[4 * (k - buffered)]
    return -2 * step if s.backward else 2 * step


cdef inline int note(int64_t* move, int moves, int64_t entry, int64_t step) noexcept nogil:
    if step == 0:
        return moves
    move[2 * moves] = entry
    move[2 * moves + 1] = step
    return moves + 1


cdef int scan(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    cdef Body* body = <Body*><size_t>ints[0]
    cdef Scan s
    cdef int64_t i, looks = body.steps, last = nanoseconds(), entries = body.n_operands + 2 * body.n_copies
    cdef int k, moves = 0, buffered = 0, status
    s.out, s.inp, s.length, s.backward = out, inp, ints[1], ints[2] != 0
    s.carries, s.xs, s.invariants, s.ys = <int>ints[3], <int>ints[4], <int>ints[5], <int>ints[6]
    s.steps = <int>ints[7]
    s.carry = ints + 9
    s.x_step = s.carry + 4 * s.carries
    s.y = s.x_step + 2 * s.steps * s.xs
    s.work = <char*>out[s.carries + s.ys]
    cdef void** inputs = <void**>(s.work + ints[8])
    cdef void** outputs = inputs + s.carries + s.steps * s.xs + s.invariants
    cdef void** tables = outputs + s.carries + s.steps * s.ys
    cdef void** table
    cdef int64_t* counter = NULL
    cdef int64_t* move = <int64_t*>(tables + 2 * entries)
    for k in range(s.carries):
        buffered += s.carry[4 * k + 3] == BUFFERED
        if s.carry[4 * k + 3] <= WRITTEN:
            memcpy(written_at(&s, k), inp[k], s.carry[4 * k])
            counter = <int64_t*>written_at(&s, k) if s.carry[4 * k + 3] == COUNTED else counter
    for k in range(body.n_operands):
        moves = note(move, moves, k, stride_of(&s, body.places[k], buffered))
    for k in range(body.n_copies):
        moves = note(move, moves, body.n_operands + 2 * k, stride_of(&s, Place(AT_INPUT, body.copies[k].source), buffered))
        moves = note(move, moves, body.n_operands + 2 * k + 1, stride_of(&s, Place(AT_OUTPUT, body.copies[k].target), buffered))
    for i in range(s.length):
        table = tables + (i & 1) * entries
        if i < 3:
            # The first carries are elsewhere: from the third step on each pointer moves as it will.
            point(&s, i, inputs, outputs)
            fill(body, table, inputs, outputs, s.work)
            if i == 0:
                prepare(body, inputs, s.work)
        else:
            for k in range(moves):
                table[move[2 * k]] = <char*>table[move[2 * k]] + move[2 * k + 1]
        status = run_once(body, table)
        if status != TL_OK:
            failed_inside(<void*>body, status >> TL_STATUS_BITS, s.length - 1 - i if s.backward else i)
            return status & TL_STATUS_MASK
        if counter != NULL:
            counter[0] += 1
        looks -= 1
        if looks == 0:
            looks = body.steps
            if looked(&last) != TL_OK:
                failed_inside(<void*>body, -1, s.length - 1 - i if s.backward else i)
                return TL_INTERRUPTED
    for k in range(s.carries):
        if out[k] == NULL or s.carry[4 * k + 3] <= WRITTEN:
            continue
        if s.length == 0 or s.carry[4 * k + 3] == HELD:
            memcpy(out[k], inp[k], s.carry[4 * k])
        elif s.carry[4 * k + 3] != BUFFERED:
            memcpy(out[k], row_of(&s, <int>s.carry[4 * k + 3], s.length - 1), s.carry[4 * k])
    return TL_OK


# switch -----------------------------------------------------------------------------------------------------------------
# out: outputs, work. inp: the number of a branch, the operands. A number beyond the branches means the nearest.
# ints: (branches, outputs, pointers at, for each output: room at, for each branch: body). `work` begins with the branches' scratch block;
# then come the rooms of outputs that are never read, and from `pointers at` on the pointers of outputs, and the table.
cdef int switch(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    cdef int64_t branch = (<int64_t*>inp[0])[0], last = ints[0] - 1
    cdef int ys = <int>ints[1], k, status
    cdef const int64_t* rooms = ints + 3
    cdef char* work = <char*>out[ys]
    cdef void** outputs = <void**>(work + ints[2])
    cdef Body* body
    branch = 0 if branch < 0 else last if branch > last else branch
    body = <Body*><size_t>rooms[ys + branch]
    for k in range(ys):
        outputs[k] = out[k] if out[k] != NULL else work + rooms[k]
    fill(body, outputs + ys, inp + 1, outputs, work)
    status = run_once(body, outputs + ys)
    if status != TL_OK:
        failed_inside(<void*>body, status >> TL_STATUS_BITS, -1)
    return status & TL_STATUS_MASK


# while_loop -------------------------------------------------------------------------------------------------------------
# out: last carries, work. inp: first carries, invariants.
# ints: (condition, body, most steps or -1, carries, invariants, flag at, pointers at, for each carry: bytes, room at). `work` begins with a
# scratch block for either body; then come the rooms, the flag, and from `pointers at` on the pointers of inputs, that of the flag, and the
# tables of both.
cdef int while_loop(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    cdef Body* condition = <Body*><size_t>ints[0]
    cdef Body* body = <Body*><size_t>ints[1]
    cdef int64_t most = ints[2], i = 0, looks = body.steps, last = nanoseconds()
    cdef int carries = <int>ints[3], invariants = <int>ints[4], k, status
    cdef char* work = <char*>out[carries]
    cdef char* flag = work + ints[5]
    cdef void** inputs = <void**>(work + ints[6])
    cdef void** flags = inputs + carries + invariants
    cdef void** asked = flags + 1
    cdef void** table = asked + condition.n_operands + 2 * condition.n_copies
    for k in range(carries):
        inputs[k] = out[k] if out[k] != NULL else work + ints[8 + 2 * k]
        tl_move(<char*>inputs[k], <const char*>inp[k], ints[7 + 2 * k])
    for k in range(invariants):
        inputs[carries + k] = inp[carries + k]
    flags[0] = flag
    fill(condition, asked, inputs, flags, work)
    fill(body, table, inputs, NULL, work)
    while i != most:
        status = run_once(condition, asked)
        if status != TL_OK:
            failed_inside(<void*>condition, status >> TL_STATUS_BITS, i)
            return status & TL_STATUS_MASK
        if not flag[0]:
            break
        status = run_once(body, table)
        if status != TL_OK:
            failed_inside(<void*>body, status >> TL_STATUS_BITS, i)
            return status & TL_STATUS_MASK
        i += 1
        looks -= 1
        if looks == 0:
            looks = body.steps
            if looked(&last) != TL_OK:
                failed_inside(<void*>body, -1, i)
                return TL_INTERRUPTED
    return TL_OK


# The way back through a while_loop ----------------------------------------------------------------------------------------
# out: what the sweep carries, work. inp: first carries and invariants of the loop, what the sweep begins with.
# The loop runs again, and what each step keeps for the sweep is a row of a store that grows by doubling; then the sweep runs as often.
# ints: (condition, body, sweep, carries, invariants, swept, kept, rest, bytes of a row, flag at, pointers at, for each carry: bytes, room
# at; for each that is swept: bytes, room at; for each that is kept: its place in a row; for each of the rest: the invariant's number).
# `work` begins with a scratch block for any body; then come the rooms, the flag, and from `pointers at` on the pointers of the loop's
# inputs, of the kept outputs, of the flag, of the sweep's inputs, the tables of the three, and the entries that are another at each step:
# (entry, place in a row).
cdef int while_back(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    cdef Body* condition = <Body*><size_t>ints[0]
    cdef Body* body = <Body*><size_t>ints[1]
    cdef Body* sweep = <Body*><size_t>ints[2]
    cdef int carries = <int>ints[3], invariants = <int>ints[4], swept = <int>ints[5], kept = <int>ints[6], rest = <int>ints[7]
    cdef int k, status = TL_OK
    cdef int64_t row = ints[8], i = 0, room = 0, looks = body.steps, last = nanoseconds()
    cdef const int64_t* carry = ints + 11
    cdef const int64_t* total = carry + 2 * carries
    cdef const int64_t* place = total + 2 * swept
    cdef const int64_t* number = place + kept
    cdef char* work = <char*>out[swept]
    cdef char* flag = work + ints[9]
    cdef void** inputs = <void**>(work + ints[10])
    cdef void** rows = inputs + carries + invariants
    cdef void** flags = rows + kept
    cdef void** back = flags + 1
    cdef void** asked = back + swept + kept + rest
    cdef void** table = asked + condition.n_operands + 2 * condition.n_copies
    cdef void** sweeping = table + body.n_operands + 2 * body.n_copies
    cdef int64_t* move = <int64_t*>(sweeping + sweep.n_operands + 2 * sweep.n_copies)
    cdef char* store = NULL
    cdef char* larger
    cdef int moves = 0
    for k in range(carries):
        inputs[k] = work + carry[2 * k + 1]
        memcpy(inputs[k], inp[k], carry[2 * k])
    for k in range(invariants):
        inputs[carries + k] = inp[carries + k]
    for k in range(kept):
        rows[k] = NULL
    flags[0] = flag
    fill(condition, asked, inputs, flags, work)
    fill(body, table, inputs, rows, work)
    moves = rows_of(body, move, AT_OUTPUT, 0, kept, place)
    while True:
        status = run_once(condition, asked)
        if status != TL_OK:
            failed_inside(<void*>condition, status >> TL_STATUS_BITS, i)
            break
        if not flag[0]:
            break
        if i == room:
            room = 2 * room if room else 64
            larger = <char*>realloc(store, room * row if row else 1)
            if larger == NULL:
                status = TL_NO_MEMORY
                failed_inside(<void*>body, 0, i)
                break
            store = larger
        for k in range(moves):
            table[move[2 * k]] = store + i * row + move[2 * k + 1]
        status = run_once(body, table)
        if status != TL_OK:
            failed_inside(<void*>body, status >> TL_STATUS_BITS, i)
            break
        i += 1
        looks -= 1
        if looks == 0:
            looks = body.steps
            status = looked(&last)
            if status != TL_OK:
                failed_inside(<void*>body, -1, i)
                break
    if status == TL_OK:
        for k in range(swept):
            back[k] = out[k] if out[k] != NULL else work + total[2 * k + 1]
            memcpy(back[k], inp[carries + invariants + k], total[2 * k])
        for k in range(kept):
            back[swept + k] = NULL
        for k in range(rest):
            back[swept + kept + k] = inp[carries + number[k]]
        fill(sweep, sweeping, back, NULL, work)
        moves = rows_of(sweep, move, AT_INPUT, swept, kept, place)
        status = swept_back(sweep, sweeping, move, moves, store, row, i, &last)
    free(store)
    return status & TL_STATUS_MASK


cdef int swept_back(Body* sweep, void** table, const int64_t* move, int moves, char* store, int64_t row, int64_t steps,
                    int64_t* last) noexcept nogil:
    # The sweep over the rows of a store, from the last to the first.
    cdef int64_t i, looks = sweep.steps
    cdef int k, status
    for i in range(steps - 1, -1, -1):
        for k in range(moves):
            table[move[2 * k]] = store + i * row + move[2 * k + 1]
        status = run_once(sweep, table)
        if status != TL_OK:
            failed_inside(<void*>sweep, status >> TL_STATUS_BITS, i)
            return status
        looks -= 1
        if looks == 0:
            looks = sweep.steps
            if looked(last) != TL_OK:
                failed_inside(<void*>sweep, -1, i)
                return TL_INTERRUPTED
    return TL_OK


cdef int rows_of(Body* body, int64_t* move, int kind, int first, int count, const int64_t* place) noexcept nogil:
    # Notes the entries of a table that are in a row of the store; returns how many there are.
    cdef int k, moves = 0, entry
    for k in range(body.n_operands):
        if body.places[k].kind == kind and first <= body.places[k].n < first + count:
            move[2 * moves], move[2 * moves + 1] = k, place[body.places[k].n - first] + body.at[k]
            moves += 1
    for k in range(body.n_copies):
        entry = body.n_operands + 2 * k
        if kind == AT_INPUT and first <= body.copies[k].source < first + count:
            move[2 * moves], move[2 * moves + 1] = entry, place[body.copies[k].source - first]
            moves += 1
        if kind == AT_OUTPUT and first <= body.copies[k].target < first + count:
            move[2 * moves], move[2 * moves + 1] = entry + 1, place[body.copies[k].target - first]
            moves += 1
    return moves


SCAN, SWITCH, WHILE, WHILE_BACK = <size_t>&scan, <size_t>&switch, <size_t>&while_loop, <size_t>&while_back
