"""The hot face of the eager backend: references, shape checks, allocation and recording without Python in between.

A call finds its interned instance by the identity of its inputs' shapes (a small direct-mapped cache, then a dictionary), runs the kernel
into a fresh buffer and appends one node. The methods themselves are generated from the op registry (eager_ops.pxi).
"""
cimport cython
import functools
import inspect
from contextvars import ContextVar
from numbers import Real  # no-cython-lint: `eager_ops.pxi` reads it

from cpython.contextvars cimport PyContextVar_Set, get_value
from cpython.ref cimport PyObject, Py_REFCNT, Py_XDECREF, Py_XINCREF

from libc.math cimport isfinite
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy, memset

from tlean._core.arena cimport TLBuffer, buffer_decref, buffer_incref, raise_error
from tlean._core.array cimport TL_F32, TL_F64, TL_I64, AnyTensor, ShapeInfo, dtype_of, tensor_from_buffer, tensor_from_object
from tlean._core.array import dtype_name, whole_numbers
from tlean._core.refs cimport REF_ADD, REF_MUL, REF_SUB, RefBase
from tlean._core.refs import install_op_names, no_references, shown
from tlean._core.threads.threads cimport cap_threads
from tlean._core.eager.instance cimport Instance, option_key, run_forward
from tlean._core.eager.nodes cimport node_at
from tlean._core.tape cimport TapeStore, TLNode, append_leaf, append_node
from tlean._core.tape import node_of
from tlean._core.eager.instance import not_a_key

# Installed by tlean.interpreters.eager: how an instance is made, what a spec is, the seed stream, and the ops that other ops make up.
cdef object _instantiate = None
cdef object _make_spec = None
cdef object _stream_seed = None
cdef object _find_record = None
composites = {}


def install(instantiate, make_spec, stream_seed, find_record, records, composite_functions):
    """Connect the op registry: called once, by tlean.interpreters.eager."""
    global _instantiate, _make_spec, _stream_seed, _find_record
    _find_record = find_record
    _instantiate = instantiate
    _make_spec = make_spec
    _stream_seed = stream_seed
    composites.update(composite_functions)
    if OPS.keys() != records.keys():
        raise ImportError(
            "the compiled part of tlean belongs to other records of ops: build it again; they differ in "
            f"{', '.join(sorted(OPS.keys() ^ records.keys()))}"
        )
    for name, op in OPS.items():
        (<OpInfo>op).connect(records[name])
    install_op_names([n for n in {**OPS, **composites} if n[0] != "_"])


include "no_grad.pxi"
include "instances.pxi"
include "refs.pxi"
include "params.pxi"
include "integers.pxi"


cdef bint flag_of(object value) except -1:
    if value is True or value is False:
        return value is True
    if isinstance(value, int) and value in (0, 1):
        return value == 1
    if getattr(value, "dtype", None) == "bool" and getattr(value, "shape", None) == ():
        return bool(value)
    raise_error("OptionError", f"leaf: requires_grad must be True or False, got {type(value).__name__}")


cdef AnyTensor array_of(object value, str who):
    if type(value) is not AnyTensor:
        raise_error("DTypeError", f"{who}: an AnyTensor is expected, got {type(value).__name__}; leaf() takes anything array-like")
    return <AnyTensor>value


cdef void drop(Instance inst, TLBuffer* value, TLBuffer** kept) noexcept:
    # What an op made that does not become a node.
    cdef int k
    buffer_decref(value)
    if kept != NULL:
        for k in range(inst.n_res):
            buffer_decref(kept[k])


