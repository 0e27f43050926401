"""The tape: node arrays that only grow, and the reverse sweep over them.

A node holds its value, its inputs' buffers, its parents' ids and the op's interned instance; the sweep runs the instance's traced
vector-Jacobian product, a plan, straight into the parents' gradient slots. Python is entered when a signature is met for the first time
and for nodes whose backward is a Python function, never otherwise.

The order of accumulation is part of the contract: nodes descending, then the node's parents in position; every contribution is computed
whole and then added once.
"""
cimport cython
from cpython.object cimport PyObject, PyTypeObject, inquiry, traverseproc, visitproc
from cpython.ref cimport Py_INCREF, Py_XDECREF
from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcpy, memset

import gc
import operator
import weakref

from tlean._core.eager.accum cimport accumulate, own
from tlean._core.arena cimport TLBuffer, buffer_decref, buffer_incref, buffer_new, live_bytes, raise_error
from tlean._core.array cimport (
    TL_F64, AnyTensor, ShapeInfo, dtype_code, intern_shape, itemsize_of, tensor_from_buffer, tensor_from_object
)
from tlean._core.eager.instance cimport RELEASE_GIL_NS, TL_MAX_RESIDUALS, TL_NEAR, Instance, grab, see
from tlean._core.refs import id_of
from tlean._core.plan.plan cimport OUT_COMPUTED, OUT_INPUT, Plan, check_status, plan_run, profiling

# The store ------------------------------------------------------------------------------------------------------------

cdef inline TLNode* node_at(TapeStore store, int64_t i) noexcept:
    # As in eager/nodes.pxd, which cimports this module.
    return &store.nodes[i - store.base] if i >= store.base else node_before(store, i)


cdef inline int64_t* parents_of(TLNode* nd) noexcept:
    return &nd.near_par[0] if nd.n_in <= TL_INLINE_INPUTS else nd.far_par


cdef inline TLBuffer** inputs_of(TLNode* nd) noexcept:
    return &nd.near_in[0] if nd.n_in <= TL_INLINE_INPUTS else nd.far_in


cdef TLNode* new_node(TapeStore store, int n_in) noexcept:
    # Room for one more node with so many inputs, not yet counted, so that a failure later leaves the tape as it was; NULL without memory.
    cdef int64_t capacity
    cdef void* grown
    cdef int i
    if store.count == store.capacity:
        capacity = 2 * store.capacity if store.capacity else 16
        grown = realloc(store.nodes, capacity * sizeof(TLNode))
        if grown == NULL:
            return NULL
        store.nodes = <TLNode*>grown
        store.capacity = capacity
    cdef TLNode* nd = &store.nodes[store.count]
    # Field by field: the instruction that compilers clear a block of this size with takes longer than all the rest of an append.
    nd.inst = nd.custom = nd.name = nd.shape = NULL
    nd.value = NULL
    for i in range(TL_MAX_RESIDUALS):
        nd.res[i] = NULL
    nd.n_in = n_in
    nd.far_in = NULL
    nd.far_par = NULL
    if n_in > TL_INLINE_INPUTS:
        nd.far_in = <TLBuffer**>calloc(n_in, sizeof(TLBuffer*) + sizeof(int64_t))
        if nd.far_in == NULL:
            return NULL
        nd.far_par = <int64_t*>(nd.far_in + n_in)
    return nd


cdef void clear_node(TLNode* nd) noexcept:
    cdef int i
    cdef TLBuffer** ins = inputs_of(nd)
    for i in range(nd.n_in):
        buffer_decref(ins[i])
    free(nd.far_in)
    for i in range(TL_MAX_RESIDUALS):
        buffer_decref(nd.res[i])
    buffer_decref(nd.value)
    Py_XDECREF(nd.inst)
    Py_XDECREF(nd.custom)
    Py_XDECREF(nd.name)
    Py_XDECREF(nd.shape)


cdef inline PyObject* held(object o) noexcept:
    if o is None:
        return NULL
    Py_INCREF(o)
    return <PyObject*>o


