# Interned shapes, and the dtypes with their codes.

# Shapes ---------------------------------------------------------------------------------------------------------------

cdef dict _shapes = {}
cdef ShapeInfo _scalar


cdef class ShapeInfo:
    """A shape, interned: two arrays have the same shape iff they have the same ShapeInfo object."""

    def __repr__(self):
        return f"ShapeInfo{self.dims}"


cdef ShapeInfo intern_shape(tuple dims):
    cdef ShapeInfo s = _shapes.get(dims)
    if s is not None:
        return s
    cdef Py_ssize_t n = 1, i, k, item
    if len(dims) > TL_MAX_NDIM:
        raise_error("ShapeError", f"an array must have at most {TL_MAX_NDIM} axes, got shape {dims}")
    s = ShapeInfo.__new__(ShapeInfo)
    dims = tuple([int(d) for d in dims])
    s.dims = dims
    s.ndim = len(dims)
    for i in range(s.ndim):
        s.sizes[i] = dims[i]
        if s.sizes[i] < 0:
            raise_error("ShapeError", f"a size must be at least 0, got shape {dims}")
        if s.sizes[i] and n > (<Py_ssize_t>1 << 58) // s.sizes[i]:
            raise_error("ShapeError", f"shape {dims} has too many elements")
        n *= s.sizes[i]
    s.size = n
    for k in range(4):
        item = (<Py_ssize_t>1) << k
        for i in range(s.ndim - 1, -1, -1):
            s.strides[k][i] = item
            item *= s.sizes[i] if s.sizes[i] else 1
    _shapes[dims] = s
    return s


_scalar = intern_shape(())


# Dtypes ---------------------------------------------------------------------------------------------------------------

cdef tuple _names = ("float32", "float64", "int64", "int32", "bool")
cdef dict _codes = {"float32": TL_F32, "float64": TL_F64, "int64": TL_I64, "int32": TL_I32, "bool": TL_BOOL}
cdef dict _by_size = {("f", 2): TL_F32, ("f", 4): TL_F32, ("f", 8): TL_F64, ("i", 8): TL_I64, ("i", 4): TL_I32, ("b", 1): TL_BOOL}
cdef char** _formats = [b"f", b"d", b"q", b"i", b"?"]
# NumPy, and the codes of its dtypes in this machine's byte order.
cdef object _numpy = numpy
cdef dict _native = {numpy.dtype(name): code for name, code in _codes.items()}
cdef size_t* _itemsizes = [4, 8, 8, 4, 1]
cdef int* _logs = [2, 3, 3, 2, 0]


class DType(str):
    """The dtype of an array: a dtype of NumPy's, which is its own name.

    It equals NumPy's dtype, NumPy's type of one element and its name, is found by its name in dictionaries, and has the attributes of the
    dtype (`kind`, `itemsize`, `name`, `type`, …). Everything in NumPy that takes a dtype takes it.
    """

    __slots__ = ()

    def __eq__(self, other):
        # Names are compared as names: reading one as a dtype takes longer. None, which NumPy reads as its default, is none.
        if type(other) is DType or type(other) is str and other in _codes:
            return str.__eq__(self, other)
        return other is not None and bool(_dtypes[str(self)] == other)

    def __ne__(self, other):
        return not self == other

    __hash__ = str.__hash__

    def __getattr__(self, name):
        return getattr(_dtypes[str(self)], name)

    def __reduce__(self):
        return DType, (str(self),)


cdef dict _dtypes = {name: numpy.dtype(name) for name in _codes}
cdef tuple _named = tuple([DType(name) for name in _names])


def named_dtype(name):
    """The dtype of that name, as arrays and references have it; a name that is none of ours as it is."""
    code = _codes.get(name)
    return name if code is None else _named[code]


cdef object dtype_of(int code):
    return _named[code]


cdef size_t itemsize_of(int dtype) noexcept:
    return _itemsizes[dtype]


cdef int dtype_code(object name) except -1:
    cdef int k
    if type(name) is DType:
        for k in range(TL_BOOL + 1):
            if name is _named[k]:
                return k
    code = _codes.get(name) if isinstance(name, str) else None
    if code is None:
        try:
            code = None if name is None else _codes.get(_numpy.dtype(name).name)
        except Exception:
            # NumPy refuses what is no dtype with errors of several kinds.
            code = None
        if code is None:
            raise_error("DTypeError", f"dtype {name!r} is none of {', '.join(_names)}")
    return code


def dtype_name(int code):
    """The name of a dtype code."""
    return _names[code]
