"""One thread, two and three give the same bits, forward and backward, eager and compiled, at sizes that are split into many chunks."""

import numpy as np
import pytest

import tlean as tl
from tlean._core.threads import get_num_threads, set_num_threads

rng = np.random.default_rng(0)
IMAGES = (16, 16, 28, 28)
BLOCK = (3, 500, 333)
FLAT = (400001,)
LABELS = rng.integers(0, 100, 3000)
ROWS = rng.integers(0, 300, 60000)

CASES = {
    "conv2d": (lambda o, w, b, x: o.conv2d(w, b, x, padding=1), [(24, 16, 3, 3), (24,), IMAGES]),
    "conv2d stride 2": (lambda o, w, b, x: o.conv2d(w, b, x, stride=2, padding=1), [(24, 16, 3, 3), (24,), IMAGES]),
    "conv2d depthwise": (lambda o, w, b, x: o.conv2d(w, b, x, padding=1, groups=16), [(16, 1, 3, 3), (16,), IMAGES]),
    "conv2d one image": (lambda o, w, b, x: o.conv2d(w, b, x, padding=1), [(24, 16, 3, 3), (24,), (16, 96, 96)]),
    "conv 1d": (lambda o, w, b, x: o.conv(w, b, x, padding=2), [(16, 16, 5), (16,), (8, 16, 1000)]),
    "conv 3d": (lambda o, w, b, x: o.conv(w, b, x, padding=1), [(8, 8, 3, 3, 3), (8,), (2, 8, 14, 14, 14)]),
    "conv_transpose2d": (lambda o, w, b, x: o.conv_transpose2d(w, b, x, stride=2, padding=1), [(16, 8, 4, 4), (8,), IMAGES]),
    "matmul": (lambda o, a, b: o.matmul(a, b), [(300, 213), (213, 401)]),
    "matmul, long sums": (lambda o, a, b: o.matmul(a, b), [(33, 9000), (9000, 17)]),
    "matmul transposed": (lambda o, a, b: o.matmul(a, b, True, True), [(213, 300), (150, 213)]),
    "bmm": (lambda o, a, b: o.bmm(a, b), [(20, 70, 65), (20, 65, 90)]),
    "linear": (lambda o, w, b, x: o.linear(w, b, x), [(200, 384), (200,), (128, 384)]),
    "matrix times vector": (lambda o, w, b, x: o.linear(w, b, x), [(1500, 784), (1500,), (784,)]),
    "layer_norm": (lambda o, x, g, b: o.layer_norm(x, g, b), [(1500, 200), (200,), (200,)]),
    "layer_norm wide": (lambda o, x, g, b: o.layer_norm(x, g, b), [(3, 100001), (100001,), (100001,)]),
    "batchnorm": (lambda o, x, g, b: o.batchnorm_channel_first(x, g, b), [IMAGES, (16,), (16,)]),
    "attention": (lambda o, q, k, v: o.scaled_dot_product_attention(q, k, v, causal=True), [(2, 300, 32)] * 3),
    "max_pool2d": (lambda o, x: o.max_pool2d_pad(x, 3, stride=2, padding=1), [IMAGES]),
    "avg_pool2d": (lambda o, x: o.avg_pool2d(x, 2), [IMAGES]),
    "smooth_max_pool2d": (lambda o, x: o.smooth_max_pool2d(x, 2, 3.0), [IMAGES]),
    "fft of a long line": (lambda o, x: o.fft_fft(x), [(40000, 2)]),
    "rfft of lines": (lambda o, x: o.fft_rfft(x), [(120, 1500)]),
    "sum": (lambda o, x: o.sum(x), [FLAT]),
    "gelu": (lambda o, x: o.gelu(x), [FLAT]),
    "div": (lambda o, a, b: o.div(a, b), [FLAT, FLAT]),
    "dropout": (lambda o, x: o.dropout(x, 0.3, seed=7), [FLAT]),
    "mse_loss": (lambda o, a, b: o.mse_loss(a, b), [FLAT, FLAT]),
    "cross_entropy": (lambda o, x: o.cross_entropy(x, LABELS), [(3000, 100)]),
    "gather_rows": (lambda o, x: o.gather_rows_nat(x, ROWS), [(300, 16)]),
    "take inside": (lambda o, x: x[:, ROWS[:900] % 40], [(40, 40, 24)]),
    "segment_sum": (lambda o, x: o.segment_sum(x, ROWS % 9000, 9000), [(60000, 8)]),
    "segment_max": (lambda o, x: o.segment_max(x, ROWS, 300), [(60000, 4)]),
    "set": (lambda o, x, v: x.at[ROWS].set(v), [(3000, 16), (60000, 16)]),
    "set a box": (lambda o, x, v: x.at[5:295, ::-3].mul(v), [(300, 400), (290, 134)]),
    "product of repeated rows": (lambda o, x, v: x.at[:, ROWS[:400]].mul(v), [(60, 300), (60, 400)]),
    "broadcast_to": (lambda o, x: o.broadcast_to(x, (2000, 300)), [(300,)]),
    "permute": (lambda o, x: o.permute(x, (2, 0, 3, 1)), [IMAGES]),
    "concat": (lambda o, a, b: o.concat([a, b], axis=1), [IMAGES, IMAGES]),
    **{f"reduce_sum {a}": (lambda o, x, a=a: o.reduce_sum(x, a), [BLOCK]) for a in (0, 1, 2, (0, 2))},
    **{f"reduce_max {a}": (lambda o, x, a=a: o.reduce_max(x, a), [BLOCK]) for a in (0, 1, 2)},
    **{f"softmax {a}": (lambda o, x, a=a: o.softmax(x, axis=a), [BLOCK]) for a in (0, 1, 2)},
    **{f"cumsum {a}": (lambda o, x, a=a: o.cumsum(x, a), [BLOCK]) for a in (0, 2)},
    **{f"{n} {a}": (lambda o, x, n=n, a=a: getattr(o, n)(x, a), [BLOCK]) for n in ("var", "prod") for a in (0, 1, 2, (0, 2), None)},
    **{f"norm {a}": (lambda o, x, a=a: o.norm(x, 2, a), [BLOCK]) for a in (0, 1, 2, (0, 2), None)},
    **{f"{n} {a}": (lambda o, x, n=n, a=a: getattr(o, n)(x, a), [BLOCK]) for n in ("cumprod", "cummax", "cumlogsumexp") for a in (0, 2)},
}


