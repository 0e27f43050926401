"""The base class of every backend's references: the operators, written once, as calls of the reference's own `ops`."""
cimport cython
from cpython.object cimport Py_TYPE, PyObject, PyObject_GenericGetAttr, PyTypeObject

import operator

from numpy import array2string, asarray, bool_, floating, integer, ndarray

from tlean._core.arena cimport raise_error
from tlean._core.array import namespace, on_device

cdef extern from "Python.h":
    PyObject* _PyType_Lookup(PyTypeObject* kind, object name)  # borrowed; no error where there is none
    PyObject* PyDict_GetItemWithError(object d, object key) except? NULL

# What every reference has as a method: an op's name -> None, or the name of one of NumPy's methods -> what the method calls.
cdef dict _methods = {}


def install_op_names(names):
    """Take these for ops where a reference is asked for them."""
    for name in names:
        _methods.setdefault(name, None)


# Installed by tlean.arrays: `x.T`, and what NumPy's functions do with references.
cdef object _transposed = None
cdef object _compare = None
cdef object _bitwise = None
cdef object _ufunc = None
cdef object _function = None
cdef object _html = None


def install_arrays(methods, same, properties, transposed, compare, bitwise, ufunc, function, html):
    """Take these for what references have of NumPy's arrays; a method in `same` is, without arguments, the op of its name."""
    global _transposed, _compare, _bitwise, _ufunc, _function, _html
    _methods.update({name: (function, None) for name, function in properties.items()})
    _methods.update({name: (method, name in same) for name, method in methods.items()})
    _transposed, _compare, _bitwise, _ufunc, _function, _html = transposed, compare, bitwise, ufunc, function, html


include "refs_calls.pxi"


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


cdef tuple _operators = ("add", "sub", "mul", "div", "matmul")


cdef object by_name(RefBase ref, int which, object other):
    # The op of an operator. What NumPy's arrays leave to the other side, references do too.
    return NotImplemented if getattr(type(other), "__array_ufunc__", 0) is None else getattr(ref.ops, _operators[which])(ref, other)


cdef inline object operate(RefBase ref, int which, object other):
    if tl_bodies != 0:
        ref = here(ref)
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
    ref = here(ref)
    number = plain(other)
    if number is None:
        return getattr(ref.ops, _operators[which])(other, ref)
    if which == REF_SUB:
        # A Boolean is an integer beside one, and has no negative by itself.
        return ref.ops.shift(ref.ops.scale(ref, -1) if ref.dtype == "bool" else ref.ops.neg(ref), number)
    if which == REF_DIV:
        return ref.ops.scale(ref.ops.inv(ref), number)
    return ref.combine_number(which, number)


cdef bint has_value(RefBase ref):
    # Whether references of this kind have values now: those of programs that are recorded or differentiated have none.
    return hasattr(type(ref), "value")


cdef object value_of(RefBase ref):
    if not has_value(ref):
        raise_error(
            "NodeError",
            f"a reference of a program, {ref!r}, has no value while the program is recorded; give it to an op or to a transformation,"
            " not to what takes an array",
        )
    return ref.value


cdef object only_element(RefBase ref, str what):
    if not has_value(ref):
        hint = "choose with where(c, a, b), cond or while_loop" if what == "bool" else "use ops, or return it from the program"
        raise_error(
            "DTypeError",
            f"{what}: a number is needed, and a value of a program that is recorded or differentiated has none yet, got {ref!r}; {hint}",
        )
    if ref.size != 1:
        raise_error("ShapeError", f"{what}: one element is needed, got shape {tuple(ref.shape)}")
    return ref.value.item()


cdef object by_op(RefBase ref, str name, str form, first, second=None):
    # An operator whose op a backend may lack.
    op = getattr(here(ref).ops, name, None)
    if op is None:
        raise_error("DTypeError", f"{form}: an operator that has an op is needed, got {ref!r}; there is no op {name}")
    return op(first) if second is None else op(first, second)


def shown(where, values, shape, dtype):
    """A reference as one line: where it is from, its values (None: there are none yet), shape and dtype."""
    text = ""
    if values is not None:
        text = array2string(asarray(values), separator=", ", threshold=8, edgeitems=2, max_line_width=1 << 20)
        text = " ".join(text.split()) + " "
    return f"<{where}: {text}{tuple(shape)} {dtype}>"


