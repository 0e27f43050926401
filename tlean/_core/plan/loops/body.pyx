# cython: language_level=3
"""Bodies of loops: a plan's instructions as a flat row of calls, each with the places of its operands; loop.pyx runs them.

A run of a loop writes one table of pointers, which each step moves on; then a step is that row of calls. A fused group of short arrays is
taken apart here: its ops are calls of their loops on operands whose places are known, where the kernel of groups would look for them at
each step. Ops of one kind that do not depend on each other run as one call on their operands side by side (`_Group.packed`). An element's
bits depend on its operands alone, so they are those of the plan.
"""
from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free

from array import array

from tlean._core.plan.plan cimport AT_CONST, AT_INPUT, AT_NOWHERE, AT_OUTPUT, AT_SCRATCH, OUT_INPUT, Instruction, Place, Plan
from tlean._core.plan.plan import name_body
from tlean._core.plan import chain, epilogue

cdef extern from "plan/chain_abi.h":
    enum:
        CHAIN_ELEMENTS, CHAIN_ITEMSIZE, CHAIN_BLOCK, CHAIN_OPS, CHAIN_SLOTS, CHAIN_SUMS, CHAIN_SEGMENT, CHAIN_REDUCE_SUM
        CHAIN_RUNS, CHAIN_STRIP, CHAIN_OPS_AT, CHAIN_STRETCHED, CHAIN_STRETCHER, CHAIN_WIDTH, CHAIN_SIZE
        STRETCHED_INPUT, STRETCHED_AXES, STRETCHED_SIZE
        CHAIN_SUM_OUTPUT, CHAIN_SUM_FLOATS, CHAIN_SUM_VALUE, CHAIN_SUM_SIZE
        CHAIN_OP_LOOP, CHAIN_OP_FLOATS, CHAIN_OP_TARGET, CHAIN_OP_OPERANDS, CHAIN_OP_SIZE
        CHAIN_OUTPUT, CHAIN_SLOT, CHAIN_SUM, CHAIN_SCALAR, CHAIN_REPEATED, CHAIN_STRETCH, CHAIN_SIZED, CHAIN_BYTES
        EPILOGUE_ENTRY, EPILOGUE_OUTPUTS, EPILOGUE_INPUTS, EPILOGUE_INTS, EPILOGUE_FLOATS, EPILOGUE_SIZE

# Groups of at least so many ops are worth packing, where that leaves one call of so many; their values take at most so many bytes.
cdef enum:
    MANY_OPS = 16
    OPS_A_CALL = 3
    PACKED_BYTES = 32768
    # The longest arrays whose ops are packed.
    SHORT_BYTES = 64
    # How many strips the longest arrays have whose groups are taken apart.
    STRIPS = 4

# A place among what is packed.
cdef enum:
    PACKED = 1000

_FUSED, _EPILOGUE = chain.ADDRESS, epilogue.ADDRESS

