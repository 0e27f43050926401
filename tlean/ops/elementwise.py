"""Elementwise ops: a table of formulas.

One row, `elementwise(signature, formula, gradients, text)`, declares an op. Its kernels, rules, decomposition and definition are all made
from the formulas (see `expression`): `formula` is the value; `gradients` gives, per input, the cotangent in terms of `g`, the output `y`
and the inputs. The Jacobian of an elementwise op is diagonal, so the same formula with the tangent in place of `g` is its share of the JVP.

A gradient of one primitive becomes that op (`g*b` is `mul(g, b)`); any other becomes a fused internal op, `_tanh_grad(g, y)`, whose inputs
are the variables of its formula: `y` there is the output's own node, so derivatives of any order flow through it.

A branch of a `select` that is not taken must be finite wherever the formula is differentiated again (0 · inf is NaN): hence
`exp(min(x, 0))` where `exp(x)` would have the same value.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

from ..dtypes import FLOAT, TRUTH
from ..errors import OptionError
from ..shapes import broadcast_axes, broadcast_shapes, size
from . import expression as ex
from .formulas.vocabulary import VOCABULARY
from .integers.forms import integer_form
from .registry import OpDef, Rules, defop, no_gradient, no_tangent
from .samples import Arr, Sample, bad, elementwise_samples, good

Shape = tuple[int, ...]

#: The closed set of ops that decompositions of elementwise ops are made of. They have no decomposition.
PRIMITIVES = frozenset((
    "add", "sub", "mul", "div", "neg", "scale", "shift", "inv", "abs", "sign", "max", "min", "pow", "power", "sqrt", "exp", "log", "log1p",
    "expm1", "sigmoid", "tanh", "erf", "sin", "cos", "where", "greater", "greater_equal", "less", "less_equal", "equal", "not_equal",
    "logical_and", "logical_or", *(name for name, f in VOCABULARY.items() if f.formula is None),
))  # fmt: skip


@dataclass(frozen=True)
class Formula:
    """What a kernel computes for each element.

    `inputs` and `parameters` name the variables of `tree`; parameters are numbers made of the options by `values`, in the order in which a
    kernel finds them in `floats`. Those of the inputs in `booleans` are Booleans, a byte each.
    """

    name: str
    inputs: tuple[str, ...]
    parameters: tuple[str, ...]
    tree: ex.Tree
    values: Callable[[Mapping[str, Any]], dict[str, float]]
    booleans: frozenset[str] = frozenset()

    @property
    def condition(self) -> bool:
        """Whether the value is a Boolean."""
        return ex.is_condition(self.tree)

    @property
    def lanes(self) -> Formula | None:
        """The same on numbers in place of Booleans: true is what is not 0, and the value is 1 or 0. None for a formula of numbers alone.

        A fused group computes with these: in vectors of numbers its Booleans are numbers too.
        """
        if not self.booleans and not self.condition:
            return None
        tree = ex.Call("select", (self.tree, ex.Number(1), ex.Number(0))) if self.condition else self.tree
        return replace(self, name=f"{self.name}_lanes", tree=tree, booleans=frozenset())


#: Every elementwise op with a kernel, public and internal, by name.
FORMULAS: dict[str, Formula] = {}
#: The forms on lanes of those of Booleans, by the names of their kernels.
LANES: dict[str, Formula] = {}

_REQUIRED = object()


def formula_of_kernel(kernel: str) -> Formula:
    """The formula that a kernel computes."""
    return FORMULAS.get(kernel) or LANES[kernel]


def _declare(formula: Formula) -> None:
    FORMULAS[formula.name] = formula
    lanes = formula.lanes
    if lanes is not None:
        LANES[lanes.name] = lanes


def number(value: Any, name: str) -> float:
    """An option that is a plain number, as a float. Raises: OptionError."""
    if not isinstance(value, Real):
        raise OptionError(f"{name} must be a plain number")
    # Options are part of a key: one NaN object, since two of them are never equal.
    return float(value) if value == value else math.nan


def elementwise(
    signature: str,
    formula: str,
    gradients: Mapping[str, str] | None,
    doc: str,
    *,
    check: Callable[[dict[str, Any]], None] | None = None,
    values: Callable[[Mapping[str, Any]], dict[str, float]] | None = None,
    kinds: str = "normal",
    calls: tuple[dict[str, Any], ...] = ({},),
    more: Callable[[], list[Sample]] | None = None,
    aliases: tuple[str, ...] = (),
    source: str = "",
    algebraic: bool = True,
    booleans: tuple[str, ...] = (),
    sampled: float = 0.75,
) -> OpDef:
    """Declare an elementwise op.

    Args:
        signature: the op's name, inputs, and options with defaults, as `def` would have them: `"elu(x, *, alpha=1.0)"`.
        formula: the value of an element.
        gradients: per input, the cotangent; None for an op without gradients.
        doc: one sentence.
        check: raises OptionError for options (already floats) that do not fit.
        values: the formula's parameters, made of the options; by default the options themselves.
        kinds: what the tests draw the inputs from (see `Arr`).
        calls: the options that the tests call it with.
        more: further samples.
        algebraic: whether the formula is exact on fractions.
        booleans: the inputs that are Booleans; of numbers, whether they are not 0.
        sampled: what the tests give the parameters of its gradients.
    """
    name, inputs, defaults = _read_signature(signature)
    plain = values is None
    values = values or dict
    parameters = tuple(values({**defaults, **calls[0]}))
    formula_of = Formula(name, inputs, parameters, ex.parse(formula), values, frozenset(booleans))
    _check_names(name, formula, {*inputs, *parameters})
    for x, text in (gradients or {}).items():
        _check_names(name, text, {"g", "y", *inputs, *parameters})
        if x not in inputs:
            raise OptionError(f"{name}: a cotangent must belong to an input ({', '.join(inputs)}), got one for {x!r}")
    _declare(formula_of)
    form = integer_form(name)

    def options(*shapes: Shape, **remaining: Any) -> dict[str, Any]:
        clean = {}
        for key, default in defaults.items():
            value = remaining.pop(key, default)
            if value is _REQUIRED:
                raise OptionError(f"{key} is required")
            exact = form is not None and key in form.parameters and isinstance(value, int)
            clean[key] = int(value) if exact else number(value, key) if plain else value
        if remaining:
            raise OptionError(f"takes no option {next(iter(remaining))}")
        if check:
            check(clean)
        return clean

    rules: dict[str, Any] = {"options": options, **_common_rules(formula_of, defaults)}
    if gradients is None:
        rules |= {"vjp": no_gradient, "jvp": no_tangent}
    else:
        rules |= _derivative_rules([_pullback(formula_of, x, gradients, defaults, algebraic, kinds, sampled) for x in inputs])
    if name not in PRIMITIVES:
        rules["decompose"] = _decomposition(formula_of)
    return defop(
        name,
        samples=lambda: elementwise_samples(_kinds(formula_of, kinds), calls, next(iter(defaults), None), more() if more else []),
        aliases=aliases,
        source=source,
        algebraic=algebraic,
        differentiable=gradients is not None,
        broadcasts=len(inputs) > 1,
        integers=form,
        dtypes=dict.fromkeys(booleans, TRUTH),
        out_dtype="bool" if formula_of.condition else FLOAT,
    )(Rules(doc, **rules))


def _kinds(formula: Formula, kinds: str) -> tuple[str, ...]:
    # What the tests draw each input from.
    return tuple("bool" if x in formula.booleans else kinds for x in formula.inputs)


def _check_names(op: str, text: str, names: set[str]) -> None:
    if unknown := ex.variables(ex.parse(text)) - names:
        raise OptionError(f"{op}: a formula must be made of {', '.join(sorted(names))}, got {', '.join(sorted(unknown))} in {text!r}")


def _read_signature(signature: str) -> tuple[str, tuple[str, ...], dict[str, Any]]:
    name, _, rest = signature.rstrip(")").partition("(")
    inputs, _, options = rest.partition(", *, ")
    pairs = [option.partition("=") for option in filter(None, options.split(", "))]
    return (
        name,
        tuple(inputs.split(", ")),
        {option: ast.literal_eval(default) if equals else _REQUIRED for option, equals, default in pairs},
    )


def _common_rules(formula: Formula, options: Mapping[str, Any]) -> dict[str, Any]:
    def shape(*shapes: Shape, **options: Any) -> Shape:
        return broadcast_shapes(formula.inputs, shapes)

    def kernel_params(*shapes: Shape, **options: Any) -> tuple[tuple[int, ...], tuple[float, ...]]:
        # ints = (elements,); floats = the parameters. Inputs that have other shapes are stretched before a kernel gets them.
        values = formula.values(options)
        return (size(broadcast_shapes(formula.inputs, shapes)),), tuple(values[p] for p in formula.parameters)

    def flops(*shapes: Shape, **options: Any) -> float:
        return float(size(broadcast_shapes(formula.inputs, shapes)) * ex.calls(formula.tree))

    # The registry reads inputs and options off the rule `shape`; a signature of `inspect` would take a twentieth of the library's import.
    shape.parameters = formula.inputs, tuple(options), False  # type: ignore[attr-defined]
    return {"shape": shape, "kernel_params": kernel_params, "flops": flops}


def _decomposition(formula: Formula) -> Callable[..., Any]:
    def decompose(ops: Any, *inputs: Any, **options: Any) -> Any:
        # Stretched first: so the gradient of each input is summed once, however often the formula has it.
        shape = broadcast_shapes(formula.inputs, [tuple(x.shape) for x in inputs])
        inputs = tuple(_stretched(ops, x, shape) for x in inputs)
        return ex.to_ops(formula.tree, ops, {**dict(zip(formula.inputs, inputs, strict=True)), **formula.values(options)})

    return decompose


# (ops, g, y, inputs, options) -> cotangent of one input
Pullback = Callable[[Any, Any, Any, tuple[Any, ...], dict[str, Any]], Any]


def _pullback(
    formula: Formula, x: str, gradients: Mapping[str, str], defaults: Mapping[str, Any], algebraic: bool, kinds: str, sampled: float
) -> Pullback | None:
    if x not in gradients:
        return None
    tree = ex.parse(gradients[x])
    if tree == ex.Variable("g"):
        return lambda ops, g, y, inputs, options: g
    names = ("g", "y", *formula.inputs)
    used = tuple(n for n in names if n in ex.variables(tree))
    if _is_single(tree):

        def pull(ops: Any, g: Any, y: Any, inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:
            return ex.to_ops(tree, ops, {**dict(zip(names, (g, y, *inputs), strict=True)), **formula.values(options)})

        return pull

    several = sum(not _is_single(ex.parse(text)) for text in gradients.values()) > 1
    internal = f"_{formula.name.lstrip('_')}_grad" + (f"_{x}" if several else "")
    parameters = tuple(p for p in formula.parameters if p in ex.variables(tree))
    declare_gradient(Formula(internal, used, parameters, tree, dict, formula.booleans.intersection(used)), algebraic, kinds, sampled)

    def pull_fused(ops: Any, g: Any, y: Any, inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:
        variables = dict(zip(names, (g, y, *inputs), strict=True))
        values = formula.values(options)
        return getattr(ops, internal)(*(variables[n] for n in used), **{p: values[p] for p in parameters})

    return pull_fused


def _is_single(tree: ex.Tree) -> bool:
    return isinstance(tree, ex.Variable) or (isinstance(tree, ex.Call) and not any(isinstance(a, ex.Call) for a in tree.args))


def declare_gradient(formula: Formula, algebraic: bool, kinds: str, sampled: float = 0.75) -> None:
    """Declare the internal op that is a gradient of an op, `_<op>_grad…`: a formula of the cotangent `g` and of other inputs."""
    _declare(formula)
    rules: dict[str, Any] = {"decompose": _decomposition(formula), **_common_rules(formula, dict.fromkeys(formula.parameters))}
    doc = f"A gradient of the op {formula.name[1:].partition('_grad')[0]}, from the cotangent g; linear in g."
    if ex.smooth_variables(formula.tree) - set(formula.parameters) == {"g"}:
        # The other inputs only choose a branch: the derivative is the op itself, applied to the cotangent or tangent of g.
        rules |= _derivative_rules(
            [lambda ops, g, y, inputs, options: getattr(ops, formula.name)(g, *inputs[1:], **options), *[None] * (len(formula.inputs) - 1)]
        )
    defop(
        formula.name,
        samples=lambda: elementwise_samples(_kinds(formula, kinds), (dict.fromkeys(formula.parameters, sampled),), None, []),
        algebraic=algebraic,
        broadcasts=len(formula.inputs) > 1,
        dtypes=dict.fromkeys(formula.booleans, TRUTH),
    )(Rules(doc, **rules))


def _stretched(ops: Any, x: Any, shape: Shape) -> Any:
    return x if tuple(x.shape) == shape else ops.broadcast_to(x, shape=shape)


def _summed(ops: Any, g: Any, shape: Shape) -> Any:
    # The cotangent of an input of that shape: that of its stretched copy, summed once over all axes along which it was stretched.
    if tuple(g.shape) == shape:
        return g
    total = ops.reduce_sum(g, axis=broadcast_axes(shape, tuple(g.shape))[1])
    return total if tuple(total.shape) == shape else ops.reshape(total, shape=shape)


def _derivative_rules(pullbacks: list[Pullback | None]) -> dict[str, Any]:
    # Every pullback has g among its factors, so a cotangent has y's shape; a tangent may be smaller than y.
    def vjp(ops: Any, g: Any, y: Any, *inputs: Any, **options: Any) -> tuple[Any, ...]:
        return tuple(
            None if pull is None else _summed(ops, pull(ops, g, y, inputs, options), tuple(x.shape))
            for pull, x in zip(pullbacks, inputs, strict=True)
        )

    def jvp(ops: Any, t: tuple[Any, ...], y: Any, *inputs: Any, **options: Any) -> Any:
        total = None
        for pull, tangent in zip(pullbacks, t, strict=True):
            if pull is not None and tangent is not None:
                term = pull(ops, tangent, y, inputs, options)
                total = term if total is None else ops.add(total, term)
        return None if total is None else _stretched(ops, total, tuple(y.shape))

    return {"vjp": vjp, "jvp": jvp}


# The table --------------------------------------------------------------------------------------------------------------

elementwise("add(a, b)", "a + b", {"a": "g", "b": "g"}, "a + b, element by element.")
elementwise("sub(a, b)", "a - b", {"a": "g", "b": "-g"}, "a − b, element by element.")
elementwise("mul(a, b)", "a*b", {"a": "g*b", "b": "g*a"}, "a·b, element by element.")
elementwise(
    "div(a, b)", "a/b", {"a": "g/b", "b": "-g*(a/b/b)"}, "a/b, element by element; IEEE where b is 0.",
    more=lambda: [good(Arr((6,), "normal"), Arr((6,), "away"))], kinds="away",
)  # fmt: skip
elementwise("scale(x, *, c)", "c*x", {"x": "c*g"}, "c·x for a plain number c.", calls=({"c": -1.5}, {"c": 2}))
elementwise("shift(x, *, c)", "x + c", {"x": "g"}, "x + c for a plain number c.", calls=({"c": -1.5}, {"c": 2}))
elementwise("neg(x)", "-x", {"x": "-g"}, "−x.")
elementwise("square(x)", "x*x", {"x": "2*x*g"}, "x².")
elementwise("inv(x)", "1/x", {"x": "-g*y*y"}, "1/x; ±∞ at ±0.", kinds="away", aliases=("reciprocal",))
elementwise("abs(x)", "abs(x)", {"x": "sign(x)*g"}, "|x|; the gradient at 0 is 0.", kinds="away")
elementwise("sign(x)", "sign(x)", None, "−1, 0 or 1 with the sign of x; no gradient.", kinds="away")

_ROOT_GRADIENT = "select(x > 0, g/(2*sqrt(select(x > 0, x, 1))), 0)"
# An exponent that occurs often has the formula that anybody would write; 0.5 is `sqrt`, with its value and its gradient. `c` is one number
# for the whole array, so a kernel chooses once.
_POWER = "select(c == 3, x*x*x, select(c == -1, 1/x, select(c == 0.5, sqrt(x), pow(x, c))))"
_POWER_GRADIENT = f"select(c == 1, g, select(c == 0.5, {_ROOT_GRADIENT}, c*pow(x, c - 1)*g))"
elementwise(
    "pow(x, *, c)",
    f"select(c == 2, x*x, select(c == 1, x, select(c == 0, 1, {_POWER})))",
    {"x": f"select(c == 0, 0, select(c == 2, 2*x*g, select(c == 3, 3*(x*x)*g, {_POWER_GRADIENT})))"},
    "x to the power of a plain number c; for c = 0 the gradient is 0; c = 0.5 is `sqrt`.",
    kinds="positive",
    calls=tuple({"c": c} for c in (2.5, 2, 3, 1, 0, -1, -2, 0.5)),
    more=lambda: [
        *(good(Arr((6,), "away"), c=c) for c in (2, 3, 4, 5, -1, -2, -3)),
        good(Arr((3,), "values", data=(0.0, 4.0, -1.0)), c=0.5, smooth=False),
    ],
)

elementwise(
    "sqrt(x)",
    "sqrt(x)",
    {"x": _ROOT_GRADIENT},
    "√x; NaN for x < 0; the gradient is 0 where x ≤ 0.",
    kinds="positive",
    more=lambda: [good(Arr((3,), "values", data=(0.0, 4.0, -1.0)), smooth=False)],
    algebraic=False,
)


def _check_clamp(options: dict[str, Any]) -> None:
    for name, none in (("lo", -math.inf), ("hi", math.inf)):
        value = options[name]
        options[name] = none if value is None else value if type(value) is int else number(value, name)
    if not options["lo"] <= options["hi"]:
        raise OptionError("lo must be at most hi")


_RAISED = "select(x < lo, lo, x)"
# One bound after the other: each is one instruction in vectors. The bounds are numbers, so a NaN is x and stays.
elementwise(
    "clamp(x, *, lo=None, hi=None)",
    f"select({_RAISED} > hi, hi, {_RAISED})",
    {"x": "select(x > lo, select(x < hi, g, 0), 0)"},
    "min(max(x, lo), hi), either bound or none; the gradient passes strictly between them.",
    check=_check_clamp,
    values=dict,
    calls=({"lo": -0.5, "hi": 0.75}, {"lo": -math.inf, "hi": 0.0}, {"lo": 0.25}, {"hi": 0.25}),
    more=lambda: [good(Arr((3,), "values", data=(-1.0, 0.5, 1.0)), lo=-1, hi=1, smooth=False), bad("OptionError", (3,), lo=1, hi=-1)],
)

_TIES = [good(Arr((3,), "values", data=(1.0, 2.0, 3.0)), Arr((3,), "values", data=(2.0, 2.0, 1.0)), smooth=False)]
elementwise(
    "max(a, b)",
    "max(a, b)",
    {"a": "select(a > b, g, select(a == b, g/2, 0))", "b": "select(b > a, g, select(a == b, g/2, 0))"},
    "The greater of a and b; NaN if either is; at a tie each gets half the gradient.",
    aliases=("maximum",),
    more=lambda: _TIES,
)
elementwise(
    "min(a, b)",
    "min(a, b)",
    {"a": "select(a < b, g, select(a == b, g/2, 0))", "b": "select(b < a, g, select(a == b, g/2, 0))"},
    "The smaller of a and b; NaN if either is; at a tie each gets half the gradient.",
    aliases=("minimum",),
    more=lambda: _TIES,
)

_KINK = [good(Arr((3,), "values", data=(-1.0, 0.0, 2.0)), smooth=False)]
# y > 0 exactly where x > 0, so that the gradient needs no input kept.
elementwise(
    "relu(x)", "select(x <= 0, 0, x)", {"x": "select(y > 0, g, 0)"}, "max(x, 0), NaN where x is; the gradient at 0 is 0.",
    kinds="away", more=lambda: _KINK,
)  # fmt: skip
elementwise(
    "leaky_relu(x, *, slope=0.01)", "select(x > 0, x, slope*x)", {"x": "select(x > 0, g, slope*g)"},
    "x where x > 0, else slope·x; the gradient at 0 is slope.", kinds="away", calls=({}, {"slope": 0.25}), more=lambda: _KINK,
)  # fmt: skip
elementwise(
    "elu(x, *, alpha=1.0)",
    "select(x > 0, x, alpha*expm1(min(x, 0)))",
    {"x": "select(x > 0, g, alpha*exp(min(x, 0))*g)"},
    "x where x > 0, else alpha·(eˣ − 1); the gradient at 0 is alpha.",
    kinds="away",
    calls=({}, {"alpha": 0.5}),
    algebraic=False,
    source="Clevert, Unterthiner & Hochreiter 2016, equation 14",
)
elementwise("exp(x)", "exp(x)", {"x": "g*y"}, "eˣ.", algebraic=False)
elementwise("expm1(x)", "expm1(x)", {"x": "g*exp(x)"}, "eˣ − 1, accurate near 0.", algebraic=False)
elementwise("log(x)", "log(x)", {"x": "g/x"}, "ln x; −∞ at 0, NaN below.", kinds="positive", algebraic=False)
elementwise("log1p(x)", "log1p(x)", {"x": "g/(1 + x)"}, "ln(1 + x), accurate near 0; −∞ at −1.", kinds="unit", algebraic=False)
elementwise(
    "safe_log(x, *, eps=1e-6)",
    "log(max(x, 0) + eps)",
    {"x": "select(x >= 0, g/(max(x, 0) + eps), 0)"},
    "ln(max(x, 0) + eps): finite for every finite x; the gradient is 0 where x < 0.",
    kinds="away",
    calls=({}, {"eps": 0.125}),
    algebraic=False,
)
elementwise("sigmoid(x)", "sigmoid(x)", {"x": "g*(y*(1 - y))"}, "1/(1 + e⁻ˣ).", aliases=("expit",), algebraic=False)
elementwise("tanh(x)", "tanh(x)", {"x": "g*(1 - y*y)"}, "Hyperbolic tangent.", algebraic=False)
elementwise("softplus(x)", "max(x, 0) + log1p(exp(-abs(x)))", {"x": "g*sigmoid(x)"}, "ln(1 + eˣ), without overflow.", algebraic=False)
elementwise("sin(x)", "sin(x)", {"x": "g*cos(x)"}, "Sine of x in radians.", algebraic=False)
elementwise("cos(x)", "cos(x)", {"x": "-g*sin(x)"}, "Cosine of x in radians.", algebraic=False)
elementwise(
    "erf(x)", "erf(x)", {"x": f"g*({2 / math.sqrt(math.pi)!r}*exp(-x*x))"}, "The error function, 2/√π ∫₀ˣ e^(−t²) dt.", algebraic=False
)
elementwise(
    "silu(x)", "x*sigmoid(x)", {"x": "g*(sigmoid(x)*(1 + x*(1 - sigmoid(x))))"}, "x·σ(x).", algebraic=False,
    source="Hendrycks & Gimpel 2016; Elfwing, Uchibe & Doya 2018",
)  # fmt: skip

# ½(1 + tanh u) = σ(2u), with u = √(2/π)(x + 0.044715 x³): by 2 as the base, 1/(1 + 2^−(2u/ln 2)).
_TO_BASE_2 = 2 * math.sqrt(2 / math.pi) / math.log(2)
_GATE = f"sigmoid2(x*({_TO_BASE_2!r} + {_TO_BASE_2 * 0.044715!r}*(x*x)))"
# x·d(2u)/dx, at x bounded: far out the gate is 0 or 1 and its slope exactly 0, which times an overflowed x² would be NaN.
_BOUNDED = "bounded(x, 64)"
_GATE_SLOPE = f"{_BOUNDED}*({2 * math.sqrt(2 / math.pi)!r} + {2 * math.sqrt(2 / math.pi) * 0.134145!r}*({_BOUNDED}*{_BOUNDED}))"
_NORMAL_PDF = f"{1 / math.sqrt(2 * math.pi)!r}*exp(-0.5*(x*x))"


def _check_gelu(options: dict[str, Any]) -> None:
    if options["approximate"] not in ("tanh", "none"):
        raise OptionError('approximate must be "tanh" or "none"')


elementwise(
    "gelu(x, *, approximate='tanh')",
    f"select(exact == 1, x*normal_cdf(x), x*{_GATE})",
    {"x": f"select(exact == 1, g*(normal_cdf(x) + x*({_NORMAL_PDF})), g*({_GATE}*(1 + (1 - {_GATE})*({_GATE_SLOPE}))))"},
    'x·Φ(x), Φ the normal distribution function: by its tanh approximation, or by erf (`approximate="none"`).',
    check=_check_gelu,
    values=lambda options: {"exact": float(options["approximate"] == "none")},
    calls=({}, {"approximate": "none"}),
    algebraic=False,
    source="Hendrycks & Gimpel 2016, section 2",
)
