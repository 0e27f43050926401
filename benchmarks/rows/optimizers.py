"""Optimiser steps alone, on a few large arrays or many small ones, against PyTorch's `foreach`, `loop` and (where there is one) `fused`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rows.base import StepRow, Work

ARRAYS = 10
# name -> (tlean's class, PyTorch's, options of both, whether PyTorch has a fused one for the CPU, arrays of state, operations per element)
OPTIMIZERS: dict[str, tuple[str, str, dict[str, Any], bool, int, int]] = {
    "sgd": ("SGD", "SGD", {"lr": 1e-3}, True, 0, 2),
    "momentum": ("MomentumSGD", "SGD", {"lr": 1e-3, "momentum": 0.9}, True, 1, 4),
    "adagrad": ("AdaGrad", "Adagrad", {}, True, 1, 7),
    "rmsprop": ("RMSProp", "RMSprop", {}, False, 1, 8),
    "adam": ("Adam", "Adam", {}, True, 2, 12),
    "adamw": ("AdamW", "AdamW", {}, True, 2, 14),
    "adadelta": ("Adadelta", "Adadelta", {}, False, 2, 14),
}
# PyTorch's ways to walk over the arrays.
WAYS = {"foreach": {"foreach": True}, "fused": {"fused": True}, "loop": {"foreach": False}}


def _start(count: int, arrays: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    rng = np.random.default_rng(0)
    values, grads = (rng.standard_normal((arrays, count // arrays), dtype=np.float32) for _ in range(2))
    return list(values), list(grads)


def _ours(name: str, count: int, arrays: int) -> Callable[[], Callable[[], Any]]:
    def build() -> Callable[[], Any]:
        import tlean as tl

        values, steady = _start(count, arrays)
        params, grads = [tl.Param(v) for v in values], [tl.AnyTensor(a) for a in steady]
        opt = getattr(tl.optim, OPTIMIZERS[name][0])(params, **OPTIMIZERS[name][2])

        def step() -> list[Any]:
            opt.step(grads)
            return params

        return step

    return build


def _theirs(name: str, count: int, arrays: int, which: str) -> Callable[[], Callable[[], Any]]:
    def build() -> Callable[[], Any]:
        import torch

        values, steady = _start(count, arrays)
        params = [torch.from_numpy(v).requires_grad_() for v in values]
        for p, a in zip(params, steady, strict=True):
            p.grad = torch.from_numpy(a)
        opt = getattr(torch.optim, OPTIMIZERS[name][1])(params, **OPTIMIZERS[name][2], **WAYS[which])

        def step() -> list[Any]:
            opt.step()
            return params

        return step

    return build


def _work(name: str, count: int) -> Callable[[], Work]:
    def work() -> Work:
        state, operations = OPTIMIZERS[name][4:]
        # The parameter, its gradient and the state are read; all but the gradient are written.
        return Work(float(operations) * count, 4.0 * (2 + state) * count, 4.0 * (1 + state) * count)

    return work


def _ways(name: str) -> list[str]:
    return ["foreach", *(["fused"] if OPTIMIZERS[name][3] else []), *(["loop"] if name == "adam" else [])]


def optimizer_rows() -> list[StepRow]:
    """Every optimiser on 1 and 10 million parameters; Adam on a hundred arrays of 64."""
    return [
        StepRow(
            f"{name}_{size}_{which}",
            "optimiser step",
            _ours(name, count, arrays),
            _theirs(name, count, arrays, which),
            work=_work(name, count),
        )
        for size, count, arrays, names in (
            ("100x64", 6400, 100, ["adam"]),
            ("1M", 10**6, ARRAYS, OPTIMIZERS),
            ("10M", 10**7, ARRAYS, OPTIMIZERS),
        )
        for name in names
        for which in _ways(name)
    ]
