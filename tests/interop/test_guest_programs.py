"""Random programs in which ops with kernels of another project lie between the library's, in loops, under every transformation."""

from __future__ import annotations

import random
from types import SimpleNamespace

import numpy as np
import pytest
from fuzz import guests

import tlean as tl
from tlean.testing import Arr, Sample, check_op

pytestmark = pytest.mark.skipif(guests.compiler() is None, reason="the kernels are compiled, and there is no C compiler here")
WEIGHTS = np.random.default_rng(1).uniform(0.5, 1.5, (4, 6))
W = np.random.default_rng(2).normal(size=(6, 6)) * 0.3
#: Bits of gradients; far below what a wrong one would be off.
TOLERANCE = {"float32": 2e-3, "float64": 1e-9}


@pytest.fixture(scope="module")
def kit():
    """The guests; what walks all ops does not see them after these tests."""
    yield guests.register()
    guests.forget()


# Drawing: statements are closures of (kit, values) with all that is random drawn before, so that guests and twins run the same program.


def _row_wise(kit, x, z):
    return tl.tanh(0.1 * kit.rows(x))[..., None] * z if len(x.shape) > 1 else x * tl.tanh(kit.rows(z))


def _parts(rng, rank):
    """A statement of values of one shape."""
    i, j, k = (rng.randrange(1 << 20) for _ in range(3))
    a, b = rng.choice([1.5, -0.5, 0.75]), rng.choice([0.5, 2.0])

    def at(pool, n):
        return pool[n % len(pool)]

    plain = {
        "tanh": lambda kit, p: tl.tanh(at(p, i)),
        "sin": lambda kit, p: tl.sin(at(p, i)) * b,
        "softplus": lambda kit, p: tl.softplus(at(p, i)),
        "mul": lambda kit, p: at(p, i) * tl.sigmoid(at(p, j)),
        "sub": lambda kit, p: at(p, i) - 0.5 * at(p, j),
        "div": lambda kit, p: at(p, i) / (1.0 + at(p, j) * at(p, j)),
        "mean": lambda kit, p: at(p, i) - tl.mean(at(p, j)),
        "matmul": lambda kit, p: tl.tanh(at(p, i) @ W.astype(at(p, i).dtype)),
        "where": lambda kit, p: tl.where(at(p, i) > at(p, j), at(p, i), at(p, j) * 0.5),
    }
    guest = {
        "bend": lambda kit, p: kit.bend(at(p, i), a=a, b=b),
        "pull": lambda kit, p: tl.tanh(kit.pull(at(p, i), c=a)),
        "blend": lambda kit, p: kit.blend(tl.sin(at(p, i)), kit.bend(at(p, j), a=a, b=b), c=b),
        "both": lambda kit, p: kit.blend(at(p, i), tl.tanh(at(p, i)), c=a) * 0.3,
        "turn": lambda kit, p: kit.turn(at(p, i), k=k % 7) + 0.5 * at(p, j),
        "rows": lambda kit, p: _row_wise(kit, at(p, i), at(p, j)),
        "spread": lambda kit, p: at(p, i) + 0.1 * kit.spread(at(p, j)[..., 0], width=6),
    }
    return rng.choice(list((guest if rng.random() < 0.6 else plain).values()))


def _block(rng, rank, depth, least=2):
    """Statements one after another: (kit, values) -> the last one's value."""
    statements = []
    for _ in range(rng.randint(least, 4)):
        loops = [_scan, _fori, _while, _cond] if depth and rng.random() < 0.55 else [_parts]
        make = rng.choice(loops)
        if make is _scan and rank == 1:
            make = _fori
        statements.append(make(rng, rank) if make is _parts else make(rng, rank, depth - 1))

    def run(kit, pool):
        pool = list(pool)
        for s in statements:
            pool.append(s(kit, pool))
        return pool[-1]

    return run


def _scan(rng, rank, depth):
    body, i, j, back = _block(rng, rank - 1, depth), rng.randrange(1 << 20), rng.randrange(1 << 20), rng.random() < 0.5

    def run(kit, pool):
        def step(c, x):
            y = tl.tanh(body(kit, [c, x]))
            return y, c * 0.5 + y

        last, ys = tl.scan(step, pool[i % len(pool)][0], pool[j % len(pool)], reverse=back)
        return ys + last

    return run


def _fori(rng, rank, depth):
    body, i, j, steps = _block(rng, rank, depth), rng.randrange(1 << 20), rng.randrange(1 << 20), rng.randint(1, 4)

    def run(kit, pool):
        other = pool[j % len(pool)]
        return tl.fori_loop(0, steps, lambda k, c: tl.tanh(body(kit, [c, other])), pool[i % len(pool)])

    return run


def _while(rng, rank, depth):
    body, i, most, limit = _block(rng, rank, depth), rng.randrange(1 << 20), rng.randint(2, 5), rng.choice([0.0, 1.0, 50.0])

    def run(kit, pool):
        def go_on(state):
            return (state[0] < most - 1) & (tl.sum(state[1] * state[1]) > limit)

        start = (np.int64(0), pool[i % len(pool)])
        return tl.while_loop(go_on, lambda s: (s[0] + 1, tl.tanh(body(kit, [s[1]]))), start, max_steps=most)[1]

    return run


