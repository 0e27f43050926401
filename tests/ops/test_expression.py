"""The formula language: reading, computing, replaying as ops, writing C; and the table of elementwise ops that is made of it."""

import math
import shutil
import subprocess
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tlean.errors import DTypeError, OptionError, ShapeError
from tlean.ops import expression as ex
from tlean.ops.elementwise import FORMULAS, PRIMITIVES, elementwise
from tlean.ops.registry import Spec, all_ops, get

NAN, INF = math.nan, math.inf
PUBLIC = [op for op in all_ops(internal=False) if op.name in FORMULAS]


class Ref:
    """One number, as a ref of `Scalars`."""

    shape = ()

    def __init__(self, value):
        self.value = value


class Scalars:
    """A backend whose arrays are single numbers: every op is its formula, evaluated."""

    def __init__(self):
        self.called = []

    def __getattr__(self, name):
        def op(*refs, **options):
            self.called.append(name)
            if name == "_full":
                return Ref(options["value"])
            formula = FORMULAS[name]
            env = dict(zip(formula.inputs, (r.value for r in refs), strict=True))
            return Ref(ex.evaluate(formula.tree, {**env, **formula.values(options)}))

        return op


def same(a, b):
    return a == b or (a != a and b != b)


def value_of(op, inputs, options):
    return getattr(Scalars(), op.name)(*map(Ref, inputs), **options).value


def gradients_of(op, inputs, options, g=1.0):
    ops = Scalars()
    refs = [Ref(x) for x in inputs]
    found = op.rules.vjp(ops, Ref(g), Ref(value_of(op, inputs, options)), *refs, **options)
    return [None if r is None else r.value for r in found]


@pytest.mark.parametrize("text", ["x + ", "x @ y", "f(x)", "a < b < c", "exp(x, x)", "x if y else z", "'x'", "x.y", "not x", "max(a)"])
def test_parse_rejects_what_is_outside_the_language(text):
    with pytest.raises((ValueError, SyntaxError)):
        ex.parse(text)


def test_trees():
    tree = ex.parse("g*(1 - y*y)")
    assert tree == ex.Call("mul", (ex.Variable("g"), ex.Call("sub", (ex.Number(1), ex.Call("mul", (ex.Variable("y"),) * 2)))))
    assert ex.variables(tree) == {"g", "y"}
    assert ex.parse("-2") == ex.Number(-2)
    assert ex.smooth_variables(ex.parse("select(x > lo, select(y == 0, g, 0), 0)")) == {"g"}
    condition, yes, no = ex.split_uniform(ex.parse("1 + select(c == 2, x*x, pow(x, c))"), {"c"})
    assert (condition, yes, no) == (ex.parse("c == 2"), ex.parse("1 + x*x"), ex.parse("1 + pow(x, c)"))
    assert ex.split_uniform(ex.parse("select(x > 0, x, c)"), {"c"}) is None


def test_evaluate_is_exact_on_fractions():
    third = Fraction(1, 3)
    assert ex.evaluate(ex.parse("g*(1 - y*y)/2"), {"g": third, "y": third}) == Fraction(4, 27)
    assert ex.evaluate(ex.parse("pow(x, c)"), {"x": third, "c": -2}) == 9
    # The branch not taken is not evaluated: 1/0 is no fraction.
    assert ex.evaluate(ex.parse("select(x == 0, 0, 1/x)"), {"x": Fraction(0)}) == 0
    with pytest.raises(DTypeError):
        ex.evaluate(ex.parse("pow(x, c)"), {"x": third, "c": 0.5})


@pytest.mark.parametrize(
    ("text", "x", "want"),
    [
        ("1/x", 0.0, INF), ("1/x", -0.0, -INF), ("x/x", 0.0, NAN), ("log(x)", 0.0, -INF), ("log(x)", -1.0, NAN), ("log1p(x)", -1.0, -INF),
        ("exp(x)", 1e4, INF), ("sqrt(x)", -1.0, NAN), ("sin(x)", INF, NAN), ("max(x, 0)", NAN, NAN), ("max(0, x)", NAN, NAN),
        ("sign(x)", NAN, NAN), ("sigmoid(x)", -1e4, 0.0), ("pow(x, -1)", -0.0, -INF), ("pow(x, -2)", 0.0, INF), ("pow(x, 1/2)", -1.0, NAN),
    ],
)  # fmt: skip
def test_evaluate_is_ieee_on_floats(text, x, want):
    assert same(ex.evaluate(ex.parse(text), {"x": x}), want)


