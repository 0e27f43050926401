"""`tl.onnx.export`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tlean import tree
from tlean.errors import DataError, OptionError, TleanError
from tlean.files import replacing
from tlean.ops import Spec
from tlean.programs.executable import signed_seed
from tlean.programs.recorder import name_of
from tlean.rng import op_seed

from ...tracing import Recorded, recorded, spec_tree
from ..package import package
from .batches import Fixed, join
from .messages import Messages
from .model import ModelWriter, refuse

#: The first of the opsets that programs are written for.
OLDEST = 17
_DEFAULT = 18
#: The input that the seeds of random ops are.
_SEEDS = "seeds"


class Exported(NamedTuple):
    """What `export` wrote.

    Attributes:
        inputs, outputs: the names of the arguments' and the result's leaves.
        fixed: None where the batch may have any size; else why it has not.
        draws: how many seeds the last input, `seeds`, has: one for each random op.
    """

    inputs: list[str]
    outputs: list[str]
    fixed: str | None
    draws: int = 0

    def seeds(self, seed: int, call: int = 0) -> np.ndarray:
        """The seeds that `tl.jit(f, seed=seed)` takes at its call number `call`, as the input `seeds` of a file with random ops."""
        return np.array([signed_seed(op_seed(seed, call * self.draws + k)) for k in range(self.draws)], np.int64)


def export(
    f: Any,
    path: str | os.PathLike[str],
    *examples: Any,
    opset: int = _DEFAULT,
    dynamic_batch: bool | Sequence[str] | None = None,
    names: Sequence[str] | None = None,
) -> Exported:
    """Write a program, or a model, as an ONNX file, whole or not there.

        tl.onnx.export(net.eval(), "net.onnx", tl.Spec((32, 784)))

    Parameters are initialisers under the names that they have in the model. An op that ONNX has no operator of is a function of the file,
    in terms of the operators that there are; `tl.onnx.load` reads it as the op that it was. A model is written as it is called: in
    evaluation after `net.eval()`. A program with random ops has one more input, `seeds`, which `Exported.seeds` makes.

    Args:
        f: a program, `f(*args)` or `f(ops, *args)`, or a model.
        path: usually ends in `.onnx`; its folder exists.
        examples: for each argument an array, a `Spec`, a shape, or a list, tuple or dict of arrays and Specs.
        opset: of ONNX's operators, at least 17.
        dynamic_batch: whether the first axis of arguments may have any size: True insists, False writes the sizes of the examples, None
            does what the program allows. Names of arguments: of these alone.
        names: of the arguments' leaves; by default `x`, or `x0`, `x1`, ….

    Returns: the names of inputs and outputs, and why the batch is fixed, if it is.
    Raises: OptionError for a program that calls into Python, or kernels of another package that have no decomposition, all of which it
        names, and for one whose batch is fixed where `dynamic_batch` insists; ImportError without onnx; what the program's ops raise.

    Example:
        >>> import tempfile, os
        >>> path = os.path.join(tempfile.mkdtemp(), "f.onnx")
        >>> tl.onnx.export(lambda x: tl.tanh(x) * 2.0, path, tl.Spec((4, 3))).fixed is None
        True
        >>> tl.onnx.load(path)(np.zeros((2, 3), np.float32)).shape
        (2, 3)
    """
    onnx = package()
    newest = onnx.defs.onnx_opset_version()
    if not isinstance(opset, int) or not OLDEST <= opset <= newest:
        raise OptionError(f"onnx.export: opset must be between {OLDEST} and {newest}, got {opset!r}")
    leaves, structure = tree.flatten(tuple(spec_tree(x) for x in examples))
    dtype = "float64" if any(s.dtype == "float64" for s in leaves) else "float32"
    leaves = [s.resolved(dtype) for s in leaves]
    inputs = _names(names, len(leaves))
    batched = _batched(dynamic_batch, inputs, leaves)
    made, fixed, program = _written(f, structure, leaves, inputs, batched, opset)
    if fixed is not None and dynamic_batch not in (None, False):
        raise OptionError(f"onnx.export: the batch is fixed: {fixed}")
    writer, results = made
    messages = Messages(opset)
    symbolic = fixed is None
    outputs = ["y"] if len(results) == 1 else [f"y{k}" for k in range(len(results))]
    draws = _draws(program, leaves)
    ends = [onnx.helper.make_node("Identity", [name], [y]) for (name, _, _), y in zip(results, outputs, strict=True)]
    graph = onnx.helper.make_graph(
        [*messages.nodes(writer.nodes), *ends],
        name_of(f),
        [
            messages.value(n, s, ["batch", *s.shape[1:]] if symbolic and n in batched else s.shape)
            for n, s in zip(inputs, leaves, strict=True)
        ]
        + [messages.value(_SEEDS, Spec((draws,), "int64"), (draws,)) for _ in range(draws > 0)],
        [messages.value(y, spec, shape) for (_, spec, shape), y in zip(results, outputs, strict=True)],
        [messages.tensor(entry.value.numpy(), entry.name) for entry in program.state]
        + [messages.tensor(value, name) for name, value in writer.arrays.items()],
    )
    model = messages.model(graph, "1")
    if fixed is not None:
        model.doc_string = f"The batch is fixed: {fixed}."
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise DataError(f"onnx.export: onnx's checker refuses the model: {error}") from None
    with replacing("onnx.export: the target", path) as partial:
        onnx.save_model(model, os.fspath(partial))
    return Exported([*inputs, *([_SEEDS] if draws else [])], outputs, fixed, draws)


def _draws(program: Recorded, leaves: Sequence[Spec]) -> int:
    # How many seeds the program takes.
    return len(program.graph.inputs) - len(leaves) - len(program.state)


def _names(names: Sequence[str] | None, count: int) -> list[str]:
    if names is None:
        return ["x"] if count == 1 else [f"x{k}" for k in range(count)]
    result = list(names)
    if len(result) != count or len(set(result)) != count or not all(isinstance(n, str) and n for n in result):
        raise OptionError(f"onnx.export: names must be {count} different texts, one for each array of the arguments, got {result}")
    return result


def _batched(asked: bool | Sequence[str] | None, inputs: Sequence[str], leaves: Sequence[Spec]) -> list[str]:
    # The arguments whose first axis is the batch.
    if asked is None or isinstance(asked, bool):
        first = next((s.shape[0] for s in leaves if s.shape), None)
        return [] if asked is False else [n for n, s in zip(inputs, leaves, strict=True) if s.shape and s.shape[0] == first]
    chosen = list(asked)
    if not set(chosen) <= {n for n, s in zip(inputs, leaves, strict=True) if s.shape}:
        raise OptionError(f"onnx.export: dynamic_batch must be names of arguments with axes, among {', '.join(inputs)}; got {chosen}")
    return chosen


_Results = list[tuple[str, Spec, Sequence[Any] | None]]


def _written(
    f: Any, structure: Any, leaves: Sequence[Spec], inputs: Sequence[str], batched: Sequence[str], opset: int
) -> tuple[tuple[ModelWriter, _Results], str | None, Recorded]:
    # The text, its results, why the batch is fixed, and the program.
    def text(size: int | None) -> tuple[ModelWriter, list[tuple[str, Spec]], Recorded]:
        sized = [Spec((size, *s.shape[1:]), s.dtype) if size and n in batched else s for n, s in zip(inputs, leaves, strict=True)]
        program = recorded("onnx.export", f, tree.unflatten(structure, sized))
        writer = ModelWriter(opset)
        graph = program.graph
        names = [*inputs, *(entry.name for entry in program.state)]
        names += [writer.op("Gather", _SEEDS, writer.array(k, "int64"), axis=0) for k in range(_draws(program, leaves))]
        made = writer.graph(graph, names)
        refuse(list(writer.missing))
        return writer, [(n, graph.specs[v]) for n, v in zip(made, graph.outputs, strict=True) if v is not None], program

    writer, results, program = text(None)
    taken = {*inputs, *(e.name for e in program.state)} & {_SEEDS} if _draws(program, leaves) else set()
    taken |= {*inputs, *(e.name for e in program.state)} & {*writer.arrays, *(v for n in writer.nodes for v in n.outputs)}
    if taken:
        raise OptionError(f"onnx.export: the names {', '.join(sorted(taken))} are taken by the file's own values")
    fixed = "no argument has a batch axis" if not batched else None
    if fixed is None:
        own = next(s.shape[0] for n, s in zip(inputs, leaves, strict=True) if n in batched)
        start = max(own, 2)
        sizes = [start, start + 1, start + 3]
        try:
            several = [text(n) for n in sizes]
            joined = join([w for w, _, _ in several], sizes, (batched[0], 0))
            shapes = [_shape([r[k][1].shape for _, r, _ in several], sizes) for k in range(len(results))]
            return (joined, [(n, s, shape) for (n, s), shape in zip(several[0][1], shapes, strict=True)]), None, several[0][2]
        except Fixed as error:
            fixed = str(error)
        except TleanError as error:
            fixed = f"for another size the program raises {type(error).__name__}: {error}"
    return (writer, [(n, s, s.shape) for n, s in results]), fixed, program


def _shape(shapes: Sequence[tuple[int, ...]], sizes: Sequence[int]) -> list[Any] | None:
    if len({len(s) for s in shapes}) != 1:
        return None
    return [d[0] if len(set(d)) == 1 else "batch" if list(d) == list(sizes) else None for d in zip(*shapes, strict=True)]
