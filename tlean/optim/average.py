"""The exponential moving average of parameters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tlean._core.array import AnyTensor
from tlean._core.plan.commit import Commit
from tlean.errors import DTypeError, OptionError
from tlean.param import Param

from .param_list import ParamList, listed
from .updates import SGDUpdate, number


class ExponentialMovingAverage:
    """Keeps a slow copy of parameters: average ← decay·average + (1 − decay)·parameter. The first `update` copies them.

        ema = tl.optim.ExponentialMovingAverage(trainer.params, decay=0.999)
        trainer.optim_step(opt, x, y)
        ema.update()
        with ema.swapped():
            trainer.forward(x, y)        # with the averages in the parameters' place

    Args:
        params: the parameters, which may be of a trainer or a model.
        decay: in [0, 1].

    Raises: OptionError for no parameters or a decay outside its range.
    """

    decay: float
    count: int

    def __init__(self, params: Iterable[Param], decay: float = 0.999) -> None:
        self.params: list[Any] = listed("ExponentialMovingAverage: the parameters", params)
        if not all(isinstance(p, Param) for p in self.params):
            raise OptionError(f"ExponentialMovingAverage: parameters must be tl.Params, got {[type(p).__name__ for p in self.params]}")
        if not self.params:
            raise OptionError("ExponentialMovingAverage: there are no parameters")
        if number("decay", decay) > 1:
            raise OptionError(f"decay must be in [0, 1], got {decay!r}")
        self.decay = float(decay)
        #: How many updates there were.
        self.count = 0
        self._averages = ParamList([Param(p.get(), p.name, False, dtype=p.dtype) for p in self.params])

    def update(self) -> None:
        """Take in the parameters as they are now; in place, in one call. Raises: DTypeError if one was cast since."""
        changes = Commit()
        changes.set(self, "count", self.count + 1)
        for a, p in zip(self._averages, self.params, strict=True):
            if a.dtype != p.dtype:
                raise DTypeError(
                    f"ExponentialMovingAverage: the average of {p!r} is {a.dtype} and it is {p.dtype} now; cast it back with"
                    f" cast({a.dtype!r}), or make a new average"
                )
        if self.count == 0:
            for a, p in zip(self._averages, self.params, strict=True):
                a._assign(changes, p.get())
            changes.now()
        else:
            # average − (1 − decay)·(average − parameter) is a step of descent: the "gradient" is −1·parameter, its "decay" 1·average.
            move = SGDUpdate(1.0 - self.decay, factor=-1.0, weight_decay=1.0)
            move.apply({a: p._current for a, p in zip(self._averages, self.params, strict=True)}, changes)

    def get(self) -> list[AnyTensor]:
        """The averages now, as copies."""
        return self._averages.get()

    @contextmanager
    def swapped(self) -> Iterator[None]:
        """A block in which the parameters have the averages' values; afterwards they have their own again."""
        params = ParamList(self.params)
        before = params.get()
        try:
            params.set(self._averages.get())
            yield
        finally:
            params.set(before)

    def state_dict(self) -> dict[str, Any]:
        """The averages and how many updates there were."""
        return {"count": self.count, "decay": self.decay, "averages": self._averages.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state.

        Args:
            state: what `state_dict` of an average returned.

        Raises: OptionError or ShapeError if it is of other parameters, DTypeError for averages of another dtype than theirs; then nothing
            was changed.
        """
        if not isinstance(state, Mapping) or state.keys() != {"count", "decay", "averages"}:
            raise OptionError("ExponentialMovingAverage: this is no state of an average")
        for name, p in zip(self._averages.names(), self._averages, strict=True):
            saved = state["averages"].get(name) if isinstance(state["averages"], Mapping) else None
            dtype = str(getattr(saved, "dtype", p.dtype))
            if dtype != p.dtype:
                raise DTypeError(
                    f"ExponentialMovingAverage: an average has its parameter's dtype, but that of {name} is {dtype} and the parameter"
                    f" {p.dtype}; cast the parameter with cast({dtype!r}), or make a new average"
                )
        self._averages.load_state_dict(state["averages"])
        self.count, self.decay = int(state["count"]), float(state["decay"])

    def __repr__(self) -> str:
        return f"ExponentialMovingAverage({len(self.params)} parameters, decay={self.decay:g}, {self.count} updates)"