cdef class Code:
    """A plan taken apart, for loops to run; it keeps the plan.

    Args:
        plan: of the body.
        title: of the loop, for messages.
        out_bytes: the bytes of each of its outputs.
        steps: how many steps a loop takes between two looks at the clock.
        forms: by the address of a kernel or producer: what gives its form for short arrays (`tlean/compiler/short_forms.py`).
        followed: by the address of a form that reads two operands: a loop that may follow it, and what does both.
        fixed: the inputs that are the same at each step of a run that is long enough to pack them.
    """
    cdef Body body
    cdef readonly Plan plan
    cdef readonly object title
    # How many steps of a loop the plan does: an iteration is the first of so many.
    cdef public int64_t turn
    cdef object _keep       # the integers of calls that the plan does not have
    # Of the block that the calls have their temporaries in.
    cdef readonly Py_ssize_t scratch_bytes
    cdef object __weakref__

    def __cinit__(self, Plan plan, title, out_bytes, int64_t steps, forms, followed, fixed):
        cdef int k
        self.plan = plan
        self.title = title
        self.turn = 1
        name_body(<size_t>&self.body, self)
        self.body.constants = plan.constants
        self.body.steps = steps
        self.body.copies = <Copy*>calloc(plan.n_outputs + 1, sizeof(Copy))
        if self.body.copies == NULL:
            raise MemoryError()
        self._write(_Calls(plan, forms, followed, fixed))
        for k in range(plan.n_outputs):
            if plan.out_kind[k] == OUT_INPUT:
                self.body.copies[self.body.n_copies] = Copy(plan.out_input[k], k, out_bytes[k])
                self.body.n_copies += 1

    cdef int _write(self, _Calls calls) except -1:
        cdef int i
        cdef Call* call
        operands = []
        calls.write()
        # What is packed is behind the temporaries.
        room = (calls.base + calls.room + 63) & ~63
        self.scratch_bytes = room + calls.packed_bytes
        self._keep = calls.numbers
        self.body.packs = <Pack*>calloc(len(calls.packs) + 1, sizeof(Pack))
        if self.body.packs == NULL:
            raise MemoryError()
        self.body.n_packs = len(calls.packs)
        for i, (source, at, address, ints) in enumerate(calls.packs):
            self.body.packs[i] = Pack(<void*><size_t>address, Place(source[0], source[1]), room + at, <const int64_t*><size_t>ints)
        self.body.n_calls = len(calls.row)
        self.body.n_operands = sum([len(c[3]) for c in calls.row])
        self.body.calls = <Call*>calloc(self.body.n_calls + 1, sizeof(Call))
        self.body.places = <Place*>calloc(self.body.n_operands + 1, sizeof(Place))
        self.body.at = <int64_t*>calloc(2 * self.body.n_operands + 1, sizeof(int64_t))
        self.body.inside = self.body.at + self.body.n_operands
        self.body.outside = <Outside*>calloc(self.body.n_operands + 1, sizeof(Outside))
        if self.body.calls == NULL or self.body.places == NULL or self.body.at == NULL or self.body.outside == NULL:
            raise MemoryError()
        for i, (kind, address, n_out, places, count, size, ints, floats, instruction) in enumerate(calls.row):
            call = &self.body.calls[i]
            call.kind, call.run, call.n_out, call.n_operands = kind, <void*><size_t>address, n_out, len(places)
            call.count, call.bytes, call.instruction = count, size, instruction
            call.ints, call.floats = <const int64_t*><size_t>ints, <const double*><size_t>floats
            operands += places
        self._operands(operands, room)
        return 0

    cdef int _operands(self, list places, int64_t room) except -1:
        # Where the operands are: inside the work block, which is `room` bytes before what is packed, or outside.
        cdef int j, k, n = 0
        cdef Place found
        for k in range(len(places)):
            found = Place(places[k][0], places[k][1])
            if found.kind == PACKED:
                found = Place(AT_SCRATCH, room + found.n)
            self.body.places[k] = found
            self.body.at[k] = places[k][2] if len(places[k]) > 2 else 0
            self.body.inside[k] = found.n + self.body.at[k] if found.kind == AT_SCRATCH else 0
        for j, kind in enumerate((AT_INPUT, AT_OUTPUT, AT_CONST, AT_NOWHERE)):
            for k in range(len(places)):
                if self.body.places[k].kind == kind:
                    self.body.outside[n] = Outside(k, self.body.places[k].n, self.body.at[k])
                    self.body.n_outside[j] += 1
                    n += 1
        return 0

    def __dealloc__(self):
        free(self.body.at)
        free(self.body.outside)
        free(self.body.calls)
        free(self.body.packs)
        free(self.body.places)
        free(self.body.copies)

    @property
    def program(self):
        """What the plan does."""
        return self.plan.program

    @property
    def address(self):
        """Of what a kernel runs."""
        return <size_t>&self.body

    @property
    def calls(self):
        """How many calls a step is."""
        return self.body.n_calls

    @property
    def entries(self):
        """How many pointers the table of a run has."""
        return self.body.n_operands + 2 * self.body.n_copies


