"""Nodes of a tape, read where they lie: for modules of this build alone, so that this file is not in the package."""
from libc.stdint cimport int64_t

from tlean._core.tape cimport TapeStore, TLNode, node_before

# The node i ≥ 0 that exists, in this store or before it. The address holds until a node is appended.
cdef inline TLNode* node_at(TapeStore store, int64_t i) noexcept:
    if i >= store.base:
        return &store.nodes[i - store.base]
    return node_before(store, i)
