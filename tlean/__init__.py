"""tlean: reverse-mode automatic differentiation on an explicit tape, with hand-written kernels.

Start with `Tape` (a computation as a value), `Session` (the PyTorch-like face), `ScalarTrainer` (parameters, a loss, steps), or the
functional transformations `grad`, `vjp`, `jvp`, `hvp`, `hessian`. Every op is a method of each backend and a function of this module;
`tlean.Ops` documents them all.
"""

from functools import partial as _partial
from typing import TYPE_CHECKING

from . import arrays as _arrays  # noqa: F401  (connects NumPy's methods and functions)
from . import errors as _errors
from . import tree
from ._core.arena import install_errors as _install_errors
from ._core.array import install_add as _install_add
from ._core.array import install_namespace as _install_namespace
from ._core.refs import install_indexing as _install_indexing
from ._core.threads import isa as _isa  # noqa: F401  (says so where no kernels are built)
from ._generated.names import NAMES as _NAMES
from ._moved import install as _install_moved
from .cuda import with_device as _with_device
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
from .later import function as _function
from .later import names as _names
from .later import whole as _whole
from .rng import draw_with as _draw_with

if TYPE_CHECKING:
    from . import (
        array_api,
        cuda,
        data,
        debug,
        distributed,
        fft,
        linalg,
        mcmc,
        nn,
        optim,
        random,
        scipy,
        sklearn,
        solvers,
        sparse,
        stats,
        testing,
        train,
    )
    from . import backends as backends
    from ._core.array import AnyTensor
    from ._core.threads import get_num_threads
    from .autodiff import grad, hessian, hessian1, hvp, hvp_inputs, hvp_params, jacfwd, jacrev, jvp, linearize, value_and_grad, vjp
    from .autodiff.laplacian import laplacian
    from .autodiff.taylor import jet
    from .autodiff.vmap import vmap
    from .custom import custom_jvp, custom_op, custom_vjp
    from .custom.native import get_include, register_kernels
    from .dispatch import set_num_threads
    from .functions import *  # noqa: F403
    from .implicit import custom_root, fixed_point, implicit_argmin
    from .interop import onnx
    from .interop.c_code import export_c
    from .interop.exchange import from_dlpack, from_torch, to_dlpack, to_torch
    from .interop.program_file import load_program, save_program
    from .interop.torch_function import to_torch_function
    from .interpolation import cubic_spline
    from .interpreters.eager import TensorRef, no_grad
    from .loops import associative_scan, checkpoint, cond, fori_loop, map, remat, scan, switch, while_loop
    from .nn.examples import per_sample_grad
    from .ops import Spec, defop
    from .ops.protocol import Ops, Ref
    from .optim.param_list import ParamList
    from .optim.state import AdamState
    from .options import Options
    from .param import Param
    from .profiling import profile
    from .programs.compiled import CompiledOut, CompiledScalar, GraphM, compile_out, compile_scalar
    from .programs.jit import jit
    from .rng import Rng, seed
    from .session.base import Session
    from .session.indices import NatRef, NatVecRef
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
    "to_dlpack",
    "train",
    "to_torch",
    "to_torch_function",
    "tree",
    "value_and_grad",
    "vjp",
    "vmap",
    "while_loop",
]

# All other names are imported when they are first asked for, so that a program loads the rooms that it uses.
_ROOMS = """
array_api autodiff backends caching compiler custom data debug devices dispatch display distributed fft files
functions implicit indexing interop interpolation interpreters linalg loops mcmc nn ops optim options param profiling programs random
reference scipy session sklearn solvers sparse stats tape testing train
"""
_MODULES = {name: f"tlean.{name}" for name in _ROOMS.split()} | {"onnx": "tlean.interop.onnx"}
_TABLE = """
_core.array AnyTensor
_core.threads get_num_threads
autodiff grad hessian hessian1 hvp hvp_inputs hvp_params jacfwd jacrev jvp linearize value_and_grad vjp vmap
autodiff.laplacian laplacian
autodiff.taylor jet
custom custom_jvp custom_op custom_vjp
custom.native get_include register_kernels
dispatch set_num_threads
implicit custom_root fixed_point implicit_argmin
interop.c_code export_c
interop.exchange from_dlpack from_torch to_dlpack to_torch
interop.program_file load_program save_program
interop.torch_function to_torch_function
interpolation cubic_spline
interpreters.eager TensorRef no_grad
loops associative_scan checkpoint cond fori_loop map remat scan switch while_loop
nn.examples per_sample_grad
ops Spec defop
ops.protocol Ops Ref
optim.param_list ParamList
optim.state AdamState
options Options
param Param
profiling profile
programs.compiled CompiledOut CompiledScalar GraphM compile_out compile_scalar
programs.jit jit
rng Rng seed
session.base Session
session.indices NatRef NatVecRef
sparse sparse_hessian sparse_jacobian
tape.stateful TapeM
tape.tape Node Tape dense_to_dict require_grad
train.checkpoint load save
train.fit fit
train.trainer ScalarTrainer
"""
_HOLDERS = dict.fromkeys(_NAMES, "tlean.functions")
_HOLDERS |= {name: f"tlean.{home}" for home, *holds in map(str.split, _TABLE.strip().splitlines()) for name in holds}

_install_moved()
# What lower rooms call in upper ones: each is imported by the first call.
_install_errors({c.__name__: c for c in vars(_errors).values() if isinstance(c, type) and issubclass(c, TleanError)})
_install_add(_function("tlean.interpreters.eager", "add"))
_install_indexing(_function("tlean.indexing", "read"), _function("tlean.indexing", "At"))
_install_namespace(_partial(_whole, "tlean.array_api"))
_draw_with(_function("tlean.dispatch", "drawn"))
# The sessions and tapes of a device, when one is first asked for.
_with_device(lambda: [_whole(name) for name in ("tlean.session.cuda", "tlean.tape.cuda")])
if not TYPE_CHECKING:
    __getattr__, __dir__ = _names(__name__, _MODULES, _HOLDERS)
