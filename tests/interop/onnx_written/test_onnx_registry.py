"""No op of the library is refused: the registry is walked, samples and gradients; updates of parameters, which have no samples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx_runs import agree, run

import tlean as tl
from tlean.compiler.derive import pulled_back
from tlean.compiler.graph import Graph, GraphRef
from tlean.dtypes import FLOATS
from tlean.ops import Spec, all_ops
from tlean.testing.ops import _drawn

onnx = pytest.importorskip("onnx", reason="files of ONNX are read and written by its package")


def _graph(record: Any, sample: Any, dtype: str, gradient: bool) -> Graph | None:
    # A sample's call, or its gradient; None where it has none.
    graph, refs, rng = Graph(dtype), [], np.random.default_rng(1)
    args = [*sample.args, *[None] * (0 if record.variadic else len(record.inputs) - len(sample.args))]
    whole = {*record.whole_inputs, *(["seed"] if record.random else [])}
    for name, arg in zip(record.input_names(len(args)), args, strict=True):
        x = _drawn(arg, rng)
        if x is None:
            refs.append(None)
            continue
        kept = name.partition("[")[0] in whole or x.dtype == bool
        refs.append(graph.arg(Spec(x.shape, str(x.dtype) if kept else dtype)))
    ids = graph._record(record, [None if r is None else r.id for r in refs], sample.options)
    graph.outputs = list(ids[: len(record.outputs)])
    graph.inputs = [v for v in graph.inputs if v is not None]
    if gradient:
        ys = [GraphRef(graph, v) for v in graph.outputs if graph.specs[v].dtype in FLOATS]
        xs = [r for r in refs if r is not None and r.dtype in FLOATS]
        if not ys or not xs:
            return None
        graph.outputs = [r.id for r in pulled_back(graph, ys, [graph.arg(r.spec) for r in ys], xs)]
    return graph.prune()


@pytest.mark.parametrize(("dtype", "opset"), [("float32", 17), ("float64", 23)])
def test_every_op_is_written(dtype: str, opset: int) -> None:
    """Every good sample of every op, and its gradient."""
    from tlean.interop.onnx.writing.model import ModelWriter

    written, refused = set(), set()
    for record in all_ops():
        for sample in record.samples() if record.samples else ():
            for gradient in (False, True) if record.differentiable else (False,):
                graph = None if sample.raises else _graph(record, sample, dtype, gradient)
                if graph is not None:
                    writer = ModelWriter(opset)
                    writer.graph(graph, [f"in{k}" for k in range(len(graph.inputs))])
                    refused.update(writer.missing)
                    written.add(record.name)
    assert not refused
    assert written == {r.name for r in all_ops() if r.samples}


def test_every_op_has_a_rule_or_parts() -> None:
    """What an op is made of, or its rule; what gradients read beside results, too."""
    from tlean.interop.onnx.writing.kept import KEPT
    from tlean.interop.onnx.writing.rules import KEEPS, RULES

    assert {r.name for r in all_ops() if r.rules.decompose is None and r.name not in RULES and r.loop is None} == set()
    assert {r.name for r in all_ops() if r.residuals} == KEPT.keys() | KEEPS.keys()


#: Of each update, what `hyper` holds at its steps.
_HYPER = {
    "_sgd_step": [(0.1, 1.0, 0.0), (0.1, -0.5, 0.3)],
    "_momentum_step": [(0.1, 1.0, 0.1, 0.9, 0.2, 0.0, 1.0), (0.1, 1.0, 0.1, 0.9, 0.2, 0.0, 2.0), (0.1, 1.0, 0.0, 0.9, 0.0, 1.0, 3.0)],
    "_adam_step": [(1e-2, 1.0, 0.1, 0.9, 0.999, 1e-8, 3.0, 0.0), (1e-2, 1.0, 0.1, 0.9, 0.999, 1e-8, 1.0, 1.0)],
    "_amsgrad_step": [(1e-2, 1.0, 0.1, 0.9, 0.999, 1e-8, 3.0, 0.0), (1e-2, 1.0, 0.1, 0.9, 0.999, 1e-8, 1.0, 1.0)],
    **{
        f"_rmsprop_{name}step": [(1e-2, 1.0, 0.1, 0.99, 1e-8, 0.9), (1e-2, -1.0, 0.0, 0.9, 1e-3, 0.5)]
        for name in ("", "momentum_", "centred_", "centred_momentum_")
    },
    "_adagrad_step": [(1e-2, 1.0, 0.1, 0.01, 1e-8, 1.0), (1e-2, 1.0, 0.0, 0.1, 1e-8, 7.0)],
    "_adadelta_step": [(1.0, 1.0, 0.1, 0.9, 1e-6), (0.5, -1.0, 0.0, 0.95, 1e-3)],
}


def test_these_are_all_updates() -> None:
    """Each update of the library is in the table."""
    assert {r.name for r in all_ops() if r.updates} == _HYPER.keys()


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", _HYPER)
def test_updates(name: str, dtype: str, tmp_path: Path) -> None:
    """A step has the numbers of the library's, with rates and a count that are inputs."""
    record = next(r for r in all_ops() if r.name == name)
    rng = np.random.default_rng(5)
    arrays = [rng.normal(size=(3, 5)).astype(dtype) for _ in record.inputs[:2]]
    # A mean of squares is at least the square of the mean.
    arrays += [
        (rng.uniform(size=(3, 5)) * 0.4 if n == "mean" else 0.5 + rng.uniform(size=(3, 5))).astype(dtype) for n in record.inputs[2:-1]
    ]

    def f(ops: Any, *xs: Any) -> Any:
        return ops.apply(name, xs, {})

    for numbers in _HYPER[name]:
        agree(run(f, tmp_path, *arrays, np.array(numbers), dynamic_batch=False), factor=0.1)


