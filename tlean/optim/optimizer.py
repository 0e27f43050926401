"""What every optimiser has: parameters in groups with options, a step from gradients in any form, a state that can be saved."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tlean import arguments
from tlean.errors import OptionError, ShapeError
from tlean.optim.gradients import Gradients
from tlean.param import Param

from .state import STATE_NAMES, UpdateState
from .updates import Update, number


class Optimizer(Update):
    """Moves parameters by their gradients. The optimisers of `tl.optim` say by which formula.

    Args:
        params: a `ParamList`, an iterable of `Param`s, or of groups: dicts with "params" and their own options.
        options: of every group that does not give its own.

    Raises: OptionError for an unknown option or one outside its range, for no parameters, or one that is listed twice.
    """

    #: Options that must be at least 0.
    _nonnegative: tuple[str, ...] = ("lr", "weight_decay")

    def __init__(self, params: Any, **options: Any) -> None:
        self.defaults = options
        self.state = UpdateState()
        #: One dict a group: "params" and the options. Options may be set between steps.
        self.param_groups: list[dict[str, Any]] = []
        self._group: dict[Param, dict[str, Any]] = {}
        self._last: dict[int, tuple[Any, tuple[float, ...]]] = {}
        entries: list[Any] = (
            list(arguments.each(type(self).__name__, "Params", params)) if not isinstance(params, Param | Mapping) else [params]
        )
        if not entries:
            raise OptionError(f"{type(self).__name__}: there are no parameters")
        for group in entries if isinstance(entries[0], Mapping) else [{"params": entries}]:
            self.add_param_group(group)

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        """Move more parameters too.

        Args:
            group: a dict with "params" and, where they differ from the defaults, options.

        Raises: OptionError for something that is no such dict, an unknown option or one outside its range, something that is no `Param`, or
            a parameter that is listed twice.
        """
        name = type(self).__name__
        if not isinstance(group, Mapping) or "params" not in group:
            raise OptionError(f"{name}: a group must be a dict with 'params' and options, got {group!r}")
        unknown = group.keys() - self.defaults.keys() - {"params"}
        if unknown:
            raise OptionError(f"{name}: unknown option {', '.join(sorted(unknown))}; there are {', '.join(self.defaults)}")
        params = [group["params"]] if isinstance(group["params"], Param) else list(group["params"])
        for p in params:
            if not isinstance(p, Param):
                raise OptionError(f"{name}: parameters must be tl.Params, got {type(p).__name__}")
            if p in self._group:
                raise OptionError(f"{name}: {p!r} is listed twice")
        if len(set(params)) != len(params):
            raise OptionError(f"{name}: a group lists a parameter twice")
        whole = {**self.defaults, **group, "params": params}
        self.check(whole)
        self.param_groups.append(whole)
        self._group.update(dict.fromkeys(params, whole))

    # What an optimiser adds -------------------------------------------------------------------------------------------------

    def check(self, group: Mapping[str, Any]) -> None:
        """Raise OptionError for an option outside its range.

        Args:
            group: the options, one of `param_groups`.
        """
        for name in self._nonnegative:
            number(name, group[name])

    def rule(self, group: Mapping[str, Any]) -> str:
        """The kernel of a group.

        Args:
            group: the options, one of `param_groups`.
        """
        raise NotImplementedError

    def numbers(self, group: Mapping[str, Any], t: int) -> tuple[float, ...]:
        """The kernel's `hyper` after lr, factor and weight decay.

        Args:
            group: the options, one of `param_groups`.
            t: the number of the step, from 1.
        """
        raise NotImplementedError

    # An update's methods ----------------------------------------------------------------------------------------------------

    def kernel(self, p: Param) -> str | None:
        """The op that moves this parameter; None if the optimiser does not have it."""
        group = self._group.get(p)
        return None if group is None else self.rule(group)

    def hyper(self, p: Param, t: int) -> tuple[float, ...]:
        """The op's `hyper` for step t of this parameter."""
        group = self._group[p]
        # Most parameters of a group are at the same step with the same options: checked and made once for all of them.
        key = (t, *group.values())
        known = self._last.get(id(group))
        if known is not None and known[0] == key:
            return known[1]
        self.check(group)
        head = (float(group["lr"]), -1.0 if group["maximize"] else 1.0, float(group["weight_decay"]))
        made = (*head, *map(float, self.numbers(group, t)))
        self._last[id(group)] = (key, made)
        return made

    def _binding(self) -> Any:
        # A subclass may decide by parameter.
        kind = type(self)
        alike = kind.kernel is Optimizer.kernel and kind.hyper is Optimizer.hyper and kind.peek is Optimizer.peek
        return (self, len(self._group)) if alike else None

    def _group_of(self, p: Param) -> Any:
        return id(self._group[p])

    # Steps ------------------------------------------------------------------------------------------------------------------

    @property
    def params(self) -> list[Param]:
        """The parameters of all groups, in order."""
        return [p for group in self.param_groups for p in group["params"]]

    @property
    def lr(self) -> float:
        """The learning rate of the first group; set, that of every group."""
        return self.param_groups[0]["lr"]

    @lr.setter
    def lr(self, value: float) -> None:
        rate = number("lr", value)
        for group in self.param_groups:
            group["lr"] = rate

    def step(self, grads: Any) -> None:
        """One step of every parameter that has a gradient, in place, in one call; frozen ones are skipped.

        Args:
            grads: a dict from Param to array, one array (or None) for each parameter in order, or what a session's backward pass returned.

        Raises: ShapeError if a count or a shape differs, OptionError for gradients in another form; then nothing was updated.
        """
        if isinstance(grads, Gradients):
            grads.session.optim_step(self, grads)
            return
        if isinstance(grads, Mapping):
            if not all(isinstance(p, Param) for p in grads):
                raise OptionError("step: gradients by node id are given to session.optim_step(opt, grads)")
            pairs: Iterable[tuple[Param, Any]] = grads.items()
        else:
            grads = list(arguments.each("step", "gradients", grads))
            if len(grads) != len(self._group):
                raise ShapeError(f"step: one gradient for each of the {len(self._group)} parameters, got {len(grads)}")
            pairs = zip(self.params, grads, strict=True)
        self.apply({p: g for p, g in pairs if g is not None and p.requires_grad is not False})

    # States -----------------------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Options and states, as plain values and copies of the arrays, for `load_state_dict` and `tl.save`.

        Parameters are represented by their position: "params" of a group are numbers, and "state" is keyed by them, as strings.
        """
        position = {p: k for k, p in enumerate(self.params)}
        groups = [
            {k: list(v) if isinstance(v, tuple) else v for k, v in group.items()} | {"params": [position[p] for p in group["params"]]}
            for group in self.param_groups
        ]
        state: dict[str, Any] = {}
        for p, k in position.items():
            if p in self.state.steps:
                state[str(k)] = self.state.entry(p, STATE_NAMES[self.rule(self._group[p])])
        return {"optimizer": type(self).__name__, "param_groups": groups, "state": state}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state, with its options.

        Args:
            state: what `state_dict` of an optimiser of this kind returned.

        Raises: OptionError if it is of another kind of optimiser or of other groups, ShapeError or DTypeError if an array does not fit its
        parameter; then nothing was changed.
        """
        name = type(self).__name__
        if not isinstance(state, Mapping) or not {"optimizer", "param_groups", "state"} <= state.keys():
            raise OptionError(f"{name}: this is no state of an optimiser")
        if state["optimizer"] != name:
            raise OptionError(f"{name}: the state is of {state['optimizer']}")
        sizes, here = [len(g["params"]) for g in state["param_groups"]], [len(g["params"]) for g in self.param_groups]
        if sizes != here:
            raise OptionError(f"{name}: the groups have {here} parameters, those of the state {sizes}")
        groups = []
        for mine, saved in zip(self.param_groups, state["param_groups"], strict=True):
            if saved.keys() != mine.keys():
                raise OptionError(f"{name}: the options are {', '.join(mine)}, those of the state {', '.join(saved)}")
            options = {k: tuple(v) if isinstance(v, list) else v for k, v in saved.items() if k != "params"}
            self.check(options)
            groups.append(options)
        new = UpdateState()
        params = self.params
        options_of = {p: g for mine, g in zip(self.param_groups, groups, strict=True) for p in mine["params"]}
        for key, entry in state["state"].items():
            if not (str(key).isdigit() and int(key) < len(params)):
                raise OptionError(f"{name}: the state has a parameter {key}, there are {len(params)}")
            p = params[int(key)]
            new.take_entry(p, STATE_NAMES[self.rule(options_of[p])], entry)
        for mine, options in zip(self.param_groups, groups, strict=True):
            mine.update(options)
        self.state: UpdateState = new

    def __repr__(self) -> str:
        options = ", ".join(f"{k}={v!r}" for k, v in self.param_groups[0].items() if k != "params")
        groups = f" in {len(self.param_groups)} groups" if len(self.param_groups) > 1 else ""
        return f"{type(self).__name__}({len(self._group)} parameters{groups}, {options})"