cdef inline bint is_label(object name) noexcept:
    return name is None or isinstance(name, str)


cdef int refuse_label(str who, object name) except -1:
    raise_error("OptionError", f"{who}: name must be a text, got {type(name).__name__}")


cdef int64_t append_node(
    TapeStore store, Instance inst, int n_in, TLBuffer** inputs, const int64_t* parents,
    TLBuffer* value, TLBuffer** res, bint requires_grad, object name
) except -1:
    cdef TLNode* nd = new_node(store, n_in) if is_label(name) else NULL
    cdef TLBuffer** ins
    cdef int64_t* pars
    cdef int i
    if nd == NULL:
        buffer_decref(value)
        if res != NULL:
            for i in range(inst.n_res):
                buffer_decref(res[i])
        if not is_label(name):
            refuse_label(inst.name, name)
        raise MemoryError()
    ins = inputs_of(nd)
    pars = parents_of(nd)
    for i in range(n_in):
        ins[i] = buffer_incref(inputs[i])
        pars[i] = parents[i]
    if res != NULL:
        for i in range(inst.n_res):
            nd.res[i] = res[i]
    nd.value = value
    nd.inst = held(inst)
    nd.name = held(name)
    nd.shape = held(inst.shape)
    nd.dtype = inst.dtype
    nd.requires_grad = requires_grad
    store.count += 1
    return store.base + store.count - 1


cdef int64_t append_leaf(TapeStore store, AnyTensor value, bint requires_grad, object name) except -1:
    value.check()
    if not is_label(name):
        refuse_label("leaf", name)
    cdef TLNode* nd = new_node(store, 0)
    if nd == NULL:
        raise MemoryError()
    nd.value = buffer_incref(value.buffer)
    nd.shape = held(value.info)
    nd.dtype = value.code
    nd.name = held(name)
    nd.requires_grad = requires_grad and value.code <= TL_F64
    store.count += 1
    return store.base + store.count - 1


cdef TLNode* node_before(TapeStore store, int64_t i) noexcept:
    while i < store.base:
        # Every store between this one and `jump` starts later than `jump` does.
        store = store.jump if i < store.jump.base else store.prefix
    return &store.nodes[i - store.base]


