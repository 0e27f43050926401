"""What a kept program depends on beside its arguments: read again, and compared, before each call.

A guard is a list of places (a closure's cell, an entry of a dictionary, an attribute, an item of a list), each with what stood there when
the program was traced. `tlean.programs.captured` finds the places. Reading calls no Python code of the user's, apart from `__getattr__`.
"""
from types import MethodType

import numpy

from cpython.buffer cimport PyBUF_FORMAT, PyBUF_STRIDES, PyBuffer_Release, PyObject_GetBuffer
from cpython.object cimport Py_EQ, PyObject_RichCompareBool
from cpython.ref cimport PyObject
from libc.string cimport memcmp

from tlean._core.arena cimport raise_error
from tlean._core.array cimport AnyTensor, dtype_code, intern_shape, tensor_from_object
from tlean._core.array import shared

cdef extern from "Python.h":
    PyObject* PyCell_GET(object cell)
    PyObject* PyDict_GetItemWithError(object d, object key) except? NULL

# Places.
cdef enum:
    AT_CELL = 0
    AT_KEY = 1
    AT_ATTRIBUTE = 2
    AT_ITEM = 3
    FIXED = 4
    LENGTH = 5
    KEYS = 6

# What must be there.
cdef enum:
    IS = 0
    EQUALS = 1
    ARRAY = 2

PLACES = {"cell": AT_CELL, "key": AT_KEY, "attribute": AT_ATTRIBUTE, "item": AT_ITEM, "fixed": FIXED, "length": LENGTH, "keys": KEYS}
MODES = {"is": IS, "equals": EQUALS, "array": ARRAY}
cdef object _absent = object()
cdef type _number = numpy.generic


cdef bint same_value(object a, object b) except -1:
    # Whether two immutable values are interchangeable: of one type and with the same bits (−0.0 is not 0.0, a NaN is itself).
    cdef double x, y
    cdef complex p, q
    cdef Py_ssize_t i
    if a is b:
        return True
    kind = type(a)
    if kind is not type(b):
        return False
    if kind is float:
        x, y = a, b
        return memcmp(&x, &y, sizeof(double)) == 0
    if kind is int or kind is str or kind is bytes:
        return PyObject_RichCompareBool(a, b, Py_EQ)
    if kind is complex:
        p, q = a, b
        return memcmp(&p, &q, sizeof(p)) == 0
    if isinstance(a, tuple):
        if len(<tuple>a) != len(<tuple>b):
            return False
        for i in range(len(<tuple>a)):
            if not same_value((<tuple>a)[i], (<tuple>b)[i]):
                return False
        return True
    if isinstance(a, _number):
        return a.dtype == b.dtype and a.tobytes() == b.tobytes()
    if isinstance(a, slice):
        return same_value((a.start, a.stop, a.step), (b.start, b.stop, b.step))
    if isinstance(a, range):
        return same_value((a.start, a.stop, a.step), (b.start, b.stop, b.step))
    if isinstance(a, (set, frozenset)):
        return a == b
    return False


cdef bint same_method(object a, object b) except -1:
    # Bound methods are made again whenever they are read.
    if type(a) is not MethodType or type(b) is not MethodType:
        return False
    return a.__func__ is b.__func__ and a.__self__ is b.__self__


cdef bint same_bytes(object array, bytes content) except -1:
    cdef Py_buffer view
    if not array.flags.c_contiguous or array.dtype.kind not in "fiubc":
        return array.tobytes() == content
    if array.nbytes != len(content):
        return False
    if array.nbytes == 0:
        return True
    PyObject_GetBuffer(array, &view, PyBUF_STRIDES | PyBUF_FORMAT)
    try:
        return memcmp(view.buf, <char*>content, view.len) == 0
    finally:
        PyBuffer_Release(&view)


