"""What an update keeps between its steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tlean._core.array import as_tensor
from tlean.errors import DTypeError, OptionError, ShapeError
from tlean.param import Param

#: PyTorch's names of the states, in the order of the kernels' inputs.
STATE_NAMES: dict[str, tuple[str, ...]] = {
    "_sgd_step": (),
    "_momentum_step": ("momentum_buffer",),
    "_adam_step": ("exp_avg", "exp_avg_sq"),
    "_amsgrad_step": ("exp_avg", "exp_avg_sq", "max_exp_avg_sq"),
    "_rmsprop_step": ("square_avg",),
    "_rmsprop_momentum_step": ("square_avg", "momentum_buffer"),
    "_rmsprop_centred_step": ("square_avg", "grad_avg"),
    "_rmsprop_centred_momentum_step": ("square_avg", "grad_avg", "momentum_buffer"),
    "_adagrad_step": ("sum",),
    "_adadelta_step": ("square_avg", "acc_delta"),
}


class UpdateState:
    """What an update keeps between its steps, by parameter: arrays (`moments`) and how many steps were taken (`steps`).

    The arrays are where the last step was, on the host or on a device; a step elsewhere moves them.
    """

    __slots__ = ("moments", "steps")

    def __init__(self) -> None:
        self.moments: dict[Param, tuple[Any, ...]] = {}
        self.steps: dict[Param, int] = {}

    def entry(self, p: Param, names: Sequence[str]) -> dict[str, Any]:
        """The step count of a parameter and copies of its arrays, by name, for `take_entry`.

        Args:
            p: the parameter.
            names: of its arrays, in the order of the kernel's inputs.
        """
        # A momentum that was turned on after the last step has no array yet. Those of a device are read back.
        moments = [as_tensor(m.numpy()) for m in self.moments.get(p, ())]
        return {"step": self.steps.get(p, 0), **dict(zip(names, moments, strict=False))}

    def take_entry(self, p: Param, names: Sequence[str], entry: Mapping[str, Any]) -> None:
        """Go on from a saved entry.

        Args:
            p: the parameter.
            names: of its arrays, in the order of the kernel's inputs.
            entry: what `entry` returned.

        Raises: OptionError if it holds other arrays, ShapeError or DTypeError if one does not fit.
        """
        if not isinstance(entry, Mapping) or entry.keys() != {"step", *names}:
            raise OptionError(f"state of {p!r}: it holds {', '.join(entry)}, expected {', '.join(('step', *names))}")
        moments = []
        for name in names:
            value = entry[name]
            dtype, shape = str(getattr(value, "dtype", type(value).__name__)), tuple(getattr(value, "shape", ()))
            if dtype != p.dtype:
                raise DTypeError(
                    f"load_state_dict: a state has its parameter's dtype, but {name} of {p!r} is {dtype};"
                    f" cast the parameter with cast({dtype!r}), or start with a new optimiser"
                )
            if shape != p.shape:
                raise ShapeError(f"state of {p!r}: {name} has shape {shape}")
            # A copy: steps write into it.
            moments.append(as_tensor(value.numpy() if hasattr(value, "numpy") else value, p.dtype))
        self.steps[p] = int(entry["step"])
        if moments:
            self.moments[p] = tuple(moments)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self.steps)} parameters>"


class AdamState(UpdateState):
    """The moments and step counts of Adam, by parameter."""

    __slots__ = ()
