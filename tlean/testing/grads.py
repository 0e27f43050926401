"""`check_grads`: the derivatives of a program against finite differences and against each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tlean import tree
from tlean._core.array import as_tensor
from tlean.autodiff import grad, jvp
from tlean.errors import OptionError, ShapeError
from tlean.programs.jit import jit
from tlean.programs.recorder import Recorder

from .compare import compare, inner_product, largest, norm, numbers_of

MODES = ("fwd", "rev")


def check_grads(
    f: Callable[..., Any],
    args: Sequence[Any],
    order: int = 2,
    modes: Sequence[str] = MODES,
    *,
    eps: float = 1e-6,
    tol: float = 1e-6,
    seed: int = 0,
) -> None:
    """Check the derivatives of a program against central differences, each mode and order, in float64.

    For every floating-point argument: forward mode along a random direction t against (f(x + eps·t) − f(x − eps·t)) / (2·eps); reverse
    mode by ⟨g, J t⟩ = ⟨Jᵀ g, t⟩ for a random cotangent g; then the same for the gradient program, up to `order`.

    Args:
        f: `f(*args)`, or `f(ops, *args)`, returns a reference, or a tree of them.
        args: arrays; integers and Booleans are held fixed. Away from kinks and ties: a central difference means nothing there.
        order: how often to differentiate, at least 1.
        modes: "fwd", "rev" or both.
        eps: the step of the central difference.
        tol: how far off a derivative may be, relative to the largest value of the two; rounding of f is added.
        seed: of the random directions.

    Raises: AssertionError where a derivative is wrong; OptionError for a bad order or mode; ShapeError where no argument is floating-point.
    Source: the directional check is that of HIPS autograd's `test_util.py`.
    """
    if isinstance(modes, str) or not modes or not set(modes) <= set(MODES):
        raise OptionError(f"check_grads: modes must be {MODES}, got {modes!r}")
    if isinstance(order, bool) or not isinstance(order, int) or order < 1:
        raise OptionError(f"check_grads: order must be an int of at least 1, got {order!r}")
    recorder = Recorder("check_grads", f)
    arrays = [as_tensor(a).numpy() for a in args]
    free = [k for k, a in enumerate(arrays) if a.dtype.kind == "f"]
    if not free:
        raise ShapeError("check_grads: there is no floating-point argument to differentiate by")

    def program(ops: Any, *moved: Any) -> Any:
        full = list(arrays)
        for k, x in zip(free, moved, strict=True):
            full[k] = x
        return tree.flatten(recorder(ops, *full))[0]

    points = [arrays[k].astype(np.float64) for k in free]
    known = dict(enumerate(recorder.positional(len(arrays), {})))
    names = [f"argument {k} ({known[k]})" if k in known else f"argument {k}" for k in free]
    _check_order(program, points, names, order, 1, modes, eps, tol, np.random.default_rng(seed))


def _check_order(
    f: Callable[..., Any],
    xs: list[np.ndarray],
    names: list[str],
    order: int,
    level: int,
    modes: Sequence[str],
    eps: float,
    tol: float,
    rng: np.random.Generator,
) -> None:
    run = jit(f)
    ys = [numbers_of(y) for y in run(*xs)]
    gs = [rng.standard_normal(y.shape) if y.dtype.kind == "f" else None for y in ys]
    if all(g is None for g in gs):
        return

    def weighed(ops: Any, *moved: Any) -> Any:
        # ⟨g, f(x)⟩: its gradient is the vector-Jacobian product, as a program that can be differentiated again.
        terms = [ops.sum(ops.mul(y, ops.const(g))) for y, g in zip(f(ops, *moved), gs, strict=True) if g is not None]
        total = terms[0]
        for t in terms[1:]:
            total = ops.add(total, t)
        return total

    pulled = [numbers_of(d) for d in grad(weighed, tuple(range(len(xs))))(*xs)] if "rev" in modes else []
    which = {1: "first", 2: "second", 3: "third"}.get(level, f"{level}th")
    for k, (x, name) in enumerate(zip(xs, names, strict=True)):
        t = rng.standard_normal(x.shape)
        ends = [run(*xs[:k], x + sign * eps * t, *xs[k + 1 :]) for sign in (1, -1)]
        differences = [(numbers_of(a) - numbers_of(b)) / (2 * eps) if g is not None else None for a, b, g in zip(*ends, gs, strict=True)]
        # Each end is rounded: 2⁻⁵² of the values, or of the terms of which they are what is left, divided by 2·eps; and something for the
        # ops in between.
        noise = [16 * np.finfo(np.float64).eps * max(largest(y), 1.0) / eps if g is not None else 0.0 for y, g in zip(ys, gs, strict=True)]
        about = f"the {which} derivative by {name}, {x.shape}"
        moved = None
        if "fwd" in modes:
            directions = [t if j == k else np.zeros_like(z) for j, z in enumerate(xs)]
            moved = [numbers_of(d) for d in jvp(f, tuple(xs), tuple(directions))[1]]
            for j, (m, d) in enumerate(zip(moved, differences, strict=True)):
                if d is not None:
                    where = f" of output {j}" if len(ys) > 1 else ""
                    compare(m, d, tol, noise[j], f"check_grads: {about}{where}, forward mode", "the central difference")
        if "rev" in modes:
            right = inner_product([pulled[k]], [t])
            if moved is not None:
                left, bound, other = inner_product(moved, gs), 1e-10, "forward mode"
                scale = norm(moved) * norm(gs) + norm([pulled[k]]) * norm([t])
            else:
                left, bound, other = inner_product(differences, gs), tol, "the central difference"
                scale = max(abs(left), abs(right)) + sum(noise) * norm(gs) / tol
            if not abs(left - right) <= bound * scale + 16 * np.finfo(np.float64).eps * norm(gs) * norm([t]):
                raise AssertionError(
                    f"check_grads: {about}, reverse mode: <J'g, t> = {right:.10g}, while {other} gives <g, J t> = {left:.10g} "
                    f"(off by {abs(left - right):.3g})"
                )
    if level < order:
        gradient = grad(weighed, tuple(range(len(xs))))
        _check_order(lambda ops, *moved: list(gradient(ops, *moved)), xs, names, order, level + 1, modes, max(eps, 1e-6), 10 * tol, rng)
