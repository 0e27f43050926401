"""A row of the compiled path, and how each library gets ready for it: what is timed is a function without arguments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rows.training import LR

Timed = Callable[[], Any]
Program = Callable[..., Any]

#: What is done with a program: it is run; run with the gradient of its first `params` arguments; `step` is one of training (SGD); `call`: a
#: row's programs get the arrays and return the function to time; `rate`: or one that times itself and returns the seconds of a unit.
KINDS = ("forward", "grad", "step", "hvp", "hessian", "call", "rate")


@dataclass(frozen=True)
class Bound:
    """What a row is meant to reach.

    Attributes:
        most: of tlean's time over that of the other; seconds of `alone`; bytes of `memory`.
        of: a side (`torch`, `jax`, `numpy`); `best`, the fastest of them; `base`, another program of tlean; `alone`; `memory`, what a call
            needs above its inputs and results.
    """

    most: float
    of: str = "jax"


@dataclass(frozen=True)
class CompiledRow:
    """One measured thing: `kind` says what is done with the program, `arrays(rng)` gives parameters (the first `params`) and inputs.

    A library whose program is None is left out. `base` is a program of tlean that the row is held against. Of rows that are not the `same`
    for every library (random numbers, factors by other conventions) the results are not compared. `first`: the first call is timed, which
    traces and compiles, in a fresh process.
    """

    name: str
    kind: str
    arrays: Callable[[np.random.Generator], list[np.ndarray]]
    params: int
    ours: Program
    torch: Program | None
    jax: Program | None
    family: str = "networks"
    bounds: tuple[Bound, ...] = ()
    numpy: Program | None = None
    base: Program | None = None
    same: bool = True
    first: bool = False

    def drawn(self) -> list[np.ndarray]:
        """Its arrays, the same for everyone."""
        return self.arrays(np.random.default_rng(0))

    def programs(self) -> dict[str, Program]:
        """What each side runs."""
        inductor = self.torch if self.family == "networks" else None
        sides = {"tlean": self.ours, "base": self.base, "torch": self.torch, "inductor": inductor, "jax": self.jax, "numpy": self.numpy}
        return {name: program for name, program in sides.items() if program is not None}


def build_ours(row: CompiledRow) -> Timed:
    """The row for tlean, compiled."""
    import tlean as tl

    arrays = row.drawn()
    if row.kind in ("call", "rate"):
        return row.ours(arrays)
    if row.kind == "step":
        specs = [tl.Spec(a.shape, "int64") if a.dtype.kind == "i" else a.shape for a in arrays[row.params :]]
        trainer = tl.ScalarTrainer(tl.Options(backend="compiled"), arrays[: row.params], specs, row.ours)
        inputs = arrays[row.params :]
        return lambda: trainer.step(LR, *inputs).item()
    tensors = [a if a.dtype.kind == "i" else tl.AnyTensor(a) for a in arrays]
    if row.kind == "grad":
        gradient = tl.value_and_grad(row.ours, argnums=tuple(range(row.params)))
        return lambda: gradient(*tensors)[1]
    if row.kind in ("forward", "hessian"):
        program = tl.jit(row.ours) if row.kind == "forward" else tl.hessian(row.ours)
        return lambda: program(*tensors)
    moves = tensors[: row.params]

    def product(ops: Any, *xs: Any) -> Any:
        return tl.hvp_params(row.ours, xs[: row.params], xs[row.params : len(tensors)], xs[len(tensors) :])

    run = tl.jit(product)
    return lambda: run(*tensors, *moves)


def build_base(row: CompiledRow) -> Timed:
    """The program of tlean that the row is held against."""
    assert row.base is not None
    return build_ours(replace(row, ours=row.base, base=None))


def build_numpy(row: CompiledRow) -> Timed:
    """The row for NumPy and SciPy, which have no gradients."""
    assert row.numpy is not None
    program, arrays = row.numpy, row.drawn()
    return lambda: program(*arrays)


def build_torch(row: CompiledRow, inductor: bool) -> Timed:
    """The row for PyTorch, eager or by `torch.compile`."""
    import torch

    assert row.torch is not None
    written = row.torch
    if row.kind in ("call", "rate"):
        return written(row.drawn())
    tensors = [torch.from_numpy(a) for a in row.drawn()]
    params, inputs = tensors[: row.params], tensors[row.params :]

    def program(*xs: Any) -> Any:
        return written(torch, *xs)

    if inductor:
        # What was compiled for other rows counts against a limit, after which PyTorch compiles no more.
        torch.compiler.reset()
    wrap = torch.compile if inductor else lambda f: f
    if row.kind == "forward":
        forward = wrap(torch.no_grad()(program))
        return lambda: forward(*tensors)
    if row.kind == "hessian":
        hessian = wrap(torch.func.hessian(program))
        return lambda: hessian(*tensors)
    if row.kind == "hvp":
        gradient = torch.func.grad(lambda *p: program(*p, *inputs), argnums=tuple(range(row.params)))
        moves = tuple(p.clone() for p in params)
        run = wrap(lambda *p: torch.func.jvp(gradient, p, moves)[1])
        return lambda: list(run(*params))
    for p in params:
        p.requires_grad_()
    loss = wrap(program)
    if row.kind == "grad":
        return lambda: list(torch.autograd.grad(loss(*tensors), params))
    update = torch.optim.SGD(params, lr=LR, fused=True)

    def step() -> float:
        update.zero_grad(set_to_none=True)
        value = loss(*tensors)
        value.backward()
        update.step()
        return value.item()

    return step


def build_jax(row: CompiledRow) -> Timed:
    """The row for JAX, by `jit`; 64 bits are switched on where an array has them."""
    import jax
    import jax.numpy as jnp

    assert row.jax is not None
    arrays, program = row.drawn(), row.jax
    jax.config.update("jax_enable_x64", any(a.dtype in (np.float64, np.complex128) for a in arrays))
    if row.kind in ("call", "rate"):
        return program(arrays)
    tensors = [jnp.asarray(a) for a in arrays]
    params, inputs = tensors[: row.params], tensors[row.params :]
    which = tuple(range(row.params))
    if row.kind in ("forward", "hessian"):
        run = jax.jit(program if row.kind == "forward" else jax.hessian(program))
        return lambda: jax.block_until_ready(run(*tensors))
    if row.kind == "grad":
        # tlean gives the value with the gradient, so JAX does too.
        both = jax.jit(jax.value_and_grad(program, argnums=which))
        return lambda: jax.block_until_ready(both(*tensors))[1]
    if row.kind == "hvp":
        gradient = jax.grad(program, argnums=which)
        product = jax.jit(lambda p, v: jax.jvp(lambda *p: gradient(*p, *inputs), p, v)[1])
        return lambda: jax.block_until_ready(product(tuple(params), tuple(params)))

    def update(params: Any, *inputs: Any) -> Any:
        value, grads = jax.value_and_grad(lambda p: program(*p, *inputs))(params)
        return value, [p - LR * g for p, g in zip(params, grads, strict=True)]

    compiled = jax.jit(update, donate_argnums=0)

    def step() -> float:
        nonlocal params
        value, params = compiled(params, *inputs)
        return float(value)

    return step


BUILDERS: dict[str, Callable[[CompiledRow], Timed]] = {
    "tlean": build_ours,
    "base": build_base,
    "torch": lambda row: build_torch(row, False),
    "inductor": lambda row: build_torch(row, True),
    "jax": build_jax,
    "numpy": build_numpy,
}
