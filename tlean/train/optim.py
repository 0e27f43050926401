"""`tl.optim`: optimisers, schedules of the learning rate, clipping, averages of parameters. Names, defaults and formulas are PyTorch's.

    opt = tl.optim.Adam(params, lr=1e-3)
    schedule = tl.optim.CosineAnnealingLR(opt, T_max=1000)
    for x, y in batches:
        trainer.optim_step(opt, x, y)       # or opt.step(grads), or session.optim_step(opt, grads)
        schedule.step()

Each optimiser's update is one fused kernel a parameter: gradient, states and parameter pass through memory once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tlean import arguments
from tlean.backends.eager import EagerOps, without_tape
from tlean.cuda.place import array_at, context_at
from tlean.errors import OptionError
from tlean.param import Param
from tlean.session import Gradients

from .average import ExponentialMovingAverage
from .optimizer import Optimizer
from .schedules import (
    ConstantLR,
    CosineAnnealingLR,
    CyclicLR,
    ExponentialLR,
    LinearLR,
    OneCycleLR,
    Schedule,
    StepLR,
    WarmupCosineLR,
)
from .steps import clipped
from .update import limit, number

__all__ = [
    "AdaGrad",
    "Adadelta",
    "Adam",
    "AdamW",
    "ConstantLR",
    "CosineAnnealingLR",
    "CyclicLR",
    "ExponentialLR",
    "ExponentialMovingAverage",
    "LinearLR",
    "MomentumSGD",
    "OneCycleLR",
    "Optimizer",
    "RMSProp",
    "SGD",
    "Schedule",
    "StepLR",
    "WarmupCosineLR",
    "clip_by_norm",
    "clip_by_value",
]


class SGD(Optimizer):
    """Gradient descent: p ← p − lr·u, with u the gradient, or its running sum where there is momentum.

    u ← momentum·u + (1 − dampening)·g (the first step: u = g); with nesterov, p ← p − lr·(g + momentum·u). The gradient is
    g + weight_decay·p, or −g + weight_decay·p with maximize.

    Args:
        params: a `ParamList`, an iterable of `Param`s or of groups (dicts with "params" and options of their own).

    Source: Sutskever et al. 2013, On the importance of initialization and momentum in deep learning.
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        options = {"lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay}
        super().__init__(params, **options, nesterov=nesterov, maximize=maximize)

    def check(self, group: Mapping[str, Any]) -> None:
        """Raise OptionError for an option outside its range, or for nesterov without momentum or with dampening."""
        super().check(group)
        momentum, dampening = number("momentum", group["momentum"]), number("dampening", group["dampening"], -float("inf"))
        if arguments.flag(type(self).__name__, "nesterov", group["nesterov"]) and (momentum == 0 or dampening != 0):
            raise OptionError(f"nesterov takes a momentum and no dampening, got momentum={momentum:g}, dampening={dampening:g}")

    def rule(self, group: Mapping[str, Any]) -> str:
        """`_momentum_step` where there is momentum, else `_sgd_step`."""
        return "_momentum_step" if group["momentum"] else "_sgd_step"

    def numbers(self, group: Mapping[str, Any], t: int) -> tuple[float, ...]:
        """momentum, dampening, nesterov, t; nothing without momentum."""
        return (group["momentum"], group["dampening"], group["nesterov"], t) if group["momentum"] else ()


class MomentumSGD(SGD):
    """`SGD` with a momentum of 0.9 by default."""

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        momentum: float = 0.9,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, lr, momentum, dampening, weight_decay, nesterov, maximize=maximize)


class AdaGrad(Optimizer):
    """total ← total + g²; p ← p − lr/(1 + (t − 1)·lr_decay)·g/(√total + eps).

    Source: Duchi, Hazan, Singer 2011, figure 1.
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        *,
        maximize: bool = False,
    ) -> None:
        options = {"lr": lr, "lr_decay": lr_decay, "weight_decay": weight_decay, "eps": eps}
        super().__init__(params, **options, initial_accumulator_value=initial_accumulator_value, maximize=maximize)

    def check(self, group: Mapping[str, Any]) -> None:
        """Raise OptionError for an option outside its range."""
        super().check(group)
        for name in ("lr_decay", "initial_accumulator_value", "eps"):
            number(name, group[name])

    def initial(self, p: Param) -> float:
        """`initial_accumulator_value`."""
        return float(self._group[p]["initial_accumulator_value"])

    def rule(self, group: Mapping[str, Any]) -> str:
        """`_adagrad_step`."""
        return "_adagrad_step"

    def numbers(self, group: Mapping[str, Any], t: int) -> tuple[float, ...]:
        """lr_decay, eps, t."""
        return group["lr_decay"], group["eps"], t


class RMSProp(Optimizer):
    """v ← alpha·v + (1 − alpha)·g²; p ← p − lr·g/(√v + eps).

    With centered, v − (the running mean of g)² stands under the root; with momentum, u ← momentum·u + g/(√v + eps) and p ← p − lr·u.

    Source: Tieleman & Hinton 2012, lecture 6.5; centered: Graves 2013, equations 38 to 45.
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        options = {"lr": lr, "alpha": alpha, "eps": eps, "weight_decay": weight_decay, "momentum": momentum}
        super().__init__(params, **options, centered=centered, maximize=maximize)

    def check(self, group: Mapping[str, Any]) -> None:
        """Raise OptionError for an option outside its range."""
        super().check(group)
        for name in ("alpha", "eps", "momentum"):
            number(name, group[name])

    def rule(self, group: Mapping[str, Any]) -> str:
        """`_rmsprop_step` or its variant with centred squares, a momentum, or both."""
        return f"_rmsprop{'_centred' if group['centered'] else ''}{'_momentum' if group['momentum'] else ''}_step"

    def numbers(self, group: Mapping[str, Any], t: int) -> tuple[float, ...]:
        """alpha, eps, momentum."""
        return group["alpha"], group["eps"], group["momentum"]


