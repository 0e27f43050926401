"""The tape: node arrays that only grow, and the reverse sweep over them.

For other projects there is `cimport tlean` (docs/cython.md), which has an ABI number. To those that use this file, `TapeStore` and
`Instance` are opaque, and the free functions below are theirs: nothing here reads a field in another module.
"""
from cpython.object cimport PyObject
from libc.stdint cimport int64_t

from tlean._core.arena cimport TLBuffer
from tlean._core.array cimport AnyTensor, ShapeInfo
from tlean._core.eager.instance cimport Instance

cdef enum:
    TL_INLINE_INPUTS = 4
    TL_KEPT_NODES = 1024        # room for more of them is given back with their tape
    TL_COLLECTED_BYTES = 1 << 23  # arrays of so many bytes more are worth a look for cycles


ctypedef struct TLNode:
    PyObject* inst
    PyObject* custom
    PyObject* name
    PyObject* shape
    TLBuffer* value
    TLBuffer* near_in[4]
    int64_t near_par[4]
    TLBuffer** far_in
    int64_t* far_par
    TLBuffer* res[4]
    int n_in
    int dtype
    bint requires_grad


cdef class TapeStore:
    cdef TapeStore prefix
    cdef TapeStore jump         # an earlier prefix, so that finding a node in a chain of n forks takes O(log n)
    cdef int64_t depth          # prefixes before this store
    cdef object writer          # a weak reference to who appends here
    cdef int64_t base
    cdef TLNode* nodes
    cdef int64_t count
    cdef int64_t capacity
    cdef object __weakref__
    cdef TLNode* at(self, int64_t i) except NULL
    cdef bint rewind(self) noexcept


# The node i ≥ 0 that exists, in a store before this one; `eager/nodes.pxd` has `node_at` for all.
cdef TLNode* node_before(TapeStore store, int64_t i) noexcept


# Appends a node and returns its id. Takes over the references to value and res, even where it fails; inputs and parents are read.
cdef int64_t append_node(
    TapeStore store, Instance inst, int n_in, TLBuffer** inputs, const int64_t* parents,
    TLBuffer* value, TLBuffer** res, bint requires_grad, object name
) except -1
cdef int64_t append_leaf(TapeStore store, AnyTensor value, bint requires_grad, object name) except -1

# Free functions for other projects ---------------------------------------------------------------------------------------

cdef int64_t tape_size(TapeStore store) noexcept
cdef AnyTensor tape_value(TapeStore store, int64_t i)
cdef list tape_backward(TapeStore store, int64_t out, AnyTensor seed)
