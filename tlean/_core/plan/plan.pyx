"""A plan: kernels in order, each with its operands' places; run by one call that needs no GIL.

The plan is made from a device-neutral program (value ids, kernel names, numbers) by `tlean.compiler.lower`; this room only keeps the
flat arrays and walks them. It is reentrant: everything that changes during a run is on the caller's side (inputs, outputs, scratch).

A run is whole or it did nothing: instructions that may fail come before those that write onto parameters, signals are looked at up to
there, and what the step changes beside its arrays is a `Commit` that is carried out in the same call.
"""
from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from threading import get_ident
from weakref import WeakValueDictionary

from tlean._core.arena cimport LENT, TLBuffer, buffer_decref, buffer_incref, buffer_new, raise_error
from tlean._core.array cimport AnyTensor, dtype_code, intern_shape, itemsize_of, tensor_from_buffer, tensor_from_object
from tlean._core.array import dtype_name, shared
from tlean._core.threads.clock cimport nanoseconds, tl_tally
from tlean._core.plan.commit cimport Commit
from tlean._core.plan.callback import UNNOTED, take_failure
from tlean._core.kernel cimport (
    TL_INDEFINITE, TL_INDEX_OUT_OF_RANGE, TL_INTERRUPTED, TL_NO_MEMORY, TL_NOT_FINITE, TL_OK, TL_RAISED, TL_SINGULAR, TL_STATUS_BITS,
    TL_STATUS_MASK, tl_kernel,
)

cdef extern from "Python.h":
    int PyErr_CheckSignals() except -1

# Operands of one instruction that are gathered on the stack; longer lists (a wide concat) take separate memory.
cdef enum:
    ON_STACK = 64

# A plan of that much work looks for signals between its instructions, that often (in nanoseconds).
cdef enum:
    LONG_WORK = 20_000_000
    BETWEEN_LOOKS = 10_000_000


cdef void* zeroed(Py_ssize_t count, Py_ssize_t size) except NULL:
    cdef void* p = calloc(count if count > 0 else 1, size)
    if p == NULL:
        raise MemoryError()
    return p