def test_c_text_names_what_occurs_twice():
    lines, value = ex.to_c(ex.parse("sigmoid(x)*(1 - sigmoid(x))*0.5"), {"x": "x[i]"}, "f32")
    assert lines == ["const float t0 = tl_sigmoidf(x[i]);"]
    assert value == "((t0 * (1.0f - t0)) * 0.5f)"
    assert ex.to_c(ex.parse("select(x > 0, x, -1)"), {"x": "x"}, "f64") == ([], "((x > 0.0) ? x : (-1.0))")


@pytest.mark.skipif(shutil.which("g++") is None, reason="no compiler")
def test_cuda_text_is_valid_c(tmp_path):
    # Every formula in CUDA C, with CUDA's keywords defined away.
    special = Path(__file__).parents[1] / "cuda_emulation" / "special.h"
    text = [
        f'#include <cmath>\n#include "{special}"\nusing namespace std;\n#define __device__\n#define __forceinline__ inline\n',
        ex.CUDA_PRELUDE,
    ]
    for dtype, real in (("f32", "float"), ("f64", "double")):
        for name, formula in FORMULAS.items():
            names = (*formula.inputs, *formula.parameters)
            lines, value = ex.to_cuda(formula.tree, {n: n for n in names}, dtype)
            text.append(f"{real} {name}_{dtype}({', '.join(f'{real} {n}' for n in names)}) {{ {' '.join(lines)} return {value}; }}\n")
    source = tmp_path / "formulas.cpp"
    source.write_text("".join(text))
    subprocess.run(["g++", "-fsyntax-only", "-Werror", str(source)], check=True)


@pytest.mark.parametrize("name", FORMULAS)
def test_decomposition_is_the_formula_in_primitives(name):
    op, formula = get(name), FORMULAS[name]
    decompose = op.rule("decompose")
    assert (decompose is None) == (name in PRIMITIVES or name == "_full")
    if decompose is None:
        return
    for options in [s.options for s in op.samples() if s.raises is None]:
        clean = op.infer(tuple(Spec((), "float") for _ in formula.inputs), options)[0]
        for inputs in [(0.7, -1.3, 0.4), (-0.3, 0.6, 1.7), (1.1, 1.1, 1.1)]:
            inputs = inputs[: len(formula.inputs)]
            ops = Scalars()
            got = decompose(ops, *map(Ref, inputs), **clean).value
            assert got == pytest.approx(value_of(op, inputs, clean), rel=1e-13, nan_ok=True)
            assert set(ops.called) <= PRIMITIVES | {"_full"}


@pytest.mark.parametrize("op", PUBLIC, ids=lambda op: op.name)
def test_gradients_are_those_of_a_central_difference(op):
    formula = FORMULAS[op.name]
    for sample in op.samples():
        if sample.raises or not sample.smooth:
            continue
        options = op.infer(tuple(Spec((), "float") for _ in formula.inputs), sample.options)[0]
        for inputs in [(0.7, 1.3, 0.4), (0.3, 0.6, 1.7)] if op.name != "acosh" else [(1.3,), (1.6,)]:
            inputs = inputs[: len(formula.inputs)]
            found = gradients_of(op, inputs, options, 1.5)
            for k, gradient in enumerate(found):
                if gradient is not None:
                    step = [(x + 1e-6 * (j == k), x - 1e-6 * (j == k)) for j, x in enumerate(inputs)]
                    ends = [value_of(op, [s[side] for s in step], options) for side in (0, 1)]
                    assert gradient == pytest.approx(1.5 * (ends[0] - ends[1]) / 2e-6, rel=1e-5, abs=1e-9)
                    # The tangent in place of the cotangent: the same share of the Jacobian.
                    tangents = [Ref(1.5) if j == k else None for j in range(len(inputs))]
                    y = Ref(value_of(op, inputs, options))
                    assert op.rules.jvp(Scalars(), tuple(tangents), y, *map(Ref, inputs), **options).value == gradient


