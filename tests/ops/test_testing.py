"""`tl.testing`: right ops pass, and every kind of mistake is caught by name."""

from __future__ import annotations

import numpy as np
import pytest

import tlean as tl
from tlean._core.array import as_tensor
from tlean._core.plan.plan import run
from tlean.compiler.derive import decomposition
from tlean.interpreters.dual import Dual
from tlean.ops import get
from tlean.ops.samples import Arr, bad, good
from tlean.reference.interpreter import Reference
from tlean.testing import check_grads, check_op
from tlean.testing import ops as engine

# An op of the user's own -----------------------------------------------------------------------------------------------------


def cube(name: str, **changed):
    """c·x³ under this name, with some of its rules replaced."""
    rules = {
        "shape": lambda x, *, c: x,
        "vjp": lambda ops, g, y, x, *, c: (ops.scale(ops.mul(g, ops.square(x)), 3 * c),),
        "jvp": lambda ops, t, y, x, *, c: None if t[0] is None else ops.scale(ops.mul(t[0], ops.square(x)), 3 * c),
        "decompose": lambda ops, x, *, c: ops.scale(ops.mul(x, ops.square(x)), c),
        **changed,
    }
    return tl.defop(name, samples=lambda: [good((2, 3), c=2.0), good((), c=-1.0)])(type("Cube", (), rules))


def numpy_cube(x, *, c):
    return c * x**3


CUBE = cube("_cube_of_the_tests")


def test_a_right_op_passes():
    check_op("_cube_of_the_tests", reference=numpy_cube)
    check_op(CUBE)
    check_op(CUBE, [good(Arr((5,), "positive"), c=0.5)], reference=numpy_cube)


def test_it_runs_on_every_backend():
    x = np.array([1.0, -2.0])
    m = tl.TapeM(dtype="float64")
    y = m.apply("_cube_of_the_tests", (m.leaf(x),), {"c": 2.0})
    assert y.numpy().tolist() == [2, -16] and m.backward(y, [1.0, 1.0])[0].tolist() == [6, 24]
    s = tl.Session(backend="compiled", dtype="float64")
    assert s.get_value(s.apply(CUBE, (s.input(x),), {"c": 2.0})).tolist() == [2, -16]
    assert tl.jit(lambda ops, x: ops.apply("_cube_of_the_tests", (x,), {"c": 2.0}))(x).tolist() == [2, -16]
    with pytest.raises(tl.OptionError, match="options must be"):
        m.apply("_cube_of_the_tests", (m.leaf(x),), {"d": 2.0})
    with pytest.raises(tl.OptionError, match="no op named"):
        m.apply("hypercube", (m.leaf(x),), {})


def test_a_declared_op_is_called_on_references_of_any_backend():
    x = np.array([1.0, -2.0])
    m = tl.TapeM(dtype="float64")
    y = CUBE(m.leaf(x), c=2.0, name="own")
    assert y.numpy().tolist() == [2, -16] and "own = _cube_of_the_tests(0, c=2.0)" in repr(m.tape)
    value, slope = tl.value_and_grad(lambda ops, x: ops.sum(CUBE(x, c=2.0)))(x)
    assert value.item() == -14 and slope.tolist() == [6, 24]
    assert tl.hessian(lambda ops, x: ops.sum(CUBE(x, c=2.0)))(x).tolist() == [[12, 0], [0, -24]]
    s = tl.Session(backend="compiled", dtype="float64")
    assert s.get_value(CUBE(s.input(x), c=2.0)).tolist() == [2, -16]
    assert np.array(CUBE(Reference("float64").leaf(x), c=2.0)).tolist() == [2, -16]
    with pytest.raises(tl.NodeError, match="takes references, got ndarray"):
        CUBE(x, c=2.0)
    with pytest.raises(tl.ShapeError, match="takes 1 inputs"):
        CUBE(m.leaf(x), m.leaf(x), c=2.0)
    assert get("linear")(m.leaf(np.ones((1, 2))), None, m.leaf(x)).item() == -1.0


def test_options_may_have_defaults():
    op = tl.defop("_shifted_by_default", samples=lambda: [good((3,))])(
        type(
            "Shifted",
            (),
            {
                "shape": lambda x, *, by=3.0: x,
                "vjp": lambda ops, g, y, x, *, by=3.0: (g,),
                "jvp": lambda ops, t, y, x, *, by=3.0: t[0],
                "decompose": lambda ops, x, *, by=3.0: ops.shift(x, by),
            },
        )
    )
    assert tl.TapeM().apply(op, ([1.0],), {}).item() == 4.0
    check_op(op, [good((3,)), good((3,), by=1.0)], reference=lambda x, by=3.0: x + by)


