"""A list of parameters."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tlean._core.array import AnyTensor, as_tensor
from tlean._core.plan.commit import Commit
from tlean.arguments import truth
from tlean.display import table
from tlean.errors import IndexRangeError, OptionError, ShapeError
from tlean.param import Param

from ..arguments.literals import FloatName
from .updates import SGDUpdate


def listed(what: str, values: Any) -> list[Any]:
    """What an iterable holds. Raises: OptionError for something that is none."""
    try:
        return list(values)
    except (TypeError, NotImplementedError):
        # The second is what a memoryview of several axes raises.
        raise OptionError(f"{what} must be a sequence, got {values!r}") from None


class ParamList(Sequence[Any]):
    """Parameters in order.

    Args:
        values: initial values, or `Param`s.
        requires_grad: one flag for all, or one for each; None leaves each as it is.
        dtype: of values that are not parameters yet.

    Raises: OptionError if the number of flags is not the number of values.
    """

    def __init__(self, values: Sequence[Any], requires_grad: Any = None, *, dtype: FloatName | None = None) -> None:
        values = listed("ParamList: the values", values)
        flags = (
            [requires_grad] * len(values)
            if requires_grad is None or isinstance(requires_grad, bool)
            else listed("ParamList: requires_grad", requires_grad)
        )
        if len(flags) != len(values):
            raise OptionError(f"ParamList: one requires_grad for each of the {len(values)} values, got {len(flags)}")
        self._params = [v if isinstance(v, Param) else Param(v, f"p{i}", dtype=dtype) for i, v in enumerate(values)]
        for p, flag in zip(self._params, flags, strict=True):
            if flag is not None:
                p.requires_grad = truth("ParamList: requires_grad", flag)

    def __len__(self) -> int:
        return len(self._params)

    def __getitem__(self, i: Any) -> Any:
        try:
            return self._params[i]
        except IndexError:
            raise IndexRangeError(f"ParamList: position {i} is out of range for {len(self)} parameters") from None
        except TypeError:
            raise OptionError(f"ParamList: a position must be an int or a slice, got {i!r}") from None

    def __iter__(self) -> Iterator[Param]:
        return iter(self._params)

    def get(self, sync: bool = True) -> list[Any]:
        """The values now, as copies.

        Args:
            sync: as for `Param.get`.
        """
        return [p.get(sync) for p in self._params]

    def set(self, values: Sequence[Any]) -> None:
        """Replace every value by an array of the host or of a device.

        Args:
            values: one for each parameter, of its shape.

        Raises: ShapeError if a count or shape differs; then no parameter was changed.
        """
        values = listed("ParamList.set: the values", values)
        if len(values) != len(self):
            raise ShapeError(f"ParamList.set: one value for each of the {len(self)} parameters, got {len(values)}")
        on_device = [hasattr(v, "__cuda_array_interface__") for v in values]
        ready = [v if there else as_tensor(v, p.dtype) for p, v, there in zip(self._params, values, on_device, strict=True)]
        for p, v in zip(self._params, ready, strict=True):
            if tuple(v.shape) != p.shape:
                raise ShapeError(f"ParamList.set: {p.name} must have shape {p.shape}, got {v.shape}")
        # All at once, where an array of the host makes it possible: an exception between two would leave half of them.
        changes = Commit()
        for p, v, given, there in zip(self._params, ready, values, on_device, strict=True):
            if not there:
                p._assign(changes, as_tensor(v.numpy()) if isinstance(given, AnyTensor) else v)
        for p, v, there in zip(self._params, ready, on_device, strict=True):
            if there:
                p.set(v)
        changes.now()

    def names(self) -> list[str]:
        """A name for each parameter: its own, or, where it has none or shares it, its position."""
        own = [p.name for p in self._params]
        return [n if n and own.count(n) == 1 else f"#{i}" for i, n in enumerate(own)]

    def state_dict(self) -> dict[str, Any]:
        """The values now, by name, as copies."""
        return dict(zip(self.names(), self.get(), strict=True))

    def load_state_dict(self, values: Mapping[str, Any]) -> None:
        """Replace every value by name.

        Args:
            values: name → array, of the parameter's shape.

        Raises: OptionError for other names, ShapeError; then no parameter was changed.
        """
        if not isinstance(values, Mapping):
            raise OptionError(f"ParamList: a state must be a mapping of names to arrays, got a {type(values).__name__}")
        names = self.names()
        if values.keys() != set(names):
            missing, unknown = [n for n in names if n not in values], sorted(map(str, values.keys() - set(names)))
            raise OptionError(f"ParamList: missing: {', '.join(missing) or 'none'}; unknown: {', '.join(unknown) or 'none'}")
        self.set([values[n] for n in names])

    def sgd_step(self, lr: float, grads: Sequence[Any]) -> None:
        """p ← p − lr·g for every parameter that requires gradients.

        Args:
            lr: the learning rate.
            grads: one gradient for each parameter, of its shape; None leaves one as it is.

        Raises: ShapeError if a count or shape differs.
        """
        grads = listed("ParamList.sgd_step: the gradients", grads)
        if len(grads) != len(self):
            raise ShapeError(f"ParamList.sgd_step: one gradient for each of the {len(self)} parameters, got {len(grads)}")
        found = {p: g for p, g in zip(self._params, grads, strict=True) if g is not None and p.requires_grad is not False}
        SGDUpdate(lr).apply(found)

    sgd_step_fast = sgd_step

    def __repr__(self) -> str:
        return f"ParamList([{', '.join(map(repr, self._params))}])"

    def _repr_html_(self) -> str:
        rows = [(p.name or "", f"{p.shape}", p.dtype, f"{math.prod(p.shape):,}") for p in self._params]
        return table(f"ParamList: {len(self)} parameters", ("name", "shape", "dtype", "elements"), rows)
