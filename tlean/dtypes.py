"""The dtypes by name, and what the library must know of each."""

from __future__ import annotations

from collections.abc import Iterable

#: Means "the float dtype of the program" wherever a dtype is declared.
FLOAT = "float"
#: Of an op's input: taken as it is, whatever its dtype.
ANY = "any"
#: The float dtypes that programs compute in.
FLOATS = ("float32", "float64")
#: Indices, positions and masks: what never has a gradient.
INTEGERS = ("int64", "int32", "bool")
#: Bytes of one element, for every dtype that an array may have.
SIZES = {"float32": 4, "float64": 8, "int64": 8, "int32": 4, "bool": 1}
#: The dtype as the names of kernels end.
SUFFIX = {"float32": "f32", "float64": "f64", "int64": "i64", "int32": "i32", "bool": "b8"}


def promoted(dtypes: Iterable[str]) -> str:
    """The dtype that holds values of all of these: a float before integers, the wider before the narrower."""
    several = set(dtypes)
    floats = [d for d in several if d not in INTEGERS]
    if floats:
        return "float64" if "float64" in several else floats[0]
    return next(d for d in INTEGERS if d in several)
