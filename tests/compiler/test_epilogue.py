"""Epilogues: an elementwise chain after a kernel runs part by part of its result, with the bits of the two run one after the other."""

from __future__ import annotations

import numpy as np
import pytest

import tlean as tl
from tlean._core.table import PRODUCERS

# Chains over a result z and a value r of its shape. What they return: z itself stays readable in some, is written over in others.
CHAINS = {
    "relu": lambda ops, z, r: ops.relu(z),
    "gelu": lambda ops, z, r: ops.gelu(z),
    "residual": lambda ops, z, r: ops.relu(ops.add(z, r)),
    "kept": lambda ops, z, r: (z, ops.tanh(z)),
    "two results": lambda ops, z, r: (ops.mul(z, r), ops.sigmoid(ops.sub(z, r))),
    "read last": lambda ops, z, r: ops.mul(ops.exp(ops.neg(ops.abs(ops.sin(r)))), z),
    "a scalar": lambda ops, z, r: ops.leaky_relu(ops.mul(z, ops.broadcast_to(ops.mean(r), r.shape)), slope=0.1),
}


def matmul(ops, a, b):
    return ops.matmul(a, b)


def linear(ops, w, b, x):
    return ops.linear(w, b, x)


def conv(**options):
    return lambda ops, w, b, x: ops.conv2d(w, b, x, **options)


def gradient(f):
    """The gradient of ⟨f(ops, x, …), g⟩ in x."""

    def program(ops, x, g, *rest):
        return tl.grad(lambda ops, x: ops.sum(ops.mul(f(ops, x, *rest), g)))(ops, x)

    return program


def batch_norm(ops, x, gamma, beta):
    return ops.batchnorm_channel_first(x, gamma, beta)


# Name: program, shapes of its arguments. Sizes reach each way that a kernel is cut up.
PRODUCED = {
    "outer product": (matmul, [(50, 1), (1, 700)]),
    "row by rows": (matmul, [(1, 300), (300, 1100)]),
    "row by dots": (linear, [(700, 300), (700,), (1, 300)]),
    "few rows": (linear, [(40, 784), (40,), (8, 784)]),
    "a column": (linear, [(1, 300), (1,), (500, 300)]),
    "one panel": (linear, [(10, 256), (10,), (60, 256)]),
    "tiles": (linear, [(256, 300), (256,), (128, 300)]),
    "blocks of rows": (matmul, [(1100, 20), (20, 70)]),
    "blocks of columns and terms": (matmul, [(130, 1100), (1100, 2100)]),
    "batch": (matmul, [(6, 20, 30), (6, 30, 40)]),
    "large batch": (matmul, [(2, 100, 120), (2, 120, 100)]),
    "conv": (conv(padding=1), [(16, 3, 3, 3), (16,), (5, 3, 14, 14)]),
    "conv with stride": (conv(stride=2, padding=1), [(40, 8, 3, 3), (40,), (2, 8, 15, 17)]),
    "conv in tiles": (conv(), [(4, 8, 3, 3), (4,), (1, 8, 150, 160)]),
    "conv in wide tiles": (conv(padding=1), [(3, 2, 3, 3), (3,), (1, 2, 9, 5000)]),
    "depthwise conv": (conv(padding=1, groups=6), [(6, 1, 3, 3), (6,), (2, 6, 20, 30)]),
    "conv of few positions": (conv(padding=1), [(70, 64, 3, 3), (70,), (2, 64, 7, 7)]),
    "conv by Winograd, in bands": (conv(padding=1), [(40, 64, 3, 3), (40,), (2, 64, 29, 30)]),
    "conv by Winograd, in cuts": (conv(padding=1), [(16, 32, 3, 3), (16,), (1, 32, 6, 700)]),
    "conv by Winograd, weights passing by": (conv(padding=1), [(161, 130, 3, 3), (161,), (4, 130, 14, 13)]),
    "conv3d": (lambda ops, w, b, x: ops.conv(w, b, x, padding=1), [(6, 3, 3, 3, 3), (6,), (2, 3, 6, 7, 8)]),
    "conv3d by Winograd": (lambda ops, w, b, x: ops.conv(w, b, x, padding=1), [(8, 4, 3, 3, 3), (8,), (2, 4, 7, 16, 16)]),
    "conv3d by Winograd, in bands": (lambda ops, w, b, x: ops.conv(w, b, x, padding=1), [(12, 8, 3, 3, 3), (12,), (1, 8, 4, 62, 96)]),
    "transposed conv": (
        lambda ops, w, b, x: ops.conv_transpose2d(w, b, x, stride=2, padding=1),
        [(6, 5, 4, 4), (5,), (2, 6, 13, 14)],
    ),
    "gradient of conv": (
        gradient(lambda ops, x, w: ops.conv2d(w, None, x, padding=1)),
        [(3, 8, 14, 14), (3, 16, 14, 14), (16, 8, 3, 3)],
    ),
    "gradient of conv with stride": (
        gradient(lambda ops, x, w: ops.conv2d(w, None, x, stride=3)),
        [(2, 4, 76, 75), (2, 8, 24, 24), (8, 4, 5, 5)],
    ),
    "batch norm": (batch_norm, [(4, 6, 14, 14), (6,), (6,)]),
    "batch norm of short slabs": (batch_norm, [(40, 70), (70,), (70,)]),
    "batch norm by given statistics": (
        lambda ops, x, gamma, beta, mean, v: ops.batchnorm_channel_first_eval(x, gamma, beta, mean, ops.square(v)),
        [(4, 6, 14, 14), (6,), (6,), (6,), (6,)],
    ),
    "layer norm": (lambda ops, x, gamma, beta: ops.layer_norm(x, gamma, beta), [(50, 96), (96,), (96,)]),
}