def _cond(rng, rank, depth):
    yes, no, i, limit = _block(rng, rank, depth), _block(rng, rank, depth), rng.randrange(1 << 20), rng.choice([-0.5, 0.0, 0.5])

    def run(kit, pool):
        x = pool[i % len(pool)]
        return tl.cond(tl.sum(x) > limit, lambda u: yes(kit, [u, *pool[:1]]), lambda u: no(kit, [u, *pool[-1:]]), x)

    return run


def drawn(seed):
    """(loss(kit, x, z), the two arrays) of a program with two levels of loops."""
    rng = random.Random(seed)
    dtype = ("float32", "float64")[seed % 2]
    block = _block(rng, 2, 2, least=3)

    def loss(kit, x, z):
        return tl.sum(block(kit, [x, z, kit.bend(x, a=1.5, b=0.5)]) * WEIGHTS.astype(dtype))

    numbers = np.random.default_rng(seed)
    return loss, [numbers.normal(size=(4, 6)).astype(dtype) for _ in range(2)], dtype


def eager(f, arrays, dtype):
    """The loss and its gradients op by op on a tape."""
    s = tl.Session(tl.Options(backend="eager", dtype=dtype))
    leaves = [s.leaf(a) for a in arrays]
    loss = f(*leaves)
    grads = s.backward_scalar_dense_all(loss)
    return [loss.numpy(), *(grads[x].numpy() for x in leaves)]


def bits(arrays):
    return [np.asarray(a.numpy() if hasattr(a, "numpy") else a).tobytes() for a in arrays]


def close(made, wanted, dtype):
    for a, b in zip(made, wanted, strict=True):
        a, b = (np.asarray(v.numpy() if hasattr(v, "numpy") else v) for v in (a, b))
        np.testing.assert_allclose(a, b, rtol=0, atol=TOLERANCE[dtype] * max(1.0, float(np.max(np.abs(b)))))


@pytest.mark.parametrize("seed", range(50))
def test_a_program_of_guests(kit, seed):
    loss, arrays, dtype = drawn(seed)

    def f(x, z):
        return loss(kit, x, z)

    def twin(x, z):
        return loss(guests.Twins, x, z)

    slopes, of_twin = (tl.value_and_grad(g, argnums=(0, 1)) for g in (f, twin))
    value, grads = slopes(*arrays)
    wanted, theirs = of_twin(*arrays)
    close([value, *grads], [wanted, *theirs], dtype)
    before = tl.get_num_threads()
    try:
        for threads in (1, 3):
            tl.set_num_threads(threads)
            assert bits(eager(f, arrays, dtype)) == bits([value, *grads])
            again, moved = tl.jit(slopes)(*arrays)
            assert bits([again, *moved, tl.jit(f)(*arrays)]) == bits([value, *grads, value])
    finally:
        tl.set_num_threads(before)
    ts = [np.random.default_rng(seed + 99).normal(size=(4, 6)).astype(dtype) for _ in range(2)]
    y, t = tl.jvp(f, arrays, ts)
    assert bits(tl.jit(lambda *a: tl.jvp(f, a[:2], a[2:]))(*arrays, *ts)) == bits([y, t])
    close([y, t], tl.jvp(twin, arrays, ts), dtype)
    # ⟨gradient, t⟩, the other way.
    inner = sum(float(np.sum(np.float64(g.numpy()) * d)) for g, d in zip(grads, ts, strict=True))
    size = sum(float(np.sum(np.abs(g.numpy() * d))) for g, d in zip(grads, ts, strict=True))
    assert abs(inner - t.item()) <= TOLERANCE[dtype] * max(1.0, size)
    if seed % 2:
        close(tl.hvp(f, tuple(arrays), tuple(ts)), tl.hvp(twin, tuple(arrays), tuple(ts)), dtype)
    lanes = [np.stack([a, a * 0.5, d]) for a, d in zip(arrays, ts, strict=True)]
    mapped, steep = tl.vmap(slopes)(*lanes)
    for k in range(3):
        one, each = slopes(*(a[k] for a in lanes))
        close([mapped.numpy()[k], *(g.numpy()[k] for g in steep)], [one, *each], dtype)


def test_what_is_drawn():
    """Every guest, and every loop, in some program."""
    seen, names = set(), [n for n in vars(guests.Twins) if not n.startswith("_")]

    def noted(name):
        def call(*args, **options):
            seen.add(name)
            return getattr(guests.Twins, name)(*args, **options)

        return call

    noting = SimpleNamespace(**{n: noted(n) for n in names})
    for seed in range(50):
        loss, arrays, _ = drawn(seed)
        tl.jit(lambda x, z, loss=loss: loss(noting, x, z))(*arrays)
    assert seen == set(names)


def test_each_guest(kit):
    for name, (_, samples, _) in guests._RULES.items():
        if samples is not None:
            check_op(getattr(kit, name), samples())
    turn = [Sample((Arr((3, 4)),), {"k": 1})]
    check_op(kit.turn, turn, reference=lambda x, *, k: np.roll(x, -k, axis=-1))
    with pytest.raises(tl.OptionError, match="guest_turn: the reference computes an op by a rule decompose"):
        check_op(kit.turn, turn)
    check_op(kit.back, [Sample((Arr((3, 4)),) * 3, {"c": 0.5})])
