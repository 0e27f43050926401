"""Products of matrices that leave loops: of stacked inputs before them, into stacked outputs after them, transposed matrices once."""

import functools

import numpy as np
import pytest

import tlean as tl

RNG = np.random.default_rng(3)
STEPS, ROWS, TERMS, COLUMNS = 6, 5, 16, 24
XS = RNG.normal(size=(STEPS, ROWS, TERMS))
W, U, B = RNG.normal(size=(COLUMNS, TERMS)) * 0.3, RNG.normal(size=(COLUMNS, COLUMNS)) * 0.2, RNG.normal(size=COLUMNS)
H = RNG.normal(size=(ROWS, COLUMNS))


def recurrent(xs, w, u, b, h, **how):
    """x is read by a product alone, the state by one that transposes, and a product is only stacked."""

    def step(ops, h, x):
        h = ops.tanh(ops.linear(w, b, x) + ops.linear(u, None, h))
        return h, (ops.matmul(h, w), ops.linear(u, b, ops.sin(h)))

    return tl.scan(step, h, xs, **how)


def shared(xs, w, u, b, h, **how):
    """x is read elsewhere too, twice by products, and what is stacked is also carried."""

    def step(ops, h, x):
        y = ops.matmul(x, w, transpose_b=True) * ops.sum(x)
        z = ops.matmul(ops.linear(w, b, x) + y, u)
        h = ops.tanh(h * 0.5 + z)
        return h, (z, ops.matmul(h, u), h)

    return tl.scan(step, h, xs, **how)


def single(xs, w, u, b, h, **how):
    """No step follows another: all products leave, and nothing is left to stack but their sums."""
    return tl.scan(lambda ops, h, x: (h, (ops.linear(w, b, x), ops.matmul(ops.linear(w, None, x), u))), h, xs, **how)


def written(f, xs, *rest):
    ys = []
    h = rest[-1]
    for x in xs:
        h, y = f(x[None], *rest[:-1], h, unroll=True)
        ys.append(y)
    return h, tuple(np.concatenate([np.asarray(y[k]) for y in ys]) for k in range(len(ys[0])))


def value(f, how):
    def total(xs, w, u, b, h):
        last, ys = f(xs, w, u, b, h, **how)
        return tl.sum(tl.sin(last)) + sum(tl.sum(tl.cos(y)) for y in ys)

    return total


@pytest.mark.parametrize("f", [recurrent, shared, single])
@pytest.mark.parametrize("reverse", [False, True])
def test_loops_and_their_gradients(f, reverse):
    args = XS, W, U, B, H
    h, ys = tl.jit(lambda *a: f(*a, reverse=reverse))(*args)
    wanted_h, wanted = written(f, XS[::-1] if reverse else XS, *args[1:])
    np.testing.assert_array_equal(h.numpy(), wanted_h)
    for a, b in zip(ys, wanted, strict=True):
        np.testing.assert_array_equal(a.numpy(), b[::-1] if reverse else b)
    everything = tuple(range(5))
    gradients = {}
    for name, how in {"loop": {}, "blocks": {"checkpoint": 2}, "turns": {"unroll": 3}, "written": {"unroll": True}}.items():
        gradients[name] = tl.value_and_grad(value(f, {"reverse": reverse, **how}), argnums=everything)(*args)
        np.testing.assert_allclose(gradients[name][0].item(), gradients["loop"][0].item(), rtol=1e-12)
        for a, b in zip(gradients[name][1], gradients["loop"][1], strict=True):
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-10, atol=1e-11)
    for name in ("blocks", "turns"):
        # However long a loop is, each row of a product has the same bits.
        assert gradients[name][0].item() == gradients["loop"][0].item()
    s = tl.Session(tl.Options(dtype="float64"))
    refs = [s.leaf(a) for a in args]
    y = value(f, {"reverse": reverse})(*refs)
    assert y.value.item() == gradients["loop"][0].item()
    found = s.backward_scalar_dense_all(y)
    for r, b in zip(refs, gradients["loop"][1], strict=True):
        np.testing.assert_array_equal(found[r].numpy(), b.numpy())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_row_has_the_bits_of_its_own_product(dtype):
    """By tiles and by dots, of matrices that a step transposes and of those that it does not."""
    rng = np.random.default_rng(1)
    for rows, terms, columns in ((1, 40, 8), (2, 4, 70), (3, 14, 20), (3, 15, 20), (8, 64, 33), (9, 64, 33), (16, 600, 17), (1, 700, 3)):
        xs, w, b = (rng.standard_normal(s).astype(dtype) for s in ((4, rows, terms), (columns, terms), columns))

        def step(c, x, w=w, b=b):
            return c, (tl.linear(w, b, x), tl.matmul(x, w, transpose_b=True), tl.matmul(x, w.T.copy()))

        ys = tl.jit(functools.partial(tl.scan, step, 0.0))(xs)[1]
        for k, x in enumerate(xs):
            _, wanted = step(0.0, x)
            for y, single in zip(ys, wanted, strict=True):
                np.testing.assert_array_equal(y.numpy()[k], single.numpy(), err_msg=f"{rows} {terms} {columns}")


def test_no_step_multiplies_a_stacked_input_or_transposes():
    program = tl.jit(lambda *a: tl.sum(tl.scan(lambda ops, h, x: (ops.tanh(ops.linear(W, B, x) + ops.linear(U, None, h)), None), *a)[0]))
    program(H, XS)
    (loop,) = [n for n in program.plan.program.graph.nodes if n.record.loop is not None]
    (body,) = [c.program.graph for code in loop.record.loop.code.values() for c in code.codes]
    assert [n.record.name for n in body.nodes].count("matmul") == 1
    assert "linear" not in [n.record.name for n in body.nodes]
