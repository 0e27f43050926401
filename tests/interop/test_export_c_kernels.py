"""Kernels as C: each that is a function of the file, random numbers, and programs that are odd in some way."""

from __future__ import annotations

import re

import exported_samples
import numpy as np
import pytest
from test_export_c import FLAGS, Library

import tlean as tl
from tlean.interop.c_code import refused_ops
from tlean.interop.c_code.writer import EMITTERS, MOST_CONSTANTS, emitter_name
from tlean.ops import all_ops

RNG = np.random.default_rng(0)
#: The families that are functions of the file.
FAMILIES = {"functions", "draws", "factors", "running", "spectra"}


def test_each_function_makes_what_its_plan_makes(tmp_path):
    kernels = {emitter_name(r): r for r in all_ops() if r.samples and emitter_name(r) in EMITTERS}
    own = [r for name, r in kernels.items() if EMITTERS[name].__module__.rpartition(".")[2] in FAMILIES]
    assert len(own) > 40
    programs = list(exported_samples.calls(records=own, every=9))
    worst = exported_samples.checked(tmp_path, programs, 12.0)
    # Nothing but sums of another order, and transforms, has other bits.
    assert {key.split()[0] for key, distance in worst.items() if distance > 4.0} <= {
        "_fft",
        "_rfft",
        "_irfft",
        "_linalg_qr",
        "_linalg_eigh",
        "_linalg_svd",
        "_linalg_pinv",
        "_linalg_expm",
    }
    exact = re.compile(r"(sort|argsort|_topk_index|cummax|_locate|_neighbours|max_pool\w*|rand_uniform|_rand_\w+|_windows)$")
    assert {key for key, distance in worst.items() if distance and exact.match(key)} == set()


def noisy(x):
    def step(h, _):
        return h * 0.5 + tl.random.normal((3,)), h

    last, steps = tl.scan(step, x, length=4)
    return tl.dropout(steps, p=0.25), last + tl.random.uniform((3,)), tl.random.randint(0, 10, (5,))


def test_random_numbers_have_the_bits_of_the_library(tmp_path):
    x = RNG.normal(size=3).astype(np.float32)
    c = tl.export_c(noisy, tl.Spec((3,)), name="noisy")
    assert [name for name, _, _ in c.inputs] == ["in0", "seeds"]
    library, program = Library(tmp_path / "gcc", [c]), tl.jit(noisy, seed=7)
    for call in range(2):
        status, made = library.call(c, (x, c.seeds(7, call)))
        assert status == 0
        for a, b in zip(made, program(x), strict=True):
            np.testing.assert_array_equal(a, b.numpy())


def test_a_matrix_that_cannot_be_factored_is_a_status(tmp_path):
    c = tl.export_c(lambda a, b: tl.linalg.solve(a, b, check=True), (tl.Spec((2, 3, 3)), tl.Spec((2, 3, 1))), name="solved")
    library = Library(tmp_path / "gcc", [c])
    a, b = RNG.normal(size=(2, 3, 3)).astype(np.float32), RNG.normal(size=(2, 3, 1)).astype(np.float32)
    status, (x,) = library.call(c, (a, b))
    assert status == 0
    np.testing.assert_allclose(a @ x, b, atol=1e-5)
    a[1, 2] = a[1, 0] = 0
    assert library.call(c, (a, b))[0] == 2
    # A NaN that was given is no failure.
    a[1, 0, 0] = np.nan
    assert library.call(c, (a, b))[0] == 0


def convolved(w, gamma, v, x, y):
    h = tl.layer_norm(tl.max_pool2d(tl.relu(tl.conv2d(w, None, x, padding=1)), kernel=2), gamma)
    return tl.cross_entropy(tl.linear(v, None, tl.reshape(h, shape=(x.shape[0], -1))), y)


