"""The base class of every backend's references."""

# The operators between two references, as `combine` is told them.
cdef enum:
    REF_ADD = 0
    REF_SUB = 1
    REF_MUL = 2
    REF_DIV = 3


cdef class RefBase:
    cdef object combine(self, int which, RefBase other)
    cdef object combine_number(self, int which, object number)
