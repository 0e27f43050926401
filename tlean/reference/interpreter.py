"""The reference backend: every op by its definition in NumPy, over any kind of number.

It is the executable specification. A program runs on it as it does on any backend, in float64, float32, `numpy.longdouble`, or exactly, in
`fractions.Fraction`; an op whose value is no rational number raises DTypeError there.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from fractions import Fraction
from numbers import Rational
from typing import Any

import numpy as np

from tlean._core.array import named_dtype, whole_numbers
from tlean._core.eager.eager import body_among
from tlean._core.refs import RefBase
from tlean._generated.methods import OpsMethods
from tlean.arguments import label
from tlean.dtypes import FLOATS, INTEGERS, keeps
from tlean.errors import DTypeError, NodeError, NumericsError, OptionError, TleanError, complete
from tlean.ops import OpDef, Spec, get

from .definitions import CREATORS, DEFINITIONS
from .definitions.elementwise import evaluate, formula_of
from .definitions.integers import WHOLE
from .definitions.random import stream_seed
from .definitions.scalars import NotExactError, fractions


class ReferenceRef(RefBase):
    """A value of the reference backend.

    Attributes:
        value: the NumPy array; an object array of Fractions where the backend is exact.
    """

    __slots__ = ("_ops", "value")

    def __init__(self, ops: Reference, value: np.ndarray) -> None:
        self._ops = ops
        self.value: np.ndarray = value

    @property
    def ops(self) -> Reference:
        """The backend."""
        return self._ops

    @property
    def shape(self) -> tuple[int, ...]:
        """The size along each axis."""
        return self.value.shape

    @property
    def dtype(self) -> str:
        """The dtype: equal to NumPy's and to its name; or `"fraction"`."""
        return named_dtype(_dtype_name(self.value))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.value, dtype=dtype, copy=copy)

    def __repr__(self) -> str:
        return f"ReferenceRef({self.value!r})"


def _with_exact_numbers(name: str) -> Callable[..., Any]:
    # Arithmetic with a plain number goes through `shift` and `scale`, which take floats: 1/3 would be rounded on its way. Where numbers are
    # exact, a plain number becomes an array first.
    operator = getattr(RefBase, name)

    @functools.wraps(operator)
    def method(self: ReferenceRef, other: Any) -> Any:
        if self.ops.exact and isinstance(other, Rational):
            other = self.ops.leaf(np.full(self.shape, Fraction(other), dtype=object))
        return operator(self, other)

    return method


for _name in ("add", "sub", "mul", "truediv"):
    for _prefix in ("__", "__r"):
        setattr(ReferenceRef, f"{_prefix}{_name}__", _with_exact_numbers(f"{_prefix}{_name}__"))


def _dtype_name(value: np.ndarray) -> str:
    return "fraction" if value.dtype == object else value.dtype.name


