"""Learning-rate schedules: a rate for every step, by PyTorch's formulas and with its names.

A schedule is made over an optimiser, whose rates it sets (each group's from the group's own), or over a number. Its state is the step.

    schedule = tl.optim.StepLR(opt, step_size=30)     # sets opt's rates; schedule.step() after each step of the optimiser
    schedule = tl.optim.StepLR(0.1, step_size=30)     # schedule(7) is the rate of step 7, counted from 0
"""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from typing import Any, Literal

from tlean.arguments import truth
from tlean.errors import OptionError

from .optimizer import Optimizer
from .updates import number


def _count(name: str, value: Any, low: int = 1) -> int:
    try:
        n = operator.index(value)
    except TypeError:
        n = low - 1
    if n < low:
        raise OptionError(f"{name} must be an int of at least {low}, got {value!r}")
    return n


def _above_zero(name: str, value: Any) -> float:
    x = number(name, value)
    if not x > 0:
        raise OptionError(f"{name} must be above 0, got {value!r}")
    return x


def _power(base: float, exponent: int) -> float:
    try:
        return base**exponent
    except OverflowError:
        return math.inf


class Schedule:
    """A learning rate for every step. A subclass gives `rate(base, step)`.

    Args:
        base: an optimiser, whose groups' rates are the base rates and are set from now on; or a base rate.

    Raises: OptionError for anything else, or an option outside its range.
    """

    def __init__(self, base: Any) -> None:
        self.optimizer: Optimizer | None = base if isinstance(base, Optimizer) else None
        rates = [group["lr"] for group in base.param_groups] if isinstance(base, Optimizer) else [base]
        #: The rates that the schedule starts from, one a group.
        self.base_lrs: list[float] = [number("lr", r) for r in rates]
        #: The number of the step that comes next, from 0.
        self.last_step: int = 0
        self._set()

    def rate(self, base: float, step: int) -> float:
        """The rate of a step, counted from 0, for a group with this base rate.

        Args:
            base: the base rate of the group.
            step: the number of the step, from 0.
        """
        raise NotImplementedError

    def momentum(self, step: int) -> float | None:
        """The momentum of a step; None leaves the optimiser's alone.

        Args:
            step: the number of the step, from 0.
        """
        return None

    def __call__(self, step: int) -> float:
        """The rate of a step, counted from 0, in the first group.

        Args:
            step: the number of the step, at least 0.

        Raises: OptionError for another step.
        """
        return self.rate(self.base_lrs[0], _count("step", step, 0))

    @property
    def lr(self) -> float:
        """The rate of the step that comes next, in the first group."""
        return self(self.last_step)

    def step(self) -> None:
        """Go on to the next step: the optimiser gets its rates."""
        self._move(self.last_step + 1)

    def _move(self, to: int) -> None:
        before, self.last_step = self.last_step, to
        try:
            self._set()
        except OptionError:
            self.last_step = before
            raise

    def _set(self) -> None:
        if self.optimizer is None:
            return
        rates = [number(f"{type(self).__name__}: the rate of step {self.last_step}", self.rate(b, self.last_step)) for b in self.base_lrs]
        momentum = self.momentum(self.last_step)
        for group, rate in zip(self.optimizer.param_groups, rates, strict=False):
            group["lr"] = rate
            if momentum is not None and "betas" in group:
                group["betas"] = (momentum, *group["betas"][1:])
            elif momentum is not None:
                group["momentum"] = momentum

    def state_dict(self) -> dict[str, Any]:
        """The step and the base rates, for `load_state_dict` and `tl.save`."""
        return {"schedule": type(self).__name__, "step": self.last_step, "base_lrs": list(self.base_lrs)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state; the optimiser gets the rates of its step.

        Args:
            state: what `state_dict` of a schedule of this kind returned.

        Raises: OptionError if it is of another kind of schedule or of another number of groups; then nothing was changed.
        """
        name = type(self).__name__
        if not isinstance(state, Mapping) or state.keys() != {"schedule", "step", "base_lrs"}:
            raise OptionError(f"{name}: this is no state of a schedule")
        if not isinstance(state["base_lrs"], list | tuple):
            raise OptionError(f"{name}: base_lrs of a state must be a list, got {state['base_lrs']!r}")
        if state["schedule"] != name or len(state["base_lrs"]) != len(self.base_lrs):
            raise OptionError(
                f"{name} of {len(self.base_lrs)} groups: the state is of {state['schedule']} of {len(state['base_lrs'])} groups"
            )
        before, self.base_lrs = self.base_lrs, [number("lr", r) for r in state["base_lrs"]]
        try:
            self._move(_count("step", state["step"], 0))
        except OptionError:
            self.base_lrs = before
            raise

    def __repr__(self) -> str:
        return f"{type(self).__name__}(step {self.last_step}, lr={self.lr:g})"


class ConstantLR(Schedule):
    """The base rate times factor for the first total_iters steps, then the base rate.

    Args:
        base: an optimiser, or a rate.
        factor: of the first steps.
        total_iters: how many steps they are.
    """

    factor: float
    total_iters: int

    def __init__(self, base: Any, factor: float = 1 / 3, total_iters: int = 5) -> None:
        self.factor, self.total_iters = number("factor", factor), _count("total_iters", total_iters, 0)
        super().__init__(base)

    def rate(self, base: float, step: int) -> float:
        """base·factor, then base."""
        return base * self.factor if step < self.total_iters else base


class StepLR(Schedule):
    """The rate times gamma after every step_size steps.

    Args:
        base: an optimiser, or a rate.
        step_size: the steps between two changes, at least 1.
        gamma: the factor of a change.

    Example:
        >>> optimizer = tl.optim.SGD([tl.Param([1.0])], lr=1.0)
        >>> schedule = tl.optim.StepLR(optimizer, 2, gamma=0.1)
        >>> for _ in range(4):
        ...     schedule.step()
        >>> round(optimizer.param_groups[0]["lr"], 4)
        0.01
    """

    step_size: int
    gamma: float

    def __init__(self, base: Any, step_size: int, gamma: float = 0.1) -> None:
        self.step_size, self.gamma = _count("step_size", step_size), number("gamma", gamma)
        super().__init__(base)

    def rate(self, base: float, step: int) -> float:
        """base·gamma^⌊step / step_size⌋."""
        return base * _power(self.gamma, step // self.step_size)


class ExponentialLR(Schedule):
    """The rate times gamma after every step.

    Args:
        base: an optimiser, or a rate.
        gamma: the factor of every step.
    """

    def __init__(self, base: Any, gamma: float) -> None:
        self.gamma: float = number("gamma", gamma)
        super().__init__(base)

    def rate(self, base: float, step: int) -> float:
        """base·gamma^step."""
        return base * _power(self.gamma, step)


def _cosine(start: float, end: float, part: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * part)) / 2


class CosineAnnealingLR(Schedule):
    """Half a cosine from the base rate down to eta_min in T_max steps, and on along the wave.

    Args:
        base: an optimiser, or a rate.
        T_max: the steps of half a wave, at least 1.
        eta_min: the lowest rate.

    Source: Loshchilov & Hutter 2017, SGDR, equation 5.

    Example:
        >>> optimizer = tl.optim.SGD([tl.Param([1.0])], lr=1.0)
        >>> schedule = tl.optim.CosineAnnealingLR(optimizer, T_max=10)
        >>> for _ in range(5):
        ...     schedule.step()
        >>> round(optimizer.param_groups[0]["lr"], 4)
        0.5
    """

    T_max: int
    eta_min: float

    def __init__(self, base: Any, T_max: int, eta_min: float = 0.0) -> None:
        self.T_max, self.eta_min = _count("T_max", T_max), number("eta_min", eta_min)
        super().__init__(base)

    def rate(self, base: float, step: int) -> float:
        """eta_min + (base − eta_min)·(1 + cos(π·step / T_max)) / 2."""
        return _cosine(base, self.eta_min, step / self.T_max)


class LinearLR(Schedule):
    """Linear warm-up: from the base rate times start_factor to the base rate times end_factor in total_iters steps, then constant.

    Args:
        base: an optimiser, or a rate.
        start_factor: of the base rate at step 0.
        end_factor: of the base rate at the end.
        total_iters: the steps from the one to the other.
    """

    start_factor: float
    end_factor: float

    def __init__(self, base: Any, start_factor: float = 1 / 3, end_factor: float = 1.0, total_iters: int = 5) -> None:
        self.start_factor, self.end_factor = number("start_factor", start_factor), number("end_factor", end_factor)
        self.total_iters: int = _count("total_iters", total_iters)
        super().__init__(base)

    def rate(self, base: float, step: int) -> float:
        """The rate of a step."""
        part = min(step, self.total_iters) / self.total_iters
        return base * (self.start_factor + (self.end_factor - self.start_factor) * part)


class WarmupCosineLR(Schedule):
    """`LinearLR` for warmup_steps, then half a cosine down to eta_min at total_steps, then constant.

    PyTorch's SequentialLR of LinearLR(start_factor, total_iters=warmup_steps) and CosineAnnealingLR(total_steps − warmup_steps).

    Args:
        base: an optimiser, or a rate.
        warmup_steps: the steps of the warm-up.
        total_steps: the step at which the rate is eta_min, above warmup_steps.
        start_factor: of the base rate at step 0.
        eta_min: the last rate.
    """

    warmup_steps: int
    total_steps: int
    start_factor: float
    eta_min: float

    def __init__(self, base: Any, warmup_steps: int, total_steps: int, start_factor: float = 0.01, eta_min: float = 0.0) -> None:
        self.warmup_steps, self.total_steps = _count("warmup_steps", warmup_steps, 0), _count("total_steps", total_steps)
        if self.warmup_steps >= self.total_steps:
            raise OptionError(f"warmup_steps must be less than total_steps, got {warmup_steps} and {total_steps}")
        self.start_factor, self.eta_min = number("start_factor", start_factor), number("eta_min", eta_min)
        super().__init__(base)

    def rate(self, base: float, step: int) -> float:
        """The rate of a step."""
        if step < self.warmup_steps:
            return base * (self.start_factor + (1 - self.start_factor) * step / self.warmup_steps)
        return _cosine(base, self.eta_min, min((step - self.warmup_steps) / (self.total_steps - self.warmup_steps), 1.0))


class _Cycles(Schedule):
    # Rates between its own bounds; momentum runs the other way.
    cycle_momentum: bool

    def __init__(self, base: Any) -> None:
        if base is not None and not isinstance(base, Optimizer):
            raise OptionError(f"{type(self).__name__}: made over an optimiser, or over None, got {base!r}")
        if base is not None and self.cycle_momentum and not all("betas" in g or "momentum" in g for g in base.param_groups):
            raise OptionError(f"{type(self).__name__}: {type(base).__name__} has no momentum; give cycle_momentum=False")
        super().__init__(0.0 if base is None else base)


class OneCycleLR(_Cycles):
    """One rise to max_lr and one fall, over total_steps; momentum falls and rises.

    After step total_steps − 1, the last, the rate stays; a step beyond total_steps raises OptionError.

    Args:
        base: an optimiser, or None for the rates alone; its own rates are not used.
        max_lr: the top.
        total_steps: or give epochs and steps_per_epoch.
        epochs, steps_per_epoch: their product is the number of steps, in place of total_steps.
        pct_start: the share of the rise.
        anneal_strategy: "cos" or "linear".
        cycle_momentum: whether momentum (β₁ of Adam) moves the other way.
        base_momentum, max_momentum: its bounds.
        div_factor: the first rate is max_lr / div_factor.
        final_div_factor: the last rate is the first one / final_div_factor.
        three_phase: fall back to the first rate as fast as it rose, then on to the last one.

    Raises: OptionError for a number of steps that is missing or given twice, an option outside its range, or an optimiser without momentum
        where it should cycle.

    Source: Smith & Topin 2018, Super-convergence.
    """

    total_steps: int
    cycle_momentum: bool

    def __init__(
        self,
        base: Any,
        max_lr: float,
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: Literal["cos", "linear"] = "cos",
        cycle_momentum: bool = True,
        base_momentum: float = 0.85,
        max_momentum: float = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
    ) -> None:
        if total_steps is None:
            total_steps = _count("epochs", epochs) * _count("steps_per_epoch", steps_per_epoch)
        self.total_steps = n = _count("total_steps", total_steps)
        if not isinstance(anneal_strategy, str) or anneal_strategy not in ("cos", "linear"):
            raise OptionError(f"anneal_strategy must be 'cos' or 'linear', got {anneal_strategy!r}")
        if number("pct_start", pct_start) > 1:
            raise OptionError(f"pct_start must be in [0, 1], got {pct_start!r}")
        self.anneal_strategy, self.cycle_momentum = anneal_strategy, truth("cycle_momentum", cycle_momentum)
        top, low, high = number("max_lr", max_lr), number("base_momentum", base_momentum), number("max_momentum", max_momentum)
        first = top / _above_zero("div_factor", div_factor)
        last = first / _above_zero("final_div_factor", final_div_factor)
        # (last step, rate before and after, momentum before and after) of each phase.
        rise = (pct_start * n - 1, first, top, high, low)
        if truth("three_phase", three_phase):
            self._phases = [rise, (2 * pct_start * n - 2, top, first, low, high), (n - 1, first, last, high, high)]
        else:
            self._phases = [rise, (n - 1, top, last, low, high)]
        super().__init__(base)

    def _between(self, step: int, which: int) -> float:
        if step > self.total_steps:
            raise OptionError(f"OneCycleLR: step {step} of {self.total_steps}")
        # An optimiser's last step is followed by one of the schedule: that rate is never used, but it is saved, and must be one.
        step = min(step, self.total_steps - 1)
        begin = 0.0
        for phase in self._phases:
            end = phase[0]
            if step <= end or phase is self._phases[-1]:
                break
            begin = end
        start, stop, part = phase[which], phase[which + 1], (step - begin) / (end - begin) if end != begin else 1.0
        return _cosine(start, stop, part) if self.anneal_strategy == "cos" else start + (stop - start) * part

    def rate(self, base: float, step: int) -> float:
        """The rate of a step."""
        return self._between(step, 1)

    def momentum(self, step: int) -> float | None:
        """The momentum of a step, where it cycles."""
        return self._between(step, 3) if self.cycle_momentum else None


class CyclicLR(_Cycles):
    """Rates go up from base_lr to max_lr in step_size_up steps and down in step_size_down, again and again; momentum the other way.

    Args:
        base: an optimiser, or None for the rates alone; its own rates are not used.
        base_lr, max_lr: the bounds of the rate.
        step_size_up: the steps up.
        step_size_down: None: as step_size_up.
        mode: "triangular", "triangular2" (half the height after every cycle) or "exp_range" (height times gamma^step).
        gamma: the factor of mode "exp_range".
        cycle_momentum: whether momentum (β₁ of Adam) moves the other way.
        base_momentum, max_momentum: its bounds.

    Raises: OptionError for an option outside its range, or an optimiser without momentum where it should cycle.

    Source: Smith 2017, Cyclical learning rates for training neural networks.
    """

    base_lr: float
    max_lr: float
    gamma: float
    cycle_momentum: bool
    base_momentum: float
    max_momentum: float

    def __init__(
        self,
        base: Any,
        base_lr: float,
        max_lr: float,
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: Literal["triangular", "triangular2", "exp_range"] = "triangular",
        gamma: float = 1.0,
        cycle_momentum: bool = True,
        base_momentum: float = 0.8,
        max_momentum: float = 0.9,
    ) -> None:
        if not isinstance(mode, str) or mode not in ("triangular", "triangular2", "exp_range"):
            raise OptionError(f"mode must be 'triangular', 'triangular2' or 'exp_range', got {mode!r}")
        self.base_lr, self.max_lr = number("base_lr", base_lr), number("max_lr", max_lr)
        self.up: int = _count("step_size_up", step_size_up)
        self.down: int = self.up if step_size_down is None else _count("step_size_down", step_size_down)
        self.mode, self.gamma, self.cycle_momentum = mode, number("gamma", gamma), truth("cycle_momentum", cycle_momentum)
        self.base_momentum, self.max_momentum = number("base_momentum", base_momentum), number("max_momentum", max_momentum)
        super().__init__(base)

    def _height(self, step: int) -> float:
        # How far up, from 0 to 1.
        cycle, within = divmod(step, self.up + self.down)
        scale = within / self.up if within <= self.up else (self.up + self.down - within) / self.down
        return scale * {"triangular": 1.0, "triangular2": 0.5**cycle, "exp_range": _power(self.gamma, step)}[self.mode]

    def rate(self, base: float, step: int) -> float:
        """The rate of a step."""
        return self.base_lr + (self.max_lr - self.base_lr) * self._height(step)

    def momentum(self, step: int) -> float | None:
        """The momentum of a step, where it cycles."""
        return self.max_momentum - (self.max_momentum - self.base_momentum) * self._height(step) if self.cycle_momentum else None
