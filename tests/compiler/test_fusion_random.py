"""Random programs of elementwise ops, views, spreads and sums: compiled as eager, bit for bit, and as the definitions say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from chain_programs import program_of

import tlean as tl
from tlean.compiler import lower
from tlean.compiler.target import SCRATCH

UNARY = ("sin", "cos", "tanh", "sigmoid", "relu", "neg", "abs", "square")
BINARY = ("add", "sub", "mul", "max")
NUMBERS = ((), (1,), (1, 1))
#: A group's arrays: short ones, one block of strips, several blocks.
SIZES = (1, 2, 6, 600, 6000)


def drawn(rng: np.random.Generator, n: int) -> tuple[Callable[..., list[Any]], list[tuple[int, ...]]]:
    """A program of 3 to 30 ops over arrays of n elements and numbers, which gives some of its values; and the shapes of its inputs."""
    shapes = [(n,), (1, n)] + ([(2, n // 2), (n // 2, 2)] if n % 2 == 0 else [])
    inputs = [shapes[rng.integers(len(shapes))] for _ in range(rng.integers(1, 4))] + [NUMBERS[rng.integers(3)]]
    kinds = rng.choice(["unary", "binary", "view", "detach", "spread", "sum", "scale", "product"], rng.integers(3, 30), p=PROBABILITIES)
    plan = [(str(kind), *rng.integers(0, 1 << 16, 4)) for kind in kinds]
    wanted = rng.integers(0, 1 << 16, rng.integers(1, 5))

    def pick(values: list[Any], k: int, size: int | None = None) -> Any:
        # The later a value, the likelier: chains grow.
        fitting = [v for v in values if size is None or np.prod(v.shape, dtype=int) == size]
        return fitting[-1 - int(k) % min(len(fitting), 6)]

    def program(ops: Any, *given: Any) -> list[Any]:
        values = list(given)
        for kind, i, j, k, m in plan:
            a = pick(values, i)
            size = int(np.prod(a.shape, dtype=int))
            like = shapes if size == n and (n > 1 or k % 2) else NUMBERS
            if kind == "unary":
                made = getattr(ops, UNARY[j % len(UNARY)])(a)
            elif kind == "binary":
                b = pick(values, j, size)
                made = getattr(ops, BINARY[k % len(BINARY)])(a, ops.reshape(b, a.shape) if b.shape != a.shape else b)
            elif kind == "view":
                made = ops.reshape(a, like[j % len(like)])
            elif kind == "detach":
                made = ops.detach(a)
            elif kind == "scale":
                made = ops.scale(a, 0.25 * (j % 7) - 0.5)
            elif kind == "spread":
                number = pick(values, j, 1)
                target = (shapes + list(NUMBERS))[k % (len(shapes) + 3)]
                # As often as not, a spread of what was spread over one element.
                number = ops.broadcast_to(ops.reshape(number, ()), (1,)) if m % 2 else ops.reshape(number, ())
                made = ops.broadcast_to(ops.reshape(number, ()) if m % 3 else number, target if m % 3 or len(target) > 0 else (1,))
            elif kind == "sum":
                made = (ops.sum, ops.mean)[j % 2](a)
            else:
                made = ops.reshape(ops.matmul(ops.reshape(a, (1, size)), ops.reshape(pick(values, j, size), (size, 1))), ())
            values.append(made)
        return [pick(values, k) for k in wanted]

    return program, inputs


PROBABILITIES = (0.25, 0.2, 0.15, 0.05, 0.15, 0.1, 0.07, 0.03)


def loss_of(program: Callable[..., list[Any]]) -> Callable[..., Any]:
    def loss(ops: Any, *xs: Any) -> Any:
        total = None
        for y in program(ops, *xs):
            total = ops.mean(ops.tanh(y)) if total is None else ops.add(total, ops.mean(ops.tanh(y)))
        return total

    return loss


def eager(program: Callable[..., list[Any]], arrays: list[Any], options: tl.Options) -> tuple[list[Any], list[Any]]:
    s = tl.Session(options)
    xs = [s.input(x) for x in arrays]
    made = [y.numpy() for y in program(s, *xs)]
    s = tl.Session(options)
    xs = [s.input(x) for x in arrays]
    loss = loss_of(program)(s, *xs)
    grads = s.backward_scalar_dense_all(loss)
    return made, [loss.numpy(), *(np.zeros_like(x) if grads[r] is None else grads[r].numpy() for x, r in zip(arrays, xs, strict=True))]


@pytest.mark.parametrize("seed", range(60))
def test_compiled_is_eager_bit_for_bit(seed):
    rng = np.random.default_rng(seed)
    for n in SIZES:
        dtype = ("float32", "float64")[int(rng.integers(2))]
        program, shapes = drawn(rng, n)
        arrays = [rng.normal(size=s).astype(dtype) for s in shapes]
        values, gradients = eager(program, arrays, tl.Options(dtype=dtype))
        compiled = tl.compile_out(program, shapes, dtype)
        for _ in range(2):
            assert [y.numpy().tobytes() for y in compiled(*arrays)] == [y.tobytes() for y in values]
        value, found = tl.compile_scalar(loss_of(program), shapes, dtype).value_and_grad(*arrays)
        assert [g.numpy().tobytes() for g in (value, *found)] == [g.tobytes() for g in gradients]
        if dtype == "float64" and n < 600:
            for got, wanted in zip((values, gradients), eager(program, arrays, tl.Options(dtype=dtype, fast_kernels=False)), strict=True):
                for a, b in zip(got, wanted, strict=True):
                    np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


def test_the_programs_have_what_they_are_for(monkeypatch):
    """Groups with slots and with sums, spreads, outputs in the memory of inputs, and views inside groups."""
    seen: set[str] = set()
    arrange = lower.arrange

    def watched(graph, target):
        a = arrange(graph, target)
        for step in a.program.steps:
            if step.kernel.startswith("fused"):
                own = {v for node in step.nodes for v in node.outputs}
                seen.update(w for w in ("sum", "mean", "broadcast_to") if w in step.kernel)
                code = program_of(step)
                seen.update(["slots"] if code.header.slots else [])
                seen.update(["strips"] if code.runs else [])
                inside = {i for node in step.nodes for i in node.inputs} - own - set(step.inputs)
                seen.update(["views"] if inside else [])
                places = [a.places[v] for v in step.inputs]
                seen.update(["heirs"] if any(a.places[v] in places and a.places[v][0] == SCRATCH for v in step.outputs) else [])
        return a

    monkeypatch.setattr(lower, "arrange", watched)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        for n in SIZES:
            program, shapes = drawn(rng, n)
            tl.compile_scalar(loss_of(program), shapes).value_and_grad(*(np.ones(s) for s in shapes))
    assert seen >= {"sum", "mean", "broadcast_to", "slots", "strips", "views", "heirs"}
