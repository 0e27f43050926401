"""Programs with derivatives of the user's own: `custom_vjp` and `custom_jvp`."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from tlean import tree
from tlean._core.array import AnyTensor
from tlean._core.eager.eager import ParamBase
from tlean._core.refs import RefBase
from tlean.autodiff.derived import DerivedProgram
from tlean.caching import Cache, once
from tlean.compiler.derive import reverse, with_zeros
from tlean.compiler.graph import Graph, GraphRef
from tlean.compiler.loops.bodies import or_zeros, structure, zeros
from tlean.compiler.ruled import Ruled
from tlean.dtypes import FLOATS
from tlean.errors import CallError, DTypeError, NodeError, OptionError, ShapeError
from tlean.loops.bodies import BodyGraph, results, spec_of
from tlean.loops.choices import together
from tlean.ops.layout import converted
from tlean.programs.calls import Static
from tlean.programs.captured import Captured, is_array
from tlean.programs.recorder import Recorder, name_of
from tlean.programs.running import innermost

#: Calls of one function, of different shapes, that are kept.
_MOST_CALLS = 256


class CustomFunction(DerivedProgram):
    """A program with rules for its derivatives; `custom_vjp` and `custom_jvp` make it. Call it as the function that it was made of."""

    def __init__(self, name: str, f: Callable[..., Any], nondiff_argnums: Any = ()) -> None:
        recorder = Recorder(name, f)
        super().__init__(name, self._recorded, "compiled", recorder)
        self._statics = _Fixed(name, recorder, nondiff_argnums)  # type: ignore[assignment]
        self._calls = Cache(_MOST_CALLS)
        self._fwd: Recorder | None = None
        self._bwd: Recorder | None = None
        self._jvp: Recorder | None = None
        #: What a program that calls this captures beside the function: another tuple where a rule changes.
        self.__tlean_rules__: tuple[Any, ...] = self._rules()
        self.__name__: str = name_of(f)
        self.__doc__ = getattr(f, "__doc__", None)
        self.__module__ = getattr(f, "__module__", __name__)
        self.__qualname__ = getattr(f, "__qualname__", self.__name__)

    def defvjp(self, fwd: Callable[..., Any], bwd: Callable[..., Any]) -> None:
        """Declare the rule for reverse mode.

        Args:
            fwd: `fwd(*args)` takes the function's arguments and returns (its value, residuals); the residuals are any tree.
            bwd: `bwd(residuals, g)` returns a tuple with a cotangent for each differentiable argument, a tree like that argument; None
                where it is zero. The arguments of `nondiff_argnums` come first: `bwd(n, residuals, g)`.

        Raises: OptionError for something that is no function.
        """
        self._fwd, self._bwd = Recorder(f"{self._name}: fwd", fwd), Recorder(f"{self._name}: bwd", bwd)
        self._forget()

    def defjvp(self, rule: Callable[..., Any]) -> Callable[..., Any]:
        """Declare the rule for forward mode. Without `defvjp` it serves reverse mode, too: it is linear in the tangents.

        Args:
            rule: `rule(primals, tangents)`, two tuples with an entry for each differentiable argument, returns (value, its tangent). The
                arguments of `nondiff_argnums` come first. Integers have None as their tangent.

        Returns: the rule, so that this decorates it.
        Raises: OptionError for something that is no function.
        """
        self._jvp = Recorder(f"{self._name}: the rule of defjvp", rule)
        self._forget()
        return rule

    def defjvps(self, *rules: Callable[..., Any] | None) -> None:
        """Declare a rule for forward mode argument by argument.

        Args:
            rules: for each argument `rule(tangent, value, *primals)`, the part of the value's tangent that is due to it; None where that
                is zero.

        Raises: OptionError for what is no function, for another number of rules, or with `nondiff_argnums`.
        """
        if self._statics.numbers:  # type: ignore[union-attr]
            raise OptionError(f"{self._name}: defjvps takes no nondiff_argnums; use defjvp")
        for rule in rules:
            if rule is not None and not callable(rule):
                raise OptionError(f"{self._name}: defjvps takes functions, and None for zero, got {type(rule).__name__}")

        def whole(primals: Any, tangents: Any) -> Any:
            # Defaults at the end have no tangents, and need no rules.
            count = len(primals) - next((n for n, t in enumerate(reversed(tangents)) if t is not None), len(primals))
            if not count <= len(rules) <= len(primals):
                raise OptionError(f"{self._name}: defjvps needs a rule for each of the {len(primals)} arguments, got {len(rules)}")
            y = self(*primals)
            total = None
            for rule, t in zip(rules, tangents, strict=False):
                if rule is not None and t is not None:
                    part = rule(t, y, *primals)
                    total = part if total is None else tree.map(lambda a, b: a + b, total, part)
            return y, total

        self.defjvp(whole)

    def _forget(self) -> None:
        self.__tlean_rules__ = self._rules()
        for kept in (self._calls, self._known, self._arrays):
            kept.clear()

    def _recorded(self, graph: Graph, *args: Any) -> Any:
        if self._bwd is None and self._jvp is None:
            raise OptionError(f"{self._name}: {self.__name__} has no rule for its derivatives; call its defvjp(fwd, bwd) or defjvp(rule)")
        fixed = self._statics.parts(args)  # type: ignore[union-attr]
        leaves, form = tree.flatten(tuple([a for k, a in enumerate(args) if k not in fixed]))
        refs: list[Any] = [graph.ref(x) for x in leaves]
        body = BodyGraph(self._name, innermost(graph))
        signature = _Signature(form, {k: args[k] for k in fixed}, len(args))
        made = self._recorder(body, *signature.arguments([body.arg(spec_of(r)) for r in refs]))  # type: ignore[misc]
        found, outer = tree.flatten(made)
        outs = results(body, found, [None] * len(found))
        if not outs:
            return made
        moves = {v: _moves(body.source(v)) for v in body.inputs[len(refs) :]}  # type: ignore[arg-type]
        inputs, (whole,) = together([body], [outs], refs, len(refs))
        closed = tuple([moves[v] for v in whole.inputs[len(refs) :]])
        fixed_values = tuple([(k, Static(v, f"{self._name}: argument {k}")) for k, v in sorted(signature.fixed.items())])
        key = (structure(whole), form, outer, fixed_values, closed)
        known = self._calls.get(key)
        if known is None or known.watch.guard.check() is None:
            known = _Call(self, whole, signature, outer, closed)
            self._calls.keep(key, known)
        return tree.unflatten(outer, known.op(graph, inputs))

    def _rules(self) -> tuple[Any, ...]:
        return tuple([r.__wrapped__ for r in (self._fwd, self._bwd, self._jvp) if r is not None])

    def __reduce__(self) -> Any:
        module = sys.modules.get(self.__module__)
        found: Any = module
        for part in self.__qualname__.split("."):
            found = getattr(found, part, None)
        if found is self:
            return self.__qualname__
        rules = [None if r is None else r.__wrapped__ for r in (self._fwd, self._bwd, self._jvp)]
        return _again, (self._name, self.__wrapped__, self._statics.numbers, *rules)  # type: ignore[union-attr]

    def __repr__(self) -> str:
        return f"<{self._name} of {self._recorder.convention()}>"  # type: ignore[union-attr]


class _Fixed:
    """Which arguments of a function have no derivative; what is no array among them is part of the program.

    Args:
        name: for messages.
        recorder: of the function.
        argnums: an int or several, counted without `ops`.
    """

    def __init__(self, name: str, recorder: Recorder, argnums: Any) -> None:
        self._name, self._recorder = name, recorder
        given = argnums if isinstance(argnums, tuple | list) else (argnums,)
        if not all(isinstance(k, int) and not isinstance(k, bool) for k in given):
            raise OptionError(f"{name}: nondiff_argnums must be an int or several, got {argnums!r}")
        self.numbers = tuple(given)

    @once
    def _defaults(self) -> dict[int, Any]:
        # By the number of the argument; those that cannot be compared are arguments like others.
        try:
            parameters = list(inspect.signature(self._recorder.__wrapped__).parameters.values())[bool(self._recorder.with_ops) :]
        except (TypeError, ValueError):
            return {}
        return {k: p.default for k, p in enumerate(parameters) if p.default is not p.empty and isinstance(p.default, Hashable)}

    def __bool__(self) -> bool:
        # Each call comes here, for its keyword arguments.
        return True

    def places(self, count: int) -> set[int]:
        """The numbers of these arguments in a call with so many, counted from 0."""
        for k in self.numbers:
            if not -count <= k < count:
                raise OptionError(f"{self._name}: nondiff_argnums names argument {k}, the call has {count}")
        return {k % count for k in self.numbers}

    def mark(self, args: tuple[Any, ...], keywords: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments of a call by position, with those that are part of the program as `Static`."""
        args = self._in_order(args, keywords)
        parts = self.parts(args)
        return tuple([Static(a, f"{self._name}: argument {k}") if k in parts else a for k, a in enumerate(args)]), {}

    def parts(self, args: tuple[Any, ...]) -> set[int]:
        """The numbers of the arguments that are part of the program: these, and defaults that a call leaves as they are; no arrays."""
        places = self.places(len(args)) | {k for k, d in self._defaults.items() if k < len(args) and args[k] is d}
        return {k for k in places if not _holds_arrays(args[k])}

    def _in_order(self, args: tuple[Any, ...], keywords: Mapping[str, Any]) -> tuple[Any, ...]:
        self._recorder.positional(len(args), keywords)
        first = [None] * bool(self._recorder.with_ops)
        try:
            bound = inspect.signature(self._recorder.__wrapped__).bind(*first, *args, **keywords)
        except (TypeError, ValueError) as error:
            if not keywords:
                return args
            raise CallError(f"{self._name}: {self._recorder.shown()} does not take these arguments: {error}") from None
        named = [n for n in bound.kwargs if n in keywords]
        if named:
            raise CallError(f"{self._name}: arguments must have a place by position, got {named[0]!r} by keyword alone")
        bound.apply_defaults()
        return bound.args[len(first) :]


