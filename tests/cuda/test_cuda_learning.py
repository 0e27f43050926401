"""Training on a device, or on the emulation that `.ci/cuda` builds, beside the same training on the CPU."""

from __future__ import annotations

import numpy as np
import pytest

import tlean as tl
from tlean import nn
from tlean.cuda.runtime.array import DeviceArray

if not tl.cuda.is_available():
    reason = "needs a CUDA device; `bash .ci/cuda` builds an emulation of one and runs this file on it"
    pytest.skip(reason, allow_module_level=True)

RNG = np.random.default_rng(0)
IMAGES, LABELS = RNG.standard_normal((24, 1, 8, 8)).astype("float32"), RNG.integers(0, 4, 24)
SHAPES = [(4, 1, 3, 3), (4,), (6, 4, 3, 3), (6,), (4, 24), (4,)]
VALUES = [(0.3 * RNG.standard_normal(s)).astype("float32") for s in SHAPES]


def cnn(ops, w1, b1, w2, b2, w3, b3, x, y):
    """Two convolutions, each with a rectifier and a pool, dropout, and a linear layer: (loss, scores)."""
    h = ops.max_pool2d(ops.relu(ops.conv2d(w1, b1, x, padding=1)), 2)
    h = ops.avg_pool2d(ops.relu(ops.conv2d(w2, b2, h, padding=1)), 2)
    h = ops.dropout(ops.reshape(h, (x.shape[0], -1)), 0.1)
    scores = ops.linear(w3, b3, h)
    return ops.cross_entropy(scores, y), scores


def trainer(device, **changes):
    return tl.ScalarTrainer(tl.Options(device=device, seed=3, **changes), VALUES, [(8, 1, 8, 8), tl.Spec((8,), "int64")], cnn)


def batches(count):
    for k in range(count):
        at = 8 * k % 24
        yield IMAGES[at : at + 8], LABELS[at : at + 8]


RULES = {
    "sgd": lambda t, x, y: t.step(0.1, x, y),
    "adam": lambda t, x, y: t.adam_step(1e-2, 0.9, 0.999, 1e-8, x, y),
    "adamw": lambda t, x, y: t.adamw_step(1e-2, 0.9, 0.999, 1e-8, 0.1, x, y),
}


@pytest.mark.parametrize("rule", RULES)
def test_a_cnn_learns_as_on_the_cpu(rule):
    """The same losses, steps and random masks to float32's rounding; nothing of the model leaves the device."""
    here, there = trainer("cpu"), trainer("cuda")
    losses = []
    for x, y in batches(12):
        a, b = RULES[rule](here, x, y), RULES[rule](there, x, y)
        assert isinstance(b, DeviceArray) and b.device == "cuda:0" and isinstance(there.aux, DeviceArray)
        losses.append((a.item(), b.item()))
        assert {p.device for p in there.params} == {"cuda:0"}
    a, b = np.array(losses).T
    np.testing.assert_allclose(b, a, rtol=2e-4)
    assert b[-3:].mean() < b[:3].mean()
    for p, q in zip(here.get_params(), there.get_params(), strict=True):
        np.testing.assert_allclose(q.numpy(), p.numpy(), rtol=2e-3, atol=2e-4)


@pytest.mark.parametrize("make", [tl.optim.SGD, tl.optim.MomentumSGD, tl.optim.RMSProp, tl.optim.Adam], ids=lambda m: m.__name__)
def test_optimisers_with_a_norm(make):
    here, there = trainer("cpu"), trainer("cuda")
    a, b = make(here.params, lr=1e-2), make(there.params, lr=1e-2)
    for x, y in batches(4):
        first, second = here.optim_step(a, x, y, clip_norm=0.5), there.optim_step(b, x, y, clip_norm=0.5)
        assert second.item() == pytest.approx(first.item(), rel=1e-4)
    assert all(isinstance(m, DeviceArray) for moments in b.state.moments.values() for m in moments)


