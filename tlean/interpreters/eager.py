"""The eager backend: runs each op at once on the CPU and appends its node to a tape. The hot part is `tlean._core.eager`."""

from __future__ import annotations

from typing import Any

import numpy as np

from tlean import errors, indexing
from tlean._core import lapack
from tlean._core.arena import install_errors
from tlean._core.eager.accum import install_kernels
from tlean._core.eager.eager import EagerOps, TensorRef, install, no_grad, without_tape
from tlean._core.table import KERNELS, MODULES
from tlean.ops import Spec, all_ops, composites, forms, get
from tlean.ops.matrices import lapack as lapack_kernels

from .instances import instantiate

__all__ = ["Eager", "EagerOps", "TensorRef", "indexing", "no_grad", "without_tape"]


def _require(outs: Any, ins: Any, options: Any) -> None:
    try:
        lapack.FUNCTIONS["require"](outs, ins, options)
    except np.linalg.LinAlgError as error:
        raise errors.LinAlgError(str(error)) from None


def _connect() -> None:
    names = ("ShapeError", "OptionError", "DTypeError", "IndexRangeError", "NodeError", "DeviceError", "NumericsError", "MissingOpError")
    install_errors({n: getattr(errors, n) for n in (*names, "LinAlgError")})
    lapack_kernels.install({**lapack.FUNCTIONS, "require": _require})
    install_kernels(KERNELS["accumulate:f32"], KERNELS["accumulate:f64"])
    install(instantiate, Spec, MODULES["random"].stream_seed, get, {r.name: r for r in all_ops()}, composites() | forms())


_connect()


def Eager(session: EagerOps) -> EagerOps:
    """The `Ops` of a session: the session itself, since a session is an eager backend.

    Args:
        session: a session or tape.
    """
    return session
