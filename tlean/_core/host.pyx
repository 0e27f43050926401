# cython: language_level=3
"""A kernel that calls back into Python: how ops of the user's own, and reference definitions, take part in plans and tapes."""
from threading import get_ident

from libc.stdint cimport int64_t


# Layout of `ints`: callable, outputs, inputs, then for every output and input its dtype code, rank and sizes. A callable is called with the
# list of outputs (writable arrays) and the list of inputs (read-only arrays; None for an absent one).

_callables = []
_codes = ("float32", "float64", "int64", "int32", "bool")
_sizes = (4, 8, 8, 4, 1)
# By thread: what its latest failed call raised; the caller of the plan raises it again.
_failures = {}


def register(function):
    """Keep a callable for the rest of the process; returns its number."""
    _callables.append(function)
    return len(_callables) - 1


def take_failure():
    """The exception of the calling thread's latest failed call; it is forgotten."""
    return _failures.pop(get_ident(), None) or RuntimeError("a call into Python failed")


def numbers(number, outs, ins):
    """The `ints` of a call of callable `number` with these (shape, dtype) operands; None for an absent input."""
    ints = [number, len(outs), len(ins)]
    for spec in (*outs, *ins):
        ints += [-1, 0] if spec is None else [_codes.index(spec[1]), len(spec[0]), *spec[0]]
    return tuple(ints)


cdef object as_array(void* data, const int64_t* spec, bint writable):
    import numpy
    cdef Py_ssize_t n = 1
    cdef int k
    if data == NULL or spec[0] < 0:
        return None
    shape = tuple([spec[2 + k] for k in range(spec[1])])
    dtype = _codes[spec[0]]
    for d in shape:
        n *= d
    if n == 0:
        return numpy.empty(shape, dtype)
    array = numpy.frombuffer(<char[:n * _sizes[spec[0]]]>(<char*>data), dtype).reshape(shape)
    array.flags.writeable = writable
    return array


cdef int host(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept with gil:
    cdef const int64_t* spec = ints + 3
    cdef int k
    try:
        outs, ins = [], []
        for k in range(ints[1]):
            outs.append(as_array(out[k], spec, True))
            spec += 2 + spec[1]
        for k in range(ints[2]):
            ins.append(as_array(inp[k], spec, False))
            spec += 2 + spec[1]
        _callables[ints[0]](outs, ins)
        return 0
    except BaseException as error:
        _failures[get_ident()] = error
        return 3


ADDRESS = <size_t>&host