def test_forward_backward_and_arrays_of_the_device():
    here, there = trainer("cpu"), trainer("cuda")
    x, y = tl.cuda.to_device(IMAGES[:8]), tl.cuda.to_device(LABELS[:8])
    assert there.forward(x, y).item() == pytest.approx(here.forward(IMAGES[:8], LABELS[:8]).item(), rel=1e-5)
    for g, h in zip(there.backward(x, y), here.backward(IMAGES[:8], LABELS[:8]), strict=True):
        assert isinstance(g, DeviceArray)
        np.testing.assert_allclose(g.numpy(), h.numpy(), rtol=1e-3, atol=1e-5)
    # A last, smaller batch.
    assert there.step(0.1, IMAGES[:3], LABELS[:3]).shape == ()
    with pytest.raises(tl.ShapeError):
        there.step(0.1, IMAGES[:8, :, :4], LABELS[:8])
    with pytest.raises(tl.IndexRangeError, match="cross_entropy"):
        there.step(0.1, IMAGES[:8], LABELS[:8] + 9).item()


@pytest.mark.parametrize("first", ["cpu", "cuda"])
def test_a_trainers_checkpoint_goes_on_on_the_other_device(first, tmp_path):
    """Parameters, moments and the random stream: two steps here, two there, as four on the CPU."""
    pytest.importorskip("safetensors")
    whole, half, rest = trainer("cpu"), trainer(first), trainer("cuda" if first == "cpu" else "cpu")
    steps = list(batches(4))
    expected = [RULES["adam"](whole, x, y).item() for x, y in steps]
    found = [RULES["adam"](half, x, y).item() for x, y in steps[:2]]
    tl.save(tmp_path / "run.safetensors", trainer=half)
    tl.load(tmp_path / "run.safetensors", trainer=rest)
    found += [RULES["adam"](rest, x, y).item() for x, y in steps[2:]]
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def model():
    net = nn.Sequential(
        *(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm(4), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.LayerNorm(64), nn.Dropout(0.1), nn.Linear(64, 4)),
    )
    return net.init(seed=1)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_fit(accumulate):
    """A model with buffers: the same history, and the predictions of either device."""
    found = []
    for device in ("cpu", "cuda"):
        net = model()
        options = tl.Options(device=device, seed=2)
        how = {"batch_size": 8, "options": options, "verbose": False, "accumulate": accumulate, "clip_norm": 1.0}
        history = tl.fit(net, (IMAGES, LABELS), "cross_entropy", tl.optim.AdamW, epochs=2, validation=(IMAGES[:8], LABELS[:8]), **how)
        found.append((history.step_loss, [row["val_loss"] for row in history.epochs], net.state_dict()))
        assert {p.device for p in net.parameters()} == {"cpu"}, "state_dict has read them back"
        np.testing.assert_allclose(net.predict(IMAGES, device="cuda"), net.predict(IMAGES), rtol=1e-4, atol=1e-5)
    (losses, held, state), (losses_there, held_there, state_there) = found
    np.testing.assert_allclose(losses_there, losses, rtol=1e-3)
    np.testing.assert_allclose(held_there, held, rtol=1e-3)
    for name, value in state.items():
        np.testing.assert_allclose(state_there[name], value, rtol=2e-2, atol=2e-3, err_msg=name)


def test_clipping_stays_on_the_device():
    x = {k: tl.cuda.to_device(np.full(3, 3.0 * k, "float32")) for k in (1, 2)}
    made, norm = tl.optim.clip_by_norm(x, 1.0)
    assert norm == pytest.approx(np.sqrt(3 * (9 + 36)), rel=1e-6) and all(isinstance(g, DeviceArray) for g in made.values())
    np.testing.assert_allclose(made[2].numpy(), np.full(3, 6 / norm), rtol=1e-5)
    assert tl.optim.clip_by_value([x[1], None], 0.5)[0].tolist() == [0.5] * 3


