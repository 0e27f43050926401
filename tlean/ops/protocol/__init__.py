"""The `Ops` protocol: every op's signature and meaning. This package is the reference manual of the ops.

A program is a function of a backend and its inputs, `def loss(ops, w, b, x, y)`, and calls nothing but the methods below; so the same
text runs eagerly, compiled, on dual numbers, on the reference definitions and on CUDA. The method faces of the backends are generated
from these signatures.

Reading the entries. Shapes: `()` is a scalar, `(n,)` a vector, `s` any shape, `*k` any number of axes, `N` an optional batch axis. Arrays
are dense and row-major. An array argument is a ref of any dtype unless the entry says otherwise: float32 with float64 gives float64, and
integers and Booleans beside floats become floats. Integers alone stay integers in arithmetic, comparisons, sums, maxima and `where`, and
become floats of the program's dtype in all else that computes. Ops that move elements keep every dtype. An array that is no ref becomes a
constant, of the program's float dtype unless the call is one of integers alone. A gradient has its argument's dtype; integers and Booleans
have none. Arguments that are integers or Booleans by their meaning take an array (a constant) or a ref of that kind (a run-time input). The
inputs of an op of a `Tape` have one shape; everywhere else they broadcast as NumPy's do. NaN and infinities follow IEEE 754. `g` is the
cotangent of the result.

Every op takes a keyword `name`, a label for the node that shows in printed tapes and graphs. Every op raises DTypeError for an array of
another dtype than it takes, ShapeError for shapes that it cannot take, and NodeError for a ref that belongs to another program; messages
name the op and each argument with its shape and dtype. Entries list what goes beyond that.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from .activation import ActivationOps
from .arranging import ArrangingOps
from .attention import AttentionOps
from .conv import ConvOps
from .creation import CreationOps
from .elementary import FunctionOps
from .elementwise import ElementwiseOps
from .fourier import FourierOps
from .images import ImageOps
from .indexing import IndexingOps
from .layout import LayoutOps
from .linalg import LinalgOps
from .logic import LogicOps
from .loss import LossOps
from .losses import MarginLossOps
from .matrices import DecompositionOps, MatrixOps
from .norm import NormOps
from .numeric import LineOps, NumericOps, PresentOps, ProductOps, SampleOps
from .order import OrderOps
from .pool import PoolOps
from .random import RandomOps
from .reduce import ReduceOps
from .ref import Index, Ints, Mask, Ref
from .special import IncompleteOps, SpecialOps


@runtime_checkable
class Ops(
    ElementwiseOps,
    FunctionOps,
    SpecialOps,
    IncompleteOps,
    ActivationOps,
    LogicOps,
    CreationOps,
    LayoutOps,
    ArrangingOps,
    IndexingOps,
    ReduceOps,
    OrderOps,
    NumericOps,
    PresentOps,
    LineOps,
    SampleOps,
    ProductOps,
    LinalgOps,
    MatrixOps,
    DecompositionOps,
    FourierOps,
    ConvOps,
    PoolOps,
    ImageOps,
    NormOps,
    AttentionOps,
    LossOps,
    MarginLossOps,
    RandomOps,
    Protocol,
):
    """What a backend offers to a program: every op as a method."""


__all__ = ["Index", "Ints", "Mask", "Ops", "Ref"]
