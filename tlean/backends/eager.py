"""The eager backend: runs each op at once on the CPU and appends its node to a tape. The hot part is `tlean._core.eager`."""

from __future__ import annotations

from tlean import errors
from tlean._core import accum, array
from tlean._core import eager as core
from tlean._core.table import KERNELS
from tlean.ops import Spec, all_ops, composites
from tlean.rng import op_seed

from .lower import instantiate

EagerOps = core.EagerOps
TensorRef = core.TensorRef
no_grad = core.no_grad


def _connect() -> None:
    names = ("ShapeError", "OptionError", "DTypeError", "IndexRangeError", "NodeError", "DeviceError", "NumericsError")
    array.install_errors({n: getattr(errors, n) for n in names})
    accum.install_kernels(KERNELS["accumulate:f32"], KERNELS["accumulate:f64"])
    core.install(instantiate, Spec, op_seed, {r.name: r for r in all_ops()}, composites())


_connect()


def Eager(session: EagerOps) -> EagerOps:
    """The `Ops` of a session: the session itself, since a session is an eager backend."""
    return session
