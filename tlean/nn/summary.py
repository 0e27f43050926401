"""A table of a model's layers: what comes out of each, what it holds, what it costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tlean import tree
from tlean.display import preformatted
from tlean.errors import OptionError
from tlean.ops import Spec
from tlean.programs.compiled import compile_out
from tlean.shapes import as_shape

from .module import Module


@dataclass(frozen=True)
class Row:
    """One layer: its path and kind, the shape of its output, the elements of its parameters, and FLOPs of one evaluation."""

    name: str
    kind: str
    shape: Any
    parameters: int
    flops: float


@dataclass(frozen=True)
class Summary:
    """What `summary` found; printed, it is the table."""

    rows: tuple[Row, ...]
    parameters: int
    trainable: int
    buffers: int
    flops: float

    def __str__(self) -> str:
        head = ("layer", "kind", "output", "parameters", "FLOP")
        body = [(r.name, r.kind, str(r.shape), f"{r.parameters:,}", f"{r.flops:,.0f}") for r in self.rows]
        total = ("in all", "", "", f"{self.parameters:,}", f"{self.flops:,.0f}")
        widths = [max(len(line[k]) for line in (head, *body, total)) for k in range(5)]

        def line(cells: tuple[str, ...]) -> str:
            return "  ".join(c.ljust(w) if k < 3 else c.rjust(w) for k, (c, w) in enumerate(zip(cells, widths, strict=True))).rstrip()

        rule = "-" * len(line(tuple("x" * w for w in widths)))
        note = f"{self.trainable:,} of the parameters are trained; buffers hold {self.buffers:,} numbers"
        return "\n".join([line(head), rule, *map(line, body), rule, line(total), note])

    def _repr_html_(self) -> str:
        return preformatted(str(self))


def summary(model: Module, *input_shapes: Any) -> Summary:
    """The layers of a model in the order in which an evaluation calls them.

    Args:
        model: the model; each innermost layer is a row, a shared parameter counts in the first row that has it.
        input_shapes: for each input a shape with the batch axis, or a `Spec(shape, dtype)`.

    Returns: a `Summary`; FLOPs are those of the compiled program's `cost()`.
    Raises: OptionError for something that is no `Module`.
    """
    if not isinstance(model, Module):
        raise OptionError(f"summary: the model must be a Module, got {model!r}")
    state = model.state()
    dtype = state[0].dtype if state else "float32"
    paths = {id(m): path for path, m in model.named_modules()}
    counted: set[Any] = set()
    rows: list[Row] = []

    def flops_of(module: Module, inputs: tuple[Any, ...]) -> float:
        own = module.state()
        specs = [p.shape for p in own] + [Spec(tuple(x.shape), x.dtype) for x in inputs]

        def evaluate(ops: Any, *refs: Any) -> Any:
            return module.apply(ops, refs[: len(own)], *refs[len(own) :], training=False)

        return compile_out(evaluate, specs, dtype).cost().flops

    def watch(module: Module, call: Any, inputs: tuple[Any, ...]) -> Any:
        y = call()
        if not any(isinstance(value, Module) for _, value in module.members()):
            new = set(module.parameters()) - counted
            counted.update(new)
            shapes = tree.map(lambda r: tuple(r.shape), y)
            count = sum(int(np.prod(p.shape)) for p in new)
            rows.append(Row(paths[id(module)] or "model", type(module).__name__, shapes, count, flops_of(module, inputs)))
        return y

    def record(ops: Any, *refs: Any) -> Any:
        bound = model.bind(ops, refs[: len(state)], training=False)
        bound.watch = watch
        return model(bound, *refs[len(state) :])

    shapes = [s if isinstance(s, Spec) else as_shape(s) for s in input_shapes]
    total = compile_out(record, [*(p.shape for p in state), *shapes], dtype).cost().flops
    buffers = sum(int(np.prod(b.shape)) for b in model.buffers())
    return Summary(tuple(rows), model.count(), model.count(trainable=True), buffers, total)
