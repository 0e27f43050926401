"""The dtypes by name, and what the library must know of each."""

from __future__ import annotations

#: Means "the float dtype of the program" wherever a dtype is declared.
FLOAT = "float"
#: The float dtypes that programs compute in.
FLOATS = ("float32", "float64")
#: Indices, positions and masks: what never has a gradient.
INTEGERS = ("int64", "int32", "bool")
#: Bytes of one element, for every dtype that an array may have.
SIZES = {"float32": 4, "float64": 8, "int64": 8, "int32": 4, "bool": 1}
#: The dtype as the names of kernels end.
SUFFIX = {"float32": "f32", "float64": "f64"}
#: The same for kernels that move words without looking at them: the dtype whose words are as long.
WORDS = SUFFIX | {"int64": "f64", "int32": "f32"}