WRONG = {
    "vjp": (
        {"vjp": lambda ops, g, y, x, *, c: (ops.scale(ops.mul(g, ops.square(x)), 2 * c),)},
        r"sample 0 \(x: \(2, 3\), c=2\.0\).*first derivative by argument 0.*reverse mode.*off by",
    ),
    "jvp": (
        {"jvp": lambda ops, t, y, x, *, c: None if t[0] is None else ops.scale(ops.mul(t[0], x), 3 * c)},
        r"first derivative by argument 0.*forward mode.*central difference says",
    ),
    "value": (
        {"decompose": lambda ops, x, *, c: ops.scale(ops.square(x), c)},
        r"float32: the value: element .* is .*, the reference says",
    ),
    "shape": (
        {
            "shape": lambda x, *, c: (*x, 1),
            "decompose": lambda ops, x, *, c: ops.reshape(ops.scale(ops.mul(x, ops.square(x)), c), (*x.shape, 1)),
        },
        r"shape rule says \(2, 3, 1\), the reference has \(2, 3\)",
    ),
    "second": (
        # The right value and slope, but the slope's own slope is cut off.
        {
            "vjp": lambda ops, g, y, x, *, c: (ops.mul(g, ops.scale(ops.detach(ops.square(x)), 3 * c)),),
            "jvp": lambda ops, t, y, x, *, c: None if t[0] is None else ops.mul(t[0], ops.scale(ops.detach(ops.square(x)), 3 * c)),
        },
        r"second derivative by argument 0",
    ),
}


@pytest.mark.parametrize("rule", WRONG)
def test_a_wrong_rule_is_caught(rule):
    changed, said = WRONG[rule]
    op = cube(f"_cube_with_a_wrong_{rule}", **changed)
    with pytest.raises(AssertionError, match=said):
        check_op(op, reference=numpy_cube)


def test_wrong_rules_pass_what_does_not_look_at_them():
    op = cube("_cube_with_a_wrong_jvp_not_asked_for", **WRONG["jvp"][0])
    check_op(op, reference=numpy_cube, order=1, modes=("rev",))
    op = cube("_cube_with_a_wrong_vjp_not_asked_for", **WRONG["vjp"][0])
    check_op(op, reference=numpy_cube, order=1, modes=("fwd",))
    with pytest.raises(AssertionError, match="central difference gives"):
        check_op(op, reference=numpy_cube, order=1, modes=("rev",))
    op = cube("_cube_with_a_wrong_second_not_asked_for", **WRONG["second"][0])
    check_op(op, reference=numpy_cube, order=1)


def test_bad_samples():
    def shape(x, *, c):
        if len(x) > 1:
            raise tl.ShapeError("x is a vector")
        return x

    op = cube("_cube_of_vectors", shape=shape)
    check_op(op, [bad("ShapeError", (2, 2), c=1.0), good((3,), c=1.0)])
    with pytest.raises(AssertionError, match="expected OptionError, got ShapeError: cube_of_vectors: x is a vector"):
        check_op(op, [bad("OptionError", (2, 2), c=1.0)])
    with pytest.raises(AssertionError, match="expected ShapeError, but the call worked"):
        check_op(op, [bad("ShapeError", (2,), c=1.0)])
    with pytest.raises(tl.ShapeError):
        check_op(op, [good((2, 2), c=1.0)])
    with pytest.raises(tl.OptionError, match="no samples"):
        check_op(op, [])


def test_rules_are_compared_where_differences_mean_nothing():
    op = cube("_cube_with_a_wrong_vjp_at_kinks", **WRONG["vjp"][0])
    kinks = [good((2, 3), smooth=False, c=2.0)]
    for dtype in ("float32", "float64"):
        with pytest.raises(AssertionError, match=rf"sample 0 .*, {dtype}: the rules are each other's transposes: <J t, g> = "):
            check_op(op, kinks, dtypes=(dtype,))
    check_op(op, kinks, modes=("fwd",))


def test_tolerances_of_each_dtype():
    def other(x):
        return np.tanh(x) * (1 + 1e-8)

    check_op("tanh", [good((3,))], reference=other, tol={"float32": 1e-5, "float64": 1e-7})
    with pytest.raises(AssertionError, match="float64: the value: element"):
        check_op("tanh", [good((3,))], reference=other, tol={"float32": 1e-5, "float64": 1e-9})
    with pytest.raises(AssertionError, match="float32: the value: element"):
        check_op("tanh", [good((3,))], reference=other, tol={"float32": 1e-12, "float64": 1e-7})