def test_a_custom_op_is_a_call_on_the_host():
    cube = tl.custom_op(lambda x: x**3, lambda x, y, g: 3 * x**2 * g)
    s = tl.Session(device="cuda")
    x = s.input([1.0, 2.0])
    loss = s.sum(cube(x))
    assert loss.item() == 9
    np.testing.assert_allclose(s.grad(s.backward_scalar_dense_all(loss), x).numpy(), [3, 12])


FUNCTION = 'extern "C" __global__ void f(%s) {}'
ROWS = """
extern "C" __global__ void row_sums(float *y, const float *x, i64 columns, float power, i64 n) {
    TL_EACH(i, n) { /* a row */
        float total = 0;
        for (i64 j = 0; j < columns; j++) total += powf(x[i * columns + j], power);
        y[i] = total;
    }
}
extern "C" __global__ void row_sums_back(
    float *to, const float *g, const float *y, const float *__restrict__ x, const long long columns, float power, i64 n
) {
    TL_EACH(i, n) to[i] = g[i / columns] * power * powf(x[i], power - 1);
}
"""


def custom_ops():
    """One of a value and all derivatives, one of two outputs with options, and one of kernels; all with code for a device."""
    slope = tl.cuda.elementwise(
        "x", "x / (1 + fabsf(x))", "g / ((1 + fabsf(x)) * (1 + fabsf(x)))", "t_x / ((1 + fabsf(x)) * (1 + fabsf(x)))"
    )
    soft = tl.custom_op(
        lambda x: x / (1 + np.abs(x)), lambda x, y, g: g / (1 + np.abs(x)) ** 2, lambda x, t: t / (1 + np.abs(x)) ** 2, cuda=slope
    )

    def pulled(x, y, outs, gs, scale=1.0):
        r2 = x * x + y * y
        return gs[0] * scale * x / np.sqrt(r2) - gs[1] * y / r2, gs[0] * scale * y / np.sqrt(r2) + gs[1] * x / r2

    back = ["scale * g0 * x / h(x, y) - g1 * y / (out0 / scale * h(x, y))", "scale * g0 * y / h(x, y) + g1 * x / (h(x, y) * h(x, y))"]
    polar = tl.custom_op(
        lambda x, y, scale=1.0: (np.hypot(x, y) * scale, np.arctan2(y, x)),
        pulled,
        shape=lambda x, y, scale=1.0: [x, x],
        vmap_method="broadcast_all",
        cuda=tl.cuda.elementwise(
            "x, y",
            ["scale * h(x, y)", "atan2f(y, x)"],
            back,
            prelude="__device__ float h(float x, float y) { return hypotf(x, y); }",
        ),
    )
    rows = tl.custom_op(
        lambda x, power=2.0: (x**power).sum(1),
        lambda x, y, g, power=2.0: g[:, None] * power * x ** (power - 1),
        shape=lambda x, power=2.0: x[:1],
        cuda=tl.cuda.kernel(ROWS, "row_sums", "row_sums_back", numbers=lambda x, power=2.0: {"columns": x[1]}),
    )
    return soft, polar, rows


