"""Interned shapes, dtypes, and AnyTensor: an array whose shape and dtype are run-time values."""
cimport cython
import numpy

from cpython.buffer cimport PyBUF_F_CONTIGUOUS, PyBUF_FORMAT, PyBUF_ND, PyBUF_STRIDES, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.pycapsule cimport PyCapsule_GetPointer, PyCapsule_IsValid, PyCapsule_New
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from tlean._core.arena cimport TLBuffer, buffer_decref, buffer_foreign, buffer_incref, buffer_new, raise_error

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


cdef int cast_from(object array, int dtype) except -1:
    # The dtype that an array is cast to where it has another than asked for, or (-1) one that is none of ours.
    kind = array.dtype.kind
    if dtype < 0:
        # By kind and size: the name of a NumPy dtype takes microseconds to make. Half precision is widened to single.
        dtype = _by_size.get((kind, array.dtype.itemsize), TL_F64 if kind in "f" else TL_I64 if kind in "iu" else -1)
    if dtype < 0 or kind not in "fiub" or (dtype >= TL_I64 and kind == "f"):
        wanted = _names[dtype] if dtype >= 0 else "numbers"
        raise_error("DTypeError", f"an array of dtype {array.dtype} is not taken where {wanted} is expected")
    if kind == "u" and dtype >= TL_I64 and array.dtype.itemsize == 8 and array.ndim and array.size and int(array.max()) >> 63:
        raise_error("DTypeError", f"the values of an array of dtype {array.dtype} do not fit int64")
    wide = dtype == TL_I32 and kind in "iu" and array.dtype.itemsize >= 4 and array.size
    if wide and (int(array.max()) >> 31 or int(array.min()) < -(1 << 31)):
        raise_error("DTypeError", f"the values of an array of dtype {array.dtype} do not fit int32")
    return dtype


cdef object array_from_object(object value):
    # A NumPy array of the base class, whatever a subclass says of itself, from anything but one.
    if isinstance(value, _numpy.ndarray) and hasattr(value, "mask") and _numpy.ma.is_masked(value):
        raise_error("DTypeError", "a masked array has elements without a value; fill them first (`filled`)")
    detach = getattr(value, "detach", None)
    if detach is not None and hasattr(value, "requires_grad"):
        # A tensor of PyTorch: its numbers, without its gradient; bfloat16, which NumPy lacks, widened.
        value = detach()
        if str(value.dtype) == "torch.bfloat16":
            value = value.float()
    try:
        if hasattr(value, "__dlpack__") and not isinstance(value, AnyTensor) and not hasattr(value, "__array__"):
            array = _numpy.from_dlpack(value)
        else:
            array = _numpy.asarray(value)
    except ValueError as error:
        raise_error("ShapeError", f"an array has one size along each axis ({error})")
    except MemoryError:
        raise
    except Exception as error:
        raise_error("DTypeError", f"a value of type {type(value).__name__} cannot be read as an array ({error})")
    if array.dtype.kind == "O" and hasattr(value, "ops"):
        raise_error(
            "NodeError",
            f"a reference of a program, {value!r}, has no value while the program is recorded; give it to an op or to a transformation,"
            " not to what takes an array",
        )
    return array.astype(_numpy.float32) if array.dtype.name == "bfloat16" else array


cdef AnyTensor tensor_from_object(object value, int dtype, bint copy):
    """An AnyTensor of that dtype (-1: the value's own) from an array, a number, nested sequences or a DLPack exporter."""
    cdef Py_buffer view
    cdef AnyTensor t
    cdef TLBuffer* b
    if type(value) is AnyTensor:
        t = <AnyTensor>value
        t.check()
        if dtype < 0 or t.code == dtype:
            return t
    # Python's numbers, without a NumPy array in between.
    cdef int overflow = 0
    cdef long long whole
    if type(value) is float and dtype >= 0 and dtype <= TL_F64:
        b = buffer_new(8)
        if dtype == TL_F32:
            (<float*>b.data)[0] = <double>value
        else:
            (<double*>b.data)[0] = <double>value
        return tensor_from_buffer(b, intern_shape(()), dtype)
    if type(value) is int and dtype == TL_I64:
        whole = PyLong_AsLongLongAndOverflow(value, &overflow)
        if overflow > 0 and value <= 0xFFFFFFFFFFFFFFFF:
            # The upper half of the unsigned numbers, as NumPy has it: seeds are among them.
            whole, overflow = <int64_t><uint64_t>value, 0
        if not overflow:
            b = buffer_new(8)
            (<int64_t*>b.data)[0] = whole
            return tensor_from_buffer(b, intern_shape(()), dtype)
    array = value if type(value) is _numpy.ndarray else array_from_object(value)
    cdef int own = _native.get(array.dtype, -1)
    if own >= 0 and dtype < 0:
        dtype = own
    cdef bint same = own >= 0 and own == dtype
    if not same:
        dtype = cast_from(array, dtype)
    info = intern_shape(array.shape)
    nbytes = info.size * _itemsizes[dtype]
    if same and array.flags.c_contiguous:
        PyObject_GetBuffer(array, &view, PyBUF_ND)
        if <size_t>view.len != nbytes:
            PyBuffer_Release(&view)
            raise_error("ShapeError", f"an array changed its size while it was read, from shape {array.shape}")
        if copy or (<size_t>view.buf) % 64:
            try:
                b = buffer_new(nbytes)
                memcpy(b.data, view.buf, nbytes)
            finally:
                PyBuffer_Release(&view)
        else:
            PyBuffer_Release(&view)
            b = buffer_foreign(view.buf, nbytes, array)
        return tensor_from_buffer(b, info, dtype)
    t = tensor_from_buffer(buffer_new(nbytes), info, dtype)
    _numpy.copyto(_writable_view(t), array, casting="unsafe")
    return t


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


