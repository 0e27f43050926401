# Arrays from whatever is array-like, and what enters a program of a dtype.

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
    if wide and (int(array.max()) >= 1 << 31 or int(array.min()) < -(1 << 31)):
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
        if type(error).__module__ == "tlean.errors":
            # A reference's own: it has no value while its program is recorded.
            raise
        raise_error("DTypeError", f"a value of type {type(value).__name__} cannot be read as an array ({error})")
    return array.astype(_numpy.float32) if array.dtype.kind not in "fiub" and array.dtype.name == "bfloat16" else array


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
    if not same and array.dtype.kind == "V":
        # bfloat16 of another package, widened.
        array = array_from_object(array)
        own = _native.get(array.dtype, -1)
        dtype = own if dtype < 0 else dtype
        same = own >= 0 and own == dtype
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


def as_tensor(value, dtype=None, copy=True):
    """An `AnyTensor` from anything array-like; the dtype is the value's own unless one is given.

    Raises: DTypeError for complex, string and object arrays, and for floats where integers are expected.
    """
    return tensor_from_object(value, -1 if dtype is None else dtype_code(dtype), copy)


cdef bint with_references(object values):
    # Whether a sequence that would be read as an array has references in it.
    for x in values:
        if hasattr(x, "ops") or (isinstance(x, (list, tuple)) and with_references(x)):
            return True
    return False


def whole_numbers(values):
    """The operands of an op as integers: references and what is absent as they are, all else as arrays; None where one is a float, or no
    number at all.

    Python's integers, and NumPy's numbers, take the dtype of the others: that of the widest integer, int64 beside Booleans alone.

    Raises: DTypeError for an integer that this dtype does not hold.
    """
    cdef AnyTensor t
    cdef list result = list(values)
    cdef list weak = []
    cdef int k, code, widest = TL_BOOL
    for k, value in enumerate(result):
        if type(value) is int or isinstance(value, _numpy.integer):
            weak.append(k)
            continue
        if value is None:
            # Absent.
            continue
        if isinstance(value, float) or type(value) is _numpy.ndarray and value.dtype.kind not in "biu":
            return None
        if isinstance(value, (list, tuple)) and with_references(value):
            # Refused where the operand's name is known, as is what cannot be read.
            return None
        if hasattr(value, "ops") or getattr(value, "device", "cpu") != "cpu":
            # What is on a device stays there.
            code = _codes.get(str(getattr(value, "dtype", None)), -1)
        else:
            try:
                t = tensor_from_object(value, -1, True)
            except (TypeError, ValueError, OverflowError):
                return None
            result[k], code = t, t.code
        if code < TL_I64:
            return None
        # The wider dtype has the lesser code.
        widest = min(code, widest)
    for k in weak:
        value = int(result[k])
        code = TL_I32 if widest == TL_I32 else TL_I64
        if not -1 <= value >> (31 if code == TL_I32 else 63) <= 0:
            raise_error("DTypeError", f"an integer beside {_names[code]} must fit {_names[code]}, got {value}")
        result[k] = tensor_from_object(value, code, True)
    return result


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


# A copy of fewer bytes takes no longer than a buffer that refers to the array.
cdef Py_ssize_t _lent_from = 16384


def lend_from(nbytes):
    """Arrays of so many bytes and more are lent to a call rather than copied; returns the number until now. For tests."""
    global _lent_from
    before = _lent_from
    _lent_from = nbytes
    return before


cdef AnyTensor lent(object array, int dtype):
    # The array of NumPy under its own memory, or None where that takes a copy. Kernels read elements where they lie, aligned as elements.
    cdef Py_buffer view
    cdef TLBuffer* b
    if _native.get(array.dtype, -1) != dtype or array.nbytes < _lent_from:
        return None
    flags = array.flags
    if not flags.c_contiguous or not flags.aligned:
        return None
    info = intern_shape(array.shape)
    PyObject_GetBuffer(array, &view, PyBUF_ND)
    try:
        if <size_t>view.len != info.size * _itemsizes[dtype]:
            return None
        b = buffer_foreign(view.buf, view.len, array)
        b.size_class = LENT
    finally:
        PyBuffer_Release(&view)
    return tensor_from_buffer(b, info, dtype)


def as_argument(value, dtype=None):
    """`as_input`, or `as_tensor` where there is no dtype, for a value that is read while a call runs and not after it: a large array of
    NumPy's stays where it is.
    """
    cdef AnyTensor t
    cdef int code = dtype_code(dtype) if dtype is not None else -1
    if type(value) is AnyTensor and (dtype is None or (<AnyTensor>value).code == code):
        (<AnyTensor>value).check()
        return value
    if type(value) is _numpy.ndarray:
        t = lent(value, code if dtype is not None else <int>_native.get(value.dtype, -1))
        if t is not None:
            return t
    return tensor_from_object(value, -1, True) if dtype is None else as_input(value, dtype)


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