@pytest.mark.parametrize(
    ("name", "inputs", "options", "value", "gradients"),
    [
        ("abs", [0.0], {}, 0, [0]),
        ("pow", [0.0], {"c": 0.0}, 1, [0]),
        ("pow", [NAN], {"c": 0.0}, 1, [0]),
        ("pow", [0.0], {"c": 0.5}, 0, [0]),
        ("pow", [-1.0], {"c": 0.5}, NAN, [0]),
        ("pow", [4.0], {"c": 0.5}, 2, [0.25]),
        ("pow", [0.0], {"c": 0.25}, 0, [INF]),
        ("sign", [-3.0], {}, -1, [None]),
        ("where", [0.0, NAN, 2.0], {}, 2, [None, 0, 1]),
        ("where", [-2.0, 3.0, NAN], {}, 3, [None, 1, 0]),
        ("sqrt", [0.0], {}, 0, [0]),
        ("sqrt", [-1.0], {}, NAN, [0]),
        ("clamp", [1.0], {"lo": -1.0, "hi": 1.0}, 1, [0]),
        ("clamp", [-1.0], {"lo": -1.0, "hi": 1.0}, -1, [0]),
        ("clamp", [NAN], {"lo": -1.0, "hi": 1.0}, NAN, [0]),
        ("max", [2.0, 2.0], {}, 2, [0.5, 0.5]),
        ("min", [2.0, 2.0], {}, 2, [0.5, 0.5]),
        ("max", [NAN, 1.0], {}, NAN, [0, 0]),
        ("min", [1.0, NAN], {}, NAN, [0, 0]),
        ("relu", [0.0], {}, 0, [0]),
        ("relu", [NAN], {}, NAN, [0]),
        ("leaky_relu", [0.0], {"slope": 0.25}, 0, [0.25]),
        ("elu", [0.0], {"alpha": 0.5}, 0, [0.5]),
        ("log", [0.0], {}, -INF, [INF]),
        ("inv", [-0.0], {}, -INF, [-INF]),
        ("safe_log", [0.0], {"eps": 0.125}, math.log(0.125), [8]),
        ("safe_log", [-5.0], {"eps": 0.125}, math.log(0.125), [0]),
        ("softplus", [800.0], {}, 800, [1]),
        ("sigmoid", [-800.0], {}, 0, [0]),
        ("gelu", [1e20], {"approximate": "tanh"}, 1e20, [1]),
        ("gelu", [-1e200], {"approximate": "tanh"}, 0, [0]),
    ],
)  # fmt: skip
def test_corners(name, inputs, options, value, gradients):
    op = get(name)
    assert same(value_of(op, inputs, options), value)
    assert all(same(a, b) for a, b in zip(gradients_of(op, inputs, options), gradients, strict=True))


@pytest.mark.parametrize("name", FORMULAS)
def test_samples_are_what_they_say(name):
    op = get(name)
    for sample in op.samples():
        specs = tuple(Spec(getattr(a, "shape", a), "float") for a in sample.args)
        if sample.raises:
            with pytest.raises({"ShapeError": ShapeError, "OptionError": OptionError}[sample.raises]):
                op.infer(specs, sample.options)
        else:
            options, outs = op.infer(specs, sample.options)
            assert not specs or outs[0].shape == np.broadcast_shapes(*(s.shape for s in specs))
            ints, floats = op.kernel_params(specs, options)
            assert ints == (outs[0].size,) and len(floats) == len(FORMULAS[name].parameters)


def test_options_that_mean_the_same_are_equal():
    scale = get("scale")
    specs = (Spec((3,), "float"),)
    assert scale.infer(specs, {"c": 2})[0] == scale.infer(specs, {"c": 2.0})[0] == scale.infer(specs, {"c": Fraction(2)})[0]
    assert scale.infer(specs, {"c": float("nan")})[0] == scale.infer(specs, {"c": float("nan")})[0]
    for bad in ({}, {"c": "2"}, {"c": [2.0]}, {"c": 2.0, "d": 1.0}):
        with pytest.raises(OptionError):
            scale.infer(specs, bad)


@pytest.mark.parametrize(
    ("formula", "gradients", "words"),
    [
        ("x*z", {"x": "g"}, r"got z in 'x\*z'"),
        ("x*c", {"x": "g*d"}, r"got d in 'g\*d'"),
        ("x*c", {"z": "g"}, "belong to an input"),
    ],
)
def test_a_row_whose_names_are_none_of_its_own_is_refused(formula, gradients, words):
    with pytest.raises(OptionError, match="misspelt: .*" + words):
        elementwise("misspelt(x, *, c=1.0)", formula, gradients, "A row of the table.")
    assert "misspelt" not in FORMULAS
