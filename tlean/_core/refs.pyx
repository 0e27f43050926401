"""The base class of every backend's references: the operators, written once, as calls of the reference's own `ops`."""
cimport cython
from cpython.object cimport PyObject_GenericGetAttr

from numpy import bool_, floating, integer

from tlean._core.arena cimport raise_error

# The names of the ops, all of them methods of every reference.
cdef frozenset _op_names = frozenset()


def install_op_names(names):
    """Take these for ops where a reference is asked for them."""
    global _op_names
    _op_names = frozenset(names)


# What `x[key]` and `x.at` call.
cdef object _read = None
cdef object _at = None


def install_indexing(read, at):
    """Take these functions for `x[key]` and `x.at`."""
    global _read, _at
    _read, _at = read, at


cdef inline object plain(object value):
    # A number as Python's own, or None for what is none. NumPy's scalars are numbers; its arrays of no axes are arrays.
    if type(value) is float or type(value) is int:
        return value
    return plain_of_others(value)


cdef object plain_of_others(object value):
    if isinstance(value, (int, bool_, integer)):
        return int(value)
    if isinstance(value, (float, floating)):
        return float(value)
    return None


cdef tuple _operators = ("add", "sub", "mul", "div")


cdef object by_name(RefBase ref, int which, object other):
    # The op of an operator.
    return getattr(ref.ops, _operators[which])(ref, other)


cdef inline object operate(RefBase ref, int which, object other):
    if isinstance(other, RefBase):
        return ref.combine(which, <RefBase>other)
    number = plain(other)
    if number is None:
        return by_name(ref, which, other)
    if which == REF_SUB:
        number = -number
    elif which == REF_DIV:
        number = _inverse(number)
    return ref.combine_number(REF_ADD if which <= REF_SUB else REF_MUL, number)


cdef object operate_on_right(RefBase ref, int which, object other):
    number = plain(other)
    if number is None:
        return getattr(ref.ops, _operators[which])(other, ref)
    if which == REF_SUB:
        return ref.ops.shift(ref.ops.neg(ref), number)
    if which == REF_DIV:
        return ref.ops.scale(ref.ops.inv(ref), number)
    return ref.combine_number(which, number)


cdef class RefBase:
    """A value of a program. A subclass has `ops` (the backend that it belongs to), `shape` and `dtype`.

    The operators need identical shapes, as the ops do; with a plain number they are `shift`, `scale` and `pow`.
    Any op can be called as a method: `x.relu()` is `x.ops.relu(x)`.
    """

    # NumPy leaves `array - x` to the operators here: it would compute a plain array, past the program.
    __array_ufunc__ = None

    cdef object combine(self, int which, RefBase other):
        return by_name(self, which, other)

    cdef object combine_number(self, int which, object number):
        # Plus a number, or times it.
        return self.ops.shift(self, number) if which == REF_ADD else self.ops.scale(self, number)

    def __add__(self, other):
        return operate(self, REF_ADD, other)

    def __radd__(self, other):
        return operate_on_right(self, REF_ADD, other)

    def __sub__(self, other):
        return operate(self, REF_SUB, other)

    def __rsub__(self, other):
        return operate_on_right(self, REF_SUB, other)

    def __mul__(self, other):
        return operate(self, REF_MUL, other)

    def __rmul__(self, other):
        return operate_on_right(self, REF_MUL, other)

    def __truediv__(self, other):
        return operate(self, REF_DIV, other)

    def __rtruediv__(self, other):
        return operate_on_right(self, REF_DIV, other)

    def __pow__(self, other, modulo):
        number = plain(other)
        if modulo is not None or number is None:
            got = f"{type(other).__name__}" if modulo is None else "a modulus too"
            raise_error("OptionError", f"pow: the exponent must be a plain number, got {got}")
        return self.ops.pow(self, number)

    def __matmul__(self, other):
        return self.ops.matmul(self, other)

    def __rmatmul__(self, other):
        return self.ops.matmul(other, self)

    def __neg__(self):
        return self.ops.neg(self)

    def __pos__(self):
        return self

    def __abs__(self):
        return self.ops.abs(self)

    @property
    def T(self):
        """The transpose of a matrix."""
        return self.ops.transpose2d(self)

    @property
    def ndim(self):
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self):
        """The number of elements."""
        n = 1
        for d in self.shape:
            n *= d
        return n

    def __len__(self):
        if not self.shape:
            raise_error("DTypeError", "a value with no axes has no length")
        return self.shape[0]

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __bool__(self):
        raise_error("DTypeError", "a reference has no truth value; read its value first")

    def __getitem__(self, key):
        return _read(self, key)

    def __setitem__(self, key, value):
        raise_error("DTypeError", "x[...] = v: a value must not change; y = x.at[...].set(v) gives a new one")

    @property
    def at(self):
        """`x.at[key].set(v)`, and `add`, `mul`, `max`, `min`: copies of x with the entries that a key names changed."""
        return _at(self)

    def __getattribute__(self, name):
        # An op's name is told at once: the usual search fails first, and failing takes longer than a small op.
        if name in _op_names:
            return _Bound(getattr(self.ops, name), self)
        return PyObject_GenericGetAttr(self, name)

    def __getattr__(self, name):
        if name[:1] == "_" or name == "ops":
            raise AttributeError(name)
        method = getattr(self.ops, name, None)
        if method is None or not callable(method):
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        return _Bound(method, self)


@cython.final
@cython.freelist(8)
cdef class _Bound:
    # An op with its first argument given. A class, so that it prints as what it is.
    cdef object method
    cdef object ref

    def __cinit__(self, method, ref):
        self.method = method
        self.ref = ref

    def __reduce__(self):
        raise_error("OptionError", "an op of a reference cannot be pickled or copied: the reference belongs to a program of this process")

    def __call__(self, *args, **options):
        if not args and not options:
            return self.method(self.ref)
        return self.method(self.ref, *args, **options)

    def __repr__(self):
        return f"<{self.method.__name__} of {self.ref!r}>"


cdef object _inverse(object c):
    # IEEE: a division by zero gives an infinity, and -0.0 keeps its sign.
    cdef double d = 0.0
    try:
        d = c
    except OverflowError:
        raise_error("OptionError", "x / c: the divisor must be a number that a float holds, got a longer integer")
    return 1.0 / d
