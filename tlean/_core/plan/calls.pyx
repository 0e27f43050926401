"""What a compiled session has seen: its calls as a tree, in which steps that begin alike share their beginning.

A call is made whole and then hung onto the one before it; a step moves on to it by one assignment. So whatever interrupts a session leaves
it before a call or after it. A step mostly makes the calls of the step before: each call knows the one that came after it last, and whether
that one comes again is seen here without a key. Whatever is not the same for sure is left to the session, which looks it up or records it.
"""
cimport cython
from cpython.object cimport PyObject
from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp

from tlean._core.arena cimport TLBuffer, buffer_incref, buffer_new, raise_error
from tlean._core.array cimport TL_F64, AnyTensor, ShapeInfo, dtype_code, intern_shape, tensor_from_buffer, tensor_from_object
from tlean._core.array import named_dtype
from tlean._core.eager.eager cimport recording
from tlean._core.eager.eager import ParamBase, run_plan
from tlean._core.plan.commit import Commit
from tlean._core.refs cimport RefBase
from tlean._core.refs import shown

cdef extern from "Python.h":
    int PyDict_Next(object d, Py_ssize_t* at, PyObject** key, PyObject** value)


cdef bint lasting(object value) noexcept:
    # Whether an option that is the same object is the same option: a list may have changed.
    if type(value) is tuple:
        for v in <tuple>value:
            if not lasting(v):
                return False
        return True
    return value is None or type(value) in (int, float, bool, str)


cdef bint same(object a, object b) except -1:
    # Surely the same option as one that is lasting: one object, equal integers, floats of the same bits, tuples of these.
    cdef double x, y
    cdef Py_ssize_t k
    if a is b:
        return True
    kind = type(a)
    if kind is not type(b):
        return False
    if kind is float:
        x, y = a, b
        return memcmp(&x, &y, sizeof(double)) == 0
    if kind is int:
        return a == b
    if kind is not tuple or len(<tuple>a) != len(<tuple>b):
        return False
    for k in range(len(<tuple>a)):
        if not same((<tuple>a)[k], (<tuple>b)[k]):
            return False
    return True


@cython.trashcan(True)
cdef class Call:
    """A leaf or an op of a step, with what it makes: one object for all steps whose calls are the same up to here.

    Args:
        before: the call before it; None for the beginning of every step.
        entry: what tells it apart from other calls there.
        specs: of the values that it makes (an op's output, then its residuals). They are numbered in the order of the calls.
        node: the op; None for a leaf.
        flows: whether gradients flow to its value.
        kept: whether it is a node of the tape; False under no_grad.
        op: the op as it was called, by its name or by its record.
        options: as they were given.
    """

    # The first of the fields, so that it goes before the dictionary, which frees long chains without recursion.
    cdef Call likely            # the call that came after it last
    #: The calls that were made after it, by their entry.
    cdef readonly dict next
    cdef readonly object entry
    cdef readonly tuple specs
    cdef readonly object node
    cdef readonly bint flows
    #: The node's id; None under no_grad.
    cdef readonly object id
    #: Its value's number, and how many calls, values, inputs and nodes there are up to it.
    cdef readonly Py_ssize_t value, number, values, inputs, nodes
    #: What was compiled of the calls up to it.
    cdef public object plans
    cdef bint kept
    cdef bint asked             # a leaf that takes gradients, on a tape or not
    cdef ShapeInfo info         # of a leaf of the host
    cdef int code
    cdef object op
    cdef Py_ssize_t n_in
    cdef int64_t* ids           # the numbers of an op's inputs, -1 for an absent one
    cdef list options           # name, value, name, value ...; None where they may mean something else at another time

    def __cinit__(self, Call before, entry, tuple specs not None, node, bint flows=False, bint kept=False, op=None, options=None):
        cdef Py_ssize_t k
        self.entry, self.specs, self.node, self.kept, self.asked = entry, specs, node, kept, flows
        self.flows = flows and kept
        self.next = {}
        self.code = -1
        if before is not None:
            self.value = before.values
            self.number = before.number + 1
            self.values = before.values + len(specs)
            self.inputs = before.inputs + (node is None)
            self.nodes = before.nodes + kept
            if node is None:
                self.info, self.code = intern_shape(tuple(specs[0].shape)), dtype_code(specs[0].dtype)
        self.id = self.nodes - 1 if kept else None
        if node is not None:
            self.n_in = len(node.inputs)
            self.ids = <int64_t*>calloc(self.n_in + 1, sizeof(int64_t))
            if self.ids == NULL:
                raise MemoryError()
            for k in range(self.n_in):
                self.ids[k] = -1 if node.inputs[k] is None else node.inputs[k]
            self.op = op
            if options is not None and all([lasting(v) for v in options.values()]):
                self.options = [part for item in options.items() for part in item]

    def __dealloc__(self):
        free(self.ids)

    @property
    def spec(self):
        """Of its value."""
        return self.specs[0]

    def after(self, entry):
        """The call that was made after it with this entry, or None."""
        made = self.next.get(entry)
        if made is not None:
            self.likely = <Call>made
        return made

    def hang(self, Call call not None):
        """Have this call come after it."""
        self.next[call.entry] = call
        self.likely = call

    def drop(self, Call call not None):
        """Forget a call that comes after it."""
        if self.likely is call:
            self.likely = None
        if self.next.get(call.entry) is call:
            del self.next[call.entry]

    cdef bint has_options(self, dict options) except -1:
        # Surely those of this call.
        cdef Py_ssize_t at = 0, k = 0
        cdef PyObject* name
        cdef PyObject* value
        cdef list mine = self.options
        if mine is None or 2 * len(options) != len(mine):
            return False
        while PyDict_Next(options, &at, &name, &value):
            if mine[k] is not <object>name or not same(mine[k + 1], <object>value):
                return False
            k += 2
        return True