cdef class Guard:
    """Places and what stood there.

    Arrays have slots: the places that held one array share its slot, and go on holding one array, though it may be another of the same
    shape and dtype. `check` returns the arrays that the program takes as further inputs, as they are now, or None where anything else
    changed.
    """
    cdef list owners, keys, expected
    cdef list shapes, dtypes, kinds
    cdef list contents, versions, inputs
    cdef bytearray places, modes
    cdef Py_ssize_t count, slots
    cdef readonly list names

    def __cinit__(self):
        self.owners, self.keys, self.expected, self.names = [], [], [], []
        self.shapes, self.dtypes, self.kinds = [], [], []
        self.contents, self.versions, self.inputs = [], [], []
        self.places, self.modes = bytearray(), bytearray()

    def __len__(self):
        return self.count

    def add(self, str place, owner, key, str mode, expected, str name):
        """One more place: `expected` stood there, or for mode "array" the array of that slot."""
        self.owners.append(owner)
        self.keys.append(key)
        self.expected.append(expected)
        self.names.append(name)
        self.places.append(PLACES[place])
        self.modes.append(MODES[mode])
        self.count += 1

    def slot(self, array):
        """A slot for arrays like this one: of its type, shape and dtype."""
        self.kinds.append(type(array))
        self.shapes.append(tuple(array.shape))
        self.dtypes.append(array.dtype)
        self.slots += 1
        return self.slots - 1

    def input(self, Py_ssize_t slot, array, str dtype, bint copy):
        """A further input of the program: the array of a slot, or (−1) this very array or parameter, as this dtype."""
        # An AnyTensor never changes: as long as it is there, it counts as it was, even if it is released.
        kept = (array, shared(array)) if isinstance(array, AnyTensor) else (array if slot < 0 else None, None)
        self.inputs.append((slot, *kept, hasattr(array, "_tensor"), intern_shape(tuple(array.shape)), dtype_code(dtype), copy))

    def content(self, Py_ssize_t slot, bytes content):
        """The program computed with the numbers of that slot's array, which were these."""
        self.contents.append((slot, content))

    def version(self, Py_ssize_t slot, version):
        """The program computed with the values of that slot's parameter, as they were in this version."""
        self.versions.append((slot, version))

    cdef object fetch(self, Py_ssize_t i):
        # What is at a place now; `_absent` for nothing.
        cdef int place = self.places[i]
        cdef PyObject* found = NULL
        owner = self.owners[i]
        if place == AT_CELL:
            found = PyCell_GET(owner)
            return <object>found if found != NULL else _absent
        if place == AT_KEY:
            if not isinstance(owner, dict):
                # A read-only view of one.
                return owner[self.keys[i]] if self.keys[i] in owner else _absent
            found = PyDict_GetItemWithError(owner, self.keys[i])
            return <object>found if found != NULL else _absent
        if place == AT_ATTRIBUTE:
            try:
                return getattr(owner, self.keys[i])
            except AttributeError:
                return _absent
        if place == AT_ITEM:
            return owner[self.keys[i]] if self.keys[i] < len(owner) else _absent
        if place == LENGTH:
            return len(owner)
        if place == KEYS:
            return tuple(owner)
        return owner

    def changed(self):
        """The name of the first place that now holds something else, or None."""
        cdef list current = [None] * self.slots
        cdef Py_ssize_t i = self.find(current)
        if i >= 0:
            return self.names[i]
        return None

    cdef Py_ssize_t find(self, list current) except -2:
        # The first place that holds something else, else −1; the arrays by slot.
        cdef Py_ssize_t i, slot
        cdef int mode
        for i in range(self.count):
            value = self.fetch(i)
            mode = self.modes[i]
            if mode == IS:
                if value is not self.expected[i] and not same_method(value, self.expected[i]):
                    return i
            elif mode == EQUALS:
                if not same_value(value, self.expected[i]):
                    return i
            else:
                slot = self.expected[i]
                held = current[slot]
                if held is None:
                    if type(value) is not self.kinds[slot] or value.shape != self.shapes[slot]:
                        return i
                    dtype = value.dtype
                    if dtype is not self.dtypes[slot] and dtype != self.dtypes[slot]:
                        return i
                    current[slot] = value
                elif held is not value:
                    return i
        return -1

    def check(self):
        """The further inputs as they are now, or None if the program has to be traced again."""
        cdef list current = [None] * self.slots if self.slots else None
        if self.count and self.find(current) >= 0:
            return None
        for slot, content in self.contents:
            if not same_bytes(current[slot], content):
                return None
        for slot, version in self.versions:
            if current[slot]._version != version:
                return None
        return self.taken(current) if self.inputs else []

    def read(self):
        """The further inputs as they are now. Raises: ShapeError, DTypeError where one is no longer like what was traced."""
        cdef list current = [None] * self.slots
        cdef Py_ssize_t i = self.find(current)
        made = self.taken(current) if i < 0 else None
        if made is None:
            what = self.names[i] if i >= 0 else "a captured parameter"
            raise_error("ShapeError", f"{what}: an array that a compiled program captures keeps its shape and dtype; compile it again")
        return made

    cdef list taken(self, list current):
        cdef AnyTensor t
        cdef list made = []
        for slot, array, kept, parameter, shape, dtype, copy in self.inputs:
            if slot >= 0:
                array = kept if kept is not None and current[slot] is array else current[slot]
            if parameter:
                t = array._tensor
                if t.code != <int>dtype:
                    return None
                if copy:
                    t = tensor_from_object(t.numpy(), dtype, True)
            else:
                t = tensor_from_object(array, dtype, copy)
            if t.info is not shape:
                return None
            made.append(t)
        return made