def _holds_arrays(value: Any) -> bool:
    return any(isinstance(x, RefBase | ParamBase | AnyTensor) or hasattr(x, "__array__") for x in tree.flatten(value)[0])


def _moves(value: Any) -> bool:
    # Whether something that a function captures may have a derivative.
    return isinstance(value, ParamBase) or not is_array(value)


class _Signature:
    """How a call's arguments are put together.

    Args:
        form: the structure of the tuple of those that are arrays.
        fixed: the others, by their number.
        count: of all.
    """

    def __init__(self, form: tree.Structure, fixed: dict[int, Any], count: int) -> None:
        self.form, self.fixed, self.count = form, fixed, count

    def arguments(self, leaves: Sequence[Any]) -> list[Any]:
        """All arguments, with these arrays."""
        moving = iter(tree.unflatten(self.form, leaves))
        return [self.fixed[k] if k in self.fixed else next(moving) for k in range(self.count)]


class _Call:
    """The calls of a function with arguments of the same shapes, as one op; the rules are traced when derivatives are asked for.

    Args:
        owner: the function.
        body: it as a program of the arrays among its arguments and of what it captures.
        signature: of the call.
        outer: the structure of its value.
        closed: for each captured input whether it may have a derivative.
    """

    def __init__(self, owner: CustomFunction, body: Graph, signature: _Signature, outer: tree.Structure, closed: Sequence[bool]) -> None:
        self.name, self.title = owner._name, owner.__name__
        self.fwd, self.bwd, self.jvp = owner._fwd, owner._bwd, owner._jvp
        self.signature, self.outer, self.closed = signature, outer, closed
        self.count = len(body.inputs) - len(closed)
        fixed = owner._statics.places(signature.count)  # type: ignore[union-attr]
        self.nondiff, self.diff = sorted(fixed), [k for k in range(signature.count) if k not in fixed]
        #: Of the differentiable ones those that are no defaults.
        self.arrays = [k for k in self.diff if k not in signature.fixed]
        #: How many defaults end the arguments: a rule may leave them out.
        self.spare = next((n for n, k in enumerate(reversed(range(signature.count))) if k in fixed or k not in signature.fixed), 0)
        numbers = [k for k in range(signature.count) if k not in signature.fixed]
        arguments = [k for k, part in zip(numbers, signature.form[2], strict=True) for _ in range(tree.count(part))]
        #: Which inputs belong to the differentiable arguments.
        self.moving = [i for i, k in enumerate(arguments) if k not in fixed]
        #: What the rules capture: where that changes, they are traced again.
        self.watch = Captured(owner.__tlean_rules__)
        self.op = Ruled(f"{self.name} {self.title}", body, self._pulled, self._pushed)

    def _run(self, rule: Recorder, graph: Graph, *args: Any) -> Any:
        try:
            return rule(graph, *args)
        except NodeError as error:
            error.add_note(
                f"{rule.name}: a rule is traced by itself, so it reads no references of programs around it; pass them as arguments of"
                f" {self.title}"
            )
            raise

    def _pair(self, rule: Recorder, made: Any, what: str) -> Any:
        if not isinstance(made, tuple | list) or len(made) != 2:
            raise OptionError(f"{rule.name} must return ({what}), got {type(made).__name__}")
        return made

    def _check_value(self, rule: Recorder, value: Any, ys: Sequence[GraphRef]) -> None:
        # A rule's value is the function's, which was computed already: only another form tells that it is another.
        leaves, form = tree.flatten(value)
        if form != self.outer:
            raise ShapeError(f"{rule.name} must return a value like the function's, {tree.describe(self.outer)}, got {tree.describe(form)}")
        shapes, wanted = [tuple(np.shape(v)) for v in leaves], [y.shape for y in ys]
        if shapes != wanted:
            raise ShapeError(f"{rule.name} must return a value of the function's shape, {wanted}, got {shapes}")

    def _apart(self, xs: Sequence[GraphRef]) -> tuple[list[Any], list[Any], list[Any]]:
        # The arguments, those without a derivative, the others.
        args = self.signature.arguments(xs[: self.count])
        return args, [args[k] for k in self.nondiff], [args[k] for k in self.diff]

    def _refusal(self) -> OptionError:
        return OptionError(
            f"{self.name}: {self.title} captures a reference or a parameter, and its rules say nothing of derivatives with respect to it;"
            " pass it as an argument"
        )

    # Reverse mode -----------------------------------------------------------------------------------------------------------

    def _pulled(self, graph: Graph, gs: Sequence[Any], ys: Sequence[GraphRef], xs: Sequence[GraphRef]) -> Sequence[Any]:
        args, nondiff, diff = self._apart(xs)
        if self.bwd is not None and self.fwd is not None:
            taken = args if self.fwd.accepts(len(args)) else args[: len(args) - self.spare]
            value, residuals = self._pair(self.fwd, self._run(self.fwd, graph, *taken), "value, residuals")
            self._check_value(self.fwd, value, ys)
            g = tree.dual(tree.unflatten(self.outer, with_zeros(graph, gs, ys)))
            found = self._cotangents(graph, tree.dual(self._run(self.bwd, graph, *nondiff, residuals, g)), diff)
        else:
            # The rule is linear in the tangents, whatever these are.
            units = [graph._variable(zeros(graph, xs[k].spec)) if xs[k].dtype in FLOATS else None for k in self.moving]
            moved = self._tangents(graph, nondiff, diff, units, ys)
            found = reverse(graph, [(t, g) for t, g in zip(moved, gs, strict=True) if t is not None and g is not None], units)
        result: list[Any] = [None] * len(xs)
        for k, g in zip(self.moving, found, strict=True):
            result[k] = g
        for k, moves in enumerate(self.closed, self.count):
            result[k] = self._refusal() if moves and xs[k].dtype in FLOATS else None
        return result

    def _cotangents(self, graph: Graph, made: Any, diff: Sequence[Any]) -> list[GraphRef | None]:
        # For each array among the differentiable arguments.
        assert self.bwd is not None
        name = self.bwd.name
        if not isinstance(made, tuple | list) or len(made) not in (len(diff), len(diff) - self.spare):
            got = len(made) if isinstance(made, tuple | list) else type(made).__name__
            raise ShapeError(
                f"{name} must return a tuple with a cotangent for each of the {len(diff) - self.spare} differentiable arguments, got {got}"
            )
        result: list[GraphRef | None] = []
        for k, cotangent, argument in zip(self.diff, made, diff, strict=False):
            if k in self.signature.fixed:
                continue
            wanted, form = tree.flatten(argument)
            leaves = _spread(f"{name} must return a cotangent like its argument", cotangent, form)
            for g, x in zip(leaves, wanted, strict=True):
                result.append(None if g is None or x.dtype not in FLOATS else _like(f"{name}: a cotangent", graph, g, x))
        return result

    # Forward mode -----------------------------------------------------------------------------------------------------------

    def _pushed(self, graph: Graph, ts: Sequence[Any], ys: Sequence[GraphRef], xs: Sequence[GraphRef]) -> Sequence[Any]:
        if any(t is not None for t in ts[self.count :]):
            raise self._refusal()
        if self.jvp is None:
            raise OptionError(f"{self.name}: forward mode needs a rule for tangents; call {self.title}.defjvp(rule)")
        if all(ts[k] is None for k in self.moving):
            return [None] * len(ys)
        units = [None if xs[k].dtype not in FLOATS else or_zeros(graph, ts[k], xs[k].spec) for k in self.moving]
        _, nondiff, diff = self._apart(xs)
        return self._tangents(graph, nondiff, diff, units, ys)

    def _tangents(
        self, graph: Graph, nondiff: Sequence[Any], diff: Sequence[Any], units: Sequence[Any], ys: Sequence[GraphRef]
    ) -> list[GraphRef | None]:
        # What the rule makes of tangents of the arrays among the differentiable arguments.
        assert self.jvp is not None
        args = dict(zip(self.diff, diff, strict=True))
        moved = tree.unflatten(tree.flatten(tuple([args[k] for k in self.arrays]))[1], units)
        tangents = tuple([moved[self.arrays.index(k)] if k in self.arrays else None for k in self.diff])
        made = self._pair(self.jvp, self._run(self.jvp, graph, *nondiff, tuple(diff), tangents), "value, tangent of the value")
        self._check_value(self.jvp, made[0], ys)
        leaves = _spread(f"{self.jvp.name} must return a tangent like the value", made[1], self.outer)
        name = f"{self.jvp.name}: a tangent"
        return [None if t is None or y.dtype not in FLOATS else _like(name, graph, t, y) for t, y in zip(leaves, ys, strict=True)]