def both(program, arrays, dtype):
    """The program's results eager, and compiled at 1 and 2 threads, as bytes; and the compiled program."""
    s = tl.Session(dtype=dtype)
    eager = tl.tree.flatten(program(s, *[s.const(a) for a in arrays]))[0]
    compiled = tl.compile_out(program, [a.shape for a in arrays], dtype)
    before = tl.get_num_threads()
    found = []
    try:
        for threads in (1, 2):
            tl.set_num_threads(threads)
            found.append([t.numpy().tobytes() for t in tl.tree.flatten(compiled(*arrays))[0]])
    finally:
        tl.set_num_threads(before)
    return [r.value.numpy().tobytes() for r in eager], found, compiled


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("produced", PRODUCED)
def test_bits(produced, dtype):
    program, shapes = PRODUCED[produced]
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=s).astype(dtype) for s in shapes]
    shape = tl.compile_out(program, shapes, dtype)(*arrays).shape
    arrays.append(rng.normal(size=shape).astype(dtype))
    for name, chain in CHAINS.items():
        eager, found, compiled = both(lambda ops, *xs, chain=chain: chain(ops, program(ops, *xs[:-1]), xs[-1]), arrays, dtype)
        assert found == [eager, eager], name
        assert [s.kernel for s in compiled.plan.program.steps if " + " in s.kernel], (name, compiled.plan.program)


def test_every_producer_is_tested():
    names = set()
    for program, shapes in PRODUCED.values():
        compiled = tl.compile_out(lambda ops, *xs, program=program: ops.relu(program(ops, *xs)), shapes)
        names.update(s.nodes[0].record.kernel for s in compiled.plan.program.steps if " + " in s.kernel)
    # Those for channels in blocks are tested with these (test_blocked).
    assert names == {n.partition(":")[0].removesuffix("_blocked") for n in PRODUCERS}


def test_the_result_lives_where_the_chain_writes():
    """What only the chain reads takes no memory."""
    compiled = tl.compile_out(lambda ops, w, x: ops.relu(ops.matmul(x, w)), [(300, 300), (300, 300)])
    assert compiled.plan.scratch_bytes == 0
    assert str(compiled.plan.program) == "%2, %3 = matmul + relu(%1, %0, %2)"


def test_an_argument_of_the_producer_is_not_written_over():
    """x is read by the product to its end: the sum, which comes part by part, may not take x's memory."""

    def program(ops, w, x):
        x = ops.sin(x)
        return ops.add(ops.matmul(x, w), x)

    rng = np.random.default_rng(0)
    eager, found, _ = both(program, [rng.normal(size=(200, 200)), rng.normal(size=(200, 200))], "float64")
    assert found == [eager, eager]


def mlp(ops, w1, b1, w2, b2, x, y):
    return ops.cross_entropy(ops.linear(w2, b2, ops.relu(ops.linear(w1, b1, x))), y)


def cnn(ops, w1, b1, w2, b2, w3, b3, x, y):
    h = ops.max_pool2d(ops.relu(ops.conv2d(w1, b1, x, padding=1)), 2)
    h = ops.relu(ops.conv2d(w2, b2, h, padding=1))
    return ops.cross_entropy(ops.linear(w3, b3, ops.reshape(h, (h.shape[0], -1))), y)


MODELS = {
    "mlp": (mlp, [(256, 784), (256,), (10, 256), (10,)], (784,)),
    "cnn": (cnn, [(8, 1, 3, 3), (8,), (16, 8, 3, 3), (16,), (10, 784), (10,)], (1, 14, 14)),
}


@pytest.mark.parametrize("batch", [1, 32, 128])
@pytest.mark.parametrize("model", MODELS)
def test_a_training_step_has_no_activation_of_its_own(model, batch):
    """Activations and their masks run inside the products and convolutions that make what they read.

    A mask after the gradient of a pool is separate: one after the other took less time than both at once when it was measured.
    """
    loss, shapes, features = MODELS[model]
    arguments = [*shapes, (batch, *features), tl.Spec((batch,), "int64")]
    compiled = tl.compile_scalar(loss, arguments)
    rng = np.random.default_rng(0)
    compiled.value_and_grad(*[rng.normal(size=s) * 0.1 for s in arguments[:-1]], rng.integers(0, 10, batch))
    steps = compiled._trace.executable("grad").plan.program.steps
    alone = [s.kernel for s in steps if " + " not in s.kernel and any("relu" in n.record.name for n in s.nodes)]
    assert alone == ([] if model == "mlp" else ["_relu_grad"])
    assert sum("relu" in n.record.name for s in steps for n in s.nodes) == (2 if model == "mlp" else 4)