class Reference(OpsMethods):
    """Computes every op from its definition.

    Args:
        scalar: the kind of number: `"float64"`, `"float32"`, `"longdouble"` or another NumPy float, or `fractions.Fraction`.
        seed: the seed of the stream that random ops without a seed draw from.

    Raises: DTypeError for another kind of number.
    """

    def __init__(self, scalar: Any = "float64", seed: int = 0) -> None:
        #: Whether numbers are Fractions.
        self.exact: bool = scalar is Fraction
        if not self.exact:
            try:
                self._dtype = np.dtype(scalar)
            except TypeError:
                self._dtype = np.dtype(object)
            if self._dtype.kind != "f":
                raise DTypeError(f"Reference: scalar must be a floating-point dtype or fractions.Fraction, not {scalar!r}")
        else:
            self._dtype = np.dtype(object)
        self._seed = seed
        self._drawn = 0
        self._inside = 0

    @property
    def dtype(self) -> str:
        """The NumPy name of the float dtype, or `"fraction"`."""
        return "fraction" if self.exact else self._dtype.name

    def leaf(self, value: Any, name: str | None = None) -> ReferenceRef:
        """A value as numbers of this backend.

        Args:
            value: anything array-like.
            name: ignored: there is no tape to show it.

        Raises: DTypeError for complex numbers and objects that are no numbers, and, with exact numbers, for NaN and infinities.
        """
        return ReferenceRef(self, self._numbers(value))

    def const(self, value: Any, name: str | None = None) -> ReferenceRef:
        """A constant: floating-point numbers become numbers of this backend, integers and Booleans keep their dtype.

        Args:
            value: anything array-like.
            name: ignored: there is no tape to show it.
        """
        array = np.asarray(value)
        return ReferenceRef(self, _integers(array) if array.dtype.kind in "iub" else self._numbers(value))

    _own_constant = const

    def apply(self, op: str | OpDef, inputs: Sequence[Any], options: dict[str, Any], name: str | None = None) -> Any:
        """Compute one op.

        Args:
            op: its name.
            inputs: refs of this backend, arrays, or None for absent inputs.
            options: options by name.
            name: a label; the reference backend keeps none.

        Returns: a ref; a tuple of refs for an op with several outputs.
        Raises: what the op raises; DTypeError, naming the op, where numbers are exact and the value is no rational number.
        """
        record = get(op)
        inside = body_among(self, inputs)
        if inside is not None:
            return inside.apply(op, inputs, options, name)
        names, shown = record.input_names(len(inputs)), record.name.lstrip("_")
        if name is not None:
            label(shown, name)
        if record.random and inputs[record.inputs.index("seed")] is None:
            inputs = tuple(self.next_seed() if n == "seed" else x for n, x in zip(names, inputs, strict=True))
        integer = record.integer
        inputs = self._integers_of(record, inputs)
        refs = [
            self._ref(self._as_it_is(x) if keeps(record.dtypes.get(n.partition("[")[0], ""), x) else x, n.partition("[")[0] in integer)
            for n, x in zip(names, inputs, strict=len(names) == len(inputs))
        ]
        specs = tuple(None if r is None else Spec(r.shape, r.dtype) for r in refs)
        clean, outs = record.infer(specs, options, self.dtype)
        # Numbers have one float type here, and integers one width: only between these is anything converted.
        taken = record.dtypes_at(specs, clean, self.dtype).wanted
        refs = [self._taken(r, d) for r, d in zip(refs, taken, strict=True)]
        try:
            with np.errstate(all="ignore"):
                results = self._compute(record, refs, clean)
        except NotExactError as error:
            if self._inside:
                raise
            raise complete(DTypeError(f"takes floats: {error}"), shown, record.describe_arguments(specs), options) from None
        except ZeroDivisionError:
            raise complete(NumericsError("exact numbers have no infinity"), shown, record.describe_arguments(specs), options) from None
        except TleanError as error:
            raise complete(error, shown, record.describe_arguments(specs), options) from None
        outputs = tuple(ReferenceRef(self, self._cast(y, spec)) for y, spec in zip(results, outs, strict=False))
        return outputs if len(record.outputs) > 1 else outputs[0]

    def _taken(self, ref: ReferenceRef | None, dtype: str | None) -> ReferenceRef | None:
        if ref is None or ref.value.dtype.kind not in "biu":
            return ref if ref is None or dtype != "bool" else ReferenceRef(self, np.array(ref.value != 0, bool))
        if dtype not in INTEGERS:
            return self.leaf(ref.value)
        narrow = ref.value.dtype.kind == "b"
        return ref if narrow == (dtype == "bool") else ReferenceRef(self, ref.value.astype(bool if dtype == "bool" else np.int64))

    def _compute(self, record: OpDef, refs: list[ReferenceRef | None], options: dict[str, Any]) -> tuple[Any, ...]:
        arrays = tuple(None if r is None else r.value for r in refs)
        formula = formula_of(record.name)
        if record.name in DEFINITIONS:
            outputs = DEFINITIONS[record.name](*arrays, **options)
        elif record.name in WHOLE and all(a is not None and a.dtype.kind in "biu" for a in arrays):
            outputs = WHOLE[record.name](*arrays)
        elif record.name in CREATORS:
            named = options["dtype"]
            dtype = np.dtype(named) if named in INTEGERS or (named in FLOATS and not self.exact) else self._dtype
            outputs = CREATORS[record.name](dtype, *arrays, **{k: v for k, v in options.items() if k != "dtype"})
        elif formula is not None:
            outputs = evaluate(formula, arrays, options)  # type: ignore[arg-type]
        elif record.rules.decompose is None:
            raise OptionError(
                f"{record.name}: the reference computes an op by a rule decompose, and it has none; a check of it takes a reference="
            )
        else:
            self._inside += 1
            try:
                outputs = record.rules.decompose(self, *refs, **options)
            finally:
                self._inside -= 1
            outputs = tuple(None if r is None else r.value for r in (outputs if isinstance(outputs, tuple) else (outputs,)))
        return outputs if isinstance(outputs, tuple) else (outputs,)

    def _integers_of(self, record: OpDef, inputs: Sequence[Any]) -> Sequence[Any]:
        # The inputs with integers in place of what is no reference, where the op then computes in integers.
        names = record.input_names(len(inputs))
        places = [k for k, n in enumerate(names) if n.partition("[")[0] in record.alike and k < len(inputs)]
        if all(isinstance(inputs[k], RefBase) for k in places) or (arrays := whole_numbers([inputs[k] for k in places])) is None:
            return inputs
        found = dict(zip(places, arrays, strict=True))
        return [x if x is None or isinstance(x, RefBase) or k not in found else self.const(found[k]) for k, x in enumerate(inputs)]

    def _as_it_is(self, value: Any) -> Any:
        # What is no reference keeps its dtype where it is true or not, and integers where they are moved.
        return value if value is None or isinstance(value, RefBase) else self.const(value)

    def next_seed(self) -> int:
        """The seed of the next random op of this backend's stream."""
        self._drawn += 1
        return stream_seed(self._seed, self._drawn - 1)

    def _ref(self, value: Any, integer: bool) -> ReferenceRef | None:
        if value is None:
            return None
        if isinstance(value, ReferenceRef) and value.ops is self:
            return value
        if isinstance(value, RefBase):
            raise NodeError("a reference belongs to another backend")
        if not integer:
            return self.leaf(value)
        if isinstance(value, int) and not isinstance(value, bool):
            # Seeds fill 64 bits: read them as int64 does, in two's complement.
            value = (value + 2**63) % 2**64 - 2**63
        array = np.asarray(value)
        # Numbers of another kind go on as they are, for the op to reject.
        return ReferenceRef(self, _integers(array)) if array.dtype.kind in "iub" else self.leaf(array)

    def _numbers(self, value: Any) -> np.ndarray:
        array = np.asarray(value)
        try:
            if array.dtype.kind not in "fiubO":
                raise TypeError
            return fractions(array) if self.exact else array.astype(self._dtype)
        except (NotExactError, TypeError, ValueError):
            raise DTypeError(f"Reference: {self.dtype} numbers cannot hold {array.dtype} {array!r}") from None

    def _cast(self, value: Any, spec: Spec) -> np.ndarray:
        if spec.dtype in INTEGERS:
            return np.array(value, dtype=spec.dtype)
        return fractions(value) if self.exact else np.array(value, dtype=self._dtype)


def _integers(array: np.ndarray) -> np.ndarray:
    return array if array.dtype.kind == "b" else array.astype(np.int64)