def test_a_custom_op_with_cuda_code_stays_on_the_device(monkeypatch):
    soft, polar, rows = custom_ops()
    rng = np.random.default_rng(1)
    x, z = np.abs(rng.standard_normal((5, 4)).astype("float32")) + 0.1, rng.standard_normal((5, 4)).astype("float32")

    def loss(x, z):
        a, b = polar(x, z, scale=2.0)
        lanes = tl.vmap(soft)(z) * tl.vmap(lambda x, z: polar(x, z)[1])(x, z)
        turned, _ = tl.scan(lambda c, r: (soft(c + r), None), z[0], x)
        return tl.sum(tl.sin(a) * b) + tl.sum(rows(x, power=3.0) ** 2) + tl.sum(soft(z) * x + lanes) + tl.sum(turned)

    results = []
    for device in ("cpu", "cuda"):
        if device == "cuda":
            monkeypatch.setattr("tlean.custom.op._outside", None)
            for op in (soft, polar, rows):
                monkeypatch.setattr(op, "_forward", None)
                monkeypatch.setattr(op, "_backward", None)
        program = tl.compile_scalar(loss, [x.shape, z.shape], device=device)
        value, gradients = program.value_and_grad(x, z)
        s = tl.Session(device=device)
        leaves = [s.leaf(a) for a in (x, z)]
        y = loss(*leaves)
        swept = s.backward_scalar_dense_all(y)
        tangent = tl.compile_scalar(lambda z: tl.sum(soft(z)), [z.shape], device=device).jvp([z], [z])[1]
        results.append([np.asarray(r) for r in (value, *gradients, y.value, *(swept[leaf] for leaf in leaves), tangent)])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(b, a, rtol=2e-5, atol=2e-5)
    there = tl.cuda.to_device(x)
    assert isinstance(soft(there), DeviceArray) and [r.device for r in polar(there, there)] == ["cuda:0"] * 2


@pytest.mark.parametrize(
    ("code", "error", "said"),
    [
        (
            lambda: tl.cuda.kernel(ROWS, "sums"),
            tl.OptionError,
            "'sums' must be a __global__ function of the source, which has row_sums, row_",
        ),
        (lambda: tl.cuda.kernel("__global__ void f(float *y) {}", "f"), tl.OptionError, "'f' must be declared extern"),
        (lambda: tl.cuda.elementwise("x g", "x"), tl.OptionError, "inputs must be different names of C"),
        (lambda: tl.cuda.elementwise("x", 3), tl.OptionError, "forward must be a C expression"),
        (lambda: "x", tl.OptionError, "cuda must be made by tl.cuda.elementwise or tl.cuda.kernel, got str"),
        (lambda: tl.cuda.elementwise("x y", "x"), tl.OptionError, "op: the CUDA expressions are of 2 inputs, the op got 1"),
        (lambda: tl.cuda.elementwise("x", ["x", "x"]), tl.OptionError, "op: forward has 2 CUDA expressions, it needs 1"),
        (lambda: tl.cuda.elementwise("x", "mode * x"), tl.OptionError, "op: a CUDA expression uses the option 'mode', which is no number"),
        (lambda: tl.cuda.elementwise("x", "zz * x"), tl.DeviceError, r"cannot compile the kernels 'custom_op_.*zz"),
        (
            lambda: tl.cuda.kernel(FUNCTION % "float *y", "f"),
            tl.OptionError,
            r"must take float \*, const float \*, then numbers; it takes float",
        ),
        (lambda: tl.cuda.kernel(FUNCTION % "float *y, const i64 *x", "f"), tl.OptionError, "must take float"),
        (lambda: tl.cuda.kernel(FUNCTION % "const float *y, const float *x", "f"), tl.OptionError, "must take float"),
        (
            lambda: tl.cuda.kernel(FUNCTION % "float *y, float *x, int n", "f"),
            tl.OptionError,
            "numbers of the CUDA function 'f' must be i64",
        ),
        (
            lambda: tl.cuda.kernel(FUNCTION % "float *y, float *x, i64 m", "f"),
            tl.OptionError,
            "i64 m of the CUDA function 'f' must be n, an opt",
        ),
        (lambda: tl.cuda.kernel(FUNCTION % "float *y, float *x", "f", threads=lambda x, **_: "4"), tl.OptionError, "threads= must give"),
    ],
)
def test_cuda_code_that_does_not_fit(code, error, said):
    with pytest.raises(error, match=f"(?s){said}"):
        tl.custom_op(lambda x, mode="a": x, lambda x, y, g, mode="a": g, name="op", cuda=code())(tl.cuda.to_device(np.ones(3, "float32")))


