"""The base class of every backend's references."""


cdef class RefBase:
    pass