def test_a_network_of_convolutions_is_trained(tmp_path):
    params = [tl.Param(RNG.normal(size=s).astype(np.float32) * 0.3) for s in ((3, 1, 3, 3), (4,), (5, 48))]
    x, y = RNG.normal(size=(6, 1, 8, 8)).astype(np.float32), RNG.integers(0, 5, 6)
    adam = tl.optim.Adam(params, lr=1e-2)
    c = tl.export_c(lambda x, y: convolved(*params, x, y), (x, y), name="net", what="step", optimizer=adam)
    library = Library(tmp_path / "gcc", [c], flags=tuple("-O0" if x == "-O2" else x for x in FLAGS))
    state = library.state(c)
    library.code.net_init(state)
    specs = [tl.Spec(x.shape), tl.Spec(y.shape, "int64")]
    trainer = tl.ScalarTrainer(tl.Options(), params, specs, lambda ops, *args: convolved(*args))
    losses = [(float(library.call(c, (x, y), state)[1][0]), float(trainer.optim_step(adam, x, y).numpy())) for _ in range(6)]
    made, expected = np.array(losses).T
    np.testing.assert_allclose(made, expected, rtol=1e-5)
    assert made[-1] < made[0]


def test_odd_programs(tmp_path):
    x, empty = RNG.normal(size=3).astype(np.float32), np.zeros((0, 3), np.float32)
    table = RNG.normal(size=5000)
    odd = np.array([np.nan, np.inf, -np.inf, -0.0, 3e38, 1e-45] * 7, np.float32)
    cases = [
        (lambda x: x, (x,)),
        (lambda x, y: (y, x, y), (x, x + 1)),
        (lambda x: (tl.sum(x), tl.sort(x, axis=0), x), (empty,)),
        (lambda x, y: x @ y, (empty.T, empty)),
        (lambda x: x * x, (np.float32(1.5),)),
        (lambda x: (x[0] * odd, x[:, None] * odd), (x,)),
        (lambda x, y: (x * y, tl.sum(x), tl.cumsum(y, axis=0)), (x, x.astype(np.float64))),
        (lambda i: tl.take(table.astype(np.float32), i, axis=0), (np.array([0, 4999, 17]),)),
        (lambda i: tl.take(table.view(np.int64), i, axis=0), (np.array([0, 4999, 17]),)),
    ]
    programs = [tl.export_c(f, args, name=f"odd{k}") for k, (f, args) in enumerate(cases)]
    library = Library(tmp_path / "gcc", programs)
    for (f, args), c in zip(cases, programs, strict=True):
        status, made = library.call(c, args)
        expected = tl.jit(f)(*args)
        assert status == 0
        for a, b in zip(made, expected if isinstance(expected, tuple) else (expected,), strict=True):
            np.testing.assert_array_equal(a, b.numpy())


def test_constants_have_a_limit():
    with pytest.raises(tl.OptionError, match=f"at most {MOST_CONSTANTS} elements in all"):
        table = np.zeros(MOST_CONSTANTS + 1, np.float32)
        tl.export_c(lambda i: tl.take(table, i, axis=0), tl.Spec((), "int64"))


@pytest.mark.parametrize("name", ["_Bool", "memcpy", "sinf", "tl_sum_f32", "NAN", "int64_t", "class", "UINT8_MAX", "__x", "a b", ""])
def test_names_that_c_has(name):
    with pytest.raises(tl.OptionError, match="name must be one that C takes"):
        tl.export_c(lambda x: x, tl.Spec(()), name=name)


def test_a_function_that_is_named_as_one_of_c_gets_another_name():
    def exp(x):
        return tl.exp(x)

    assert tl.export_c(exp, tl.Spec(())).name == "program_exp"


def test_every_op_has_a_form_in_c():
    assert refused_ops() == []


@pytest.mark.parametrize(("dtype", "scale"), [("float32", 2.0**-136), ("float64", 2.0**-1034)])
@pytest.mark.parametrize("n", [1, 3, 9])
def test_pivots_without_a_finite_reciprocal(tmp_path, n, dtype, scale):
    a = RNG.integers(-9, 10, (3, n, n)) + np.roll(18 * np.eye(n, dtype=int), 1, axis=-1)
    x = RNG.integers(-3, 4, (3, n, 2))
    small, b = (a * scale).astype(dtype), (a @ x * scale).astype(dtype)
    # One of three is an ordinary matrix.
    small[1], b[1] = a[1], a[1] @ x[1]

    def f(a, b):
        return *tl.linalg.slogdet(a), tl.linalg.solve(a, b), tl.linalg.solve_triangular(a, b)

    c = tl.export_c(f, (small, b), name="tiny")
    status, made = Library(tmp_path / "gcc", [c]).call(c, (small, b))
    assert status == 0
    for one, other in zip(made, tl.jit(f)(small, b), strict=True):
        np.testing.assert_allclose(one, np.asarray(other), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(made[2], x, atol=0.1)