cdef class RefBase:
    """A value of a program. A subclass has `ops` (the backend that it belongs to), `shape` and `dtype`.

    The operators broadcast, as the ops do; with a plain number they are `shift`, `scale` and `pow`.
    Any op can be called as a method: `x.relu()` is `x.ops.relu(x)`.
    """

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
        if modulo is not None:
            raise_error("OptionError", "pow: there must be no modulus, got one")
        number = plain(other)
        ref = here(self)
        return ref.ops.power(ref, other) if number is None else ref.ops.pow(ref, number)

    def __setitem__(self, key, value):
        raise_error("DTypeError", f"x[...] = v: values must not be changed in place, got {self!r}; x.at[...].set(v) gives another array")

    def __rpow__(self, other, modulo):
        if modulo is not None:
            raise_error("OptionError", "pow: there must be no modulus, got one")
        ref = here(self)
        return ref.ops.power(other, ref)

    def __mod__(self, other):
        return by_op(self, "remainder", "a % b", self, other)

    def __rmod__(self, other):
        return by_op(self, "remainder", "a % b", other, self)

    def __floordiv__(self, other):
        return by_op(self, "floor_divide", "a // b", self, other)

    def __rfloordiv__(self, other):
        return by_op(self, "floor_divide", "a // b", other, self)

    def __divmod__(self, other):
        return self // other, self % other

    def __rdivmod__(self, other):
        return other // self, other % self

    def __lshift__(self, other):
        return by_op(self, "bitwise_left_shift", "a << b", self, other)

    def __rshift__(self, other):
        return by_op(self, "bitwise_right_shift", "a >> b", self, other)

    def __rlshift__(self, other):
        return by_op(self, "bitwise_left_shift", "a << b", other, self)

    def __rrshift__(self, other):
        return by_op(self, "bitwise_right_shift", "a >> b", other, self)

    def __and__(self, other):
        return _bitwise(here(self), "and", self, other)

    def __rand__(self, other):
        return _bitwise(here(self), "and", other, self)

    def __or__(self, other):
        return _bitwise(here(self), "or", self, other)

    def __ror__(self, other):
        return _bitwise(here(self), "or", other, self)

    def __xor__(self, other):
        return _bitwise(here(self), "xor", self, other)

    def __rxor__(self, other):
        return _bitwise(here(self), "xor", other, self)

    def __invert__(self):
        return _bitwise(here(self), "not", self)

    def __matmul__(self, other):
        ref = here(self)
        return ref.ops.matmul(ref, other) if isinstance(other, RefBase) else by_name(ref, 4, other)

    def __rmatmul__(self, other):
        ref = here(self)
        return ref.ops.matmul(other, ref)

    def __neg__(self):
        ref = here(self)
        return ref.ops.neg(ref)

    def __pos__(self):
        return self

    def __abs__(self):
        ref = here(self)
        return ref.ops.abs(ref)

    @property
    def T(self):
        """The axes reversed: of a matrix the transpose."""
        return _transposed(here(self))

    @property
    def mT(self):
        """The last two axes exchanged."""
        if len(self.shape) < 2:
            raise_error("ShapeError", f"mT: two axes are needed, got x: {tuple(self.shape)}")
        return self.swapaxes(-2, -1)

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

    def __contains__(self, item):
        values = value_of(self)
        number = only_element(item, "in") if isinstance(item, RefBase) else plain(item)
        if number is None:
            raise_error("DTypeError", f"in: a number is needed, got {type(item).__name__}")
        return number in asarray(values)

    # Conversions of a value of one element.

    def item(self, *index):
        """The only element, or the one at an index, as a Python number. Raises: DTypeError while the program is recorded, ShapeError."""
        if not index:
            return only_element(self, "item")
        try:
            return asarray(value_of(self)).item(*index)
        except (IndexError, TypeError, ValueError, OverflowError) as error:
            if type(error).__module__ == "tlean.errors":
                raise
            shown = ", ".join(map(repr, index))
            raise_error("IndexRangeError", f"item: an index of an element of shape {tuple(self.shape)} is needed, got {shown} ({error})")

    def __bool__(self):
        return bool(only_element(self, "bool"))

    def __float__(self):
        return float(only_element(self, "float"))

    def __int__(self):
        return int(only_element(self, "int"))

    def __complex__(self):
        return complex(only_element(self, "complex"))

    def __round__(self, digits=None):
        return round(only_element(self, "round"), digits)

    def __trunc__(self):
        return int(only_element(self, "trunc"))

    def __format__(self, form):
        if isinstance(form, str) and not form and (self.shape or not has_value(self)):
            return str(self)
        return format(only_element(self, "format"), form)

    def __index__(self):
        if has_value(self) and not self.shape and self.dtype in ("int64", "int32"):
            return int(only_element(self, "index"))
        raise_error("DTypeError", f"an index must be an integer or a value of an integer dtype and no axes, got {self!r}")

    # Comparisons are by element.
    def __eq__(self, other):
        if other is None or isinstance(other, (str, tuple)):
            return NotImplemented
        return _compare(here(self), "equal", other)

    def __ne__(self, other):
        if other is None or isinstance(other, (str, tuple)):
            return NotImplemented
        return _compare(here(self), "not_equal", other)

    def __lt__(self, other):
        return _compare(here(self), "less", other)

    def __le__(self, other):
        return _compare(here(self), "less_equal", other)

    def __gt__(self, other):
        return _compare(here(self), "greater", other)

    def __ge__(self, other):
        return _compare(here(self), "greater_equal", other)

    def __hash__(self):
        # By identity, as `==` is by element.
        return <Py_hash_t>(<size_t><void*>self >> 4)

    # NumPy's functions, and `array - x`: ops of the program that the reference belongs to.

    def __array_ufunc__(self, ufunc, method, *inputs, **options): return _ufunc(ufunc, method, all_here(inputs), all_here(options))
    def __array_function__(self, function, types, args, options): return _function(function, all_here(args), all_here(options))

    def __array__(self, dtype=None, copy=None):
        return value_of(self).__array__(dtype, copy)

    @property
    def device(self):
        """Where the value is; "cpu" for one of a program that is recorded or differentiated."""
        return getattr(self.value, "device", "cpu") if has_value(self) else "cpu"

    def __array_namespace__(self, *, api_version=None): return namespace(api_version)
    def to_device(self, device, *, stream=None): return on_device(self, device)

    def __getitem__(self, key):
        return _read(here(self), key)

    @property
    def at(self):
        """`x.at[key].set(v)`, and `add`, `mul`, `max`, `min`: copies of x with the entries that a key names changed."""
        return _at(here(self))

    def __getattribute__(self, name):
        # What the class has comes first: the interpreter keeps such answers, "nothing" among them. An op's name is then told at once: the
        # usual search would fail before it, and failing takes longer than a small op.
        cdef PyObject* entry = NULL
        if _PyType_Lookup(Py_TYPE(self), name) == NULL:
            entry = PyDict_GetItemWithError(_methods, name)
        if entry == NULL:
            return PyObject_GenericGetAttr(self, name)
        cdef RefBase ref = here(self)
        if <object>entry is None:
            return _Bound(getattr(ref.ops, name), ref, None)
        function, same = <object>entry
        if same is None:
            return function(ref)
        return _Bound(getattr(ref.ops, name) if same else function, ref, function)

    def _repr_html_(self):
        return _html(self)

    def __dir__(self):
        return sorted({*object.__dir__(self), *_methods})

    def __getattr__(self, name):
        if name[:1] == "_" or name == "ops":
            raise AttributeError(name)
        ref = here(self)
        method = getattr(ref.ops, name, None)
        if method is None or not callable(method):
            of_numpy = f": no op of a program is NumPy's method; its value is array.{name} of x.numpy()" if hasattr(ndarray, name) else ""
            raise_error("MissingOpError", f"{type(self).__name__} has no attribute {name!r}{of_numpy}")
        return _Bound(method, ref, None)


@cython.final
@cython.freelist(8)
cdef class _Bound:
    # An op with its first argument given. A class, so that it prints as what it is. With further arguments it is `form`, if there is one.
    cdef object method
    cdef object ref
    cdef object form

    def __cinit__(self, method, ref, form):
        self.method = method
        self.ref = ref
        self.form = form

    def __reduce__(self):
        raise_error("OptionError", "an op of a reference cannot be pickled or copied: the reference belongs to a program of this process")

    def __call__(self, *args, **options):
        if not args and not options:
            return self.method(self.ref)
        return (self.method if self.form is None else self.form)(self.ref, *args, **options)

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


class ValueRef(RefBase):
    """A reference of a session that has its value: a subclass has `id` too, None for a value computed under `no_grad`."""

    __slots__ = ()

    @property
    def value(self):
        """The value, as an array where the session computes."""
        return self.ops.get_value(self)

    def numpy(self):
        """The value, as a NumPy array."""
        return self.value.numpy()

    def __repr__(self):
        return f"<{'no_grad' if self.id is None else f'%{self.id}'}: {self.shape} {self.dtype}>"