@pytest.fixture(autouse=True)
def _threads():
    before = get_num_threads()
    yield
    set_num_threads(before)


@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients(name):
    f, shapes = CASES[name]
    arrays = [rng.normal(size=s).astype("float32") for s in shapes]

    def loss(ops, *xs):
        y = f(ops, *xs)
        # A cotangent that differs from element to element.
        return y if y.shape == () else ops.sum(ops.mul(y, ops.cos(ops.scale(y, 1.7))))

    compiled = tl.compile_scalar(loss, shapes)
    found = []
    for threads in (1, 2, 3):
        set_num_threads(threads)
        s = tl.Session()
        refs = [s.input(a) for a in arrays]
        y = loss(s, *refs)
        grads = s.backward_scalar_dense_all(y)
        found.append([y.value.numpy(), *(grads[r.id].numpy() for r in refs)])
        value, slopes = compiled.value_and_grad(*arrays)
        found.append([value.numpy(), *(g.numpy() for g in slopes)])
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize("backend", ["eager", "compiled"])
def test_optimiser_steps(backend):
    values, slope = rng.normal(size=500001), rng.normal(size=500001)
    found = set()
    for threads in (1, 2, 3):
        set_num_threads(threads)
        trainer = tl.ScalarTrainer(tl.Options(backend=backend), [values], [values.shape], lambda ops, w, x: ops.sum(ops.mul(ops.sin(w), x)))
        trainer.adamw_step(1e-2, 0.9, 0.99, 1e-8, 0.1, slope)
        trainer.step(1e-2, slope)
        found.add(trainer.get_params()[0].numpy().tobytes())
    assert len(found) == 1
