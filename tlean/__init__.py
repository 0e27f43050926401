"""tlean: reverse-mode automatic differentiation on an explicit tape, with hand-written kernels.

Start with `Tape` (a computation as a value), `Session` (the PyTorch-like face), `ScalarTrainer` (parameters, a loss, steps), or the
functional transformations `grad`, `vjp`, `jvp`, `hvp`, `hessian`. Every op is a method of each backend and a function of this module;
`tlean.Ops` documents them all.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from . import arrays as _arrays  # noqa: F401  (connects NumPy's methods and functions)
from . import cuda, linalg, optim, random, tree
from . import ops as _ops  # noqa: F401  (registers every op)
from ._core.array import AnyTensor, install_namespace
from ._core.threads import get_num_threads
from ._moved import install as install_moved
from .autodiff import grad, hessian, hessian1, hvp, hvp_inputs, hvp_params, jacfwd, jacrev, jvp, linearize, value_and_grad, vjp, vmap
from .devices import with_cuda
from .dispatch import set_num_threads
from .errors import (
    CallError,
    DataError,
    DeviceError,
    DTypeError,
    IndexRangeError,
    LinAlgError,
    MissingOpError,
    NodeError,
    NumericsError,
    OptionError,
    PlanError,
    ShapeError,
    TleanError,
)
from .functions import *  # noqa: F403
from .functions import NAMES as _NAMES
from .interpreters.eager import TensorRef, no_grad
from .ops import Spec, defop
from .optim.param_list import ParamList
from .optim.state import AdamState
from .options import Options
from .param import Param
from .profile import profile
from .programs.compiled import CompiledOut, CompiledScalar, GraphM, compile_out, compile_scalar
from .programs.jit import jit
from .rng import Rng, seed
from .session.base import Session
from .session.indices import NatRef, NatVecRef

if TYPE_CHECKING:
    from . import array_api, data, debug, distributed, fft, mcmc, nn, scipy, sklearn, solvers, sparse, stats, testing, train
    from . import backends as backends
    from .autodiff.laplacian import laplacian
    from .autodiff.taylor import jet
    from .custom import custom_jvp, custom_op, custom_vjp
    from .custom.native import get_include, register_kernels
    from .implicit import custom_root, fixed_point, implicit_argmin
    from .interop import onnx
    from .interop.c_code import export_c
    from .interop.exchange import from_dlpack, from_torch, to_dlpack, to_torch
    from .interop.program_file import load_program, save_program
    from .interop.torch_function import to_torch_function
    from .interpolation import cubic_spline
    from .loops import associative_scan, checkpoint, cond, fori_loop, map, remat, scan, switch, while_loop
    from .nn.examples import per_sample_grad
    from .ops.protocol import Ops, Ref
    from .sparse import sparse_hessian, sparse_jacobian
    from .tape.stateful import TapeM
    from .tape.tape import Node, Tape, dense_to_dict, require_grad
    from .train.checkpoint import load, save
    from .train.fit import fit
    from .train.trainer import ScalarTrainer

__version__ = "0.1.0"

__all__ = [
    *_NAMES,
    "AdamState",
    "AnyTensor",
    "CallError",
    "CompiledOut",
    "CompiledScalar",
    "DTypeError",
    "DataError",
    "DeviceError",
    "GraphM",
    "IndexRangeError",
    "LinAlgError",
    "MissingOpError",
    "NatRef",
    "NatVecRef",
    "Node",
    "NodeError",
    "NumericsError",
    "Ops",
    "OptionError",
    "PlanError",
    "Options",
    "Param",
    "ParamList",
    "Ref",
    "Rng",
    "ScalarTrainer",
    "Session",
    "ShapeError",
    "Spec",
    "Tape",
    "TapeM",
    "TensorRef",
    "TleanError",
    "array_api",
    "associative_scan",
    "checkpoint",
    "compile_out",
    "compile_scalar",
    "cond",
    "cubic_spline",
    "cuda",
    "custom_jvp",
    "custom_op",
    "custom_root",
    "custom_vjp",
    "data",
    "debug",
    "defop",
    "dense_to_dict",
    "distributed",
    "fft",
    "fit",
    "export_c",
    "fixed_point",
    "fori_loop",
    "from_dlpack",
    "from_torch",
    "get_include",
    "get_num_threads",
    "grad",
    "hessian",
    "hessian1",
    "hvp",
    "hvp_inputs",
    "hvp_params",
    "implicit_argmin",
    "jacfwd",
    "jacrev",
    "jet",
    "jit",
    "jvp",
    "laplacian",
    "linalg",
    "linearize",
    "nn",
    "load",
    "load_program",
    "map",
    "mcmc",
    "no_grad",
    "onnx",
    "optim",
    "per_sample_grad",
    "profile",
    "random",
    "register_kernels",
    "remat",
    "require_grad",
    "save",
    "save_program",
    "scan",
    "scipy",
    "sklearn",
    "seed",
    "set_num_threads",
    "solvers",
    "sparse",
    "sparse_hessian",
    "sparse_jacobian",
    "stats",
    "switch",
    "testing",
    "train",
    "to_dlpack",
    "to_torch",
    "to_torch_function",
    "tree",
    "value_and_grad",
    "vjp",
    "vmap",
    "while_loop",
]

# Imported when they are first named, so that programs without them start sooner: modules, and what a module holds.
_MODULES = (
    "array_api", "backends", "data", "debug", "distributed", "fft", "loops", "mcmc", "nn", "scipy", "sklearn",
    "solvers", "sparse", "stats", "tape", "testing", "train",
)  # fmt: skip
_LATER = {name: f"tlean.{name}" for name in _MODULES} | {"onnx": "tlean.interop.onnx"}
_ROOMS = frozenset(_LATER)
_LATER |= dict.fromkeys(("custom_jvp", "custom_op", "custom_vjp"), "tlean.custom")
_LATER |= dict.fromkeys(("get_include", "register_kernels"), "tlean.custom.native")
_LATER |= {"fit": "tlean.train.fit", "load": "tlean.train.checkpoint", "save": "tlean.train.checkpoint"}
_LATER |= {"cubic_spline": "tlean.interpolation", "jet": "tlean.autodiff.taylor", "laplacian": "tlean.autodiff.laplacian"}
_LATER |= dict.fromkeys(("sparse_hessian", "sparse_jacobian"), "tlean.sparse")
_LATER |= {"per_sample_grad": "tlean.nn.examples"}
_LATER |= dict.fromkeys(("Ops", "Ref"), "tlean.ops.protocol")
_LOOPS = ("associative_scan", "checkpoint", "cond", "fori_loop", "map", "remat", "scan", "switch", "while_loop")
_LATER |= dict.fromkeys(_LOOPS, "tlean.loops")
_LATER |= {"TapeM": "tlean.tape.stateful", **dict.fromkeys(("Node", "Tape", "dense_to_dict", "require_grad"), "tlean.tape.tape")}
_LATER |= dict.fromkeys(("custom_root", "fixed_point", "implicit_argmin"), "tlean.implicit")
_LATER |= {"ScalarTrainer": "tlean.train.trainer"}
_LATER |= {"export_c": "tlean.interop.c_code"}
_LATER |= dict.fromkeys(("load_program", "save_program"), "tlean.interop.program_file")
_LATER |= dict.fromkeys(("from_dlpack", "from_torch", "to_dlpack", "to_torch"), "tlean.interop.exchange")
_LATER |= {"to_torch_function": "tlean.interop.torch_function"}


install_moved()
install_namespace(lambda: __getattr__("array_api"))
# The sessions and tapes of a device, when one is first asked for.
with_cuda(lambda: [import_module(name) for name in ("tlean.session.cuda", "tlean.tape.cuda")])


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module 'tlean' has no attribute {name!r}")
    module = import_module(_LATER[name])
    value = globals()[name] = module if name in _ROOMS else getattr(module, name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