cdef class _Calls:
    # The row of calls of a plan while it is written. A place is (kind, n), as in plans; those of this class are behind the plan's block.
    cdef Plan plan
    cdef object forms
    cdef object followed
    cdef object fixed
    cdef list row
    cdef list packs         # (place, where it is packed, address, integers)
    cdef list numbers
    cdef dict packed        # (place, address, integers) -> where
    cdef int64_t packed_bytes
    cdef int64_t base
    cdef int64_t room

    def __cinit__(self, Plan plan, forms, followed, fixed):
        self.plan, self.forms, self.followed, self.fixed = plan, forms, followed, fixed
        self.row, self.packs, self.numbers, self.packed = [], [], [], {}
        self.base = (plan.scratch_bytes + 63) & ~63

    cdef int write(self) except -1:
        cdef int i, k
        cdef Instruction* ins
        cdef Place place
        for i in range(self.plan.n_instructions):
            ins = &self.plan.instructions[i]
            places = []
            for k in range(ins.first, ins.first + ins.n_out + ins.n_in):
                place = self.plan.places[self.plan.operands[k]]
                places.append((place.kind, place.n))
            if not self.apart(i, ins, places[:ins.n_out], places[ins.n_out:]):
                self.kernel(KERNEL, i, <size_t>ins.kernel, places[:ins.n_out], places[ins.n_out:], ins.ints, ins.floats)
        return 0

    cdef int kernel(self, int kind, int i, address, list outs, list inputs, const int64_t* ints, const double* floats) except -1:
        # A kernel, or its form for short arrays.
        form = self.forms.get(address)
        if form is not None:
            own = self.plan.program.steps[i].ints
            if kind == PRODUCER:
                own = own[<int>EPILOGUE_SIZE:<int>EPILOGUE_SIZE + own[<int>EPILOGUE_INTS]]
            packs = [place[0] == AT_CONST or (place[0] == AT_INPUT and place[1] in self.fixed) for place in inputs]
            found = form(own, packs)
            if isinstance(found, list):
                # Moves of bytes: of which operand, from where in it, to where in the result.
                for operand, source, target, size in found:
                    self.row.append((MOVE, 0, 1, [(*outs[0], target), (*inputs[operand], source)], 0, size, 0, 0, i))
                return 0
            if found is not None:
                address, own, packed = found
                if packed is not None:
                    inputs = list(inputs)
                    inputs[packed[0]] = self.pack(inputs[packed[0]], packed[1], packed[2], own)
                self.row.append((KERNEL, address, len(outs), outs + inputs, 0, 0, self.number(own), <size_t>floats, i))
                return 0
        self.row.append((kind, address, len(outs), outs + inputs, 0, 0, <size_t>ints, <size_t>floats, i))
        return 0

    cdef size_t number(self, own) except 0:
        # The address of integers that are kept.
        self.numbers.append(array("q", own))
        return self.numbers[len(self.numbers) - 1].buffer_info()[0]

    cdef tuple pack(self, place, int64_t size, address, own):
        key = place, address, own
        if key not in self.packed:
            self.packed[key] = PACKED, self.packed_bytes
            self.packs.append((place, self.packed_bytes, address, self.number(own)))
            self.packed_bytes += (size + 63) & ~63
        return self.packed[key]

    cdef bint apart(self, int i, Instruction* ins, list outs, list inputs) except -1:
        # The calls of an instruction that is taken apart; whether it is.
        cdef const int64_t* ints = ins.ints
        cdef int64_t made, read, n_floats = len(self.plan.program.steps[i].floats)
        cdef _Group group
        if <size_t>ins.kernel == _FUSED:
            group = _Group(self, i, outs, inputs)
            group.read(ints, ins.floats, n_floats)
            return group.write()
        if <size_t>ins.kernel == _EPILOGUE:
            made, read = ints[EPILOGUE_OUTPUTS], ints[EPILOGUE_INPUTS]
            group = _Group(self, i, outs[made:], inputs[read:])
            group.read(ints + EPILOGUE_SIZE + ints[EPILOGUE_INTS], ins.floats + ints[EPILOGUE_FLOATS], n_floats - ints[EPILOGUE_FLOATS])
            if not group.short:
                return False
            self.kernel(PRODUCER, i, ints[EPILOGUE_ENTRY], outs[:made], inputs[:read], ints + EPILOGUE_SIZE, ins.floats)
            group.follow()
            return group.write()
        return False