class Adam(Optimizer):
    """m ← β₁·m + (1 − β₁)·g, v ← β₂·v + (1 − β₂)·g²; p ← p − lr/(1 − β₁ᵗ)·m/(√v/√(1 − β₂ᵗ) + eps).

    With amsgrad, the largest v so far stands for v. With decoupled_weight_decay (AdamW), weight decay leaves g alone and shrinks p by the
    factor 1 − lr·weight_decay first.

    Source: Kingma & Ba 2015, algorithm 1; Reddi, Kale, Kumar 2018, algorithm 2; Loshchilov & Hutter 2019, algorithm 2.
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
    ) -> None:
        options = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad}
        super().__init__(params, **options, maximize=maximize, decoupled_weight_decay=decoupled_weight_decay)

    def check(self, group: Mapping[str, Any]) -> None:
        """Raise OptionError for an option outside its range."""
        super().check(group)
        betas = group["betas"]
        if not isinstance(betas, tuple | list) or len(betas) != 2:
            raise OptionError(f"betas are two numbers, got {betas!r}")
        for k, beta in enumerate(betas, start=1):
            number(f"beta{k}", beta, 0.0, 1.0)
        number("eps", group["eps"])

    def rule(self, group: Mapping[str, Any]) -> str:
        """`_amsgrad_step` with amsgrad, else `_adam_step`."""
        return "_amsgrad_step" if group["amsgrad"] else "_adam_step"

    def numbers(self, group: Mapping[str, Any], t: int) -> tuple[float, ...]:
        """β₁, β₂, eps, t, whether the decay is decoupled."""
        return *group["betas"], group["eps"], t, group["decoupled_weight_decay"]


class AdamW(Adam):
    """`Adam` with decoupled weight decay. Source: Loshchilov & Hutter 2019, algorithm 2."""

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize, decoupled_weight_decay=True)


class Adadelta(Optimizer):
    """v ← rho·v + (1 − rho)·g²; s = √(d + eps)/√(v + eps)·g; d ← rho·d + (1 − rho)·s²; p ← p − lr·s.

    Source: Zeiler 2012, algorithm 1.
    """

    def __init__(
        self, params: Any, lr: float = 1.0, rho: float = 0.9, eps: float = 1e-6, weight_decay: float = 0.0, *, maximize: bool = False
    ) -> None:
        super().__init__(params, lr=lr, rho=rho, eps=eps, weight_decay=weight_decay, maximize=maximize)

    def check(self, group: Mapping[str, Any]) -> None:
        """Raise OptionError for an option outside its range."""
        super().check(group)
        if number("rho", group["rho"]) > 1:
            raise OptionError(f"rho is in [0, 1], got {group['rho']!r}")
        number("eps", group["eps"])

    def rule(self, group: Mapping[str, Any]) -> str:
        """`_adadelta_step`."""
        return "_adadelta_step"

    def numbers(self, group: Mapping[str, Any], t: int) -> tuple[float, ...]:
        """rho, eps."""
        return group["rho"], group["eps"]


def _changed(grads: Any, change: Any) -> tuple[Any, Any]:
    # Gradients in the form they came in, each changed by `change(ops, refs)`, which returns references and one result more; those of a
    # session's backward pass, which has one for every node, by parameter.
    if isinstance(grads, Gradients):
        grads = grads.session._by_param(grads)
    if isinstance(grads, Mapping):
        keys, values = list(grads), list(grads.values())
    else:
        keys, values = None, list(arguments.each("clip", "gradients", grads))
    present = [k for k, g in enumerate(values) if g is not None]
    given = [values[k] for k in present]
    where = next(filter(None, map(context_at, given)), None)
    dtype = "float64" if any(str(getattr(g, "dtype", "")) == "float64" for g in given) else "float32"
    if where is None:
        ops: Any = EagerOps(dtype)
    else:
        from tlean.cuda.eager import CudaEager

        ops = CudaEager(where)
    made, result = without_tape(lambda: change(ops, [ops.add_leaf(array_at(g, dtype, where), False) for g in given]))
    for k, ref in zip(present, made, strict=True):
        values[k] = ref.value
    return (values if keys is None else dict(zip(keys, values, strict=True))), result


def clip_by_norm(grads: Any, max_norm: float) -> tuple[Any, float]:
    """Gradients times min(1, max_norm / (norm + 1e-6)), where norm is the Euclidean norm of all of them together.

    Args:
        grads: a dict or a sequence of arrays, None stays None; or a session's gradients, of which those of parameters are meant.
        max_norm: at least 0; infinity leaves the gradients as they are, and measures their norm.

    Returns: the gradients in the same form (a session's: by parameter), and the norm that they had.
    Source: Pascanu, Mikolov, Bengio 2013, algorithm 1; the 1e-6 is PyTorch's.
    """
    bound = limit("max_norm", max_norm)

    def change(ops: Any, refs: list[Any]) -> tuple[list[Any], float]:
        if not refs:
            return [], 0.0
        made, norm = clipped(ops, refs, bound)
        return made, norm.item()

    return _changed(grads, change)


def clip_by_value(grads: Any, clip_value: float) -> Any:
    """Gradients with every element brought into [−clip_value, clip_value].

    Args:
        grads: a dict or a sequence of arrays, None stays None; or a session's gradients, of which those of parameters are meant.
        clip_value: at least 0.

    Returns: the gradients in the same form (a session's: by parameter).
    """
    bound = number("clip_value", clip_value)
    return _changed(grads, lambda ops, refs: ([ops.clamp(g, -bound, bound) for g in refs], None))[0]
