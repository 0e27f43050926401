"""The dtypes by name, what the library must know of each, and the dtypes of a call: what an op takes its operands in, and what it gives.

A record declares the kind of each input (`dtypes=`) and of its outputs (`out_dtype=`):

- `"float"`, what is not declared: an operand of the op's own float dtype. That is the promotion of the dtypes of its float operands,
  float64 where one is float64; integers and Booleans do not count. Where no operand is a float it is the program's.
- `"any"`: an operand that is moved and not computed with. Several of them are promoted together, integers and Booleans included.
- `"truth"`: a Boolean; of numbers, whether they are not 0.
- `"int64"`, `"int32"`: integers, of either width. `"bool"`: Booleans. `"float32"`, `"float64"`: that dtype.

An op with an *integer form* (`IntegerForm`) computes in integers where every operand of a kind "float" is an integer or a Boolean.

Operands of other dtypes are converted inside the call: it is one node, whose parents are the operands as they are, and a cotangent comes
back in its operand's dtype. What makes an array of no float operand has an option `dtype`; None means the program's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from .errors import DTypeError, OptionError

#: Means "the float dtype of the program" wherever a dtype is declared.
FLOAT = "float"
#: Of an op's input: taken as it is, whatever its dtype.
ANY = "any"
#: Of an op's input: as a Boolean, whatever its dtype. A number is true where it is not 0.
TRUTH = "truth"
#: The float dtypes that programs compute in.
FLOATS = ("float32", "float64")
#: Indices, positions and masks: what never has a gradient.
INTEGERS = ("int64", "int32", "bool")
#: Bytes of one element, for every dtype that an array may have.
SIZES = {"float32": 4, "float64": 8, "int64": 8, "int32": 4, "bool": 1}
#: The dtype as the names of kernels end.
SUFFIX = {"float32": "f32", "float64": "f64", "int64": "i64", "int32": "i32", "bool": "b8"}


def holds_integers(value: Any) -> bool:
    """Whether this is an array of integers or of Booleans; a plain number, or a list of them, is none."""
    return str(getattr(value, "dtype", "")).rpartition(".")[2].startswith(("int", "uint", "bool"))


def lists_integers(value: Any) -> bool:
    """Whether these are lists, nested or not, of integers and Booleans alone, or one plain number that is one; no references."""
    if isinstance(value, list | tuple):
        return bool(value) and all(map(lists_integers, value))
    return type(value) in (int, bool) or (holds_integers(value) and not hasattr(value, "ops"))


def keeps(kind: str, value: Any) -> bool:
    """Whether an operand of this kind that is no reference is taken in its own dtype, not the program's."""
    return kind == TRUTH or (kind == ANY and holds_integers(value))


def promoted(dtypes: Iterable[str]) -> str:
    """The dtype that holds values of all of these: a float before integers, the wider before the narrower."""
    several = set(dtypes)
    floats = [d for d in several if d not in INTEGERS]
    if floats:
        return "float64" if "float64" in several else floats[0]
    return next(d for d in INTEGERS if d in several)


#: The bits of an integer.
_BITS = {"int64": 64, "int32": 32}
#: Dtypes as messages name their values.
_VALUES = {"int64": "integers", "int32": "integers", "bool": "Booleans"}


class Dtypes(NamedTuple):
    """The dtypes of a call.

    Attributes:
        own: the op's float dtype.
        works: what its kernel is named by: `own`, the dtype of what it moves, or that of Booleans where it takes nothing else.
        wanted: of each operand, as the op takes it; None for an absent one.
        result: of each output that the shape rule does not name, as callers see it.
        converted: whether an operand is to be converted.
        whole: whether the op computes in integers (`IntegerForm`).
    """

    own: str
    works: str
    wanted: tuple[str | None, ...]
    result: str
    converted: bool
    whole: bool = False


class IntegerForm(NamedTuple):
    """How an op computes with integers alone: in their promotion, exactly, modulo 2 to the power of its bits.

    Attributes:
        alone: the dtype that Booleans without an integer are computed in, "bool" or "int64"; None where they are refused.
        result: the dtype of the result; None for the one that it computes in.
        instead: what the error for Booleans says to use.
        only: whether floats are refused.
        parameters: the options that are numbers which it computes with. One that is a float makes the call one of floats.
        least: the least value that such an option may have, where there is one.
        bounds: whether such an option is a bound, so that an infinity is the least or the greatest integer.
        others: the dtypes of operands that have no part in the promotion.
        kernel_params: the integers that its kernel gets, of shapes and options; None for those of the op's kernel in floats.
    """

    alone: str | None = "bool"
    result: str | None = None
    instead: str = ""
    only: bool = False
    parameters: tuple[str, ...] = ()
    least: int | None = None
    bounds: bool = False
    others: Mapping[str, str] = {}
    kernel_params: Callable[[Sequence[Any], Mapping[str, Any]], tuple[int, ...]] | None = None

    def exact(self, options: Mapping[str, Any]) -> bool:
        """Whether no number of the options makes the call one of floats."""
        floats = [v for n in self.parameters if type(v := options.get(n)) is float]
        return not floats or (self.bounds and all(map(math.isinf, floats)))

    def numbers(self, options: dict[str, Any], dtypes: Dtypes) -> dict[str, Any]:
        """The options of a call with its numbers as it computes with them.

        Args:
            options: in canonical form.
            dtypes: of the call.

        Raises: OptionError for an integer that the dtype does not hold.
        """
        if not dtypes.whole:
            return {k: float(v) if k in self.parameters and type(v) is int else v for k, v in options.items()}
        if self.bounds:
            greatest = (1 << (_BITS[dtypes.works] - 1)) - 1
            options = {k: (greatest if v > 0 else -greatest - 1) if type(v) is float else v for k, v in options.items()}
        for name in self.parameters:
            if not -1 <= options[name] >> (_BITS[dtypes.works] - 1) <= 0:
                raise OptionError(f"{name} must fit {dtypes.works}, as x does")
            if self.least is not None and options[name] < self.least:
                raise OptionError(f"{name} must be at least {self.least} where x holds integers; a float computes in floats")
        return options


