"""The samples of an entry of PyTorch's database, and what PyTorch answers."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch.autograd import forward_ad
from torch.testing._internal.common_methods_invocations import op_db
from torch.testing._internal.opinfo.core import BinaryUfuncInfo, OpInfo

#: The dtypes that samples are drawn in: floats with derivatives, the others forward only.
DTYPES = (torch.float64, torch.int64, torch.bool)
#: What the second operand of a binary function becomes, forward only.
MIXED = (torch.int64, torch.bool, torch.float32)
#: What tlean's arrays hold, and what wider dtype others become on the way in.
_HELD = (torch.float64, torch.float32, torch.int64, torch.int32, torch.bool)


class Skip(Exception):
    """A sample uses what is outside of tlean's contract; the message says what."""


class Waits(Skip):
    """A sample uses what is in tlean's contract and not there yet: its entry does not count."""


class Mismatch(Exception):
    """tlean's answer is another than PyTorch's."""


def entries() -> dict[str, OpInfo]:
    """Full name -> entry, in the database's order."""
    return {f"{op.name}.{op.variant_test_name}" if op.variant_test_name else op.name: op for op in op_db}


@dataclass
class Sample:
    """One call: its arguments with each tensor replaced by a place, and the tensors."""

    name: str
    label: str
    call: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    differentiable: bool
    mixed: bool = False
    tensors: list[torch.Tensor] = field(default_factory=list)


def mapped(f: Callable[[torch.Tensor], Any], x: Any) -> Any:
    """A tree of arguments with f of each tensor."""
    if isinstance(x, torch.Tensor):
        return f(x)
    if isinstance(x, torch.Size):
        return tuple(x)
    if isinstance(x, tuple) and hasattr(x, "_fields"):
        return type(x)(*(mapped(f, v) for v in x))
    if isinstance(x, list | tuple):
        return type(x)(mapped(f, v) for v in x)
    if isinstance(x, dict):
        return {k: mapped(f, v) for k, v in x.items()}
    return x


def leaves(x: Any) -> list[Any]:
    """What a result is made of, in order; None and strings are left out."""
    if isinstance(x, torch.Size):
        return [np.array(x, np.int64)]
    if isinstance(x, list | tuple):
        return [leaf for v in x for leaf in leaves(v)]
    if isinstance(x, dict):
        return [leaf for v in x.values() for leaf in leaves(v)]
    return [] if x is None or isinstance(x, str | torch.dtype) else [x]


def _seed(name: str, dtype: torch.dtype) -> None:
    number = zlib.crc32(f"{name} {dtype}".encode())
    torch.manual_seed(number)
    np.random.seed(number % 2**32)
    random.seed(number)


def _calls(op: OpInfo, name: str, dtype: torch.dtype) -> Iterator[Sample]:
    differentiable = dtype is torch.float64 and op.supports_autograd
    _seed(name, dtype)
    label = str(dtype).removeprefix("torch.")
    for number, s in enumerate(op.sample_inputs("cpu", dtype, requires_grad=differentiable)):
        yield Sample(name, f"{label}[{number}]", op.op, (s.input, *s.args), dict(s.kwargs), differentiable)


def _mixed(op: OpInfo, name: str) -> Iterator[Sample]:
    # The first samples of a binary function with one operand of another dtype.
    if not isinstance(op, BinaryUfuncInfo):
        return
    for k, dtype in enumerate(MIXED):
        if dtype not in op.dtypes or torch.float64 not in op.dtypes:
            continue
        for number, s in enumerate(_calls(op, name, torch.float64)):
            if number == 3:
                break
            place = (number + k) % 2
            if isinstance(s.args[place], torch.Tensor):
                args = list(s.args)
                args[place] = args[place].detach().to(dtype)
                s.args, s.label, s.differentiable = tuple(args), f"{s.label} with {str(dtype).removeprefix('torch.')}", False
                s.mixed = True
                yield s


def samples(name: str, op: OpInfo) -> list[Sample]:
    """All samples of an entry."""
    dtypes = [dtype for dtype in DTYPES if dtype in op.dtypes] or [torch.float32]  # that of an entry that takes no arrays
    drawn = [s for dtype in dtypes for s in _calls(op, name, dtype)]
    return drawn + list(_mixed(op, name))