def _spread(what: str, value: Any, form: tree.Structure) -> list[Any]:
    # The leaves of a tree of that form; None means zeros for any part of it.
    leaves, given = tree.flatten(value)
    left = iter(leaves)

    def walk(given: tree.Structure, form: tree.Structure) -> list[Any]:
        if given is None:
            return [None] * tree.count(form)
        if given == form == "*":
            return [next(left)]
        if not (isinstance(given, tuple) and isinstance(form, tuple)) or given[:2] != form[:2] or len(given[2]) != len(form[2]):
            raise ShapeError(f"{what}, {tree.describe(form)}, got {tree.describe(given)}")
        return [x for g, f in zip(given[2], form[2], strict=True) for x in walk(g, f)]

    return walk(given, form)


def _like(what: str, graph: Graph, value: Any, like: GraphRef) -> GraphRef:
    ref = graph.ref(value)
    assert ref is not None
    if ref.shape != like.shape:
        raise ShapeError(f"{what} must have its value's shape {like.shape}, got {ref.shape}")
    if ref.dtype not in FLOATS:
        raise DTypeError(f"{what} must hold floating-point numbers, got {ref.dtype}")
    return converted(graph, ref, like.dtype)  # type: ignore[no-any-return]


def _again(name: str, f: Any, nondiff_argnums: Any, fwd: Any, bwd: Any, jvp: Any) -> CustomFunction:
    made = CustomFunction(name, f, nondiff_argnums)
    if bwd is not None:
        made.defvjp(fwd, bwd)
    if jvp is not None:
        made.defjvp(jvp)
    return made