cdef class _Group:
    # A fused group that is taken apart.
    cdef _Calls calls
    cdef int instruction
    cdef list outs
    cdef list inputs
    cdef const int64_t* ints
    cdef const double* floats
    cdef int64_t n_floats
    cdef int64_t n
    cdef int64_t item
    cdef int64_t room       # of one value
    cdef bint short
    cdef int64_t first      # op that is to be done
    cdef dict stretched     # where it begins among the integers -> its number

    def __cinit__(self, _Calls calls, int instruction, list outs, list inputs):
        self.calls, self.instruction, self.outs, self.inputs = calls, instruction, outs, inputs
        self.stretched = {}

    cdef int read(self, const int64_t* ints, const double* floats, int64_t n_floats) except -1:
        cdef const int64_t* s = ints + CHAIN_SIZE + CHAIN_SUM_SIZE * ints[CHAIN_SUMS]
        cdef int64_t k, most_
        self.ints, self.floats, self.n_floats = ints, floats, n_floats
        self.n, self.item = ints[CHAIN_ELEMENTS], ints[CHAIN_ITEMSIZE]
        self.room = (self.n * self.item + 63) & ~63
        # Longer ones have strips to run in registers, which pays where their operands need not be written out.
        most_ = ints[CHAIN_STRIP] * (1 if ints[CHAIN_RUNS] and not ints[CHAIN_STRETCHED] else STRIPS)
        self.short = 0 < self.n <= min(most_, ints[CHAIN_BLOCK]) and ints[CHAIN_WIDTH] == 0
        if ints[CHAIN_SUMS] and self.n > ints[CHAIN_SEGMENT]:
            self.short = False
        for k in range(ints[CHAIN_STRETCHED]):
            self.stretched[s - ints] = k
            s += STRETCHED_SIZE + 2 * s[STRETCHED_AXES]
        return 0

    cdef tuple slot(self, int64_t k):
        # Temporary number k of a value's room.
        self.calls.room = max(self.calls.room, (k + 1) * self.room)
        return AT_SCRATCH, self.calls.base + k * self.room

    cdef tuple place(self, int64_t code):
        # Of an operand.
        cdef int64_t k
        if code < CHAIN_OUTPUT:
            return self.inputs[code]
        if code < CHAIN_SLOT:
            return self.outs[code - CHAIN_OUTPUT]
        if code < CHAIN_SUM:
            return self.slot(code - CHAIN_SLOT)
        if code < CHAIN_SCALAR:
            return self.slot(self.ints[CHAIN_SLOTS] + code - CHAIN_SUM)
        if code < CHAIN_REPEATED:
            return self.inputs[code - CHAIN_SCALAR]
        if code < CHAIN_SIZED:
            return self.slot(self.ints[CHAIN_SLOTS] + self.ints[CHAIN_SUMS] + self.stretched[code - CHAIN_REPEATED])
        k = (code - CHAIN_SIZED) % CHAIN_BYTES
        return self.outs[k - CHAIN_OUTPUT] if k >= CHAIN_OUTPUT else self.inputs[k]

    cdef int call(self, int kind, address, int n_out, list places, int64_t count, int64_t size, const int64_t* ints,
                  const double* floats) except -1:
        self.calls.row.append((kind, address, n_out, places, count, size, <size_t>ints, <size_t>floats, self.instruction))
        return 0

    cdef int follow(self) except -1:
        # Has the kernel before do the first op as well, where there is a kernel for both.
        cdef const int64_t* op = self.ints + self.ints[CHAIN_OPS_AT]
        kind, address, n_out, places, count, size, ints, floats, i = self.calls.row.pop()
        loop, both = self.calls.followed.get(address, (0, 0)) if len(places) == 3 else (0, 0)
        if loop and loop == op[CHAIN_OP_LOOP] and max(op[CHAIN_OP_SIZE], op[CHAIN_OP_SIZE + 1]) < CHAIN_OUTPUT:
            operands = [self.place(op[CHAIN_OP_SIZE]), self.place(op[CHAIN_OP_SIZE + 1])]
            if operands.count(places[0]) == 1:
                operands.remove(places[0])
                address, n_out = both, 2
                places = [places[0], self.place(op[CHAIN_OP_TARGET]), *places[1:], *operands]
                self.first = 1
        self.calls.row.append((kind, address, n_out, places, count, size, ints, floats, i))
        return 0

    cdef bint write(self) except -1:
        cdef const int64_t* ints = self.ints
        cdef const int64_t* op = ints + ints[CHAIN_OPS_AT]
        cdef const int64_t* sum_ = ints + CHAIN_SIZE
        cdef int64_t j, _k
        cdef const int64_t* s
        if not self.short:
            return False
        if self.packed():
            return True
        if self.first:
            op += CHAIN_OP_SIZE + op[CHAIN_OP_OPERANDS]
        for _k in range(ints[CHAIN_OPS] - self.first):
            target = self.place(op[CHAIN_OP_TARGET])
            if op[CHAIN_OP_LOOP] == 0:
                self.call(SPREAD, 0, 1, [target, self.place(op[CHAIN_OP_SIZE])], self.n, self.item, NULL, NULL)
            elif op[CHAIN_OP_LOOP] == CHAIN_STRETCH:
                s = ints + (op[CHAIN_OP_SIZE] - CHAIN_REPEATED)
                source = self.inputs[s[STRETCHED_INPUT]]
                s += STRETCHED_AXES
                if s[0] == 2 and s[3] == 0 and s[4] == 1:
                    self.call(REPEATED, 0, 1, [target, source], s[1], s[2] * self.item, NULL, NULL)
                else:
                    self.call(STRETCHED, ints[CHAIN_STRETCHER], 1, [target, source], self.n, self.item, s, NULL)
            else:
                operands = [self.place(op[CHAIN_OP_SIZE + j]) for j in range(op[CHAIN_OP_OPERANDS])]
                self.call(LOOP, op[CHAIN_OP_LOOP], 1, [target, *operands], self.n, self.item, NULL, self.floats + op[CHAIN_OP_FLOATS])
            op += CHAIN_OP_SIZE + op[CHAIN_OP_OPERANDS]
        for _k in range(ints[CHAIN_SUMS]):
            address, own, _ = self.calls.forms[ints[CHAIN_REDUCE_SUM]]((1, 1, self.n), ())
            places = [self.outs[sum_[CHAIN_SUM_OUTPUT]], self.place(CHAIN_SUM + sum_[CHAIN_SUM_VALUE])]
            self.call(KERNEL, address, 1, places, 0, 0, <const int64_t*>self.calls.number(own), self.floats + sum_[CHAIN_SUM_FLOATS])
            sum_ += CHAIN_SUM_SIZE
        return True

    # Packing ------------------------------------------------------------------------------------------------------------
    # Ops of one kind at one depth run as one call on values that lie side by side. What such a call reads of values that are elsewhere, or
    # in another order, is collected first, and what it makes for others is dealt out last: outputs may lie on inputs.

    cdef bint packed(self) except -1:
        cdef const int64_t* ints = self.ints
        cdef const int64_t* op = ints + ints[CHAIN_OPS_AT]
        cdef int64_t k, j, numbers
        if self.first or ints[CHAIN_OPS] < MANY_OPS or ints[CHAIN_SUMS] or ints[CHAIN_STRETCHED] or self.n * self.item > SHORT_BYTES:
            return False
        writer = {}     # operand -> the op that wrote it last
        depth = []
        reads = []      # of each op: the number of the op that made an operand, or the place of an input
        kinds = {}      # (depth, loop, numbers) -> its ops
        targets = []
        for k in range(ints[CHAIN_OPS]):
            if op[CHAIN_OP_LOOP] == 0 or op[CHAIN_OP_LOOP] == CHAIN_STRETCH:
                return False
            operands = [op[CHAIN_OP_SIZE + j] for j in range(op[CHAIN_OP_OPERANDS])]
            if op[CHAIN_OP_TARGET] >= CHAIN_SUM or max(operands) >= CHAIN_SUM:
                return False
            reads.append([writer[code] if code in writer else self.inputs[code] for code in operands])
            depth.append(1 + max([depth[r] for r in reads[k] if isinstance(r, int)], default=0))
            writer[op[CHAIN_OP_TARGET]] = k
            targets.append(op[CHAIN_OP_TARGET])
            numbers, loop = op[CHAIN_OP_FLOATS], op[CHAIN_OP_LOOP]
            op += CHAIN_OP_SIZE + op[CHAIN_OP_OPERANDS]
            last = op[CHAIN_OP_FLOATS] if k + 1 < ints[CHAIN_OPS] else self.n_floats
            own = tuple([self.floats[j] for j in range(numbers, last)])
            kinds.setdefault((depth[k], loop, own), (numbers, []))[1].append(k)
        if len(kinds) * OPS_A_CALL > ints[CHAIN_OPS] or ints[CHAIN_OPS] * self.n * self.item > PACKED_BYTES:
            return False
        self.pack(kinds, reads, targets)
        return True

    cdef int pack(self, dict kinds, list reads, list targets) except -1:
        cdef int64_t size = self.n * self.item, end = 0, numbers, j, base = self.calls.base
        where = {}      # op -> where its value is among the packed ones
        collected = {}
        for (_, loop, _), (numbers, ops) in sorted(kinds.items(), key=lambda kind: kind[0][0]):
            operands = []
            for j in range(len(reads[ops[0]])):
                sources = [reads[k][j] for k in ops]
                places = [(AT_SCRATCH, base + where[r]) if isinstance(r, int) else r for r in sources]
                key = tuple(places)
                if isinstance(sources[0], int) and key == tuple([(AT_SCRATCH, places[0][1] + t * size) for t in range(len(ops))]):
                    collected[key] = places[0]
                elif len(ops) == 1:
                    collected[key] = places[0]
                elif key not in collected:
                    collected[key] = (AT_SCRATCH, base + end)
                    self.call(COLLECT, 0, 1, [collected[key], *places], len(places), size, NULL, NULL)
                    end = (end + len(places) * size + 63) & ~63
                operands.append(collected[key])
            where.update({k: end + t * size for t, k in enumerate(ops)})
            self.call(LOOP, loop, 1, [(AT_SCRATCH, base + end), *operands], len(ops) * self.n, self.item, NULL, self.floats + numbers)
            end = (end + len(ops) * size + 63) & ~63
        made = {code: k for k, code in enumerate(targets) if CHAIN_OUTPUT <= code < CHAIN_SLOT}
        run = []
        for code, k in sorted(made.items(), key=lambda item: where[item[1]]):
            if run and where[k] != where[before] + size:
                self.deal(run, where)
                run = []
            run.append((code, k))
            before = k
        self.deal(run, where)
        self.calls.room = max(self.calls.room, end)
        return 0

    cdef int deal(self, list run, dict where) except -1:
        # The values of ops that lie side by side to the outputs that they are.
        places = [self.outs[code - CHAIN_OUTPUT] for code, _ in run]
        source = (AT_SCRATCH, self.calls.base + where[run[0][1]])
        return self.call(DEAL, 0, 0, [source, *places], len(run), self.n * self.item, NULL, NULL)