cdef class Program:
    """The calls of a step so far. `at` is the last one; what the lists hold beyond it was left by a call that failed."""

    cdef public Call at
    cdef readonly object dtype
    cdef readonly Py_ssize_t generation
    cdef readonly list calls
    #: The calls that are nodes of the tape, by id.
    cdef readonly list nodes
    #: The leaves' arrays.
    cdef readonly list tensors
    #: By node id: the parameter that it read, and its version then.
    cdef readonly dict uses
    cdef readonly dict computed
    #: Gradients that were asked for and not computed yet.
    cdef public object pending

    def __cinit__(self, Call start not None, dtype, Py_ssize_t generation):
        self.at, self.dtype, self.generation = start, dtype, generation
        self.calls, self.nodes, self.tensors = [], [], []
        self.uses, self.computed = {}, {}

    cpdef add(self, Call call, tensor=None):
        """Go on to this call, which comes after the last one."""
        cdef Call at = self.at
        put(self.calls, at.number, call)
        if call.node is None:
            put(self.tensors, at.inputs, tensor)
        if call.kept:
            put(self.nodes, at.nodes, call)
        self.at = call


cdef inline int put(list rows, Py_ssize_t at, object value) except -1:
    # rows[at:] = [value]
    if len(rows) > at:
        del rows[at:]
    rows.append(value)
    return 0


cdef class SessionRef(RefBase):
    """A value of a compiled session."""

    cdef readonly CallsCore ops
    cdef readonly Call call
    cdef readonly Py_ssize_t generation

    def __init__(self, *args, **options):
        # The library makes references by `__new__`, which does not come here.
        raise_error("NodeError", "SessionRef: only ops and inputs make references; put an array into a session with leaf() or input()")

    @property
    def id(self):
        """The node's id, or None for a value computed under `no_grad`."""
        return self.call.id

    @property
    def shape(self):
        """The sizes along each axis."""
        return self.call.specs[0].shape

    @property
    def dtype(self):
        """The dtype: equal to NumPy's and to its name."""
        return named_dtype(self.call.specs[0].dtype)

    @property
    def requires_grad(self):
        """Whether gradients flow to this value."""
        return self.call.flows

    @property
    def value(self):
        """The value, as an array where the session computes."""
        return self.ops.get_value(self)

    def numpy(self):
        """The value, as a NumPy array."""
        return self.value.numpy()

    def __reduce__(self):
        # A session says why it cannot be pickled.
        return self.ops.__reduce_ex__(2)

    def __repr__(self):
        # The value of a leaf, and of what has been read; the op of what is to be computed yet.
        cdef Program now = self.ops._program
        node = self.call.node
        where = "no_grad" if self.id is None else f"%{self.id}"
        if self.generation != now.generation or not (node is None or self.call in now.computed):
            return shown(where if node is None else f"{where} = {node.record.name}", None, self.shape, self.dtype)
        return shown(where, self.value, self.shape, self.dtype)


