"""The options that are one of a few words, as types: what an editor offers and a type checker accepts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from .._core.array import DType
else:
    # What it is when a program runs, so that `typing.get_type_hints` reads what takes one.
    DType = str

#: How a session or a transformation computes.
Backend: TypeAlias = Literal["eager", "compiled"]
#: The float dtypes that programs compute in, by name or as an array has it.
FloatName: TypeAlias = Literal["float32", "float64"] | DType
#: Every dtype that an array may have.
DTypeName: TypeAlias = Literal["float32", "float64", "int64", "int32", "bool"] | DType
#: What products of matrices on a GPU compute in.
Precision: TypeAlias = Literal["fp32", "tf32", "fp64"]
#: Of a loss over its elements.
Reduction: TypeAlias = Literal["mean", "sum", "none"]
#: Where the factor of a Fourier transform is.
Norm: TypeAlias = Literal["backward", "ortho", "forward"]
#: What a position that an array does not have means, to ops that take indices.
OutOfRange: TypeAlias = Literal["raise", "clip", "fill", "drop", "strict"]
#: How entries are written over those that are there.
Write: TypeAlias = Literal["set", "add", "max", "min"]
#: Between which elements a quantile lies.
Quantile: TypeAlias = Literal["linear", "lower", "higher", "nearest", "midpoint"]
#: What is around an array.
Padding: TypeAlias = Literal["reflect", "symmetric", "edge", "wrap", "replicate", "circular"]
#: The same of an image that is sampled.
Border: TypeAlias = Literal["zeros", "border", "reflection"]
#: How an image is sampled.
Sampling: TypeAlias = Literal["bilinear", "nearest", "bicubic"]
#: How an image is resized.
Resizing: TypeAlias = Literal["nearest", "nearest-exact", "linear", "bilinear", "trilinear", "bicubic", "area"]
#: What a bag of rows is.
Bag: TypeAlias = Literal["sum", "mean", "max"]
#: Which GELU: by the hyperbolic tangent, or exact.
Approximation: TypeAlias = Literal["tanh", "none"]
#: How much of a convolution of two sequences.
Part: TypeAlias = Literal["full", "same", "valid"]
#: What is around a layer's input.
LayerPadding: TypeAlias = Literal["zeros", "reflect", "replicate", "circular"]
#: Padding that is named by what the output has of it.
Cover: TypeAlias = Literal["same", "valid"]
#: The activation of a plain recurrent layer.
Nonlinearity: TypeAlias = Literal["tanh", "relu"]
#: Of which columns Q is, or R alone.
Columns: TypeAlias = Literal["reduced", "complete", "r"]
#: Which of its two sides.
Side: TypeAlias = Literal["left", "right"]
