"""Interned shapes, dtypes, and AnyTensor: an array whose shape and dtype are run-time values."""
cimport cython
import numpy

from cpython.buffer cimport PyBUF_F_CONTIGUOUS, PyBUF_FORMAT, PyBUF_ND, PyBUF_STRIDES, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.pycapsule cimport PyCapsule_GetPointer, PyCapsule_IsValid, PyCapsule_New
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from tlean._core.arena cimport LENT, TLBuffer, buffer_decref, buffer_foreign, buffer_incref, buffer_new, raise_error

cdef extern from "Python.h":
    long long PyLong_AsLongLongAndOverflow(object value, int* overflow) except? -1

include "array_shapes.pxi"

# AnyTensor ------------------------------------------------------------------------------------------------------------

cdef AnyTensor tensor_from_buffer(TLBuffer* buffer, ShapeInfo info, int dtype):
    cdef AnyTensor t = AnyTensor.__new__(AnyTensor)
    t.buffer = buffer
    t.info = info
    t.code = dtype
    return t


include "array_reading.pxi"


def shared(AnyTensor t not None):
    """Another array of the same memory: releasing one leaves the other."""
    t.check()
    return tensor_from_buffer(buffer_incref(t.buffer), t.info, t.code)


def writable(AnyTensor t not None):
    """An array of the same shape and dtype to write new values of `t` to: `t` itself if nothing else holds its memory, else a fresh one."""
    t.check()
    if t.buffer.refs == 1 and t.buffer.size_class >= 0:
        return t
    return tensor_from_buffer(buffer_new(t.info.size * _itemsizes[t.code]), t.info, t.code)


cdef object _numpy_dtype(object value):
    return _numpy.dtype(value)


# Parts of an array of so many bytes share its memory where they lie in one piece; smaller ones are copied in less time.
cdef enum:
    SHARED_FROM = 16384


cdef AnyTensor element(object number, int dtype):
    # A number of NumPy's as an array of no axes.
    cdef TLBuffer* b = buffer_new(8)
    cdef AnyTensor t = tensor_from_buffer(b, _scalar, dtype)
    if dtype == TL_F32:
        (<float*>b.data)[0] = <double>number
    elif dtype == TL_F64:
        (<double*>b.data)[0] = <double>number
    elif dtype == TL_I64:
        (<int64_t*>b.data)[0] = <int64_t>number
    elif dtype == TL_I32:
        (<int32_t*>b.data)[0] = <int32_t>number
    else:
        (<uint8_t*>b.data)[0] = bool(number)
    return t


cdef AnyTensor entry(AnyTensor t, Py_ssize_t i):
    # Entry i along the first axis.
    cdef ShapeInfo info = intern_shape(t.info.dims[1:])
    cdef size_t nbytes = info.size * _itemsizes[t.code]
    cdef uint8_t* at = <uint8_t*>t.buffer.data + i * nbytes
    cdef TLBuffer* b
    if nbytes >= SHARED_FROM and <size_t>at % 64 == 0:
        # Its owner is another array of the same memory: releasing `t` leaves it.
        b = buffer_foreign(at, nbytes, tensor_from_buffer(buffer_incref(t.buffer), t.info, t.code))
    else:
        b = buffer_new(nbytes)
        memcpy(b.data, at, nbytes)
    return tensor_from_buffer(b, info, t.code)


cdef object recorded_index(object key):
    # A reference in a key whose value is not there yet, or None.
    for k in key if isinstance(key, tuple) else (key,):
        if hasattr(k, "ops") and not hasattr(type(k), "value"):
            return k
    return None


cdef object _writable_view(AnyTensor t):
    cdef Py_ssize_t n = t.info.size * _itemsizes[t.code]
    if n == 0:
        return _numpy.empty(t.info.dims, _names[t.code])
    return _numpy.frombuffer(<uint8_t[:n]>(<uint8_t*>t.buffer.data), _names[t.code]).reshape(t.info.dims)


# Sums two arrays: `tlean._core.eager.accum`, which needs this module.
cdef object _add = None


def install_add(add):
    """Use this function for `AnyTensor.add`."""
    global _add
    _add = add


# The operators, other methods, and NumPy's functions of arrays: `tlean.arrays`, which needs the ops.
cdef object _operate = None
cdef object _attribute = None
cdef object _ufunc = None
cdef object _function = None


def install_operators(operate, attribute, ufunc, function):
    """Use these functions for what arrays share with references."""
    global _operate, _attribute, _ufunc, _function
    _operate, _attribute, _ufunc, _function = operate, attribute, ufunc, function


# What gives the namespace of the array API standard for a version.
cdef object _namespace = None
cdef tuple _VERSIONS = ("2021.12", "2022.12", "2023.12", "2024.12")