def test_an_update_with_an_infinite_parameter(tmp_path: Path) -> None:
    """Without a decay there is none of 0 times infinity."""
    p, g = np.array([np.inf, 1.0], np.float32), np.array([0.5, 0.25], np.float32)
    made = run(lambda ops, *xs: ops.apply("_sgd_step", xs, {}), tmp_path, p, g, np.array([0.1, 1.0, 0.0]), dynamic_batch=False)
    assert made.theirs[0].tolist() == made.ours[0].tolist() == [np.inf, np.float32(1) - np.float32(0.1) * np.float32(0.25)]


@pytest.mark.parametrize("opset", [17, 23])
@pytest.mark.parametrize("what", ["max", "min"])
def test_rows_are_combined(what: str, opset: int, tmp_path: Path) -> None:
    """Rows of one index together, in whatever order, those out of range nowhere; NaN stays."""
    rng, at = np.random.default_rng(2), np.array([0, 3, 0, -1, 9, 0])
    x, v = rng.normal(size=(4, 3)).astype(np.float32), rng.normal(size=(6, 3)).astype(np.float32)

    x[1, 0] = x[0, 1] = v[5, 2] = np.nan

    def f(x: Any, v: Any) -> Any:
        return getattr(x.at[at], what)(v, mode="fill")

    made = run(f, tmp_path, x, v, dynamic_batch=False, opset=opset)
    assert np.isnan(made.ours[0]).sum() == 3
    assert made.theirs[0].tobytes() == made.ours[0].tobytes() == made.read[0].tobytes()


def test_what_has_no_elements(tmp_path: Path) -> None:
    """An axis of one number that is stretched to none."""
    made = run(
        lambda x: (tl.broadcast_to(x, (0,)), tl.sum(tl.broadcast_to(x, (2, 0, 1)), axis=1)), tmp_path, np.ones(1), dynamic_batch=False
    )
    assert [a.shape for a in made.theirs] == [a.shape for a in made.ours] == [(0,), (2, 1)]


def test_transposed_matrices_times_vectors(tmp_path: Path) -> None:
    """On either side, of a stack too."""
    rng = np.random.default_rng(1)
    x, v, u = rng.normal(size=(2, 7, 3)).astype(np.float32), rng.normal(size=7).astype(np.float32), rng.normal(size=3).astype(np.float32)

    def f(x: Any, v: Any, u: Any) -> Any:
        def both(x: Any) -> Any:
            return tl.matmul(x, v, transpose_a=True), tl.matmul(u, x, transpose_b=True)

        return *both(x), *both(x[0])

    agree(run(f, tmp_path, x, v, u, dynamic_batch=False))


@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_bits_before_opset_18(dtype: str, tmp_path: Path) -> None:
    """Of negative numbers too."""
    rng = np.random.default_rng(2)
    least = np.iinfo(dtype).min
    a, b = (np.array([*rng.integers(least, -(least + 1), 20), 0, -1, least], dtype) for _ in range(2))

    def f(a: Any, b: Any) -> Any:
        both = tl.bitwise_and(a, b), tl.bitwise_or(a, b), tl.bitwise_xor(a, b)
        return *both, tl.bitwise_not(a), tl.bitwise_left_shift(a, np.array(3, dtype)), tl.bitwise_right_shift(a, np.array(3, dtype))

    made = run(f, tmp_path, a, b, dynamic_batch=False, opset=17)
    for theirs, ours in zip(made.theirs, made.ours, strict=True):
        assert (theirs.dtype, theirs.tolist()) == (ours.dtype, ours.tolist())
