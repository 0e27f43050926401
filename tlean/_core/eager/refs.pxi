# The references of eager values.

cdef class TensorRef(RefBase):
    """A value on a tape: `.id`, `.shape`, `.dtype`, and the operators of every reference."""

    def __init__(self, *args, **options):
        # The library makes references by `__new__`, which does not come here.
        raise_error("NodeError", "TensorRef: only ops and inputs make references; put an array on a tape with leaf() or input()")

    @property
    def id(self):
        """The node's id, or None for a value computed under `no_grad`."""
        return self.node if self.node >= 0 else None

    @property
    def shape(self):
        """The sizes along each axis."""
        return self.info.dims

    @property
    def dtype(self):
        """The dtype: equal to NumPy's and to its name."""
        return dtype_of(self.code)

    @property
    def requires_grad(self):
        """Whether gradients flow to this value."""
        if self.node < 0:
            return False
        self.ops.require(self)
        return bool(node_at(self.ops.store, self.node).requires_grad)

    @property
    def value(self):
        """The value, as an AnyTensor."""
        if self.node >= 0 and self.generation == self.ops.generation:
            return tensor_from_buffer(buffer_incref(node_at(self.ops.store, self.node).value), self.info, self.code)
        return self.ops.get_value(self)

    cdef object combine(self, int which, RefBase other):
        if not self.ops.plain_operators:
            return RefBase.combine(self, which, other)
        if which == REF_ADD:
            return self.ops.call2(OP_add, self, other, None)
        if which == REF_SUB:
            return self.ops.call2(OP_sub, self, other, None)
        if which == REF_MUL:
            return self.ops.call2(OP_mul, self, other, None)
        return self.ops.call2(OP_div, self, other, None)

    cdef object combine_number(self, int which, object number):
        if not self.ops.plain_operators:
            return RefBase.combine_number(self, which, number)
        return self.ops.call(OP_shift if which == REF_ADD else OP_scale, (self,), (number,), None)

    def numpy(self):
        """The value, as a read-only NumPy view."""
        return self.ops.get_value(self).numpy()

    def item(self, *index):
        """The only element, or the one at an index, as a Python number."""
        return self.ops.get_value(self).item(*index)

    def __repr__(self):
        where = f"%{self.node}" if self.node >= 0 else "no_grad"
        # A reference from before reset_tape, or to an array that was released, has no value any more.
        gone = self.generation != self.ops.generation if self.node >= 0 else self.held.buffer == NULL
        return shown(where, None if gone else self.value, self.info.dims, dtype_name(self.code))


cdef inline TensorRef new_ref(EagerCore ops, int64_t node, ShapeInfo info, int code, AnyTensor held):
    cdef TensorRef r = TensorRef.__new__(TensorRef)
    r.ops = ops
    r.node = node
    r.generation = ops.generation
    r.info = info
    r.code = code
    r.held = held
    return r


cdef inline TLBuffer* buffer_of(TensorRef r) except NULL:
    if r.node >= 0:
        return node_at(r.ops.store, r.node).value
    r.held.check()
    return r.held.buffer
