# What the hot path knows of an op, and the instances that it met, found by the identity of their inputs' shapes.

cdef enum:
    # Added to the dtype code in the keys of instances that run by definition.
    BY_DEFINITION = 64
    # The same for tapes on which shapes must be equal.
    STRICT = 128
    SLOTS = 2048
    SLOT_INPUTS = 3
    CODE_BITS = 8
    KNOWN_LIMIT = 4096
    KIND_OPTIONAL = 1
    KIND_INTEGER = 2
    KIND_BOOL = 4
    # Whatever is true or not: an array keeps its dtype.
    KIND_TRUTH = 8
    # Moved and not computed with: integers and Booleans stay what they are.
    KIND_MOVED = 16

# A call of up to SLOT_INPUTS inputs, of which optional ones may be absent. A slot owns its tuple of options. From bit CODE_BITS on `code`
# has the dtypes of inputs that are not the tape's, CODE_BITS / 2 each.
cdef struct Slot:
    void* op
    void* infos[SLOT_INPUTS]
    PyObject* values
    void* inst
    int code

cdef Slot _slots[SLOTS]
memset(_slots, 0, sizeof(_slots))
# These keep every instance in _slots alive. When there are KNOWN_LIMIT of them those known become the older ones, and the older ones go
# that no call has asked for meanwhile: numbers that change at every call (5 KB each) do not pile up, and what is in use stays.
cdef dict _known = {}
cdef dict _older = {}


cdef inline Slot* slot_of(void* op, void* a, void* b, int code, tuple values) noexcept:
    cdef uint64_t h = (<uint64_t>op >> 4) * 0x9E3779B97F4A7C15ull
    cdef uint64_t bits
    cdef double x
    h ^= (<uint64_t>a >> 4) * 0xC2B2AE3D27D4EB4Full
    h ^= (<uint64_t>b >> 4) * 0x165667B19E3779F9ull
    h += <uint64_t>code
    # Options that are one object choose the slot with the shapes; floats do so by their bits.
    for value in values:
        bits = <uint64_t><void*>value >> 4
        if type(value) is float:
            x = value
            memcpy(&bits, &x, sizeof(double))
        h = (h ^ bits) * 0x9E3779B97F4A7C15ull
        h ^= h >> 29
    h ^= h >> 29
    return &_slots[(h >> 7) & (SLOTS - 1)]


cdef bint lasting(object value) noexcept:
    # Whether an option that is the same object is the same option: a list may have changed.
    if type(value) is tuple:
        for v in <tuple>value:
            if type(v) is not int and type(v) is not float:
                return False
        return True
    return value is None or type(value) in (int, float, bool, str)


cdef inline bint same_options(tuple a, tuple b) noexcept:
    # Surely the same: one object, or floats of the same bits. What this does not see is found by `option_key`.
    cdef Py_ssize_t k
    cdef double x, y
    if a is b:
        return True
    if len(a) != len(b):
        return False
    for k in range(len(a)):
        if a[k] is b[k]:
            continue
        if type(a[k]) is not float or type(b[k]) is not float:
            return False
        x, y = a[k], b[k]
        if memcmp(&x, &y, sizeof(double)) != 0:
            return False
    return True


cdef class OpInfo:
    """What the hot path knows of an op."""

    def __cinit__(self, name, option_names=(), defaults=None):
        self.name = name
        self.option_names = option_names
        self.defaults = defaults or {}
        self.seed_index = -1
        self.kinds = b""
        self.numbers = ()

    def connect(self, record):
        """Take over what the record says of the inputs."""
        self.record = record
        self.n_in = len(record.inputs)
        self.variadic = record.variadic
        kinds = bytearray(self.n_in)
        for k, name in enumerate(record.inputs):
            if name in record.integer:
                kinds[k] |= (KIND_INTEGER | KIND_BOOL) if record.dtypes[name] == "bool" else KIND_INTEGER
            if record.dtypes.get(name) == "truth":
                kinds[k] |= KIND_TRUTH
            if record.dtypes.get(name) == "any":
                kinds[k] |= KIND_MOVED
            if name in record.optional:
                kinds[k] |= KIND_OPTIONAL
                if k < SLOT_INPUTS:
                    self.optional_mask |= 1ull << k
            if record.random and name == "seed":
                self.seed_index = k
        self.kinds = bytes(kinds)
        self.numbers = tuple([k for k, name in enumerate(record.inputs) if name in record.alike])
        self.slotted = not self.variadic and not record.integer and self.n_in > 0

    def __repr__(self):
        return f"<op {self.name}>"


