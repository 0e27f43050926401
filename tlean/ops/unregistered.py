"""Records that no name finds: recorded programs, Python functions, and instructions of the library's own programs."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ..dtypes import FLOAT, FLOATS, INTEGERS
from ..errors import OptionError
from ..shapes import Shape
from .registry import OpDef, Rules, Spec, no_gradient, no_tangent

_made = itertools.count()


def dynamic_op(name: str, graph: Any, decompose: Callable[..., Any]) -> OpDef:
    """A record for a recorded program: an op whose value is the only output of that graph. It is not registered; its name is its own.

    Args:
        decompose: `decompose(ops, *xs)` runs the graph on any backend.
    """
    specs = [None if v is None else graph.specs[v] for v in graph.inputs]
    out = graph.specs[graph.outputs[0]]

    def shape(*xs: Shape) -> Spec:
        return out

    rules = Rules(f"A recorded program of {len(graph)} ops.", shape=shape, decompose=decompose)
    # A recorded program has its dtypes: nothing is converted.
    inputs = _inputs((None if s is None else s.dtype for s in specs), (*FLOATS, *INTEGERS))
    return OpDef(name=f"{name}@{next(_made)}", options_names=(), rules=rules, kernel="", out_dtype=out.dtype, **inputs)


def plain_op(name: str, doc: str, shape: Callable[..., Any], kernel_params: Callable[..., Any], dtypes: Mapping[str, str]) -> OpDef:
    """A record of any number of inputs for an instruction of the library's own programs, with no derivative. It is not registered.

    Args:
        dtypes: the kinds of the inputs xs[0], xs[1], … that are not "float".
    """
    rules = Rules(doc, shape=shape, kernel_params=kernel_params, vjp=no_gradient, jvp=no_tangent)
    return OpDef(
        name=name,
        inputs=("xs",),
        options_names=(),
        rules=rules,
        variadic=True,
        dtypes=dtypes,
        kernel=name,
        algebraic=False,
        differentiable=False,
    )


def host_op(
    name: str,
    host: Callable[..., None],
    inputs: Sequence[tuple[Shape, str]],
    outputs: Sequence[Shape | Spec],
    vjp: Callable[..., Any],
    jvp: Callable[..., Any],
    batch: Callable[..., Any] | None = None,
    effects: bool = False,
    cuda: Callable[..., Any] | None = None,
) -> OpDef:
    """A record for a Python function on arrays, `host(outs, ins, options)`, with fixed shapes. It is not registered under its name.

    Args:
        inputs: the shape and dtype of every input; any float dtype means the program's.
        outputs: the shape of every output, of the program's float dtype, or its spec.
        batch: the batching rule; without one a batch is a call for each lane.
        effects: whether it runs for more than its value.
        cuda: what a CUDA device runs instead (`OpDef.cuda`).
    """
    outs = [o if isinstance(o, Spec) else Spec(o, FLOAT) for o in outputs]

    def shape(*xs: Shape) -> Any:
        for got, (wanted, _) in zip(xs, inputs, strict=True):
            if got != wanted:
                raise OptionError(f"takes an input of shape {wanted}, got {got}")
        return list(outs) if len(outs) > 1 else outs[0]

    rules = Rules("A Python function on arrays.", shape=shape, vjp=vjp, jvp=jvp, batch=batch)
    results = tuple(f"y{k}" for k in range(len(outs)))
    named = _inputs((dtype for _, dtype in inputs), INTEGERS)
    return OpDef(
        name=name,
        options_names=(),
        rules=rules,
        outputs=results,
        out_dtype=outs[0].dtype,
        kernel="",
        host=host,
        cuda=cuda,
        algebraic=False,
        differentiable=any(o.dtype == FLOAT for o in outs),
        effects=effects,
        **named,
    )


def _inputs(dtypes: Iterable[str | None], fixed: tuple[str, ...]) -> dict[str, Any]:
    # The inputs x0, x1, …, and the kinds of those of a fixed dtype.
    names = {f"x{k}": dtype for k, dtype in enumerate(dtypes)}
    return {"inputs": tuple(names), "dtypes": {n: d for n, d in names.items() if d in fixed}}
