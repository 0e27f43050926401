"""Parameter updates: what an update is, and every parameter in one call, in place, with the optimiser kernels."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from tlean._core.array import AnyTensor, as_tensor, writable
from tlean._core.plan.commit import Commit
from tlean._core.plan.update import first_not_finite, update_all
from tlean._core.table import KERNELS
from tlean.devices import context_at, cuda, device_array
from tlean.dtypes import SUFFIX
from tlean.errors import DTypeError, NumericsError, OptionError, ShapeError
from tlean.ops import get
from tlean.param import Param

from .rows import RowGradient
from .state import AdamState, UpdateState


def number(name: str, value: Any, low: float = 0.0, high: float = float("inf")) -> float:
    """A hyper-parameter as a float. Raises: OptionError unless it is in [low, high)."""
    try:
        x = float(value)
    except (TypeError, ValueError):
        raise OptionError(f"{name} must be a number, got {value!r}") from None
    if not low <= x < high:
        raise OptionError(f"{name} must be in [{low:g}, {high:g}), got {value!r}")
    return x


def limit(name: str, value: Any) -> float:
    """A bound as a float; infinity sets none. Raises: OptionError unless it is in [0, inf]."""
    unbounded = isinstance(value, float | np.floating) and value == float("inf")
    return float("inf") if unbounded else number(name, value)


def check_dtypes(where: str, params: Iterable[Param], dtype: str) -> None:
    """Parameters are never cast on the way. Raises: DTypeError that names the first of another dtype."""
    for k, p in enumerate(params):
        if p._dtype != dtype:
            raise DTypeError(
                f"{where}: the program computes in {dtype}, but parameter {p.name or k}, {p!r}, is {p._dtype}; cast it with"
                f" cast({dtype!r}), or choose dtype={p._dtype!r}"
            )


def check_finite(value: Any, others: Sequence[Any], what: str) -> None:
    """Look at the loss, and at the gradients or their norm. Raises: NumericsError that says which is a NaN or an infinity."""
    if type(value) is AnyTensor:
        found = _first_not_finite([value, *others])
    else:
        found = cuda().first_not_finite([value, *others])
    if found is not None:
        raise NumericsError(f"{what if found[0] else 'the loss'} became {found[1]}; nothing was updated")


def _first_not_finite(arrays: Sequence[AnyTensor]) -> tuple[int, float] | None:
    # The loss may have another dtype than the gradients.
    found = []
    for dtype in dict.fromkeys(t.dtype for t in arrays):
        same = [k for k, t in enumerate(arrays) if t.dtype == dtype]
        wrong = first_not_finite(KERNELS[f"_finite:{SUFFIX[dtype]}"], [arrays[k] for k in same])
        if wrong is not None:
            found.append((same[wrong[0]], wrong[1]))
    return min(found, key=lambda each: each[0], default=None)


def alone(t: AnyTensor) -> AnyTensor:
    """The array itself where nothing else holds its memory, so that a plan may write to it; else a copy."""
    return t if writable(t) is t else as_tensor(t.numpy())


def _is_at(x: Any, where: Any) -> bool:
    return type(x) is AnyTensor if where is None else getattr(x, "context", None) is where


def placed(x: Any, where: Any) -> Any:
    """An array of the host or of a device, moved to the host (`where` is None) or to a device where it is not there already."""
    if where is None:
        return x if type(x) is AnyTensor else as_tensor(x.numpy())
    return device_array(x, None, where)


@functools.cache
def slots(kernel: str) -> int:
    """How many states an update kernel of `tlean/ops/optim.py` has."""
    return len(get(kernel).outputs) - 1


class Update:
    """How parameters move: for each the kernel (an op of `tlean/ops/optim.py`), its states, and its `hyper` at step t.

    The same object drives an update in place (`apply`) and the update ops of a plan (`kernel`, `peek`, then `Commit.count`).
    """

    state: UpdateState

    def kernel(self, p: Param) -> str | None:
        """The op that moves this parameter, such as "_adam_step"; None if the update leaves it alone.

        Args:
            p: the parameter.
        """
        raise NotImplementedError

    def hyper(self, p: Param, t: int) -> tuple[float, ...]:
        """The op's `hyper` for step t of this parameter, counted from 1.

        Args:
            p: the parameter.
            t: the number of the step, from 1.
        """
        raise NotImplementedError

    def initial(self, p: Param) -> float:
        """The value that the states begin with.

        Args:
            p: the parameter.
        """
        return 0.0

    def _binding(self) -> Any:
        """What says, while it is equal, that each parameter is in the group that it was in (`_group_of`); None where nothing does."""
        return None

    def _group_of(self, p: Param) -> Any:
        """What parameters have in common that move by the same kernel, and at the same step by the same numbers."""
        return None

    def peek(self, p: Param, kernel: str, where: Any = None) -> tuple[tuple[Any, ...], tuple[float, ...]]:
        """The states of a parameter, on the host or on the device `where`, and `hyper` for its next step, which `Commit.count` counts.

        Args:
            p: the parameter.
            kernel: the op that moves it.
            where: a device's context; None for the host.

        Raises: OptionError if the states are those of another kernel, DTypeError if the parameter was cast since they were made.
        """
        count = slots(kernel)
        steps = self.state.steps.get(p)
        # States that no step was taken with are as good as none: a step that failed had made them.
        moments = () if steps is None else self.state.moments.get(p, ())
        if not moments and not count:
            return (), self.hyper(p, (steps or 0) + 1)
        if not moments:
            first = np.full(p.shape, self.initial(p), p.dtype)
            moments = self.state.moments[p] = tuple(as_tensor(first) for _ in range(count))
        # On the host they are all where the first is.
        if count and not (type(moments[0]) is AnyTensor if where is None else all(_is_at(m, where) for m in moments)):
            moments = self.state.moments[p] = tuple([placed(m, where) for m in moments])
        if len(moments) != count:
            raise OptionError(f"{kernel.strip('_')}: {p!r} has {len(moments)} states, the step takes {count}: the options changed")
        if count and moments[0].dtype is not p._dtype and moments[0].dtype != p._dtype:
            raise DTypeError(
                f"{kernel.strip('_')}: the states of {p!r} are {moments[0].dtype} and it is {p._dtype} now; cast it back with"
                f" cast({moments[0].dtype!r}), or make a new optimiser"
            )
        return moments, self.hyper(p, (steps or 0) + 1)

    def apply(self, grads: Mapping[Param, Any], changes: Commit | None = None) -> None:
        """One step of every parameter that has a gradient here, where its gradient is: parameters and states are written in place.

        Where other objects hold the memory (an array read before, a tape), the new values go to fresh memory: arrays never change.

        Args:
            grads: parameter → gradient, of the parameter's shape.
            changes: what becomes real with the step.

        Raises: ShapeError if a gradient has another shape than its parameter, DTypeError if the parameter was cast since its states were
            made; then, as with any exception, nothing was updated.
        """
        if not isinstance(changes, Commit | None):
            raise OptionError(f"apply: changes must be a Commit, got {type(changes).__name__}")
        if not isinstance(grads, Mapping):
            raise OptionError(
                f"apply: gradients must be a dict from Param to array, got {type(grads).__name__}; step takes one array for each"
            )
        changes = Commit() if changes is None else changes
        calls: list[Any] = []
        vectors: dict[tuple[float, ...], AnyTensor] = {}
        moved = []
        addresses: dict[tuple[str, str], int] = {}
        there: dict[Any, list[tuple[Param, str, Any]]] = {}
        for p, g in grads.items():
            kernel = self.kernel(p)
            if kernel is None:
                continue
            by_rows = type(g) is RowGradient
            where = None if by_rows or type(g) is AnyTensor else context_at(g)
            g = as_tensor(g, p.dtype) if where is None and not by_rows else g
            if not by_rows and g.shape != p.shape:
                raise ShapeError(f"{kernel.strip('_')}: {p.name or 'the parameter'} has shape {p.shape}, its gradient {g.shape}")
            if where is not None:
                there.setdefault(where, []).append((p, kernel, g))
                continue
            states, hyper = self.peek(p, kernel)
            if hyper not in vectors:
                vectors[hyper] = as_tensor(hyper, "float64")
            before = (p._tensor, *states)
            after = tuple(map(writable, before))
            made, gradient = ("_sgd_rows", g) if by_rows else (kernel, (g,))
            inputs = (before[0], *gradient, *states, vectors[hyper])
            address = addresses.get((made, p._dtype))
            if address is None:
                address = addresses[made, p._dtype] = KERNELS[f"{made}:{SUFFIX[p._dtype]}"]
            calls.append((address, after, inputs, kernel, by_rows))
            moved.append(p)
            if after[0] is not before[0]:
                changes.set(p, "_tensor", after[0])
            if states:
                changes.set(self.state.moments, p, after[1:])
        with contextlib.ExitStack() as devices:
            for where, moves in there.items():
                devices.enter_context(where.current())
                moved += [p for p, _, _ in moves]
                if len(there) > 1:
                    changes.call(where.push)
                self._note_on_device(where, moves, changes)
                if len(there) > 1:
                    changes.call(where.pop)
            # From here on it is one call: what it moves, and what says so.
            changes.count(moved, self.state.steps)
            update_all(calls, changes)

    def _note_on_device(self, where: Any, moves: Sequence[tuple[Param, str, Any]], changes: Commit) -> None:
        # One launch for all parameters that move by the same numbers.
        groups: dict[tuple[str, tuple[float, ...]], list[Any]] = {}
        for p, kernel, g in moves:
            states, hyper = self.peek(p, kernel, where)
            groups.setdefault((kernel, hyper), []).append((p, p._on_device(where).owned(), g, tuple([s.owned() for s in states])))
        for (kernel, hyper), rows in groups.items():
            params, values, gradients, moments = zip(*rows, strict=True)
            cuda().step_all_at(where, kernel, hyper, values, gradients, moments, changes)
            for p, value, kept in zip(params, values, moments, strict=True):
                changes.set(p, "_mirror", value)
                p._moves(changes)
                if kept:
                    changes.set(self.state.moments, p, kept)


class SGDUpdate(Update):
    """p ← p − lr·factor·g, weight decay added to the gradient; keeps nothing between steps.

    Raises: OptionError if a rate is not a number.
    """

    def __init__(self, lr: float, factor: float = 1.0, weight_decay: float = 0.0) -> None:
        self.state: UpdateState = UpdateState()
        self._hyper = (number("lr", lr, -float("inf")), factor, weight_decay)

    def _binding(self) -> Any:
        return SGDUpdate if type(self) is SGDUpdate else None

    def kernel(self, p: Param) -> str:
        """`_sgd_step`."""
        return "_sgd_step"

    def hyper(self, p: Param, t: int) -> tuple[float, ...]:
        """lr, factor, weight decay."""
        return self._hyper


class AdamUpdate(Update):
    """Adam with the rates of one call; with `weight_decay` ≠ 0, AdamW (decoupled decay).

    Raises: OptionError for a rate outside its range, or a state that is no `AdamState`.
    Source: Kingma & Ba 2015, algorithm 1; Loshchilov & Hutter 2019, algorithm 2.
    """

    def __init__(self, state: AdamState, lr: float, beta1: float, beta2: float, eps: float, weight_decay: float) -> None:
        if not isinstance(state, AdamState):
            raise OptionError(f"adam: state must be an AdamState, got {type(state).__name__}")
        self.state: AdamState = state
        rate, decay = number("lr", lr, -float("inf")), number("weight_decay", weight_decay)
        self._hyper = (rate, 1.0, decay, number("beta1", beta1, 0.0, 1.0), number("beta2", beta2, 0.0, 1.0), number("eps", eps))

    def _binding(self) -> Any:
        return AdamUpdate if type(self) is AdamUpdate else None

    def kernel(self, p: Param) -> str:
        """`_adam_step`."""
        return "_adam_step"

    def hyper(self, p: Param, t: int) -> tuple[float, ...]:
        """The rates, t, and that the decay is decoupled."""
        return (*self._hyper, float(t), 1.0)