def install_namespace(load):
    """Take this function for `x.__array_namespace__()`."""
    global _namespace
    _namespace = load


def namespace(version):
    """The namespace of the array API standard. Raises: OptionError for a version that is not there."""
    if version is not None and not (isinstance(version, str) and version in _VERSIONS):
        raise_error("OptionError", f"__array_namespace__: api_version must be one up to 2024.12, got {version!r}")
    return _namespace()


def on_device(x, device):
    """x, if it is on that device. Raises: DeviceError for another device."""
    if not (isinstance(device, str) and device == x.device):
        raise_error("DeviceError", f"to_device: the device must be {x.device!r}, got {device!r}; programs run on another with device=")
    return x


include "array_dlpack.pxi"


@cython.freelist(256)
@cython.final
cdef class AnyTensor:
    """An array whose shape and dtype are known at run time. Its values never change; `numpy()` is a read-only view.

    Args:
        value: anything array-like (copied).
        dtype: "float32", "float64", "int64", "int32" or "bool"; by default the value's own.
    """

    def __cinit__(self):
        self.info = _scalar

    def __init__(self, value=None, dtype=None):
        cdef AnyTensor t = tensor_from_object(0.0 if value is None else value, -1 if dtype is None else dtype_code(dtype), True)
        buffer_decref(self.buffer)
        self.buffer = buffer_incref(t.buffer)
        self.info = t.info
        self.code = t.code

    def __dealloc__(self):
        buffer_decref(self.buffer)
        self.buffer = NULL

    cdef check(self):
        if self.buffer == NULL:
            raise_error("NodeError", "this array was released")

    @property
    def shape(self):
        """The sizes along each axis, as a tuple."""
        return self.info.dims

    @property
    def dtype(self):
        """The dtype: equal to NumPy's and to its name."""
        return _named[self.code]

    @property
    def device(self):
        """Where the array is: "cpu"."""
        return "cpu"

    @property
    def size(self):
        """The number of elements."""
        return self.info.size

    @property
    def ndim(self):
        """The number of axes."""
        return self.info.ndim

    def __getbuffer__(self, Py_buffer* view, int flags):
        self.check()
        if flags & PyBUF_WRITABLE:
            raise BufferError("an AnyTensor is read-only")
        if (flags & PyBUF_F_CONTIGUOUS) == PyBUF_F_CONTIGUOUS and self.info.ndim > 1:
            raise BufferError("an AnyTensor is row-major")
        view.buf = self.buffer.data
        view.obj = self
        view.len = self.info.size * _itemsizes[self.code]
        view.readonly = 1
        view.itemsize = _itemsizes[self.code]
        view.format = _formats[self.code] if flags & PyBUF_FORMAT else NULL
        view.ndim = self.info.ndim
        view.shape = self.info.sizes if flags & PyBUF_ND else NULL
        view.strides = self.info.strides[_logs[self.code]] if (flags & PyBUF_STRIDES) == PyBUF_STRIDES else NULL
        view.suboffsets = NULL
        # The view outlives a later release(): it holds the buffer itself.
        view.internal = <void*>buffer_incref(self.buffer)

    def __releasebuffer__(self, Py_buffer* view):
        buffer_decref(<TLBuffer*>view.internal)

    def numpy(self):
        """A read-only NumPy view of the same memory, which it keeps alive."""
        self.check()
        return _numpy.asarray(memoryview(self))

    def __array__(self, dtype=None, copy=None):
        if copy is not None and copy is not False and copy is not True:
            raise_error("OptionError", f"__array__: copy must be True, False or None, got {type(copy).__name__}")
        view = self.numpy()
        if dtype is not None:
            try:
                dtype = _numpy_dtype(dtype)
            except Exception as error:
                # NumPy refuses what is no dtype with errors of several kinds.
                raise_error("DTypeError", f"a dtype is expected, got {type(dtype).__name__} ({error})")
        if dtype is not None and view.dtype != dtype:
            if copy is False:
                raise_error("OptionError", f"__array__: copy=False, but reading {_names[self.code]} as {dtype} takes a copy")
            return view.astype(dtype)
        return view.copy() if copy else view

    def __jax_array__(self):
        """What `jax.numpy.asarray` makes of the array."""
        import jax.numpy
        return jax.numpy.asarray(self.numpy())

    def __dlpack__(self, *, stream=None, max_version=None, dl_device=None, copy=None):
        """A DLPack capsule of a copy, which the receiver may write to; with `copy=False` one of the memory itself, flagged read-only.

        Values never change, and receivers are known that write to what is flagged read-only: hence a copy unless it is declined.

        Raises: BufferError for another device than the CPU, or with `copy=False` for a receiver that requests no version 1 capsule, which
            alone has the flag.
        """
        cdef AnyTensor owned
        self.check()
        if dl_device is not None and tuple(dl_device) != (1, 0):
            raise BufferError(f"an AnyTensor is on the CPU, device (1, 0), asked for {tuple(dl_device)}")
        versioned = max_version is not None and max_version[0] >= 1
        if copy is None or copy:
            owned = tensor_from_object(self.numpy(), self.code, True)
            return _dl_capsule_versioned(owned, TL_DL_COPIED) if versioned else _dl_capsule(owned)
        if not versioned:
            raise BufferError("an AnyTensor is read-only, which only a capsule of version 1 can say: ask with max_version=(1, 0), or copy")
        # A separate array: a later release() leaves the memory to the receiver.
        return _dl_capsule_versioned(tensor_from_buffer(buffer_incref(self.buffer), self.info, self.code), TL_DL_READ_ONLY)

    def __dlpack_device__(self):
        return (1, 0)

    def item(self, *index):
        """The only element, or the one at an index, as a Python number. Raises: ShapeError if there are more, IndexRangeError."""
        self.check()
        if index:
            try:
                return self.numpy().item(*index)
            except (IndexError, TypeError, ValueError, OverflowError) as error:
                shown = index[0] if len(index) == 1 else index
                raise_error("IndexRangeError", f"item: an index of an element of shape {self.info.dims} is needed, got {shown!r} ({error})")
        if self.info.size != 1:
            raise_error("ShapeError", f"item: one element is needed, got shape {self.info.dims}")
        cdef void* p = self.buffer.data
        if self.code == TL_F32:
            return <double>(<float*>p)[0]
        if self.code == TL_F64:
            return (<double*>p)[0]
        if self.code == TL_I64:
            return (<int64_t*>p)[0]
        if self.code == TL_I32:
            return (<int32_t*>p)[0]
        return bool((<uint8_t*>p)[0])

    def __float__(self):
        return float(self.item())

    def __int__(self):
        return int(self.item())

    def __bool__(self):
        return bool(self.item())

    def __complex__(self):
        return complex(self.item())

    def __round__(self, digits=None):
        return round(self.item(), digits)

    def __trunc__(self):
        return int(self.item())

    def __format__(self, form):
        if not isinstance(form, str):
            raise_error("OptionError", f"format: a text is needed, got {type(form).__name__}")
        return format(self.item(), form) if form or self.info.ndim == 0 else str(self)

    def __index__(self):
        if self.info.ndim or self.code <= TL_F64 or self.code == TL_BOOL:
            raise_error("DTypeError", f"an index must be an integer of no axes, got an array of shape {self.info.dims} {_names[self.code]}")
        return self.item()

    def tolist(self):
        """The elements as nested lists of Python numbers."""
        return self.numpy().tolist()

    def cast(self, shape):
        """The same array, checked to have this shape. Raises: ShapeError if it has another."""
        self.check()
        try:
            wanted = tuple([int(n) for n in shape]) if hasattr(shape, "__iter__") else (int(shape),)
        except Exception:
            raise_error("ShapeError", f"cast: a shape must be a tuple of integers, got {type(shape).__name__}")
        if wanted != self.info.dims:
            raise_error("ShapeError", f"cast: the array must have the shape asked for, {wanted}, but has shape {self.info.dims}")
        return self

    def add(self, other):
        """self + other as a new array: how contributions to one node are summed. Raises: ShapeError, DTypeError."""
        if not isinstance(other, AnyTensor):
            raise_error("DTypeError", f"add: the other summand must be an AnyTensor, got {type(other).__name__}")
        return _add(self, other)

    def release(self):
        """Give the memory back now; later reads raise NodeError. A second call does nothing."""
        buffer_decref(self.buffer)
        self.buffer = NULL

    def __len__(self):
        if self.info.ndim == 0:
            raise TypeError("an array with no axes has no length")
        return self.info.sizes[0]

    def __iter__(self):
        if self.info.ndim == 0:
            raise TypeError("an array with no axes cannot be iterated over")
        return (self[i] for i in range(self.info.sizes[0]))

    def __getitem__(self, key):
        cdef long long i
        cdef int overflow = 0
        if type(key) is int and self.info.ndim:
            self.check()
            i = PyLong_AsLongLongAndOverflow(key, &overflow)
            if not overflow and -self.info.sizes[0] <= i < self.info.sizes[0]:
                return entry(self, i if i >= 0 else i + self.info.sizes[0])
        view = self.numpy()
        try:
            part = view[key]
        except (IndexError, TypeError, ValueError, OverflowError) as error:
            ref = recorded_index(key)
            if ref is not None:
                return ref.ops._own_constant(self)[key]
            raise_error("IndexRangeError", f"an array of shape {self.info.dims} has no such elements: {error}")
        if isinstance(part, _numpy.generic):
            return element(part, self.code)
        return tensor_from_object(part, self.code, part.nbytes < SHARED_FROM)

    def __setitem__(self, key, value):
        kind = f"an array of shape {self.info.dims}"
        raise_error("DTypeError", f"x[...] = v: values must not be changed in place, got {kind}; x.at[...].set(v) gives another array")

    def __contains__(self, item):
        try:
            return item in self.numpy()
        except (TypeError, ValueError) as error:
            raise_error("DTypeError", f"in: a number is needed, got {type(item).__name__} ({error})")

    # Comparisons are by element, as NumPy's.

    def __eq__(self, other):
        return _operate("__eq__", self, other)

    def __ne__(self, other):
        return _operate("__ne__", self, other)

    def __lt__(self, other):
        return _operate("__lt__", self, other)

    def __le__(self, other):
        return _operate("__le__", self, other)

    def __gt__(self, other):
        return _operate("__gt__", self, other)

    def __ge__(self, other):
        return _operate("__ge__", self, other)

    def __hash__(self):
        # By identity, as `==` is by element.
        return <Py_hash_t>(<size_t><void*>self >> 4)

    # Operators and methods: the ops of a program, without a tape.

    def __add__(self, other): return _operate("__add__", self, other)
    def __radd__(self, other): return _operate("__radd__", self, other)
    def __sub__(self, other): return _operate("__sub__", self, other)
    def __rsub__(self, other): return _operate("__rsub__", self, other)
    def __mul__(self, other): return _operate("__mul__", self, other)
    def __rmul__(self, other): return _operate("__rmul__", self, other)
    def __truediv__(self, other): return _operate("__truediv__", self, other)
    def __rtruediv__(self, other): return _operate("__rtruediv__", self, other)
    def __floordiv__(self, other): return _operate("__floordiv__", self, other)
    def __rfloordiv__(self, other): return _operate("__rfloordiv__", self, other)
    def __mod__(self, other): return _operate("__mod__", self, other)
    def __rmod__(self, other): return _operate("__rmod__", self, other)
    def __lshift__(self, other): return _operate("__lshift__", self, other)
    def __rlshift__(self, other): return _operate("__rlshift__", self, other)
    def __rshift__(self, other): return _operate("__rshift__", self, other)
    def __rrshift__(self, other): return _operate("__rrshift__", self, other)
    def __matmul__(self, other): return _operate("__matmul__", self, other)
    def __rmatmul__(self, other): return _operate("__rmatmul__", self, other)
    def __and__(self, other): return _operate("__and__", self, other)
    def __rand__(self, other): return _operate("__rand__", self, other)
    def __or__(self, other): return _operate("__or__", self, other)
    def __ror__(self, other): return _operate("__ror__", self, other)
    def __xor__(self, other): return _operate("__xor__", self, other)
    def __rxor__(self, other): return _operate("__rxor__", self, other)

    def __pow__(self, other, modulo):
        return NotImplemented if modulo is not None else _operate("__pow__", self, other)

    def __rpow__(self, other, modulo):
        return NotImplemented if modulo is not None else _operate("__rpow__", self, other)

    def __neg__(self): return _operate("__neg__", self)
    def __pos__(self): return _operate("__pos__", self)
    def __abs__(self): return _operate("__abs__", self)
    def __invert__(self): return _operate("__invert__", self)

    def __divmod__(self, other):
        return self // other, self % other

    def __rdivmod__(self, other):
        return other // self, other % self

    def __getattr__(self, name):
        # References are told by their `ops`, which calls of the library look for again and again.
        if name[:1] == "_" or name == "ops":
            raise AttributeError(f"AnyTensor has no attribute {name!r}")
        return _attribute(self, name)

    def __dir__(self):
        return sorted({*object.__dir__(self), *_attribute(self, "")})

    def __array_ufunc__(self, ufunc, method, *inputs, **options):
        return _ufunc(ufunc, method, inputs, options)

    def __array_function__(self, function, types, args, options):
        return _function(function, args, options)

    # The array API standard.

    def __array_namespace__(self, *, api_version=None):
        """The namespace of the array API standard: `tlean.array_api`."""
        return namespace(api_version)

    def to_device(self, device, *, stream=None):
        """The array itself, which is on the CPU. Raises: DeviceError for another device."""
        return on_device(self, device)

    def __reduce__(self):
        return AnyTensor, (self.numpy().copy(),)

    def _repr_html_(self):
        return _attribute(self, "_repr_html_")()

    def __repr__(self):
        if self.buffer == NULL:
            return f"AnyTensor(released, shape={self.info.dims})"
        text = _numpy.array2string(self.numpy(), separator=", ", threshold=32, edgeitems=3, prefix="AnyTensor(")
        return f"AnyTensor({text}, shape={self.info.dims}, dtype={_names[self.code]})"
