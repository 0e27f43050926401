"""tlean: reverse-mode automatic differentiation on an explicit tape, with hand-written kernels."""

from . import ops as _ops  # noqa: F401  (registers every op)
from . import tree
from ._core.array import AnyTensor
from ._faces.functions import *  # noqa: F403
from ._faces.functions import NAMES as _NAMES
from .autodiff import grad, hessian, hessian1, hvp, hvp_inputs, hvp_params, jacfwd, jacrev, jvp, value_and_grad, vjp
from .backends.eager import TensorRef, no_grad
from .errors import (
    DeviceError,
    DTypeError,
    IndexRangeError,
    NodeError,
    NumericsError,
    OptionError,
    ShapeError,
    TleanError,
)
from .ops import Spec, defop
from .ops.protocol import Ops
from .rng import Rng
from .session import Options, Param, Session
from .tape import Node, Tape, TapeM, dense_to_dict, require_grad