cdef class Plan:
    """Kernels in order. Made by `tlean.compiler.lower`.

    Args:
        places: (kind, n) for every value id.
        instructions: (kernel address, output ids, input ids, ints, floats) in order; id -1 means an absent input.
        n_inputs: how many arrays the caller passes.
        outputs: (kind, n, writer) for every output: kind OUT_*, n the input it is, writer the instruction that may add into it or -1.
        scratch_bytes: the size of the block that temporaries live in.
        constants: AnyTensors.
        work: estimated nanoseconds of one run.
        program: what the plan was made from, for people to read.
        specs: (shape, dtype name) of every input, None for an absent one; a run refuses arrays of others.
        first_update: the first instruction that writes onto parameters; -1 for none.
    """

    def __cinit__(self, places, instructions, int n_inputs, outputs, Py_ssize_t scratch_bytes, constants=(), double work=0.0, program=None,
                  specs=None, int first_update=-1):
        cdef int i, k, at = 0
        cdef Instruction* ins
        self.n_inputs = n_inputs
        self.n_outputs = len(outputs)
        self.n_places = len(places)
        self.n_instructions = len(instructions)
        self.first_update = first_update if first_update >= 0 else self.n_instructions
        self.scratch_bytes = scratch_bytes
        self.work = work
        self.program = program
        # Arrays of the plan's own: its constants outlive a release() of what they were made from.
        self.keep = tuple([shared(c) for c in constants])
        self.places = <Place*>zeroed(self.n_places + 1, sizeof(Place))
        # The last place represents every absent operand.
        self.places[self.n_places].kind = AT_NOWHERE
        for i, (kind, n) in enumerate(places):
            self.places[i].kind = kind
            self.places[i].n = n
        self.instructions = <Instruction*>zeroed(self.n_instructions, sizeof(Instruction))
        self.operands = <int*>zeroed(sum([len(x[1]) + len(x[2]) for x in instructions]), sizeof(int))
        for i, (address, outs, ins_ids, ints, floats) in enumerate(instructions):
            ins = &self.instructions[i]
            ins.kernel = <tl_kernel><size_t>address
            ins.n_out = len(outs)
            ins.n_in = len(ins_ids)
            ins.first = at
            for value in (*outs, *ins_ids):
                if not -1 <= value < self.n_places:
                    raise ValueError(f"plan: value {value} does not exist")
                self.operands[at] = value if value >= 0 else self.n_places
                at += 1
            ins.ints = <int64_t*>zeroed(len(ints), sizeof(int64_t))
            for k, number in enumerate(ints):
                ins.ints[k] = number
            ins.floats = <double*>zeroed(len(floats), sizeof(double))
            for k, number in enumerate(floats):
                ins.floats[k] = number
        self.out_kind = <int*>zeroed(self.n_outputs, sizeof(int))
        self.out_input = <int*>zeroed(self.n_outputs, sizeof(int))
        self.out_writer = <int*>zeroed(self.n_outputs, sizeof(int))
        for i, (kind, n, writer) in enumerate(outputs):
            self.out_kind[i] = kind
            self.out_input[i] = n
            self.out_writer[i] = writer
        self.state_inputs(specs)
        self.constants = <void**>zeroed(len(constants), sizeof(void*))
        for i, constant in enumerate(self.keep):
            self.constants[i] = (<AnyTensor?>constant).buffer.data

    def __reduce__(self):
        raise_error("OptionError", "a plan cannot be pickled or copied: it holds addresses of this process; pickle the compiled program")

    cdef int state_inputs(self, specs) except -1:
        # What each input is to be, and whether it is read.
        cdef int i, n = 0
        self.in_code = <int*>zeroed(self.n_inputs, sizeof(int))
        self.in_read = <unsigned char*>zeroed(self.n_inputs, 1)
        self.typed = specs is not None
        if self.typed and len(specs) != self.n_inputs:
            raise ValueError(f"plan: {self.n_inputs} inputs, specs of {len(specs)}")
        self.in_shape = () if specs is None else tuple([None if s is None else intern_shape(tuple(s[0])) for s in specs])
        for i, spec in enumerate(specs or ()):
            self.in_code[i] = -1 if spec is None else dtype_code(spec[1])
        for i in range(self.n_instructions):
            n += self.instructions[i].n_out + self.instructions[i].n_in
        for i in range(n):
            if self.places[self.operands[i]].kind == AT_INPUT:
                self.in_read[self.places[self.operands[i]].n] = 1
        for i in range(self.n_outputs):
            if self.out_kind[i] == OUT_INPUT:
                self.in_read[self.out_input[i]] = 1
        return 0

    cdef refuse(self, int i, AnyTensor t):
        # What the caller is told about an input that the plan was not made for; `t` is None for one that is missing.
        name = f"input {i}"
        if self.program is not None:
            name = self.program.graph.labels.get(self.program.graph.inputs[i], name)
        if self.in_shape[i] is None:
            raise_error("NodeError", f"{name}: the program was made without it, got an array")
        wanted = f"{self.in_shape[i].dims} {dtype_name(self.in_code[i])}"
        if t is None:
            raise_error("NodeError", f"{name}: the program reads an array of {wanted}, got none")
        kind = "DTypeError" if t.code != self.in_code[i] else "ShapeError"
        raise_error(kind, f"{name}: the program was compiled for {wanted}, got {t.info.dims} {t.dtype}")

    def __dealloc__(self):
        cdef int i
        if self.instructions != NULL:
            for i in range(self.n_instructions):
                free(self.instructions[i].ints)
                free(self.instructions[i].floats)
        free(self.instructions)
        free(self.operands)
        free(self.places)
        free(self.out_kind)
        free(self.out_input)
        free(self.out_writer)
        free(self.constants)
        free(self.in_code)
        free(self.in_read)
        free(self.ticks)

    def __len__(self):
        return self.n_instructions

    def __repr__(self):
        return f"<plan: {self.n_instructions} instructions, {self.scratch_bytes} scratch bytes>"

    def __str__(self):
        """The instructions, a line each."""
        return str(self.program)

    def _repr_html_(self):
        text = f"{self!r}\n{self.program}"
        return "<pre>" + text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") + "</pre>"


cdef inline void* locate(Plan plan, int value, void** inputs, void** outputs, char* scratch) noexcept nogil:
    cdef Place place = plan.places[value]
    if place.kind == AT_INPUT:
        return inputs[place.n]
    if place.kind == AT_SCRATCH:
        return scratch + place.n
    if place.kind == AT_OUTPUT:
        return outputs[place.n]
    if place.kind == AT_CONST:
        return plan.constants[place.n]
    return NULL


# Profiles ----------------------------------------------------------------------------------------------------------------

cdef int64_t profiling = 0
_profiles_begun = 0
# The plans that ran since the profile began, and (nanoseconds, calls) of kernels that are called alone, by address.
_profiled_plans = []
_profiled_kernels = {}


cdef bint start_timing(Plan plan) noexcept with gil:
    # Counts a run; the first one of a profile makes the counters.
    if plan.profile != profiling:
        if plan.ticks == NULL:
            plan.ticks = <int64_t*>calloc(plan.n_instructions + 1, sizeof(int64_t))
            if plan.ticks == NULL:
                return False
        memset(plan.ticks, 0, plan.n_instructions * sizeof(int64_t))
        plan.runs = 0
        plan.profile = profiling
        _profiled_plans.append(plan)
    plan.runs += 1
    return True


