"""The nests by tlean, and by PyTorch with every loop written out."""

from __future__ import annotations

from typing import Any

import numpy as np

import tlean as tl

from .draw import SIZE, Case, Function, results


def noise(seed: int) -> np.ndarray:
    """The random numbers of a seed, as tlean draws them outside of programs."""
    return np.asarray(tl.random.normal((SIZE,), seed=seed, dtype="float64"))


class Tlean:
    """tlean: its loops, choices and transformations."""

    array = staticmethod(np.asarray)
    total = staticmethod(tl.sum)
    grad = staticmethod(tl.grad)
    jit = staticmethod(tl.jit)

    def op(self, name: str, x: Any) -> Any:
        return getattr(tl, name)(x)

    def rows(self, x: Any) -> Any:
        return tl.sum(x, axis=0)

    def row(self, table: Any, i: Any) -> Any:
        return tl.take(table, i, axis=0)

    def noise(self, seed: int) -> Any:
        return tl.random.normal((SIZE,), seed=seed, dtype="float64")

    def integer(self, i: Any) -> Any:
        return tl.astype(i, "float64")

    def scan(self, f: Any, init: Any, xs: Any, length: int, reverse: bool) -> Any:
        return tl.scan(f, init, xs, length=length, reverse=reverse)

    def repeat(self, f: Function, x: Any, steps: int) -> Any:
        return tl.fori_loop(0, steps, lambda _, c: f(c), x)

    def until(self, f: Function, x: Any, steps: int) -> Any:
        return tl.while_loop(lambda c: c[1] < steps, lambda c: (f(c[0]), c[1] + 1), (x, np.int64(0)), max_steps=steps + 1)[0]

    def cond(self, pred: Any, f: Function, g: Function, x: Any) -> Any:
        return tl.cond(pred, f, g, x)

    def jvp(self, f: Function, x: Any, v: Any) -> Any:
        return tl.jvp(f, (x,), (v,))[1]

    def vmap(self, f: Function, axis: int) -> Function:
        return tl.vmap(f, in_axes=axis, out_axes=axis)

    def checkpoint(self, f: Function) -> Function:
        return tl.checkpoint(f)


class Torch:
    """PyTorch's functional transformations of programs without loops."""

    def __init__(self) -> None:
        import torch

        self.torch = torch
        self.grad = torch.func.grad

    def array(self, x: np.ndarray) -> Any:
        return self.torch.from_numpy(np.array(x))

    def total(self, x: Any) -> Any:
        return x.sum()

    def op(self, name: str, x: Any) -> Any:
        return self.torch.nn.functional.softplus(x, threshold=1e3) if name == "softplus" else getattr(self.torch, name)(x)

    def rows(self, x: Any) -> Any:
        return x.sum(0)

    def row(self, table: Any, i: Any) -> Any:
        return table[i]

    def noise(self, seed: int) -> Any:
        return self.array(noise(seed))

    def integer(self, i: Any) -> Any:
        return float(i)

    def scan(self, f: Any, init: Any, xs: Any, length: int, reverse: bool) -> Any:
        carry, ys = init, {}
        for i in reversed(range(length)) if reverse else range(length):
            carry, ys[i] = f(carry, None if xs is None else xs[i])
        return carry, self.torch.stack([ys[i] for i in range(length)])

    def repeat(self, f: Function, x: Any, steps: int) -> Any:
        for _ in range(steps):
            x = f(x)
        return x

    until = repeat

    def cond(self, pred: Any, f: Function, g: Function, x: Any) -> Any:
        return self.torch.where(pred, f(x), g(x))

    def jvp(self, f: Function, x: Any, v: Any) -> Any:
        return self.torch.func.jvp(f, (x,), (v,))[1]

    def vmap(self, f: Function, axis: int) -> Function:
        return self.torch.func.vmap(f, in_dims=axis, out_dims=axis)

    def jit(self, f: Function) -> Function:
        return f

    checkpoint = jit


def ours(drawn: Case) -> list[np.ndarray]:
    """The results by tlean."""
    return [np.asarray(f(drawn.x)) for f in results(Tlean(), drawn)]


def torchs(drawn: Case) -> list[np.ndarray]:
    """The results by PyTorch."""
    library = Torch()
    return [f(library.array(drawn.x)).numpy() for f in results(library, drawn)]


def difference(found: list[np.ndarray], expected: list[np.ndarray]) -> float:
    """The largest error of a result, by its largest number or 1. NaN where one is no number."""
    errors = []
    for a, b in zip(found, expected, strict=True):
        if a.shape != b.shape:
            return float("inf")
        errors.append(float(np.abs(a - b).max() / max(1.0, float(np.abs(b).max()))))
    return float("nan") if np.isnan(errors).any() else max(errors)