def _held(t: torch.Tensor) -> None:
    if t.is_complex():
        raise Skip("complex numbers")
    if t.layout is not torch.strided:
        raise Skip("sparse arrays")
    if t.dtype not in _HELD:
        raise Skip(f"the dtype {str(t.dtype).removeprefix('torch.')}")


def arrays(sample: Sample) -> list[np.ndarray]:
    """The sample's tensors as arrays. Raises: Skip."""
    sample.tensors = []
    mapped(sample.tensors.append, [sample.args, sample.kwargs])
    if any(isinstance(v, torch.dtype) and v not in _HELD for v in sample.kwargs.values()):
        raise Skip("a result of a dtype that tlean lacks")
    for t in sample.tensors:
        _held(t)
    return [t.detach().resolve_neg().numpy().copy() for t in sample.tensors]


@dataclass
class Answer:
    """PyTorch's: the results, the cotangents of those that are floats, the tangents of the inputs, and both products."""

    values: list[np.ndarray]
    cotangents: list[np.ndarray | None]
    directions: list[np.ndarray | None]
    vjp: list[np.ndarray | None]
    jvp: list[np.ndarray | None] | None


def _value(x: Any) -> np.ndarray:
    if isinstance(x, torch.Tensor):
        _held(x)
        if x._is_zerotensor():
            return np.zeros(tuple(x.shape))
        return x.detach().resolve_neg().numpy().copy()
    return np.asarray(x)


def answer(sample: Sample, op: OpInfo) -> Answer:
    """What PyTorch makes of the sample. Raises: Skip."""
    sources = [t.detach().clone().requires_grad_(sample.differentiable and t.requires_grad) for t in sample.tensors]
    rng = np.random.default_rng(len(sources))
    try:
        results = leaves(_run(sample, sources))
    except (RuntimeError, NotImplementedError):
        if sample.mixed:
            raise Skip("a mixture of dtypes that PyTorch does not take") from None
        raise
    values = [_value(r) for r in results]
    slopes = [k for k, r in enumerate(results) if isinstance(r, torch.Tensor) and r.requires_grad]
    cotangents = [rng.normal(size=v.shape) if k in slopes else None for k, v in enumerate(values)]
    varied = [k for k, t in enumerate(sources) if t.requires_grad]
    directions = [rng.normal(size=tuple(t.shape)) if k in varied else None for k, t in enumerate(sources)]
    vjp: list[np.ndarray | None] = [None] * len(sources)
    if slopes:
        given = [torch.from_numpy(np.asarray(cotangents[k])) for k in slopes]
        grads = torch.autograd.grad([results[k] for k in slopes], [sources[k] for k in varied], given, allow_unused=True)
        for k, g in zip(varied, grads, strict=True):
            vjp[k] = np.zeros(tuple(sources[k].shape)) if g is None else _value(g.to_dense() if g.layout is not torch.strided else g)
    jvp = _tangents(sample, sources, directions, slopes) if slopes and op.supports_forward_ad else None
    return Answer(values, cotangents, directions, vjp, jvp)


def _run(sample: Sample, tensors: list[torch.Tensor]) -> Any:
    supply = iter([t.clone() for t in tensors])  # a function in place must not change what is kept
    args, kwargs = mapped(lambda _: next(supply), [sample.args, sample.kwargs])
    return sample.call(*args, **kwargs)


def _tangents(
    sample: Sample, sources: list[torch.Tensor], directions: list[np.ndarray | None], slopes: list[int]
) -> list[np.ndarray | None]:
    with forward_ad.dual_level():
        duals = [
            t.detach() if d is None else forward_ad.make_dual(t.detach(), torch.from_numpy(np.asarray(d)))
            for t, d in zip(sources, directions, strict=True)
        ]
        results = leaves(_run(sample, duals))
        tangents: list[np.ndarray | None] = [None] * len(results)
        for k in slopes:
            t = forward_ad.unpack_dual(results[k]).tangent
            tangents[k] = np.zeros(tuple(results[k].shape)) if t is None else _value(t)
    return tangents