def custom_vjp(f: Callable[..., Any], nondiff_argnums: Any = ()) -> CustomFunction:
    """A program whose reverse-mode derivative is a rule of the user's own; JAX's `custom_vjp`. Also a decorator.

    `defvjp(fwd, bwd)` of the result declares the rule. Derivatives of higher order differentiate `bwd` and what it is given. Forward mode
    needs `defjvp`; both may be declared.

    Args:
        f: `f(*xs)`, or `f(ops, *xs)`, returns an array or a tree of arrays.
        nondiff_argnums: the number of an argument, or several, without a derivative. What is no array there is part of the program:
            hashable, as a number or a function is.

    Returns: a program that is called as f is; keyword arguments find their place by the signature of f. Defaults that a call leaves out are
        part of the program: rules may take them, and give None for them, or leave them out at the end.
    Raises: OptionError for what is no function; when called, OptionError without a rule. When differentiated, ShapeError, DTypeError for
        what does not fit; OptionError for a derivative with respect to something that f captures.

    Example:
        >>> @tl.custom_vjp
        ... def clipped(x):
        ...     return x
        >>> clipped.defvjp(lambda x: (x, None), lambda _, g: (tl.clamp(g, -1.0, 1.0),))
        >>> tl.grad(lambda x: 5.0 * clipped(x))(np.array(2.0)).item()
        1.0
    """
    return CustomFunction("custom_vjp", f, nondiff_argnums)


def custom_jvp(f: Callable[..., Any], nondiff_argnums: Any = ()) -> CustomFunction:
    """A program whose forward-mode derivative is a rule of the user's own, which serves reverse mode too; JAX's `custom_jvp`.

    `defjvp(rule)` of the result declares the rule, or `defjvps` argument by argument. Derivatives of higher order differentiate the rule.

    Args:
        f, nondiff_argnums: as for `custom_vjp`.

    Returns, Raises: as `custom_vjp`.

    Example:
        >>> @tl.custom_jvp
        ... def log1pexp(x):
        ...     return tl.log(1.0 + tl.exp(x))
        >>> @log1pexp.defjvp
        ... def rule(primals, tangents):
        ...     (x,), (t,) = primals, tangents
        ...     return log1pexp(x), t * tl.sigmoid(x)
        >>> tl.grad(log1pexp)(np.array(100.0)).item()
        1.0
    """
    return CustomFunction("custom_jvp", f, nondiff_argnums)
