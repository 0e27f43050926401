# cython: language_level=3
"""A kernel that calls back into Python: how the user's own ops, and reference definitions, take part in plans and tapes."""
from threading import get_ident
from weakref import WeakValueDictionary

import numpy

from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memcpy

from cpython.object cimport PyObject
from cpython.ref cimport Py_XDECREF, Py_XINCREF

from tlean._core.kernel cimport TL_OK, TL_RAISED

cdef extern from "Python.h":
    ctypedef struct PyFrameObject
    PyFrameObject* PyEval_GetFrame() except? NULL                       # borrowed
    PyFrameObject* PyFrame_GetBack(PyFrameObject* frame) except? NULL   # a new reference, or NULL for the first frame, or without memory
    object PyFrame_GetGlobals(PyFrameObject* frame)
    ctypedef struct PyCodeObject
    PyCodeObject* PyFrame_GetCode(PyFrameObject* frame)     # a new reference
    int PyFrame_GetLineNumber(PyFrameObject* frame)

cdef extern from *:
    """static int tl_pending(void) { return PyErr_Occurred() ? -1 : 0; }"""
    int tl_pending() except -1


# Layout of `ints`: number of the call, outputs, inputs, then for every output and input its dtype code, rank and sizes. A function is
# called with the list of outputs (writable arrays; None for one that is never read), the list of inputs (separate read-only arrays; None
# for an absent one) and the options.

# By number, while the record lives that a call belongs to: what holds a plan holds its records, so that nothing else keeps a call alive.
_calls = WeakValueDictionary()
_count = 0
_codes = ("float32", "float64", "int64", "int32", "bool")
_sizes = (4, 8, 8, 4, 1)
# By thread: what its latest failed call raised; the caller of the plan raises it again.
_failures = {}


class HostCall:
    """A record's function with the options of one call."""

    __slots__ = ("__weakref__", "function", "in_place", "options")

    def __init__(self, function, options):
        self.function = function
        self.options = options
        # It works on the operands' own memory, and keeps none of it beyond what the program says.
        self.in_place = getattr(function, "in_place", False)


def call_number(record, options):
    """The number that represents `record.host` with these options in the `ints` of a call; it is valid while the record lives."""
    global _count
    calls = record.memo.setdefault("host", {})
    key = repr(options)
    if key not in calls:
        _count += 1
        call = _calls[_count] = HostCall(record.host, options)
        calls[key] = (_count, call)
    return calls[key][0]


def note_failure(error):
    """Keep an exception, which the caller of this thread's plan or kernel is to raise."""
    _failures[get_ident()] = error


def take_failure():
    """The exception of the calling thread's latest failed call, which is forgotten; None where the call noted none. One that a kernel of
    another project has left set in the interpreter is taken for noted."""
    left = None
    try:
        tl_pending()
    except BaseException as error:
        left = error
    return _failures.pop(get_ident(), left)


#: What must hold of a kernel that says it raised.
UNNOTED = "a kernel that returns TL_RAISED must have noted an exception by tl_fail or tl_raised, got none"


def numbers(number, outs, ins):
    """The `ints` of a call of that number with these (shape, dtype) operands; None for an absent input."""
    ints = [number, len(outs), len(ins)]
    for spec in (*outs, *ins):
        ints += [-1, 0] if spec is None else [_codes.index(spec[1]), len(spec[0]), *spec[0]]
    return tuple(ints)


cdef object array_of(void* data, const int64_t* spec, bint itself):
    # An output is the kernel's memory itself. An input is a copy, but for a function that works in place: it may be kept, and the memory is
    # another value's soon.
    cdef Py_ssize_t n = 1
    cdef int k
    cdef uint8_t[::1] memory
    if data == NULL or spec[0] < 0:
        return None
    shape = tuple([spec[2 + k] for k in range(spec[1])])
    dtype = _codes[spec[0]]
    for d in shape:
        n *= d
    if n == 0:
        return numpy.empty(shape, dtype)
    n *= _sizes[spec[0]]
    if itself:
        return numpy.frombuffer(<char[:n]>(<char*>data), dtype).reshape(shape)
    copied = numpy.empty(n, numpy.uint8)
    memory = copied
    memcpy(&memory[0], data, n)
    array = copied.view(dtype).reshape(shape)
    array.flags.writeable = copied.flags.writeable = False
    return array


cdef int host(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept with gil:
    cdef const int64_t* spec = ints + 3
    cdef int k
    try:
        call = _calls[ints[0]]
        outs, ins = [], []
        for k in range(ints[1]):
            outs.append(array_of(out[k], spec, True))
            spec += 2 + spec[1]
        for k in range(ints[2]):
            ins.append(array_of(inp[k], spec, call.in_place))
            spec += 2 + spec[1]
        call.function(outs, ins, call.options)
        return TL_OK
    except BaseException as error:
        note_failure(error)
        return TL_RAISED


ADDRESS = <size_t>&host


def user_line():
    """The file and the number of the line outside of this library that is being run; None where there is none."""
    cdef PyFrameObject* frame = PyEval_GetFrame()
    cdef PyFrameObject* back
    cdef PyObject* code
    Py_XINCREF(<PyObject*>frame)
    try:
        while frame != NULL:
            module = PyFrame_GetGlobals(frame).get("__name__", "")
            if not module.startswith("tlean") or module.partition(".")[0] != "tlean":
                code = <PyObject*>PyFrame_GetCode(frame)
                line = (<object>code).co_filename, PyFrame_GetLineNumber(frame)
                Py_XDECREF(code)
                return line
            back = PyFrame_GetBack(frame)
            Py_XDECREF(<PyObject*>frame)
            frame = back
    finally:
        Py_XDECREF(<PyObject*>frame)
    return None