cdef object _writable_view(AnyTensor t):
    cdef Py_ssize_t n = t.info.size * _itemsizes[t.code]
    if n == 0:
        return _numpy.empty(t.info.dims, _names[t.code])
    return _numpy.frombuffer(<uint8_t[:n]>(<uint8_t*>t.buffer.data), _names[t.code]).reshape(t.info.dims)


def as_tensor(value, dtype=None, copy=True):
    """An `AnyTensor` from anything array-like; the dtype is the value's own unless one is given.

    Raises: DTypeError for complex, string and object arrays, and for floats where integers are expected.
    """
    return tensor_from_object(value, -1 if dtype is None else dtype_code(dtype), copy)


cdef bint enters(str kind, Py_ssize_t size, int dtype, bint weak):
    # Whether an array of that kind and itemsize is taken where a program has that dtype: any number for floats, narrower integers for
    # integers. Python's plain numbers have no width.
    if dtype <= TL_F64:
        return kind in "fiub"
    if dtype == TL_BOOL:
        return kind == "b"
    if weak:
        return kind in "iu"
    return kind == "i" and size <= <Py_ssize_t>_itemsizes[dtype] or kind == "u" and size < <Py_ssize_t>_itemsizes[dtype]


def read_array(value):
    """A NumPy array of anything array-like, with the memory of `value` where it has any: a tensor of PyTorch without its gradient, bfloat16
    widened.

    Raises: DTypeError for what cannot be read as an array and for masked elements; ShapeError where rows differ in length.
    """
    return array_from_object(value)


def as_input(value, dtype):
    """An input of a call as an array of the dtype that the program has: cast between the float dtypes, from integers and Booleans to
    floats, from narrower integers to wider ones, and not otherwise.

    Raises: DTypeError for an array of another kind, or of wider integers.
    """
    cdef int code = dtype_code(dtype)
    if type(value) is AnyTensor and (<AnyTensor>value).code == code:
        (<AnyTensor>value).check()
        return value
    if type(value) is float or type(value) is int and code == TL_I64:
        return tensor_from_object(value, code, True)
    cdef bint weak = not hasattr(value, "dtype") or isinstance(value, _numpy.generic)
    if isinstance(value, AnyTensor):
        array = value.numpy()
    else:
        array = value if type(value) is _numpy.ndarray else array_from_object(value)
    # No numbers are of no kind: an empty list is an array of floats to NumPy.
    if not enters(array.dtype.kind, array.dtype.itemsize, code, weak) and (array.size or not weak):
        raise_error("DTypeError", f"an array of dtype {array.dtype} is not taken where {_names[code]} is expected")
    if weak and not array.size and array.dtype.kind == "f":
        array = array.astype(_names[code])
    return tensor_from_object(array, code, True)


# Sums two arrays: `tlean._core.eager.accum`, which needs this module.
cdef object _add = None


def install_add(add):
    """Use this function for `AnyTensor.add`."""
    global _add
    _add = add


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
        """The name of the dtype."""
        return _names[self.code]

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

    def item(self):
        """The only element, as a Python number. Raises: ShapeError if there are more."""
        self.check()
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

    def __index__(self):
        if self.code <= TL_F64:
            raise_error("DTypeError", f"an index must be an integer, got an array of dtype {_names[self.code]}")
        return int(self.item())

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
        return iter(self.numpy())

    def __getitem__(self, key):
        view = self.numpy()
        try:
            return view[key]
        except (IndexError, TypeError, ValueError, OverflowError) as error:
            raise_error("IndexRangeError", f"an array of shape {self.info.dims} has no such elements: {error}")

    def __eq__(self, other):
        return self.numpy() == (other.numpy() if isinstance(other, AnyTensor) else other)

    def __hash__(self):
        # By identity, as `==` is by element.
        return <Py_hash_t>(<size_t><void*>self >> 4)

    def __reduce__(self):
        return AnyTensor, (self.numpy().copy(),)

    def __repr__(self):
        if self.buffer == NULL:
            return f"AnyTensor(released, shape={self.info.dims})"
        text = _numpy.array2string(self.numpy(), separator=", ", threshold=32, edgeitems=3, prefix="AnyTensor(")
        return f"AnyTensor({text}, shape={self.info.dims}, dtype={_names[self.code]})"