def count_kernel(address, spent):
    """Count a call of a kernel that no plan made, while a profile is taken."""
    before, times = _profiled_kernels.get(address, (0, 0))
    _profiled_kernels[address] = (before + spent, times + 1)


def profile_start():
    """Time every instruction of every plan from now on. Raises: OptionError if a profile is running."""
    global profiling, _profiles_begun
    if profiling:
        raise_error("OptionError", "profile: one is running already")
    _profiles_begun += 1
    _profiled_plans.clear()
    _profiled_kernels.clear()
    profiling = _profiles_begun


def profile_stop():
    """Stop timing. Returns: the plans that ran as (plan, runs, nanoseconds of each instruction); {kernel address: (nanoseconds, calls)}."""
    global profiling
    cdef int i
    cdef Plan plan
    profiling = 0
    found = []
    for plan in _profiled_plans:
        found.append((plan, plan.runs, [plan.ticks[i] for i in range(plan.n_instructions)]))
    _profiled_plans.clear()
    return found, dict(_profiled_kernels)


# By thread: what a signal's handler raised while its plan ran.
_interrupts = {}


cdef bint interrupted() noexcept with gil:
    # Lets the handlers of signals run that came meanwhile; whether one raised.
    try:
        PyErr_CheckSignals()
        return False
    except BaseException as error:
        _interrupts[get_ident()] = error
        return True


# By thread: (body, instruction, iteration) of the loops that failed, the innermost first; what (name, program) a body belongs to.
_inside = {}
_bodies = WeakValueDictionary()


cdef void failed_inside(void* body, int instruction, int64_t iteration) noexcept with gil:
    _inside.setdefault(get_ident(), []).append((<size_t>body, instruction, iteration))


def name_body(address, owner):
    """Say what errors in a body are reported with: an object with its `title` and its `program`, for as long as that lives."""
    _bodies[address] = owner


cdef list failure_places():
    # The loops that failed, the outermost first, as (where, program, instruction).
    found = []
    for body, instruction, iteration in reversed(_inside.pop(get_ident(), ())):
        owner = _bodies[body]
        where = owner.title
        if iteration >= 0:
            first, last = iteration * owner.turn, (iteration + 1) * owner.turn - 1
            where += f": iteration {first}" if first == last else f": an iteration from {first} to {last}"
        found.append((where, owner.program, instruction))
    return found


cdef int plan_run(Plan plan, void** inputs, void** outputs, const unsigned char* accumulate, char* scratch) noexcept nogil:
    cdef void* near[ON_STACK]
    cdef void** pointers
    cdef Instruction* ins
    cdef int i, k, count, status, add
    cdef int64_t begun = 0, looked = 0
    cdef bint timed = profiling != 0 and start_timing(plan), long_ = plan.work > LONG_WORK
    for i in range(plan.n_instructions):
        if long_ and i <= plan.first_update:
            begun = nanoseconds()
            if looked == 0:
                looked = begun
            if begun - looked > BETWEEN_LOOKS:
                if interrupted():
                    return (i << TL_STATUS_BITS) | TL_INTERRUPTED
                looked = nanoseconds()
        ins = &plan.instructions[i]
        count = ins.n_out + ins.n_in
        pointers = near
        if count > ON_STACK:
            pointers = <void**>calloc(count, sizeof(void*))
            if pointers == NULL:
                return (i << TL_STATUS_BITS) | TL_NO_MEMORY
        for k in range(count):
            pointers[k] = locate(plan, plan.operands[ins.first + k], inputs, outputs, scratch)
        add = 0
        if accumulate != NULL:
            for k in range(plan.n_outputs):
                if accumulate[k] and plan.out_writer[k] == i:
                    add = 1
        if timed:
            begun = nanoseconds()
        status = ins.kernel(pointers, pointers + ins.n_out, ins.ints, ins.floats, add)
        if timed:
            tl_tally(&plan.ticks[i], nanoseconds() - begun)
        if count > ON_STACK:
            free(pointers)
        if status != TL_OK and status != TL_SINGULAR and status != TL_INDEFINITE:
            return (i << TL_STATUS_BITS) | (status if 0 < status < TL_STATUS_MASK else TL_STATUS_MASK)
    return TL_OK


