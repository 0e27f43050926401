"""The optimisers. Names, defaults and formulas are PyTorch's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tlean import arguments
from tlean.errors import OptionError
from tlean.param import Param

from .optimizer import Optimizer
from .updates import number


class SGD(Optimizer):
    """Gradient descent: p ← p − lr·u, with u the gradient, or its running sum where there is momentum.

    u ← momentum·u + (1 − dampening)·g (the first step: u = g); with nesterov, p ← p − lr·(g + momentum·u). The gradient is
    g + weight_decay·p, or −g + weight_decay·p with maximize.

    Args:
        params: a `ParamList`, an iterable of `Param`s or of groups (dicts with "params" and their own options).
        lr: the learning rate, at least 0.
        momentum: the share of the running sum that is kept, at least 0.
        dampening: the share of the gradient that is left out of the running sum.
        weight_decay: at least 0.
        nesterov: look ahead along the running sum; needs a momentum and no dampening.
        maximize: go up instead of down.

    Raises: OptionError for an option outside its range, and as `Optimizer` does.

    Source: Sutskever et al. 2013, On the importance of initialization and momentum in deep learning.

    Example:
        >>> p = tl.Param([1.0, 2.0])
        >>> tl.optim.SGD([p], lr=0.5).step([np.array([1.0, -1.0], np.float32)])
        >>> p.get().tolist()
        [0.5, 2.5]
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
    """`SGD` with a momentum of 0.9 by default.

    Args:
        params: a `ParamList`, an iterable of `Param`s or of groups.
        lr: the learning rate, at least 0.
        momentum: the share of the running sum that is kept.
        dampening: the share of the gradient that is left out of the running sum.
        weight_decay: at least 0.
        nesterov: look ahead along the running sum.
        maximize: go up instead of down.
    """

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

    Args:
        params: a `ParamList`, an iterable of `Param`s or of groups.
        lr: the learning rate, at least 0.
        lr_decay: of the rate with the steps, at least 0.
        weight_decay: at least 0; times p, added to the gradient.
        initial_accumulator_value: the first total.
        eps: added to the root.
        maximize: go up instead of down.

    Raises: OptionError for an option outside its range.

    Source: Duchi, Hazan, Singer 2011, figure 1.
    """

    _nonnegative = ("lr", "weight_decay", "lr_decay", "initial_accumulator_value", "eps")

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

    With centered, v − (the running mean of g)² is under the root; with momentum, u ← momentum·u + g/(√v + eps) and p ← p − lr·u.

    Args:
        params: a `ParamList`, an iterable of `Param`s or of groups.
        lr: the learning rate, at least 0.
        alpha: the share of the running mean of g² that is kept, at least 0.
        eps: added to the root.
        weight_decay: at least 0; times p, added to the gradient.
        momentum: at least 0.
        centered: divide by the deviation instead of the size of the gradient.
        maximize: go up instead of down.

    Raises: OptionError for an option outside its range.

    Source: Tieleman & Hinton 2012, lecture 6.5; centered: Graves 2013, equations 38 to 45.
    """

    _nonnegative = ("lr", "weight_decay", "alpha", "eps", "momentum")

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

    def rule(self, group: Mapping[str, Any]) -> str:
        """`_rmsprop_step` or its variant with centred squares, a momentum, or both."""
        return f"_rmsprop{'_centred' if group['centered'] else ''}{'_momentum' if group['momentum'] else ''}_step"

    def numbers(self, group: Mapping[str, Any], t: int) -> tuple[float, ...]:
        """alpha, eps, momentum."""
        return group["alpha"], group["eps"], group["momentum"]


class Adam(Optimizer):
    """m ← β₁·m + (1 − β₁)·g, v ← β₂·v + (1 − β₂)·g²; p ← p − lr/(1 − β₁ᵗ)·m/(√v/√(1 − β₂ᵗ) + eps).

    With amsgrad, the largest v so far replaces v. With decoupled_weight_decay (AdamW), weight decay leaves g alone and shrinks p by the
    factor 1 − lr·weight_decay first.

    Args:
        params: a `ParamList`, an iterable of `Param`s or of groups.
        lr: the learning rate, at least 0.
        betas: (β₁, β₂), each in [0, 1].
        eps: added to the root.
        weight_decay: at least 0.
        amsgrad: divide by the largest v so far.
        maximize: go up instead of down.
        decoupled_weight_decay: shrink p directly, as AdamW does.

    Raises: OptionError for an option outside its range.

    Source: Kingma & Ba 2015, algorithm 1; Reddi, Kale, Kumar 2018, algorithm 2; Loshchilov & Hutter 2019, algorithm 2.

    Example:
        >>> p = tl.Param([1.0, 2.0])
        >>> tl.optim.Adam([p], lr=0.5).step([np.array([3.0, -0.1], np.float32)])
        >>> p.get().numpy().round(4).tolist()
        [0.5, 2.5]
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
            raise OptionError(f"betas must be two numbers, got {betas!r}")
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
    """`Adam` with decoupled weight decay. Source: Loshchilov & Hutter 2019, algorithm 2.

    Args:
        params: a `ParamList`, an iterable of `Param`s or of groups.
        lr: the learning rate, at least 0.
        betas: (β₁, β₂), each in [0, 1].
        eps: added to the root.
        weight_decay: at least 0; p shrinks by the factor 1 − lr·weight_decay.
        amsgrad: divide by the largest v so far.
        maximize: go up instead of down.
    """

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

    Args:
        params: a `ParamList`, an iterable of `Param`s or of groups.
        lr: the learning rate, at least 0.
        rho: the share of both running means that is kept, in [0, 1].
        eps: added under both roots.
        weight_decay: at least 0; times p, added to the gradient.
        maximize: go up instead of down.

    Raises: OptionError for an option outside its range.

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
            raise OptionError(f"rho must be in [0, 1], got {group['rho']!r}")
        number("eps", group["eps"])

    def rule(self, group: Mapping[str, Any]) -> str:
        """`_adadelta_step`."""
        return "_adadelta_step"

    def numbers(self, group: Mapping[str, Any], t: int) -> tuple[float, ...]:
        """rho, eps."""
        return group["rho"], group["eps"]
