# Arrays and tapes: nodes whose value and whose cotangents C functions compute, without the GIL.

cdef object array_new(int dtype, int ndim, const Py_ssize_t* shape, void** data):
    cdef AnyTensor array = fresh_array(dtype, ndim, shape)
    data[0] = array.buffer.data
    return array


cdef AnyTensor fresh_array(int dtype, int ndim, const Py_ssize_t* shape):
    cdef int k
    if not 0 <= dtype <= TL_BOOL:
        raise_error("DTypeError", f"a dtype must be one of TL_F32 to TL_BOOL, got {dtype}")
    info = intern_shape(tuple([shape[k] for k in range(ndim)]))
    return tensor_from_buffer(buffer_new(info.size * itemsize_of(dtype)), info, dtype)


cdef AnyTensor array_of(object value):
    if not isinstance(value, AnyTensor):
        raise_error("DTypeError", f"an array of tlean is expected (tl.AnyTensor makes one), got {type(value).__name__}")
    (<AnyTensor>value).check()
    return <AnyTensor>value


cdef int array_view(object value, tl_view* view) except -1:
    cdef AnyTensor array = array_of(value)
    view.data, view.size, view.ndim, view.dtype = array.buffer.data, array.info.size, <int>array.info.ndim, array.code
    view.shape = array.info.sizes
    return 0


cdef TapeStore store_of(object tape):
    store = tape if isinstance(tape, TapeStore) else getattr(tape, "store", None)
    if not isinstance(store, TapeStore):
        raise_error("NodeError", f"a TapeM or an eager session of the CPU is expected, got {type(tape).__name__}")
    return <TapeStore>store


cdef int64_t size_of(object tape) except -1:
    return tape_size(store_of(tape))


cdef object value_of(object tape, int64_t node):
    return tape_value(store_of(tape), node)


cdef int64_t leaf_on(object tape, object value, int requires_grad, object name) except -1:
    return append_leaf(store_of(tape), array_of(value), requires_grad != 0, name)


cdef object backward_of(object tape, int64_t node, object seed):
    return tape_backward(store_of(tape), node, array_of(seed))


# Nodes ----------------------------------------------------------------------------------------------------------------

cdef class GuestBackward:
    """The backward function of a node that another project computes: called with its cotangent, it gives [(parent, contribution), …]."""

    cdef str name
    cdef tl_backward function
    cdef void* context
    cdef object owner
    cdef AnyTensor value
    cdef list inputs        # of each input the array
    cdef list parents       # its node, −1 where it has none
    cdef list needed        # whether a contribution is needed

    def __call__(self, g):
        cdef AnyTensor cotangent = tensor_from_object(g, self.value.code, True)
        cdef AnyTensor array
        cdef void* inp[TL_MOST_NODE_INPUTS]
        cdef void* grads[TL_MOST_NODE_INPUTS]
        cdef int k, status
        if cotangent.info is not self.value.info:
            raise_error("ShapeError", f"{self.name}: a cotangent must be {self.value.info.dims}, got {cotangent.info.dims}")
        contributions = []
        for k in range(len(self.inputs)):
            array = self.inputs[k]
            inp[k] = array.buffer.data
            grads[k] = NULL
            if self.needed[k]:
                array = fresh_array(array.code, <int>array.info.ndim, array.info.sizes)
                grads[k] = array.buffer.data
                contributions.append((self.parents[k], array))
        with nogil:
            status = self.function(self.context, grads, cotangent.buffer.data, self.value.buffer.data, inp)
        require_ok(self.name, status)
        return contributions

    def __repr__(self):
        return f"<the backward of {self.name}, in C>"


cdef object record_on(
    object tape, object name, object inputs, int dtype, int ndim, const Py_ssize_t* shape, tl_forward forward, tl_backward backward,
    void* context, object owner
):
    cdef EagerCore ops
    cdef GuestBackward rule
    cdef AnyTensor array
    cdef TensorRef r
    cdef void* inp[TL_MOST_NODE_INPUTS]
    cdef int k, status
    if not isinstance(tape, EagerCore):
        raise_error("NodeError", f"a TapeM or an eager session of the CPU is expected, got {type(tape).__name__}")
    if not isinstance(name, str):
        raise_error("OptionError", f"the name of a node must be a text, got {type(name).__name__}")
    if not isinstance(inputs, tuple) or len(inputs) > TL_MOST_NODE_INPUTS:
        raise_error("NodeError", f"{name}: the inputs must be a tuple of at most {TL_MOST_NODE_INPUTS} references or ids, got {inputs!r}")
    if forward == NULL:
        raise_error("OptionError", f"{name}: a node needs a forward function")
    ops = <EagerCore>tape
    rule = GuestBackward.__new__(GuestBackward)
    rule.name, rule.function, rule.context, rule.owner = name, backward, context, owner
    rule.inputs, rule.parents, rule.needed = [], [], []
    for k, x in enumerate(inputs):
        r = <TensorRef?>(ops.require(x) if isinstance(x, TensorRef) else ops.ref_of(x))
        array = ops.get_value(r)
        array.check()
        rule.inputs.append(array)
        rule.parents.append(r.node)
        rule.needed.append(bool(backward != NULL and r.node >= 0 and node_at(ops.store, r.node).requires_grad))
        inp[k] = array.buffer.data
    rule.value = fresh_array(dtype, ndim, shape)
    with nogil:
        status = forward(context, rule.value.buffer.data, inp)
    require_ok(name, status)
    parents = [p for p in rule.parents if p >= 0]
    return ops.custom_node(rule.value, parents, rule, True in rule.needed, name)