# The trashcan frees long chains of forks without recursion.
@cython.trashcan(True)
cdef class TapeStore:
    """Nodes in order. A fork continues another store from one of its sizes and shares everything before."""

    def __cinit__(self, TapeStore prefix=None, int64_t base=0):
        cdef TapeStore far
        if prefix is not None:
            if not 0 <= base <= prefix.base + prefix.count:
                raise ValueError("tape: a fork starts inside the tape")
            # Skip prefixes that contribute nothing, so that a chain of forks stays short.
            while prefix is not None and base <= prefix.base:
                prefix = prefix.prefix
            self.prefix = prefix
            self.base = base
            if prefix is not None:
                # Jump pointers of a skew-binary list (Myers 1983).
                far = prefix.jump
                if far is not None and far.jump is not None and prefix.depth - far.depth == far.depth - far.jump.depth:
                    self.jump = far.jump
                else:
                    self.jump = prefix
                self.depth = prefix.depth + 1

    def __dealloc__(self):
        cdef int64_t i
        for i in range(self.count - 1, -1, -1):
            clear_node(&self.nodes[i])
        free(self.nodes)

    def __len__(self):
        return self.base + self.count

    def continued(self, int64_t size, owner):
        """The first `size` nodes, for `owner` alone to append to: this one if it ends there and nothing else appends to it, or a fork."""
        cdef TapeStore store = self
        writer = weakref.ref(owner)
        if self.base + self.count != size or (self.writer is not None and self.writer() is not None):
            store = TapeStore(self, size)
        store.writer = writer
        return store

    def done(self):
        """The tape that appended here has finished."""
        self.writer = None

    def leaf(self, AnyTensor value not None, requires_grad=True, name=None):
        """Append a leaf; returns its id."""
        return append_leaf(self, value, requires_grad, name)

    def custom(self, AnyTensor value not None, parents, backward, requires_grad, name=None):
        """Append a node with a Python backward: `backward(g) -> [(parent id, contribution), …]`; returns its id."""
        cdef TLNode* nd
        cdef int i, n
        cdef int64_t p
        collect_if_grown()
        value.check()
        if not isinstance(parents, (tuple, list)):
            raise_error("NodeError", f"node: the parents must be a sequence of node ids, got {type(parents).__name__}")
        if not is_label(name):
            refuse_label("node", name)
        parents = [node_of(given) for given in parents]
        n = len(parents)
        for p in parents:
            if not 0 <= p < self.base + self.count:
                raise_error("NodeError", f"node: parent {p} is not on this tape of {self.base + self.count} nodes")
        nd = new_node(self, n)
        if nd == NULL:
            raise MemoryError()
        for i in range(n):
            inputs_of(nd)[i] = NULL
            parents_of(nd)[i] = parents[i]
        nd.value = buffer_incref(value.buffer)
        nd.shape = held(value.info)
        nd.dtype = value.code
        nd.name = held(name)
        nd.custom = held(backward)
        nd.requires_grad = requires_grad and value.code <= TL_F64
        self.count += 1
        return self.base + self.count - 1

    def truncate(self, int64_t size):
        """Forget the nodes from `size` on (only this store's own)."""
        while self.count > 0 and self.base + self.count > size:
            self.count -= 1
            clear_node(&self.nodes[self.count])

    cdef bint rewind(self) noexcept:
        # Forgets every node, for the store to be a new tape's; False if it is a fork or in use, or too large to be kept.
        if self.prefix is not None or self.writer is not None or self.capacity > TL_KEPT_NODES:
            return False
        while self.count > 0:
            self.count -= 1
            clear_node(&self.nodes[self.count])
        return True

    cdef TLNode* at(self, int64_t i) except NULL:
        if not 0 <= i < self.base + self.count:
            raise_error("NodeError", f"there is no node {i} on this tape of {self.base + self.count} nodes")
        return node_at(self, i)

    def value(self, int64_t i):
        """The value of node i."""
        cdef TLNode* nd = self.at(i)
        return tensor_from_buffer(buffer_incref(nd.value), <ShapeInfo>nd.shape, nd.dtype)

    def describe(self, int64_t i):
        """What node i is: (op or None, name, parents (-1: a captured constant), shape, dtype code, requires_grad, options)."""
        cdef TLNode* nd = self.at(i)
        op = (<Instance>nd.inst).name if nd.inst != NULL else "custom" if nd.custom != NULL else None
        options = (<Instance>nd.inst).options if nd.inst != NULL else {}
        name = <object>nd.name if nd.name != NULL else None
        parents = tuple([parents_of(nd)[k] for k in range(nd.n_in)])
        return op, name, parents, (<ShapeInfo>nd.shape).dims, nd.dtype, bool(nd.requires_grad), options

    def instance(self, int64_t i):
        """The interned instance of node i, or None for a leaf and for a custom node."""
        cdef TLNode* nd = self.at(i)
        return <object>nd.inst if nd.inst != NULL else None

    def custom_backward(self, int64_t i):
        """The Python backward of node i, or None."""
        cdef TLNode* nd = self.at(i)
        return <object>nd.custom if nd.custom != NULL else None

    def readers(self, int64_t i):
        """The nodes that read node i, in order; None if one reads it otherwise than once and as its first input."""
        cdef int64_t j
        cdef TLNode* nd
        cdef int k
        cdef list found = []
        for j in range(i + 1, self.base + self.count):
            nd = node_at(self, j)
            for k in range(nd.n_in):
                if parents_of(nd)[k] == i:
                    if k > 0:
                        return None
                    found.append(j)
        return found

    def operand(self, int64_t i, int k):
        """Input k of node i, which an op made, as an array."""
        cdef TLNode* nd = self.at(i)
        if nd.inst == NULL or not 0 <= k < nd.n_in or inputs_of(nd)[k] == NULL:
            raise_error("NodeError", f"node {i} has no input {k}")
        spec = (<Instance>nd.inst).specs[k]
        return tensor_from_buffer(buffer_incref(inputs_of(nd)[k]), intern_shape(spec.shape), dtype_code(spec.dtype))

    def backward(self, int64_t out, AnyTensor seed not None, int64_t size=-1, bint free_interior=False, aside=()):
        """Gradients of `out` with the cotangent `seed`, as a list of `size` (default: all nodes) AnyTensors or None.

        With `free_interior`, only leaves' gradients are kept; the others' memory is given back as the sweep passes. The nodes `aside` keep
        theirs and hand nothing on.
        """
        if size < 0:
            size = self.base + self.count
        cdef TLBuffer** slots = <TLBuffer**>grab(size * sizeof(TLBuffer*))
        cdef unsigned char* kept = NULL
        cdef TLNode* nd
        cdef int64_t i
        try:
            if aside:
                kept = <unsigned char*>grab(size)
                for i in aside:
                    self.at(i)
                    kept[i] = 1
            nd = self.at(out)
            require_like(nd, seed, out)
            slots[out] = buffer_incref(seed.buffer)
            # The seed is at `out` whatever its flag, and flows on from there.
            sweep(self, slots, out + 1, 0, free_interior, out, kept)
            return slots_to_list(self, slots, size)
        finally:
            free(kept)
            free_slots(slots, size)

    def backward_from(self, list grads, int64_t n, int64_t first=0):
        """Reverse over nodes n−1 … first, every rule run, starting from a gradient for each node; returns the new list."""
        cdef int64_t size = self.base + self.count, i
        cdef AnyTensor t
        if len(grads) != size:
            raise_error("ShapeError", f"backward: one gradient for each of the {size} nodes, got {len(grads)}")
        if not 0 <= n <= size:
            raise_error("NodeError", f"backward: n must be between 0 and {size}, got {n}")
        cdef TLBuffer** slots = <TLBuffer**>grab(size * sizeof(TLBuffer*))
        try:
            for i in range(size):
                if grads[i] is not None:
                    t = tensor_from_object(grads[i], self.at(i).dtype, True)
                    require_like(self.at(i), t, i)
                    slots[i] = buffer_incref(t.buffer)
            sweep(self, slots, n, first, False, -1, NULL)
            return slots_to_list(self, slots, size)
        finally:
            free_slots(slots, size)