def run(Plan plan, inputs, out_specs, Commit changes=None):
    """Run a plan on AnyTensors (None for an absent input); returns its outputs as AnyTensors, None where there is none.

    Args:
        out_specs: (shape, dtype name) for every output.
        changes: what becomes real with the run, and does not if it fails.

    Raises: DTypeError, ShapeError for an array that the plan was not made for; IndexRangeError if a kernel met an index out of range;
        NumericsError where the plan looks for numbers that are not finite; MemoryError; what a signal's handler raised.
    """
    cdef int i, status
    cdef AnyTensor t
    cdef TLBuffer* scratch = NULL
    cdef void** ins = <void**>zeroed(plan.n_inputs, sizeof(void*))
    cdef void** outs = <void**>zeroed(plan.n_outputs, sizeof(void*))
    # Held while the plan runs, whatever other threads release meanwhile.
    cdef TLBuffer** held = <TLBuffer**>zeroed(plan.n_inputs, sizeof(TLBuffer*))
    results = []
    try:
        if len(inputs) != plan.n_inputs or len(out_specs) != plan.n_outputs:
            raise ValueError(f"plan: {plan.n_inputs} inputs and {plan.n_outputs} outputs, got {len(inputs)} and {len(out_specs)}")
        for i, value in enumerate(inputs):
            if value is not None:
                t = <AnyTensor?>value
                t.check()
                if plan.typed and (t.code != plan.in_code[i] or t.info is not plan.in_shape[i]):
                    plan.refuse(i, t)
                held[i] = buffer_incref(t.buffer)
                ins[i] = t.buffer.data
            elif plan.typed and plan.in_read[i]:
                plan.refuse(i, None)
        for i, (shape, dtype) in enumerate(out_specs):
            if plan.out_kind[i] == OUT_COMPUTED:
                info = intern_shape(tuple(shape))
                code = dtype_code(dtype)
                t = tensor_from_buffer(buffer_new(info.size * itemsize_of(code)), info, code)
                outs[i] = t.buffer.data
                results.append(t)
            elif plan.out_kind[i] == OUT_INPUT:
                t = <AnyTensor>inputs[plan.out_input[i]]
                if t.buffer.size_class == LENT:
                    # Its memory is the caller's, which changes it as it likes.
                    t = tensor_from_object(t.numpy(), t.code, True)
                t.buffer.refs += 1
                results.append(tensor_from_buffer(t.buffer, intern_shape(tuple(shape)), t.code))
            else:
                results.append(None)
        if plan.scratch_bytes:
            scratch = buffer_new(plan.scratch_bytes)
        if changes is not None:
            changes.prepare(results)
        with nogil:
            status = plan_run(plan, ins, outs, NULL, <char*>scratch.data if scratch != NULL else NULL)
        if status == TL_OK and changes is not None:
            changes.apply()
        elif status != TL_OK:
            if changes is not None:
                changes.undo()
            if status & TL_STATUS_MASK == TL_NOT_FINITE and plan.program.steps[status >> TL_STATUS_BITS].kernel == "_finite":
                i = plan.operands[plan.instructions[status >> TL_STATUS_BITS].first]
                not_finite(plan, status >> TL_STATUS_BITS,
                           <double*>locate(plan, i, ins, outs, <char*>scratch.data if scratch != NULL else NULL))
            check_status(plan, status)
    finally:
        for i in range(plan.n_inputs):
            buffer_decref(held[i])
        free(held)
        free(ins)
        free(outs)
        buffer_decref(scratch)
    return results


cdef not_finite(Plan plan, int instruction, double* found):
    # What the instruction that looks for such numbers found: of which of its values, and the number.
    what = "the loss" if found[0] == 0.0 else plan.program.steps[instruction].nodes[0].name
    raise_error("NumericsError", f"{what} became {found[1]}; nothing was updated")


cdef check_status(Plan plan, int status):
    if status == TL_OK:
        return
    # First of all: no other call of Python may come before an exception that is set is taken.
    error = take_failure() if status & TL_STATUS_MASK == TL_RAISED else None
    places = failure_places()
    where = ": ".join([p[0] for p in places])
    if status & TL_STATUS_MASK == TL_INTERRUPTED:
        error = _interrupts.pop(get_ident(), None)
    if error is not None:
        if where:
            error.add_note(f"in {where}")
        raise error
    what = got = ""
    program, instruction = plan.program, status >> TL_STATUS_BITS
    if places:
        _, program, instruction = places[len(places) - 1]
        what = f"{where}: "
    if program is not None:
        what += f"{program.instruction_name(instruction)}: "
        got = f", got {program.instruction_arguments(instruction)}"
    if status & TL_STATUS_MASK == TL_INDEX_OUT_OF_RANGE:
        raise_error("IndexRangeError", f"{what}an index or label is out of range{got}")
    if status & TL_STATUS_MASK == TL_RAISED:
        raise_error("OptionError", f"{what}{UNNOTED}")
    if status & TL_STATUS_MASK != TL_NO_MEMORY:
        raise_error("OptionError", f"{what}a kernel must return a status of kernel.h, got {status & TL_STATUS_MASK}")
    raise MemoryError(f"{what}no memory for a kernel's temporaries")
