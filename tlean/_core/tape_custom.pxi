# Nodes whose backward is a Python function: their step of the sweep, and what such functions mean for the garbage collector.

def node_of(value):
    """A node's id as an int of 64 bits; −1 where it fits none. Raises: NodeError for what is no integer."""
    if type(value) is int:
        return value if 0 <= value < 1 << 62 else -1
    try:
        i = operator.index(id_of(value))
    except TypeError:
        raise_error("NodeError", f"a node id must be an int, got {type(value).__name__}")
    return i if 0 <= i < 1 << 62 else -1


cdef int step_custom(TapeStore store, int64_t i, TLBuffer** slots) except -1:
    cdef TLNode* nd = node_at(store, i)
    cdef AnyTensor t
    cdef int64_t p
    backward = <object>nd.custom
    allowed = {parents_of(nd)[k] for k in range(nd.n_in)}
    g = tensor_from_buffer(buffer_incref(slots[i]), <ShapeInfo>nd.shape, nd.dtype)
    contributions = []
    for p, value in backward(g):
        if p not in allowed:
            raise_error("NodeError", f"backward of node {i}: {p} is none of its parents {sorted(allowed)}")
        nd = node_at(store, p)
        t = tensor_from_object(value, nd.dtype, True)
        if t.info is not <ShapeInfo>nd.shape:
            wanted = (<ShapeInfo>nd.shape).dims
            raise_error("ShapeError", f"backward of node {i}: the contribution to node {p} must have shape {wanted}, got {t.info.dims}")
        contributions.append((p, t))
    for p, value in contributions:
        if node_at(store, p).requires_grad:
            contribute(store, p, (<AnyTensor>value).buffer, slots)
    return 0


# The garbage collector ------------------------------------------------------------------------------------------------

# A node's backward may well hold the tape that the node is on. Cython's own traversal sees the fields of a store and not what its nodes
# hold, so the type gets one that sees both; of what a node holds only that function can lead back to a tape.

ctypedef int (*clearer)(PyObject*) noexcept

cdef traverseproc _visit_fields = (<PyTypeObject*>TapeStore).tp_traverse
cdef clearer _clear_fields = <clearer>(<PyTypeObject*>TapeStore).tp_clear


cdef int visit_store(PyObject* o, visitproc visit, void* arg) noexcept:
    # Without its own reference: the collector counts them just now.
    cdef TLNode* nodes = (<TapeStore>o).nodes
    cdef int64_t i
    cdef int status
    for i in range((<TapeStore>o).count):
        if nodes[i].custom != NULL:
            status = visit(nodes[i].custom, arg)
            if status:
                return status
    return _visit_fields(o, visit, arg)


# Bytes of arrays that were alive when cycles were collected last.
cdef size_t _after_collection = 0


cdef int collect_if_grown() except -1:
    # Python's collector counts objects: a tape that its own backward function keeps is a handful of them, whatever arrays it holds.
    # Where such functions are used it runs once memory has grown by half, and by so much that its time does not matter.
    global _after_collection
    if live_bytes() > _after_collection + _after_collection // 2 + TL_COLLECTED_BYTES and gc.isenabled():
        gc.collect()
        _after_collection = live_bytes()
    return 0


cdef int clear_store(PyObject* o) noexcept:
    cdef TapeStore store = <TapeStore>o
    cdef PyObject* held_before
    cdef int64_t i = 0
    while i < store.count:
        # What goes here may run Python: the nodes are looked at again each time.
        held_before = store.nodes[i].custom
        store.nodes[i].custom = NULL
        Py_XDECREF(held_before)
        i += 1
    return _clear_fields(o)


(<PyTypeObject*>TapeStore).tp_traverse = <traverseproc>visit_store
(<PyTypeObject*>TapeStore).tp_clear = <inquiry>clear_store