cdef inline TensorRef call_again(EagerCore self, OpInfo op, int n, PyObject** args, tuple values, object name):
    # The call of an op where a call like it was before and nothing has to be converted; else None.
    cdef TLBuffer* ins[SLOT_INPUTS]
    cdef int64_t parents[SLOT_INPUTS]
    cdef void* infos[SLOT_INPUTS]
    cdef bint record = recording(), requires_grad = False
    cdef int k, code = self.code + self.mode, others = 0
    cdef TensorRef r
    cdef TLNode* nd
    cdef Slot* slot
    infos[0] = infos[1] = infos[2] = NULL
    for k in range(n):
        if type(<object>args[k]) is not TensorRef:
            if <object>args[k] is not None or not op.optional_mask & (1ull << k):
                return None
            ins[k], parents[k] = NULL, -1
            continue
        r = <TensorRef>args[k]
        if r.ops is not self:
            return None
        others |= (r.code ^ self.code) << (CODE_BITS // 2 * k)
        if r.node >= 0:
            if r.generation != self.generation:
                return None
            nd = node_at(self.store, r.node)
            ins[k] = nd.value
            requires_grad |= nd.requires_grad
        else:
            if record or r.held.buffer == NULL:
                return None
            ins[k] = r.held.buffer
        infos[k], parents[k] = <void*>r.info, r.node
    code += others << CODE_BITS
    slot = slot_of(<void*>op, infos[0], infos[1], code, values)
    if slot.op != <void*>op or slot.code != code or slot.values == NULL or not same_options(values, <tuple>slot.values):
        return None
    for k in range(SLOT_INPUTS):
        if slot.infos[k] != infos[k]:
            return None
    return self.finish(<Instance>slot.inst, n, ins, parents, requires_grad, record, name)


cdef class EagerCore:
    """A tape that ops append to. `EagerOps` below adds the ops themselves.

    Args:
        dtype: "float32" or "float64": what floating-point inputs are cast to.
        store: the nodes to continue; a new tape by default.
        seed: of the stream that random ops without their own seed draw from.
    """

    def __cinit__(self):
        if type(self) is EagerOps:
            self.plain_operators = True
        else:
            names = ("add", "sub", "mul", "div", "shift", "scale")
            self.plain_operators = all([getattr(type(self), n, None) is getattr(EagerOps, n) for n in names])

    def __init__(self, dtype="float32", store=None, seed=0):
        if dtype not in ("float32", "float64"):
            raise_error("DTypeError", f"dtype must be float32 or float64, got {dtype!r}")
        self.code = TL_F32 if dtype == "float32" else TL_F64
        self.store = TapeStore() if store is None else store
        self.session_seed = seed
        self.stream_position = 0

    @property
    def dtype(self):
        """The float dtype of the tape."""
        return dtype_name(self.code)

    @property
    def by_definition(self):
        """Whether ops run by their reference definitions instead of the kernels."""
        return self.mode & BY_DEFINITION != 0

    @by_definition.setter
    def by_definition(self, value):
        self.mode = (self.mode & STRICT) | (BY_DEFINITION if value else 0)

    @property
    def strict_shapes(self):
        """Whether the inputs of an elementwise op must have equal shapes; else they broadcast."""
        return self.mode & STRICT != 0

    @strict_shapes.setter
    def strict_shapes(self, value):
        self.mode = (self.mode & BY_DEFINITION) | (STRICT if value else 0)

    def use_store(self, store):
        """Append to these nodes from now on; references made before stay valid only if the store continues theirs."""
        if type(store) is not TapeStore:
            raise_error("NodeError", f"use_store: the nodes of a tape are expected, got {type(store).__name__}")
        self.store = store

    def reset_tape(self):
        """Forget every node; references made before raise NodeError from now on. Parameters stay."""
        cdef TapeStore before = self.store
        # Memory first: without it the tape stays as it is.
        cdef TapeStore fresh = TapeStore() if self.spare is None else self.spare
        self.generation += 1
        self.store = fresh
        self.spare = None
        if self._uses:
            self._uses = {}
        # Only now, as what a node held may run Python's code when it goes. Nothing else has the nodes: their memory is for the next tape.
        if Py_REFCNT(before) == 1 and before.rewind() and self.spare is None:
            self.spare = before

    def leaf(self, value, requires_grad=True, name=None):
        """A leaf with this value (copied); floating-point and integer values take the tape's float dtype."""
        return self.new_leaf(tensor_from_object(value, self.code, True), flag_of(requires_grad), name)

    def const(self, value, name=None):
        """A leaf that takes no gradient."""
        return self.new_leaf(tensor_from_object(value, self.code, True), False, name)

    def _own_constant(self, value):
        # A constant of the value's own dtype.
        return self.new_leaf(tensor_from_object(value, -1, True), False, None)

    def add_leaf(self, value, requires_grad=True, name=None):
        """A leaf that holds this array itself, of whatever dtype. Raises: DTypeError for what is no AnyTensor."""
        return self.new_leaf(array_of(value, "add_leaf"), flag_of(requires_grad), name)

    cdef TensorRef new_leaf(self, AnyTensor value, bint requires_grad, object name):
        value.check()
        if not recording():
            return new_ref(self, -1, value.info, value.code, value)
        return new_ref(self, append_leaf(self.store, value, requires_grad, name), value.info, value.code, None)

    def ref_of(self, node):
        """A reference to an existing node."""
        cdef int64_t i = node_of(node)
        n = self.store.at(i)
        return new_ref(self, i, <ShapeInfo>n.shape, n.dtype, None)

    def custom_node(self, value, parents, backward, requires_grad, name=None):
        """Append a node whose backward is a Python function; see `TapeStore.custom`."""
        cdef AnyTensor t = array_of(value, "custom_node")
        if not recording():
            return new_ref(self, -1, t.info, t.code, t)
        return new_ref(self, self.store.custom(t, parents, backward, requires_grad, name), t.info, t.code, None)

    def require(self, ref):
        """The reference itself if it is this session's and of the current tape. Raises: NodeError."""
        if not isinstance(ref, TensorRef):
            raise_error("NodeError", f"a reference of this session is expected, got {type(ref).__name__}")
        self.own_ref(ref, None, 0)
        return ref

    def get_value(self, ref):
        """The value of a reference, as an AnyTensor."""
        cdef TensorRef r = self.own_ref(ref, None, 0)
        if r.node < 0:
            return r.held
        return tensor_from_buffer(buffer_incref(node_at(self.store, r.node).value), r.info, r.code)

    cdef TensorRef own_ref(self, object value, OpInfo op, int k):
        # The argument as a reference of this tape; anything array-like becomes a constant leaf.
        cdef TensorRef r
        cdef int code, kind
        if type(value) is TensorRef:
            r = <TensorRef>value
            if r.ops is not self:
                raise_error("NodeError", f"{'' if op is None else op.name + ': '}a reference belongs to another session or tape")
            if r.node >= 0 and r.generation != self.generation:
                raise_error("NodeError", f"{'' if op is None else op.name + ': '}a reference is from before reset_tape")
            if r.node < 0 and op is not None and recording():
                return self.new_leaf(r.held, False, None)
            return r
        if isinstance(value, RefBase):
            raise_error("NodeError", f"{'' if op is None else op.name + ': '}a reference belongs to another backend")
        if value is None or op is None:
            name = "an argument"
            if op is not None:
                name = argument_name(op, k)
            raise_error("ShapeError" if value is None else "NodeError", f"{name} is required, got {value!r}")
        if type(value) is list or type(value) is tuple:
            no_references(argument_name(op, k), value)
        try:
            kind = op.kinds[0 if op.variadic else k]
            code = -1 if kind & KIND_TRUTH or (kind & KIND_MOVED and holds_integers(value)) else self.code
            return self.new_leaf(tensor_from_object(value, code, True), False, None)
        except (TypeError, ValueError) as error:
            if type(error) in (TypeError, ValueError):
                raise
            raise type(error)(f"{argument_name(op, k)}: {error}") from None

    cdef AnyTensor integer_value(self, object value, bint boolean, OpInfo op, int k, tuple args):
        if type(value) is not AnyTensor and hasattr(value, "__tlean_value__"):
            value = value.__tlean_value__(self)
        try:
            if boolean:
                array = tensor_from_object(value, -1, True)
                if array.dtype != "bool":
                    raise_error("DTypeError", f"an array of dtype {array.dtype} is not taken where bool is expected")
                return array
            return tensor_from_object(value, TL_I64, True)
        except TypeError as error:
            if type(error) is TypeError:
                raise
            raise type(error)(f"{op.name}: {op.record.inputs[k]}: {error}, got {described(op, args)}") from None
        except OverflowError:
            raise_error("DTypeError", f"{op.name}: {op.record.inputs[k]} does not fit 64 bits")

    def sweep(self, out, seed, free_interior=False, aside=()):
        """Gradients of node `out` with the cotangent `seed`: see `TapeStore.backward`."""
        cdef int before
        cdef int64_t i = node_of(out)
        cdef AnyTensor g = array_of(seed, "sweep")
        if not self.thread_cap:
            return self.store.backward(i, g, -1, free_interior, aside)
        before = cap_threads(self.thread_cap)
        try:
            return self.store.backward(i, g, -1, free_interior, aside)
        finally:
            cap_threads(before)

    def next_seed(self):
        """The seed of the next random op of this tape's stream."""
        seed = _stream_seed(self.session_seed, self.stream_position)
        self.stream_position += 1
        return seed

    cdef TensorRef finish(
        self, Instance inst, int n, TLBuffer** ins, int64_t* parents, bint requires_grad, bint record, object name
    ):
        # Runs the op and appends its node.
        cdef TLBuffer* value = NULL
        cdef TLBuffer* res[4]
        cdef bint keep = requires_grad and inst.differentiable
        cdef TLBuffer** kept = res if keep and record and inst.n_res else NULL
        # Keeps the inputs alive, whatever a call back into Python does to this tape.
        cdef TapeStore store = self.store
        if self.thread_cap:
            self.run_capped(inst, ins, &value, kept)
        else:
            run_forward(inst, ins, &value, kept)
        if self.store is not store and record:
            drop(inst, value, kept)
            raise_error("NodeError", f"{inst.name}: the tape was reset while the op ran")
        if self.check_numerics and inst.dtype <= TL_F64:
            self.look_for_nonfinite(inst, value, kept, n, parents)
        if not record:
            return new_ref(self, -1, inst.shape, inst.dtype, tensor_from_buffer(value, inst.shape, inst.dtype))
        return new_ref(self, append_node(store, inst, n, ins, parents, value, kept, keep, name), inst.shape, inst.dtype, None)

    cdef int run_capped(self, Instance inst, TLBuffer** ins, TLBuffer** value, TLBuffer** res) except -1:
        cdef int before = cap_threads(self.thread_cap)
        try:
            return run_forward(inst, ins, value, res)
        finally:
            cap_threads(before)

    cdef look_for_nonfinite(self, Instance inst, TLBuffer* value, TLBuffer** kept, int n, int64_t* parents):
        cdef Py_ssize_t i
        cdef double x
        for i in range(inst.shape.size):
            x = (<float*>value.data)[i] if inst.dtype == TL_F32 else (<double*>value.data)[i]
            if not isfinite(x):
                drop(inst, value, kept)
                found = tuple([parents[j] for j in range(n)])
                what = "a NaN" if x != x else "an infinity"
                raise_error("NumericsError", f"{inst.name}: node {len(self.store)} is the first with {what} "
                            f"(element {i} of shape {inst.shape.dims}), its parents are {found}")

    cdef call1(self, OpInfo op, object a, object name):
        # An op of one float input and no options.
        cdef PyObject* args[1]
        args[0] = <PyObject*>a
        made = call_again(self, op, 1, args, (), name)
        return self.call_any(op, (a,), (), name) if made is None else made

    cdef call2(self, OpInfo op, object a, object b, object name):
        # An op of two float inputs and no options.
        cdef PyObject* args[2]
        args[0] = <PyObject*>a
        args[1] = <PyObject*>b
        made = call_again(self, op, 2, args, (), name)
        return self.call_any(op, (a, b), (), name) if made is None else made

    cdef call(self, OpInfo op, tuple args, tuple values, object name):
        # Any op: inputs in the order of its record, options in the order of `op.option_names`.
        cdef PyObject* given[SLOT_INPUTS]
        cdef int n = len(args), k
        if op.slotted and n <= SLOT_INPUTS:
            for k in range(n):
                given[k] = <PyObject*>args[k]
            made = call_again(self, op, n, given, values, name)
            if made is not None:
                return made
        return self.call_any(op, args, values, name)

    cdef void remember(self, OpInfo op, tuple infos, tuple values, Instance inst) noexcept:
        cdef int n = len(infos), k, code = self.code + self.mode
        cdef Slot* slot
        cdef PyObject* before
        cdef void* found[SLOT_INPUTS]
        if not op.slotted or n > SLOT_INPUTS:
            return
        found[0] = found[1] = found[2] = NULL
        for value in values:
            if not lasting(value):
                return
        for k in range(n):
            if infos[k] is not None:
                code += (<int>(<tuple>infos[k])[1] ^ self.code) << (CODE_BITS + CODE_BITS // 2 * k)
            found[k] = NULL if infos[k] is None else <void*>(<tuple>infos[k])[0]
        slot = slot_of(<void*>op, found[0], found[1], code, values)
        before = slot.values
        slot.op, slot.code, slot.inst, slot.values = <void*>op, code, <void*>inst, <PyObject*>values
        for k in range(SLOT_INPUTS):
            slot.infos[k] = found[k]
        Py_XINCREF(slot.values)
        Py_XDECREF(before)

    cdef object call_any(self, OpInfo op, tuple args, tuple values, object name):
        cdef int n = len(args), k
        cdef int64_t before = self.store.base + self.store.count
        cdef unsigned long long position = self.stream_position
        cdef TLBuffer* near_in[8]
        cdef int64_t near_par[8]
        cdef TLBuffer** ins = near_in
        cdef int64_t* parents = near_par
        cdef void* block = NULL
        cdef bint requires_grad = False
        cdef TensorRef r
        cdef AnyTensor t
        cdef list keep = []
        cdef list infos = []
        cdef Instance inst
        cdef int kind
        cdef PyObject* given[SLOT_INPUTS]
        cdef tuple called = args
        try:
            if op.numbers:
                args = integers_of(self, op, args)
            if op.slotted and n <= SLOT_INPUTS:
                # Its arrays made constants, it may be a call like one before after all.
                refs = []
                for k in range(n):
                    refs.append(None if args[k] is None and op.optional_mask & (1ull << k) else self.own_ref(args[k], op, k))
                    given[k] = <PyObject*>refs[k]
                made = call_again(self, op, n, given, values, name)
                if made is not None:
                    return made
                args = tuple(refs)
            if n > 8:
                block = calloc(n, sizeof(TLBuffer*) + sizeof(int64_t))
                if block == NULL:
                    raise MemoryError()
                ins = <TLBuffer**>block
                parents = <int64_t*>(ins + n)
            for k in range(n):
                value = args[k]
                kind = 0 if op.variadic or k >= len(op.kinds) else <unsigned char>op.kinds[k]
                if value is None:
                    if k == op.seed_index:
                        value = self.next_seed()
                    elif kind & KIND_OPTIONAL:
                        ins[k] = NULL
                        parents[k] = -1
                        infos.append(None)
                        continue
                if kind & KIND_INTEGER and type(value) is not TensorRef:
                    if isinstance(value, RefBase):
                        raise_error("NodeError", f"{op.name}: a reference belongs to another backend")
                    t = self.integer_value(value, kind & KIND_BOOL != 0, op, k, args)
                    keep.append(t)
                    ins[k] = t.buffer
                    parents[k] = -1
                    infos.append((t.info, t.code))
                    continue
                r = self.own_ref(value, op, k)
                keep.append(r)
                ins[k] = buffer_of(r)
                parents[k] = r.node
                infos.append((r.info, r.code))
                if r.node >= 0 and node_at(self.store, r.node).requires_grad:
                    requires_grad = True
            inst = find_instance(op, self.code, self.mode, tuple(infos), values)
            self.remember(op, tuple(infos), values, inst)
            return self.finish(inst, n, ins, parents, requires_grad, recording(), name)
        except BaseException as error:
            self.store.truncate(before)
            self.stream_position = position
            inside = body_among(self, called) if isinstance(error, Exception) else None
            if inside is None:
                raise
            return inside.apply(op.name, called, dict(zip(op.option_names, values)), name)
        finally:
            free(block)

    def apply(self, op, inputs, options, name=None):
        """An op by name: inputs in the order of its record, options as a dictionary. What rules and other backends call."""
        cdef OpInfo info = OPS.get(op) if isinstance(op, str) else None
        if info is None:
            # An op of the user's own, or a record made on the way.
            info = _unnamed(_find_record(op))
            if len(info.record.outputs) > 1 and info.record.loop is not None:
                return info.record.loop.on_tape(self, info.record, tuple(inputs))
        extra = [n for n in options if n not in info.option_names]
        absent = [n for n in info.option_names if n not in options and n not in info.defaults]
        if extra or absent:
            raise_error("OptionError", f"{info.name}: options must be {info.option_names}, got {tuple(options)}")
        values = tuple([options[n] if n in options else info.defaults[n] for n in info.option_names])
        return self.call(info, tuple(inputs), values, name)


include "eager_ops.pxi"
