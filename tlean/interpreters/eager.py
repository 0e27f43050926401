"""The eager backend: runs each op at once on the CPU and appends its node to a tape. The hot part is `tlean._core.eager`."""

from __future__ import annotations

import tlean.indexing as indexing
from tlean._core.eager.accum import add
from tlean._core.eager.eager import EagerOps, TensorRef, install, no_grad, without_tape
from tlean._core.table import MODULES
from tlean._generated.methods import describe
from tlean.ops import LIBRARY, Spec, composites, forms, get

from .instances import instantiate

__all__ = ["Eager", "EagerOps", "TensorRef", "add", "indexing", "no_grad", "without_tape"]

install(instantiate, Spec, MODULES["random"].stream_seed, get, {r.name: r for r in LIBRARY}, composites() | forms())
describe(EagerOps)


def Eager(session: EagerOps) -> EagerOps:
    """The `Ops` of a session: the session itself, since a session is an eager backend.

    Args:
        session: a session or tape.
    """
    return session