def integer_dtypes(
    form: IntegerForm, names: Sequence[str], kinds: Sequence[str], dtypes: Sequence[str | None], default: str, exact: bool
) -> Dtypes | None:
    """The dtypes of a call that computes in integers; None for one that computes in floats.

    Args:
        form: of the op.
        names: of the inputs.
        kinds: of the inputs.
        dtypes: of the operands, None for an absent one.
        default: the program's float dtype.
        exact: whether no number of the options is a float.

    Raises: DTypeError for floats, and for Booleans, that the form refuses.
    """
    operands = {n: d for n, k, d in zip(names, kinds, dtypes, strict=True) if k == FLOAT and n not in form.others and d is not None}
    floats = [n for n, d in operands.items() if d not in INTEGERS]
    if form.only and floats:
        raise DTypeError(f"{floats[0]} must hold integers or Booleans, not {operands[floats[0]]}")
    if floats or not operands or not exact:
        return None
    works = promoted(operands.values())
    if works == "bool":
        if form.alone is None:
            raise DTypeError(f"Booleans alone are not taken; {form.instead}")
        works = form.alone
    wanted = tuple(
        None if d is None else works if n in operands else form.others.get(n, k) for n, k, d in zip(names, kinds, dtypes, strict=True)
    )
    return Dtypes(default, works, wanted, form.result or works, wanted != tuple(dtypes), True)


def dtypes_of(names: Sequence[str], kinds: Sequence[str], result: str, dtypes: Sequence[str | None], default: str) -> Dtypes:
    """The dtypes of a call.

    Args:
        names: of the inputs.
        kinds: of the inputs.
        result: the kind of the outputs.
        dtypes: of the operands, None for an absent one.
        default: the program's float dtype.

    Raises: DTypeError for numbers where integers or Booleans are taken.
    """
    given = [default if d == FLOAT else d for d in dtypes]
    for name, kind, d in zip(names, kinds, given, strict=True):
        if kind in INTEGERS and d is not None and (d not in INTEGERS or (d == "bool") != (kind == "bool")):
            raise DTypeError(f"{name} holds {_VALUES[kind]}, not {d}")
    floats = [d for d, kind in zip(given, kinds, strict=True) if kind in (FLOAT, ANY) and d is not None and d not in INTEGERS]
    own = promoted(floats) if floats else default
    moved = [d for d, kind in zip(given, kinds, strict=True) if kind == ANY and d is not None]
    together = promoted(moved) if moved else own
    by_kind = {FLOAT: own, ANY: together, TRUTH: "bool"}
    wanted = tuple(None if d is None else by_kind.get(kind, kind) for d, kind in zip(given, kinds, strict=True))
    works = "bool" if given and all(kind == TRUTH for kind in kinds) else together
    return Dtypes(own, works, wanted, by_kind.get(result, result), wanted != tuple(given))


def float_option(dtype: str | None) -> str | None:
    """The option `dtype` of an op that makes floats. Raises: OptionError."""
    # NumPy's float64 equals "float", which is the program's here: names are compared.
    name = None if dtype is None else str(dtype)
    if name not in (None, FLOAT, *FLOATS):
        raise OptionError(f"dtype must be one of {', '.join(FLOATS)}, or None for the program's")
    return None if name == FLOAT else name


#: Other spellings of a dtype: Python's types, and short names of NumPy's.
_SPELLINGS = {"f4": "float32", "f8": "float64", "i8": "int64", "i4": "int32", "?": "bool", "bool_": "bool"}
_SPELLINGS |= {"single": "float32", "double": "float64", "int": "int64"}


def dtype_option(dtype: object) -> str | None:
    """The option `dtype` of an op that makes an array or converts one, by name; None is the program's float dtype.

    Args:
        dtype: a name, a dtype or type of one element of NumPy's, or `float` (float64, as in NumPy), `int`, `bool`; "float" or None is the
            program's.

    Raises: DTypeError for a dtype that no array has.
    """
    if dtype is None or dtype is float:
        return None if dtype is None else "float64"
    name = str(dtype) if isinstance(dtype, str) else getattr(dtype, "name", None) or getattr(dtype, "__name__", None)
    name = _SPELLINGS.get(name.lstrip("<="), name) if isinstance(name, str) else name
    if name == FLOAT:
        return None
    if name not in SIZES:
        raise DTypeError(f"dtype must be one of {', '.join(SIZES)}, got {dtype!r}")
    return name