cdef class CallsCore:
    """A session that follows the calls of its steps. `tlean.session.compiled` adds what records and runs them.

    Args:
        calls: the tree: `start`, and `last`, the end of the program that ran last.
        dtype: "float32" or "float64".
    """

    #: All that belongs to a step: one assignment begins a new one.
    cdef readonly Program _program
    cdef readonly object _calls
    cdef readonly object dtype
    cdef int code

    def __init__(self, calls, dtype):
        self.dtype, self.code = dtype, dtype_code(dtype)
        self._calls = calls
        self._program = Program(calls.start, dtype, 0)

    @property
    def generation(self):
        """How many steps there were before this one."""
        return self._program.generation

    @property
    def _uses(self):
        return self._program.uses

    cpdef SessionRef _ref_of(self, Call call):
        """A reference to what a call of the current step makes."""
        cdef SessionRef r = SessionRef.__new__(SessionRef)
        r.ops, r.call, r.generation = self, call, self._program.generation
        return r

    def reset_tape(self):
        """Forget every node; references made before raise NodeError from now on. Parameters and plans stay."""
        cdef Program before = self._program
        if before.at is not self._calls.last:
            self._calls.keep(before)
        self._program = Program(self._calls.start, self.dtype, before.generation + 1)

    # Recording --------------------------------------------------------------------------------------------------------------

    cpdef Call _leaf(self, value, bint flows, bint kept):
        cdef Program now = self._program
        cdef Call call = now.at.likely
        cdef AnyTensor t
        if call is not None and call.info is not None and type(value) is AnyTensor:
            t = <AnyTensor>value
            if t.info is call.info and t.code == call.code and call.asked == flows and call.kept == kept:
                now.add(call, value)
                return call
        return self._new_leaf(value, flows, kept)

    cdef SessionRef held_leaf(self, AnyTensor value, bint flows):
        return self._ref_of(self._leaf(value, flows and value.code <= TL_F64, recording()))

    def add_leaf(self, value, requires_grad=True, name=None):
        """A leaf that holds this array itself, of whatever dtype. Raises: DTypeError for what is no array of the session's device."""
        if type(value) is AnyTensor and type(requires_grad) is bool:
            return self.held_leaf(<AnyTensor>value, requires_grad)
        return self._any_leaf(value, requires_grad)

    def leaf(self, value, requires_grad=True, name=None):
        """A leaf with this value (copied, cast to the session's dtype)."""
        if name is not None or type(requires_grad) is not bool:
            return self._named_leaf(value, requires_grad, name)
        return self.held_leaf(tensor_from_object(value, self.code, True), requires_grad)

    def input(self, x, name=None, requires_grad=None):
        """A leaf with this value (copied, cast to the session's dtype)."""
        flows = self.options.requires_grad_by_default if requires_grad is None else requires_grad
        if name is not None or type(flows) is not bool:
            return self._named_leaf(x, flows, name, "input")
        return self.held_leaf(tensor_from_object(x, self.code, True), flows)

    def const(self, value, name=None):
        """A leaf that takes no gradient."""
        return self.leaf(value, False, name)

    def use(self, p):
        """A leaf with the parameter's value. Used twice, its gradients are summed and it is updated once."""
        cdef AnyTensor t
        cdef SessionRef r
        if not isinstance(p, ParamBase):
            raise_error("NodeError", f"use: a Param is expected, got {type(p).__name__}")
        t = p._tensor
        if t.code != self.code:
            raise_error("DTypeError", f"use: the session computes in {self.dtype}, got {p!r}; cast it with cast({self.dtype!r})")
        t.check()
        flows = p.requires_grad
        if flows is None:
            flows = self.options.requires_grad_by_default
        # An array of the tape's own: what it has read stays when the parameter gives its memory back.
        r = self.held_leaf(tensor_from_buffer(buffer_incref(t.buffer), t.info, t.code), flows)
        if r.call.kept:
            self._program.uses[r.call.id] = (p, p._version)
        return r

    def apply(self, op, inputs, options, name=None):
        """Record one op."""
        cdef Program now = self._program
        cdef Call call = now.at.likely
        cdef Py_ssize_t k
        cdef SessionRef r
        if call is None or call.op is not op or name is not None or type(inputs) is not tuple or type(options) is not dict:
            return self._record(op, inputs, options, name)
        if call.n_in != len(<tuple>inputs) or call.kept != recording() or not call.has_options(options):
            return self._record(op, inputs, options, name)
        for k in range(call.n_in):
            x = (<tuple>inputs)[k]
            if x is None and call.ids[k] < 0:
                continue
            if type(x) is not SessionRef:
                return self._record(op, inputs, options, name)
            r = <SessionRef>x
            if r.ops is not self or r.generation != now.generation or r.call.value != call.ids[k] or (call.kept and not r.call.kept):
                return self._record(op, inputs, options, name)
        now.add(call)
        return self._ref_of(call)

    def require(self, ref):
        """The reference itself if it is this session's and of the current step. Raises: NodeError."""
        if type(ref) is not SessionRef:
            raise_error("NodeError", f"a reference of this session is expected, got {type(ref).__name__}")
        if (<SessionRef>ref).ops is not self:
            raise_error("NodeError", "a reference belongs to another session or tape")
        if (<SessionRef>ref).generation != self._program.generation:
            raise_error("NodeError", "a reference is from before reset_tape")
        return ref

    def get_value(self, ref):
        """The value of a reference, as an AnyTensor."""
        self.require(ref)
        if self._program.pending is None:
            known = self._program.computed.get((<SessionRef>ref).call)
            if known is not None:
                return known
        return self._compute_value((<SessionRef>ref).call)

    # Steps ------------------------------------------------------------------------------------------------------------------

    def _states(self, update, p, kernel):
        # The optimiser's states of a parameter, which the plan writes to, and its numbers.
        return update.peek(p, kernel)

    def _note_value(self, changes, p, number):
        # The parameter's new value is output `number` of the plan.
        changes.output(p, "_tensor", number)

    def _step(self, update, grads):
        # The step as one plan, or False where the gradients are known already, or where they are not of the parameters' values now.
        cdef Program now = self._program
        cdef Call out
        cdef dict kernels = {}, vectors = {}, moved = {}
        cdef int number = 0
        if not grads.pending():
            return False
        out = grads.out
        used = {}
        for i, (p, version) in now.uses.items():
            if i > out.id:
                continue
            if p._version != version or p in used:
                return False
            used[p] = i
        for p, i in used.items():
            kernel = update.kernel(p) if (<Call>now.nodes[i]).flows and p.requires_grad is not False else None
            if kernel is not None:
                kernels[i] = kernel
        plan = self._step_plan(kernels, update, out)
        tensors = now.tensors[:out.inputs]
        tensors.append(grads.seed)
        changes = Commit()
        produced = plan.graph.outputs
        for i, kernel in kernels.items():
            number += 1
            if produced[number] is None:
                continue
            p = now.uses[i][0]
            moved[p] = number
            states, hyper = self._states(update, p, kernel)
            tensors.extend(states)
            numbers = vectors.get(hyper)
            if numbers is None:
                numbers = vectors[hyper] = vector(hyper)
            tensors.append(numbers)
        # The plan writes to the states. The parameters' new values, outputs with these numbers, have separate memory: what this tape has
        # read stays as it was, so its values can still be computed. Nothing comes between the run, the new values and the count.
        for p, k in moved.items():
            self._note_value(changes, p, k)
        changes.count(moved, update.state.steps)
        results = run_plan(self._target.run, plan.plan, tensors, plan.out_specs, self.options.num_threads or 0, changes)
        now.computed[out] = results[0]
        now.pending = None
        return True


cdef AnyTensor vector(tuple numbers):
    # Numbers as a float64 array.
    cdef Py_ssize_t k
    cdef TLBuffer* b = buffer_new(8 * len(numbers))
    cdef AnyTensor t = tensor_from_buffer(b, intern_shape((len(numbers),)), TL_F64)
    for k in range(len(numbers)):
        (<double*>b.data)[k] = numbers[k]
    return t