cdef require_like(TLNode* nd, AnyTensor g, int64_t i):
    g.check()
    if g.info is not <ShapeInfo>nd.shape or g.code != nd.dtype:
        raise_error("ShapeError", f"backward: a cotangent of node {i} must be {(<ShapeInfo>nd.shape).dims}, got {g.info.dims} {g.dtype}")


cdef void free_slots(TLBuffer** slots, int64_t size) noexcept:
    cdef int64_t i
    for i in range(size):
        buffer_decref(slots[i])
    free(slots)


cdef list slots_to_list(TapeStore store, TLBuffer** slots, int64_t size):
    cdef list out = [None] * size
    cdef int64_t i
    cdef TLNode* nd
    for i in range(size):
        if slots[i] != NULL:
            nd = node_at(store, i)
            out[i] = tensor_from_buffer(slots[i], <ShapeInfo>nd.shape, nd.dtype)
            slots[i] = NULL
    return out


include "tape_sweep.pxi"
include "tape_custom.pxi"


# Free functions for other projects ---------------------------------------------------------------------------------------

cdef int64_t tape_size(TapeStore store) noexcept:
    return store.base + store.count


cdef AnyTensor tape_value(TapeStore store, int64_t i):
    return store.value(i)


cdef list tape_backward(TapeStore store, int64_t out, AnyTensor seed):
    return store.backward(out, seed)