class FaultyDual(Dual):
    def _tangents(self, record, *call):
        return [self.inner.scale(t, 2.0) for t in super()._tangents(record, *call)]


def run_with_threads_that_differ(plan, *call):
    values = run(plan, *call)
    return values if tl.get_num_threads() == THREADS else [as_tensor(v.numpy() * 1.0001) for v in values]


def run_with_a_residual_of_another_shape(plan, *call):
    *values, last = run(plan, *call)
    return [*values, as_tensor(last.numpy()[None])]


def vjp_with_another_gradient(f, *xs):
    y, pull = tl.vjp(f, *xs)
    return y, lambda g: [as_tensor(d.numpy() * 1.0001) for d in pull(g)]


THREADS = tl.get_num_threads()
FAULTS = [
    ("decomposition", lambda record, *call: decomposition(get("log_softmax"), *call), "the kernel's value: .* the decomposition says"),
    ("Dual", FaultyDual, "the tangent of dual numbers: .* the jvp says"),
    ("run", run_with_threads_that_differ, "the values on one thread and two differ by"),
    ("run", run_with_a_residual_of_another_shape, "an output or residual has"),
    ("vjp", vjp_with_another_gradient, "the gradients by input 0, compiled and eager, differ by"),
]


@pytest.mark.parametrize(("name", "fault", "said"), FAULTS)
def test_faults_of_the_library_are_caught(name, fault, said, monkeypatch):
    """Each part of the machinery, made wrong as the checks see it."""
    op = "max_pool2d" if "residual" in said else "softmax"
    before = tl.get_num_threads()
    tl.set_num_threads(THREADS)
    try:
        check_op(op)
        monkeypatch.setattr(engine, name, fault)
        with pytest.raises(AssertionError, match=said):
            check_op(op)
    finally:
        tl.set_num_threads(before)


# Programs --------------------------------------------------------------------------------------------------------------------


def attention(ops, q, k, v, mask):
    return ops.scaled_dot_product_attention(q, k, v, mask)


def test_programs():
    rng = np.random.default_rng(0)
    q, k, v = (rng.normal(size=(4, 3)) for _ in range(3))
    check_grads(attention, (q, k, v, np.tri(4, dtype=bool)))
    check_grads(lambda ops, x: {"a": ops.sin(x), "b": [x * x, ops.argmax(x)]}, (rng.normal(size=5),), order=3)
    check_grads(lambda ops, x, i: ops.gather_rows_nat(x, i), (q, np.array([0, 2, 2, 9])))
    check_grads(lambda ops, x: ops.sum(x), (3.0,), order=1, modes=("rev",))


def test_programs_with_custom_ops():
    right = tl.custom_op(lambda x: np.sinh(x), lambda x, y, g: g * np.cosh(x), lambda x, t: t * np.cosh(x), name="sinh")
    wrong = tl.custom_op(lambda x: np.sinh(x), lambda x, y, g: g * y, lambda x, t: t * np.cosh(x), name="sinh")
    check_grads(lambda ops, x: right(x), (np.array([0.3, -1.0]),), order=1)
    with pytest.raises(AssertionError, match=r"by argument 0 \(x\), \(2,\), reverse mode"):
        check_grads(lambda ops, x: wrong(x), (np.array([0.3, -1.0]),), order=1)


def test_the_message_names_the_argument():
    wrong = tl.custom_op(lambda x: x**2, lambda x, y, g: 2 * g * x, lambda x, t: 3 * t * x, name="square")

    def program(ops, scale, offset):
        return ops.sum(ops.mul(scale, wrong(offset)))

    with pytest.raises(AssertionError, match=r"the first derivative by argument 1 \(offset\), \(3,\), forward mode: it is .*off by"):
        check_grads(program, (np.ones(3), np.arange(3.0)), order=1)


def test_a_detached_path_is_caught():
    with pytest.raises(AssertionError, match="forward mode"):
        check_grads(lambda ops, x: x * ops.detach(x), (np.ones(2),))


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"order": 0}, tl.OptionError),
        ({"order": 1.5}, tl.OptionError),
        ({"modes": ("sideways",)}, tl.OptionError),
        ({"modes": ()}, tl.OptionError),
        ({"modes": "fwd"}, tl.OptionError),
    ],
)
def test_bad_options(options, error):
    with pytest.raises(error):
        check_grads(lambda ops, x: x, (1.0,), **options)


def test_nothing_to_differentiate_by():
    with pytest.raises(tl.ShapeError, match="no floating-point"):
        check_grads(lambda ops, x: x, (np.arange(3),))
