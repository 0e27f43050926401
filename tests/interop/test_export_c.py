"""Programs as C: what gcc and clang make of the file computes what the plan computes."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess

import numpy as np
import pytest
from exported_samples import apart

import tlean as tl
from tlean import nn
from tlean.cli import main

FLAGS = ("-std=c99", "-O2", "-ffp-contract=off", "-Wall", "-Wextra", "-pedantic", "-Werror", "-Wno-unused")
COMPILERS = [
    pytest.param(cc, marks=pytest.mark.skipif(shutil.which(cc) is None, reason=f"there is no {cc} here")) for cc in ("gcc", "clang")
]
RNG = np.random.default_rng(0)


class Library:
    """Exported programs, compiled."""

    def __init__(self, folder, programs, cc="gcc", flags=FLAGS):
        if shutil.which(cc) is None:
            pytest.skip(f"there is no {cc} here")
        folder.mkdir(exist_ok=True)
        for c in programs:
            (folder / f"{c.name}.c").write_text(c.source)
            (folder / f"{c.name}.h").write_text(c.header)
        files = [str(folder / f"{c.name}.c") for c in programs]
        made = folder / f"{cc}.so"
        done = subprocess.run([cc, *flags, "-shared", "-fPIC", *files, "-o", str(made), "-lm"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        self.code = ctypes.CDLL(str(made))

    def state(self, c):
        size = getattr(self.code, f"{c.name}_size")
        size.restype = ctypes.c_ulong
        return ctypes.create_string_buffer(size() + 64)

    def call(self, c, args, state=None):
        """The status, and the arrays that the function wrote."""
        given = [np.ascontiguousarray(a, dtype=s.dtype) for a, (_, _, s) in zip(args, c.inputs, strict=True)]
        # What is not written is seen.
        outs = [np.full(s.shape, 77, s.dtype) for _, _, s in c.outputs]
        arrays = [a.ctypes.data_as(ctypes.c_void_p) for a in (*given, *outs)]
        return getattr(self.code, c.name)(*arrays, self.state(c) if state is None else state), outs


def close(made, expected, ulps):
    """Every array to so many units in the last place of its largest element."""
    for a, b in zip(made, expected, strict=True):
        b = np.asarray(b)
        assert a.shape == b.shape and a.dtype == b.dtype
        if a.dtype.kind != "f":
            np.testing.assert_array_equal(a, b)
            continue
        unit = np.finfo(a.dtype).eps * np.max(np.abs(b), initial=np.finfo(a.dtype).tiny)
        assert np.max(np.abs(a - b), initial=0) <= ulps * unit


MATRIX = RNG.normal(size=(8, 8)) * 0.3
DATA = RNG.normal(size=50)


def rollout(x, us):
    a = tl.broadcast_to(MATRIX.astype(np.float32) if x.dtype == "float32" else MATRIX, shape=(8, 8))

    def step(h, u):
        h = tl.tanh(a @ h) + 0.1 * u
        return h, tl.sum(h * h)

    last, costs = tl.scan(step, x, us)
    return tl.sum(costs) + tl.sum(last)


def log_density(theta):
    z = (DATA.astype(np.float32) - theta[0]) * tl.exp(-theta[1])
    return -0.5 * tl.sum(z * z) - 50.0 * theta[1] - 0.5 * theta[0] * theta[0]


@pytest.mark.parametrize("cc", COMPILERS)
def test_the_value_and_gradient_of_a_rollout_and_a_density(tmp_path, cc):
    x, us, theta = RNG.normal(size=8), RNG.normal(size=(20, 8)), np.array([0.3, 0.1])
    cases = []
    for dtype in ("float32", "float64"):
        args = (x.astype(dtype), us.astype(dtype))
        cases.append((rollout, args, f"rollout_{dtype}", 40))
    cases.append((log_density, (theta.astype(np.float32),), "density", 4))
    programs = [tl.export_c(f, args, name=name, what="value_and_grad") for f, args, name, _ in cases]
    library = Library(tmp_path / cc, programs, cc)
    for (f, args, _, ulps), c in zip(cases, programs, strict=True):
        value, grads = tl.jit(tl.value_and_grad(f, argnums=tuple(range(len(args)))))(*args)
        status, made = library.call(c, args)
        assert status == 0
        close(made, [value.numpy(), *(g.numpy() for g in grads)], ulps)


def perceptron(w1, b1, w2, b2, x, y):
    return tl.mse_loss(tl.linear(w2, b2, tl.tanh(tl.linear(w1, b1, x))), y)


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam", "adamw"])
def test_training_steps_move_as_the_trainer(tmp_path, optimizer):
    shapes = [(16, 8), (16,), (1, 16), (1,)]
    params = [tl.Param(RNG.normal(size=s).astype(np.float32) * 0.3) for s in shapes]
    x, y = RNG.normal(size=(12, 8)).astype(np.float32), RNG.normal(size=(12, 1)).astype(np.float32)
    opt = {
        "sgd": lambda: tl.optim.SGD(params, lr=0.1),
        "momentum": lambda: tl.optim.SGD(params, lr=0.1, momentum=0.9, weight_decay=0.01, nesterov=True, dampening=0.0),
        "adam": lambda: tl.optim.Adam(params, lr=0.01, weight_decay=0.1),
        "adamw": lambda: tl.optim.AdamW(params, lr=0.01),
    }[optimizer]()
    c = tl.export_c(lambda x, y: perceptron(*params, x, y), (x, y), name="mlp", what="step", optimizer=opt)
    library = Library(tmp_path / "gcc", [c])
    state = library.state(c)
    library.code.mlp_init(state)
    trainer = tl.ScalarTrainer(tl.Options(), params, [x.shape, y.shape], lambda ops, *args: perceptron(*args))
    for _ in range(6):
        expected = trainer.optim_step(opt, x, y)
        status, (loss,) = library.call(c, (x, y), state)
        assert status == 0
        close([loss], [expected.numpy()], 8)
    # The structure begins with the first parameter.
    moved = np.frombuffer(state, np.float32, 128).reshape(16, 8)
    close([moved], [trainer.get_params()[0].numpy()], 64)


def test_a_step_takes_rates_that_are_constants():
    p = tl.Param(np.ones(3, np.float32))
    with pytest.raises(tl.OptionError, match="takes an optimizer="):
        tl.export_c(lambda x: tl.sum(p * x), tl.Spec((3,)), what="step")
    with pytest.raises(tl.OptionError, match="no C is written for rmsprop_step"):
        tl.export_c(lambda x: tl.sum(p * x), tl.Spec((3,)), what="step", optimizer=tl.optim.RMSProp([p]))
    with pytest.raises(tl.OptionError, match="an optimizer of parameters that the program has"):
        tl.export_c(lambda x: tl.sum(p * x), tl.Spec((3,)), what="step", optimizer=tl.optim.SGD([tl.Param(np.ones(3))], lr=0.1))


C_PROGRAM = """
#include <math.h>
#include <stdio.h>
#include "net.h"
int main(void) {
    net_state state;
    float x[4] = {1, 2, 3, 4}, y[2];
    if (net(x, y, &state) != 0) return 1;
    printf("%.9g %.9g\\n", y[0], y[1]);
    return 0;
}
"""


@pytest.mark.parametrize("cc", COMPILERS)
def test_a_c_program_calls_a_saved_model(tmp_path, cc, capsys):
    pytest.importorskip("safetensors", reason="programs are files of safetensors")
    net = nn.Sequential(nn.Linear(4, 40), nn.GELU(), nn.Linear(40, 2))
    tl.save_program(tmp_path / "net.safetensors", net, tl.Spec((4,)))
    main(["export", str(tmp_path / "net.safetensors"), str(tmp_path / "net.c"), "--name", "net"])
    assert "net, 1 inputs, 1 outputs" in capsys.readouterr().out
    (tmp_path / "main.c").write_text(C_PROGRAM)
    sources = [str(tmp_path / "main.c"), str(tmp_path / "net.c")]
    subprocess.run([cc, *FLAGS, *sources, "-o", str(tmp_path / "run"), "-lm"], check=True)
    printed = subprocess.run([str(tmp_path / "run")], capture_output=True, text=True, check=True).stdout
    expected = tl.load_program(tmp_path / "net.safetensors")(np.array([1, 2, 3, 4], np.float32)).numpy()
    close([np.array(printed.split(), np.float32)], [expected], 8)


def test_parameters_as_arguments(tmp_path):
    w = tl.Param(RNG.normal(size=(3, 5)).astype(np.float32), name="w")

    def f(x):
        return tl.sum(tl.sigmoid(w @ x))

    c = tl.export_c(f, tl.Spec((5,)), name="f", what="value_and_grad", parameters="arguments")
    assert [n for n, _, _ in c.inputs] == ["in0", "p0"] and c.inputs[1][1] == "parameter w"
    assert [n for n, _, _ in c.outputs] == ["out0", "grad_p0"]
    x, other = RNG.normal(size=5).astype(np.float32), RNG.normal(size=(3, 5)).astype(np.float32)
    status, (value, grad) = Library(tmp_path / "gcc", [c]).call(c, (x, other))
    expected, slope = tl.value_and_grad(lambda w: tl.sum(tl.sigmoid(w @ x)))(other)
    assert status == 0
    close([value, grad], [expected.numpy(), slope.numpy()], 4)


def test_an_index_out_of_range_is_a_status(tmp_path):
    c = tl.export_c(lambda x, i: tl.take(x, i, axis=0), (tl.Spec((4,)), tl.Spec((2,), "int64")), name="f")
    library = Library(tmp_path / "gcc", [c])
    x = np.arange(4, dtype=np.float32)
    status, (taken,) = library.call(c, (x, [3, -4]))
    assert status == 0 and taken.tolist() == [3, 0]
    assert library.call(c, (x, [0, 4]))[0] == 1


def test_integers_that_are_stretched(tmp_path):
    a, b = RNG.integers(-9, 10, (7, 1)), RNG.integers(0, 9, (1, 6))
    programs = [tl.export_c(lambda a, b: (a << b) ^ (a & b), (a, b), name=f"f{n}", unroll=n) for n in (1, 64)]
    library = Library(tmp_path / "gcc", programs)
    for c in programs:
        assert library.call(c, (a, b))[1][0].tolist() == ((a << b) ^ (a & b)).tolist()


def test_all_ops_that_cannot_be_written_are_named():
    one, two = (tl.custom_op(lambda x: x * 2.0, lambda g, y, x: (g * 2.0,), name=name, shape=lambda x: x) for name in ("one", "two"))

    def f(x):
        return one(x) + tl.scan(lambda h, _: (two(h), h), x, length=2)[0]

    with pytest.raises(tl.OptionError, match=r"no C is written for one.*, two"):
        tl.export_c(f, tl.Spec((3, 3)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"what": "jacobian"}, "what must be one of"),
        ({"name": "int"}, "name must be one that C takes"),
        ({"parameters": "files"}, "parameters must be"),
        ({"unroll": 0}, "unroll must be"),
        ({"path": "f.cpp"}, "must end in .c"),
        ({"what": "value_and_grad", "wrt": 3}, "numbers of arguments"),
        ({"what": "value_and_grad", "wrt": [[0]]}, "numbers of arguments"),
    ],
)
def test_options(options, message):
    with pytest.raises(tl.OptionError, match=message):
        tl.export_c(lambda x: tl.sum(x), tl.Spec((3,)), **options)


def test_a_gradient_is_that_of_a_number():
    with pytest.raises(tl.ShapeError, match="one float of shape"):
        tl.export_c(lambda x: x, tl.Spec((3,)), what="value_and_grad")


# Random programs ------------------------------------------------------------------------------------------------------------

UNARY = [
    tl.tanh, tl.sin, tl.cos, tl.sigmoid, tl.abs, tl.square, tl.relu, tl.softplus, tl.gelu, tl.erf, tl.atan, tl.silu, tl.elu,
    lambda x: tl.exp(x * 0.3), lambda x: tl.log(x * x + 0.5), lambda x: tl.sqrt(x * x + 0.25), lambda x: tl.log1p(x * x),
    lambda x: tl.expm1(x * 0.2), lambda x: tl.cbrt(x + 3.0), lambda x: (x * x + 0.5) ** 1.5, lambda x: tl.asinh(x),
]  # fmt: skip
TWO = [tl.add, tl.mul, tl.sub, lambda a, z: a / (z * z + 1.0), tl.max, tl.min, tl.hypot, tl.atan2]


def looped(a, b, w, z):
    def body(state):
        k, h = state
        return k + 1, tl.tanh(h * 0.5 + w @ b)

    return z + tl.while_loop(lambda s: s[0] < 3, body, (np.int64(0), b), max_steps=5)[1]


def factored(w):
    matrix = w @ tl.permute(w, axes=(1, 0)) + np.eye(w.shape[0], dtype=w.dtype) * 2.0
    return tl.linalg.solve(matrix, tl.linalg.cholesky(matrix))


#: (random numbers, two arrays, a row, a column, a square matrix) -> an array of the same shape.
PARTS = {
    "unary": lambda q, a, z, b, c, w: UNARY[q.integers(len(UNARY))](a),
    "two": lambda q, a, z, b, c, w: TWO[q.integers(len(TWO))](a, z),
    "row": lambda q, a, z, b, c, w: b - a * c,
    "product": lambda q, a, z, b, c, w: tl.matmul(a, w, transpose_b=bool(q.integers(2))),
    "softmax": lambda q, a, z, b, c, w: [tl.softmax, tl.log_softmax][q.integers(2)](a, axis=int(q.integers(2))),
    "sum": lambda q, a, z, b, c, w: a * tl.reduce_sum(z, axis=int(q.integers(2)), keepdims=True),
    "mean": lambda q, a, z, b, c, w: a - tl.reduce_mean(a, axis=0, keepdims=True),
    "max": lambda q, a, z, b, c, w: a - tl.reduce_max(z, axis=int(q.integers(2)), keepdims=True),
    "where": lambda q, a, z, b, c, w: tl.where((a > z * 0.5) & (z < 2.0), a, b + 0.0 * z),
    "turn": lambda q, a, z, b, c, w: a[::-1] + z[:, ::-1],
    "join": lambda q, a, z, b, c, w: tl.concat([a[: a.shape[0] // 2], z[a.shape[0] // 2 :]], axis=0),
    "transpose": lambda q, a, z, b, c, w: tl.reshape(tl.permute(a, axes=(1, 0)), shape=tuple(a.shape)) + z,
    "scan": lambda q, a, z, b, c, w: tl.scan(lambda h, x: (tl.tanh(h * 0.5 + x @ w), h * 1.0), b, a, reverse=bool(q.integers(2)))[1],
    "while": lambda q, a, z, b, c, w: looped(a, b, w, z),
    "cond": lambda q, a, z, b, c, w: tl.cond(tl.sum(a) > 0.0, lambda u: u * 2.0, tl.sin, z),
    "take": lambda q, a, z, b, c, w: tl.take(a, np.arange(a.shape[0]) * 7 % a.shape[0], axis=0) * 0.5 + z,
    "running": lambda q, a, z, b, c, w: tl.cumsum(a, axis=int(q.integers(2))) * 0.1,
    "round": lambda q, a, z, b, c, w: a + tl.floor(z) + tl.round(a),
    "pad": lambda q, a, z, b, c, w: tl.pad(a[1:], widths=((1, 0), (0, 0)), value=0.5),
    "write": lambda q, a, z, b, c, w: tl.stack([a, z])[q.integers(2)] + tl.tril(w)[0],
    "convolution": lambda q, a, z, b, c, w: tl.conv(tl.reshape(w[:2], shape=(1, 1, -1)) * 0.3, None, a[:, None], padding=w.shape[0])[
        :, 0, : a.shape[1]
    ],
    "pool": lambda q, a, z, b, c, w: a + tl.mean([tl.max_pool, tl.avg_pool][q.integers(2)](z[None], kernel=(2,), stride=(1,))),
    "sort": lambda q, a, z, b, c, w: tl.sort(a, axis=int(q.integers(2)), descending=bool(q.integers(2))) + tl.cummax(z, axis=0) * 0.1,
    "factors": lambda q, a, z, b, c, w: a + factored(w) @ b,
    "normal": lambda q, a, z, b, c, w: tl.layer_norm(a, b) + tl.scaled_dot_product_attention(a[:3], z[:4], z[:4])[0],
    "spectrum": lambda q, a, z, b, c, w: a * 0.5 + tl.fft.irfft(tl.fft.rfft(z), n=a.shape[1]) * b,
    "whole": lambda q, a, z, b, c, w: a * tl.sum(tl.argmax(z, axis=1) % 3 + 2) * 0.1,
}


def drawn(seed):
    """A program of seven parts on arrays that are small or large, its arguments, and the parts."""
    rng = np.random.default_rng(seed)
    dtype = ("float32", "float64")[seed // 2 % 2]
    n, m = int(rng.integers(2, 6)) * (20 if seed % 2 else 1), int(rng.integers(2, 6))
    parts = [(str(k), int(s)) for k, s in zip(rng.choice(list(PARTS), 7), rng.integers(1 << 30, size=7), strict=True)]

    def f(x, b, c, w):
        pool = [x]
        for kind, s in parts:
            q = np.random.default_rng(s)
            a, z = (pool[k] for k in q.integers(len(pool), size=2))
            pool.append(PARTS[kind](q, a, z, b, c, w))
        return tl.mean(pool[-1] * 0.5 + pool[-2] * 0.25) + tl.sum(pool[1]) * 0.01

    shapes = [(n, m), (m,), (n, 1), (m, m)]
    return f, [rng.normal(size=s).astype(dtype) for s in shapes], [k for k, _ in parts]


def test_random_programs(tmp_path):
    drawings = [drawn(seed) for seed in range(24)]
    programs = [
        tl.export_c(f, args, name=f"f{k}", what="value_and_grad", unroll=(32, 4)[k // 4 % 2]) for k, (f, args, _) in enumerate(drawings)
    ]
    library = Library(tmp_path / "gcc", programs, flags=tuple("-O0" if x == "-O2" else x for x in FLAGS))
    for c, (f, args, parts) in zip(programs, drawings, strict=True):
        value, grads = tl.jit(tl.value_and_grad(f, argnums=(0, 1, 2, 3)))(*args)
        status, made = library.call(c, args)
        assert status == 0, parts
        # Of gradients that are 0 the sums of another order are not.
        assert apart(made, [value.numpy(), *(g.numpy() for g in grads)], 0.0) <= 64.0, parts
    assert {k for _, _, parts in drawings for k in parts} == set(PARTS)


# What users write ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["c1", "b2", "remove", "stdin", "EXIT_FAILURE", "DBL_MAX", 3])
def test_names_that_headers_or_the_file_have(name):
    with pytest.raises(tl.OptionError, match="name must be"):
        tl.export_c(lambda x: tl.sum(x), tl.Spec((3,)), name=name)


@pytest.mark.parametrize("options", [{"wrt": 1.5}, {"path": 3}, {"path": 'a"b.c'}, {"what": "step", "optimizer": "sgd"}])
def test_options_of_another_type(options):
    with pytest.raises(tl.OptionError):
        tl.export_c(lambda x: tl.sum(x), tl.Spec((3,)), **{"what": "value_and_grad", **options})


def test_warnings_names_of_parameters_and_tables_that_compilers_copy(tmp_path):
    w = tl.Param(np.ones(40, np.float32), name='w */ "\n#error')
    # A table with zeros and equal numbers: gcc 12 copies such tables wrongly by AVX-512 where it knows what is in them.
    table = np.repeat([0.0, 1.376, 0.0], [11, 7, 3])
    programs = [
        tl.export_c(lambda x: tl.sum(w * x), tl.Spec((40,)), name="named", parameters="arguments"),
        tl.export_c(lambda x: tl.sum(x * table), tl.Spec((21,), "float64"), name="sliced", what="value_and_grad", unroll=1),
        # What is stretched to no elements is not read.
        tl.export_c(lambda i: i << np.arange(3)[:, None], tl.Spec((1, 0), "int64"), name="none"),
    ]
    library = Library(tmp_path / "gcc", programs, flags=("-std=c99", "-O2", "-march=native", "-Wall", "-Wextra", "-pedantic", "-Werror"))
    assert library.call(programs[1], [np.ones(21)])[1][1].tolist() == table.tolist()


def test_one_argument_is_given_by_itself():
    for spec in (tl.Spec((3,)), (3,), np.ones(3, np.float32), tl.AnyTensor(np.ones(3, np.float32))):
        assert [s.shape for _, _, s in tl.export_c(lambda x: tl.sum(x), spec, name="whole").inputs] == [(3,)]
    assert tl.export_c(lambda: tl.sum(np.ones(3)), (), name="none").inputs == ()


def test_seeds_are_integers():
    c = tl.export_c(lambda x: x + tl.random.normal((3,)), tl.Spec((3,)), name="noisy")
    for seed, call in (("a", 0), (1.5, 0), (1 << 64, 0), (0, -1), (0, 0.5)):
        with pytest.raises(tl.OptionError, match="seeds"):
            c.seeds(seed, call)


def test_a_path_of_bytes_that_are_no_text(tmp_path):
    path = tmp_path / os.fsdecode(b"net\xff.c")
    try:
        path.touch()
    except (OSError, UnicodeError):
        pytest.skip("files have no such names here")
    tl.export_c(lambda x: tl.sum(x), tl.Spec((3,)), name="net", path=path)
    assert b'#include "net\xff.h"\n' in path.read_bytes() and path.with_suffix(".h").exists()
    if shutil.which("gcc"):
        subprocess.run(["gcc", *FLAGS, "-c", path, "-o", tmp_path / "net.o"], check=True)


def test_constants_that_are_copied(tmp_path):
    """Equal words with zeros behind them, at every place of a piece of a copy: what gcc 12 copies wrongly with AVX-512."""
    runs = [(n, k) for n in (5, 9, 15, 21, 27, 34) for k in range(1, n, 2)]
    tables = [np.repeat([3.0, 0.0], [k, n - k]) for n, k in runs] + [np.repeat([-2.5, 0.0, 3.0], [n - k, k, 2]) for n, k in runs]
    flags = ("-std=c99", "-O2", "-march=native", "-Wall", "-Wextra", "-pedantic", "-Werror")
    for dtype in ("float64", "float32"):
        given = [np.ones(t.shape, dtype) for t in tables]
        # The gradients are the tables.
        c = tl.export_c(
            lambda *xs, d=dtype: sum(tl.sum(x * t.astype(d)) for x, t in zip(xs, tables, strict=True)),
            tuple(given),
            name="tables",
            what="value_and_grad",
            wrt=tuple(range(len(tables))),
        )
        status, made = Library(tmp_path / dtype, [c], flags=flags).call(c, given)
        assert status == 0
        for found, table in zip(made[1:], tables, strict=True):
            assert found.tolist() == table.astype(dtype).tolist()