cdef OpInfo _unnamed(record):
    # Ops that are called by their record: the user's own, and programs recorded elsewhere. What is known of one that is not registered
    # lives with its record, and no slot points to it.
    cdef OpInfo info = OPS.get(record.name)
    if info is not None and info.record is record:
        return info
    info = record.memo.get("eager")
    if info is None:
        info = OpInfo(record.name, record.options_names, record.defaults)
        info.connect(record)
        info.slotted = False
        info.instances = {}
        record.memo["eager"] = info
    return info


cdef bint holds_integers(object value):
    # Whether this is an array of integers or of Booleans, as tlean.dtypes says it.
    dtype = getattr(value, "dtype", None)
    return dtype is not None and str(dtype).rpartition(".")[2].startswith(("int", "uint", "bool"))


cdef inline bint is_axis(object value):
    # Whether a second argument names axes, as tlean.ops.is_axis says it.
    return value is None or isinstance(value, (tuple, int))


def body_among(ops, args):
    """The body of a loop inside a program that one of these arguments belongs to, or None: `w @ h` of the program's own w captures w."""
    for value in args:
        if isinstance(value, RefBase) and type(value) is not TensorRef:
            inside = getattr(value.ops, "encloses", None)
            if inside is not None and inside(ops):
                return value.ops
    return None


cdef tuple several(str op, object xs):
    # The arguments of an op that takes a sequence of arrays.
    try:
        return tuple(xs)
    except (TypeError, NotImplementedError):
        # The second is what a memoryview of several axes raises.
        raise_error("ShapeError", f"{op}: a sequence of arrays is expected, got {type(xs).__name__}")


cdef str argument_name(OpInfo op, int k):
    # "matmul: b": the k-th input of an op, as error messages name it.
    return f"{op.name}: {op.record.inputs[0] if op.variadic else op.record.inputs[k]}"


cdef str described(OpInfo op, tuple args):
    # The arguments of a call as error messages show them, before they are references.
    parts = []
    for name, x in zip(op.record.input_names(len(args)), args):
        shape = getattr(x, "shape", None)
        dtype = getattr(x, "dtype", None)
        parts.append(f"{name}: {shape} {dtype}" if isinstance(shape, tuple) and dtype is not None else f"{name}: {type(x).__name__}")
    return ", ".join(parts)


cdef tuple operands(object xs, str name):
    # The operands of an op that takes any number of them.
    try:
        return tuple(xs)
    except (TypeError, NotImplementedError):
        # The second is what a memoryview of several axes raises.
        raise_error("DTypeError", f"{name}: a sequence of arrays is expected, got {type(xs).__name__}")


cdef void forget_slots() noexcept:
    cdef int k
    cdef PyObject* values
    for k in range(SLOTS):
        values = _slots[k].values
        memset(&_slots[k], 0, sizeof(Slot))
        Py_XDECREF(values)


def forget_instances():
    """Drop every instance that calls of registered ops have met: each is made again. For tests of what happens while one is made."""
    global _known, _older
    _known, _older = {}, {}
    forget_slots()


cdef Instance find_instance(OpInfo op, int code, int mode, tuple infos, tuple values):
    global _known, _older
    # No list comprehensions: where the list cannot grow, what Cython 3.3 makes of one releases the item twice.
    cdef tuple key
    cdef list parts
    if values:
        parts = []
        for v in values:
            parts.append(option_key(v))
        key = (op, code + mode, infos, tuple(parts))
    else:
        key = (op, code + mode, infos, values)
    cdef dict known = _known if op.instances is None else op.instances
    try:
        inst = known.get(key)
    except (TypeError, ValueError):
        raise_error("OptionError", f"{op.name}: {not_a_key(list(zip(op.option_names, values)))}")
    if inst is None and known is _known:
        inst = _older.get(key)
        if inst is not None:
            known[key] = inst
    if inst is not None:
        return <Instance>inst
    parts = []
    for x in infos:
        parts.append(None if x is None else _make_spec((<ShapeInfo>x[0]).dims, dtype_name(x[1])))
    if mode & STRICT:
        op.record.require_equal_shapes(parts)
    inst = _instantiate(op.record, dtype_name(code), tuple(parts), dict(zip(op.option_names, values)), mode & BY_DEFINITION != 0)
    if len(known) >= KNOWN_LIMIT:
        if known is _known:
            _older, _known = _known, {}
            known = _known
            forget_slots()
        else:
            known.clear()
    known[key] = inst
    return <Instance>inst