def test_rules_of_the_users_own():
    """Programs with other derivatives, and roots by a solver without a loop, run on the device as other programs do."""

    @tl.custom_vjp
    def halved(x):
        return tl.sin(x), x * x

    halved.defvjp(lambda x: (halved(x), x), lambda x, gs: (0.5 * gs[0] * tl.cos(x) + x * gs[1],))
    x = np.array([0.3, -1.2, 2.0], "float32")

    def loss(x):
        root = tl.custom_root(lambda r: r * x - 1.0, tl.ones(3), lambda f, r: 1.0 / x, lambda g, y: y / g(tl.ones(3)))
        a, b = halved(x)
        return tl.sum(a * b + root)

    wanted = 0.5 * (np.cos(x) * x * x) + x * np.sin(x) - 1 / (x * x)
    for device in ("cpu", "cuda"):
        np.testing.assert_allclose(tl.jit(tl.grad(loss), device=device)(x).numpy(), wanted, rtol=1e-5, atol=1e-6)
    s = tl.Session(device="cuda")
    r = s.input(x)
    a, b = halved(r)
    np.testing.assert_allclose(s.grad(s.backward_scalar_dense_all(s.sum(a * b)), r).numpy(), wanted + 1 / (x * x), rtol=1e-5, atol=1e-6)


def test_digits_on_the_command_line(tmp_path, capsys, monkeypatch):
    """`python -m tlean mnist --device cuda`, with a network that the emulation reads in seconds."""
    pytest.importorskip("sklearn")
    from tlean.cli import mnist

    monkeypatch.setenv("TLEAN_OFFLINE", "1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(mnist, "network", lambda: nn.Sequential(nn.AvgPool2d(7), nn.Flatten(), nn.Linear(16, 10)))
    mnist.main(["--device", "cuda", "--epochs", "1", "--samples", "64", "--no-plot", "--out", str(tmp_path)])
    text = capsys.readouterr().out
    assert "test accuracy" in text


def test_gradients_of_nothing_are_none():
    t = tl.ScalarTrainer(tl.Options(device="cuda"), [1.0, 2.0], [()], lambda ops, a, b, x: ops.mul(a, x), requires_grad=[True, True])
    grads = t.backward(3.0)
    assert grads[0].item() == 3 and grads[1] is None
    assert t.step(0.1, 3.0).item() == 3


@pytest.mark.parametrize("changes", [{"fast_gpu_matmul_precision": "fp64"}, {"fast_kernels": False}, {"deterministic": False}], ids=str)
def test_options_of_a_device(changes):
    """Other kernels for the same numbers."""
    here, there = trainer("cpu"), trainer("cuda", **changes)
    for x, y in batches(3):
        assert there.step(0.1, x, y).item() == pytest.approx(here.step(0.1, x, y).item(), rel=1e-4)


def test_names_for_a_device():
    """The `_cuda` names are the plain ones of a session on a device."""
    values = np.array([1.0, -2.0])
    found = []
    for suffix in ("", "_cuda"):
        s = tl.Session(tl.Options(use_gpu=True))
        w, state = s.param(values), tl.AdamState()

        def call(name, *args, s=s, suffix=suffix):
            return getattr(s, name + suffix)(*args)

        for _ in range(2):
            s.reset_tape()
            y = s.square(s.use(w))
            call("sgd_step_all", 0.1, call("backward_dense_all", y, np.ones(2)))
            s.reset_tape()
            call("adam_step_all", state, 0.1, 0.9, 0.999, 1e-8, call("backward_scalar_dense_all", s.sum(s.square(s.use(w)))))
            s.reset_tape()
            call("adamw_step_all", state, 0.1, 0.1, 0.9, 0.999, 1e-8, call("backward_scalar_dense_all", s.sum(s.square(s.use(w)))))
        found.append(w.get().tolist())
    assert found[0] == found[1]
    assert tl.backends.Cuda(s) is s
    with pytest.raises(tl.DeviceError, match="device='cuda'"):
        tl.backends.Cuda(tl.Session())
