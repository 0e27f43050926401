"""Steps of tables that rows were looked up in: only these move, with the bits of a step by the whole gradient."""

from __future__ import annotations

import numpy as np
import pytest

import tlean as tl
from tlean.compiler.passes import row_updates as row_pass
from tlean.errors import IndexRangeError, NumericsError
from tlean.optim import rows as eager_rows

ROWS, LENGTH, COUNT = 3000, 6, 80
BACKENDS = ("eager", "compiled")


def table(dtype: str = "float32", length: int = LENGTH) -> np.ndarray:
    w = np.random.default_rng(0).standard_normal((ROWS, length)).astype(dtype)
    # What a step by a gradient of zeros might change.
    w[1, 0], w[2, 1] = -0.0, 0.0
    return w


def indices(seed: int = 1, count: int = COUNT, rows: int = ROWS) -> np.ndarray:
    i = np.random.default_rng(seed).integers(0, rows, count)
    # Some twice and thrice, the first and the last row among them.
    i[count // 2 : count // 2 + 7] = i[:7]
    i[-5:] = i[0]
    i[3], i[4] = 0, rows - 1
    return i


def square(ops, w, i):
    return ops.mean(ops.square(ops.take(w, i, axis=0)))


def trained(backend, loss, w, batches, opt=lambda p: tl.optim.SGD(p, lr=0.5), dtype="float32", **how):
    """The table after a step for each batch, and the losses."""
    p = tl.Param(w, dtype=dtype)
    trainer = tl.ScalarTrainer(
        tl.Options(backend=backend, dtype=dtype), [p], [tl.Spec(np.shape(b), str(b.dtype)) for b in batches[0]], loss
    )
    optimizer = opt([p])
    losses = [trainer.optim_step(optimizer, *batch, **how).item() for batch in batches]
    return p.get().numpy(), losses


def both_ways(monkeypatch, *args, **options):
    """The table after steps by rows, and after steps by the whole gradient; checks that the first go by rows where `sparse` says so."""
    sparse = options.pop("sparse", True)
    made = []
    for module in (row_pass, eager_rows):
        rule = module.by_rows
        monkeypatch.setattr(module, "by_rows", lambda *numbers, rule=rule: made.append(rule(*numbers)) or made[-1])
    by_rows = trained(*args, **options)
    assert any(made) == sparse
    for module in (row_pass, eager_rows):
        monkeypatch.setattr(module, "by_rows", lambda *numbers: False)
    whole = trained(*args, **options)
    monkeypatch.undo()
    return by_rows, whole


def assert_same_bits(one, other):
    (w, losses), (v, others) = one, other
    assert w.tobytes() == v.tobytes()
    assert np.array(losses).tobytes() == np.array(others).tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_the_bits_are_those_of_the_whole_gradient(monkeypatch, backend, dtype):
    batches = [(indices(seed),) for seed in range(4)]
    one, other = both_ways(monkeypatch, backend, square, table(dtype), batches, dtype=dtype)
    assert_same_bits(one, other)
    assert (one[0] != table(dtype)).any(axis=1).sum() == len(np.unique(np.concatenate([b[0] for b in batches])))


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_eager_and_compiled_steps_agree(threads):
    batches = [(indices(seed, 20_000, 100_000),) for seed in range(2)]
    w = np.random.default_rng(2).standard_normal((100_000, 8)).astype(np.float32)
    before = tl.get_num_threads()
    try:
        results = []
        for n in (1, threads):
            tl.set_num_threads(n)
            results += [trained(backend, square, w, batches) for backend in BACKENDS]
    finally:
        tl.set_num_threads(before)
    for other in results[1:]:
        assert_same_bits(results[0], other)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("options", "special"),
    [
        ({"lr": 0.5, "weight_decay": 0.1}, False),
        ({"lr": 0.5, "maximize": True}, False),
        ({"lr": 0.0}, False),
        ({"lr": 1e39}, False),
        ({"lr": 0.5}, True),
        ({"lr": 0.5, "weight_decay": 0.1}, True),
        ({"lr": 0.5, "maximize": True}, True),
    ],
)
def test_rates_that_move_every_row(monkeypatch, backend, options, special):
    # Decay moves all; so does a factor of -1 (it makes +0 of -0), and a rate that is infinite in the table's dtype.
    w = table()
    if special:
        w[7], w[8], w[9, 2] = np.inf, np.nan, -np.inf
    one, other = both_ways(
        monkeypatch, backend, square, w, [(indices(seed),) for seed in range(2)], opt=lambda p: tl.optim.SGD(p, **options)
    )
    np.testing.assert_array_equal(np.isnan(one[0]), np.isnan(other[0]))
    np.testing.assert_array_equal(one[0], other[0])
    np.testing.assert_array_equal(np.signbit(one[0][~np.isnan(one[0])]), np.signbit(other[0][~np.isnan(one[0])]))
    if special and not options.get("weight_decay"):
        assert np.isinf(one[0][7]).all()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("mode", ["drop", "strict", "raise", "clip", "fill"])
@pytest.mark.parametrize("length", [1, 6, 16])
def test_modes(monkeypatch, backend, mode, length):
    i = indices()
    if mode in ("raise", "clip", "fill", "drop"):
        i[::9] -= ROWS
    if mode in ("clip", "fill", "drop"):
        i[::7] += 5 * ROWS
    w = np.random.default_rng(3).standard_normal((20_000, length)).astype(np.float32)

    def loss(ops, w, i):
        return ops.sum(ops.square(ops.take(w, i, axis=0, mode=mode)))

    one, other = both_ways(monkeypatch, backend, loss, w, [(i,)], opt=lambda p: tl.optim.SGD(p, lr=0.01))
    assert_same_bits(one, other)


@pytest.mark.parametrize("backend", BACKENDS)
def test_other_ways_to_take_rows(monkeypatch, backend):
    vector = np.random.default_rng(4).standard_normal(40_000).astype(np.float32)
    ways = [
        (table(), lambda ops, w, i: ops.sum(ops.square(ops.gather_rows_nat(w, i)))),
        (table(), lambda ops, w, i: ops.sum(ops.square(w[i]))),
        (vector, lambda ops, w, i: ops.sum(ops.square(ops.gather_vec_nat(w, i)))),
        (table(), lambda ops, w, i: ops.sum(ops.square(ops.take(w, i, axis=None)))),
        (table().reshape(ROWS, 2, 3), lambda ops, w, i: ops.sum(ops.square(ops.take(w, i, axis=0)))),
        (vector, lambda ops, w, i: ops.gather_scalar_nat(w, i[3])),
    ]
    for w, loss in ways:
        one, other = both_ways(monkeypatch, backend, loss, w, [(indices(),)], opt=lambda p: tl.optim.SGD(p, lr=0.01))
        assert_same_bits(one, other)


def several(ops, w, i):
    """A table that is read three times, in other shapes and modes, by indices with some rows in common; the first read is used twice."""
    a = ops.take(w, i, axis=0)
    b = ops.take(w, ops.take(i, np.arange(0, COUNT, 3), axis=0), axis=0, mode="clip")
    c = ops.take(w, ops.reshape(ops.take(i, np.arange(COUNT)[::-1].copy(), axis=0), (COUNT // 4, 4)), axis=0, mode="drop")
    total = ops.add(ops.mean(ops.square(a)), ops.mean(ops.sin(c)))
    return ops.add(total, ops.add(ops.mean(ops.mul(a, a)), ops.mean(ops.exp(b))))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("how", [{}, {"check_finite": True}])
@pytest.mark.parametrize("backend", BACKENDS)
def test_several_look_ups_of_a_table(monkeypatch, backend, how, dtype):
    batches = [(indices(seed),) for seed in range(3)]
    one, other = both_ways(monkeypatch, backend, several, table(dtype), batches, dtype=dtype, **how)
    assert_same_bits(one, other)
    assert_same_bits(one, trained(BACKENDS[backend == "eager"], several, table(dtype), batches, dtype=dtype))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_table_read_at_every_step_of_a_loop(monkeypatch, backend):
    def loss(ops, w, i):
        h = ops.take(w, ops.slice(i, (0,), (1,)), axis=0)
        for k in range(1, 60):
            h = ops.tanh(ops.add(h, ops.take(w, ops.slice(i, (k,), (k + 1,)), axis=0)))
        return ops.mean(ops.square(h))

    one, other = both_ways(monkeypatch, backend, loss, table(), [(indices(),)])
    assert_same_bits(one, other)


@pytest.mark.parametrize("backend", BACKENDS)
def test_steps_that_need_the_whole_gradient(monkeypatch, backend):
    batches = [(indices(seed),) for seed in range(2)]

    def penalty(ops, w, i):
        return ops.add(square(ops, w, i), ops.mean(ops.square(w)))

    for loss, options, how in [
        (square, {"lr": 0.5, "momentum": 0.9}, {}),
        (square, {"lr": 0.5}, {"clip_norm": 0.01}),
        (penalty, {"lr": 0.5}, {}),
    ]:
        made = trained(backend, loss, table(), batches, opt=lambda p, options=options: tl.optim.SGD(p, **options), **how)
        monkeypatch.setattr(row_pass, "by_rows", lambda *numbers: False)
        monkeypatch.setattr(eager_rows, "by_rows", lambda *numbers: False)
        assert_same_bits(made, trained(backend, loss, table(), batches, opt=lambda p, o=options: tl.optim.SGD(p, **o), **how))
        monkeypatch.undo()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_step_is_not_taken_with_numbers_that_are_none(monkeypatch, backend):
    w = table()
    good = trained(backend, square, w, [(indices(),)], check_finite=True)
    assert_same_bits(good, trained(backend, square, w, [(indices(),)]))

    def loss(ops, w, i):
        # Finite, of an infinite gradient in the rows that are named many times.
        return ops.sum(ops.scale(ops.take(w, i, axis=0), 1e38))

    p = tl.Param(np.zeros_like(w))
    i = np.zeros(COUNT, np.int64)
    i[:7] = 5
    texts = []
    for by_rows in (True, False):
        if not by_rows:
            monkeypatch.setattr(row_pass, "by_rows", lambda *numbers: False)
            monkeypatch.setattr(eager_rows, "by_rows", lambda *numbers: False)
        trainer = tl.ScalarTrainer(tl.Options(backend=backend), [p], [tl.Spec((COUNT,), "int64")], loss)
        with pytest.raises(NumericsError) as error:
            trainer.optim_step(tl.optim.SGD([p], lr=0.5), i, check_finite=True)
        texts.append(str(error.value))
        assert not p.get().numpy().any()
    assert texts[0] == texts[1] and "a gradient became inf" in texts[0]


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_index_out_of_range_moves_nothing(backend):
    w = table()
    other = np.ones((2, 2), np.float32)
    p, q = tl.Param(w), tl.Param(other)

    def loss(ops, q, w, i):
        return ops.add(ops.sum(ops.square(q)), ops.mean(ops.square(ops.take(w, i, axis=0))))

    trainer = tl.ScalarTrainer(tl.Options(backend=backend), [q, p], [tl.Spec((COUNT,), "int64")], loss)
    opt = tl.optim.SGD([q, p], lr=0.1)
    with pytest.raises(IndexRangeError):
        trainer.optim_step(opt, np.full(COUNT, ROWS))
    assert p.get().numpy().tobytes() == w.tobytes() and (q.get().numpy() == 1).all() and not opt.state.steps
    trainer.optim_step(opt, indices())
    assert (q.get().numpy() != 1).all() and opt.state.steps == {q: 1, p: 1}


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_array_that_was_read_before_keeps_its_values(backend):
    p = tl.Param(table())
    trainer = tl.ScalarTrainer(tl.Options(backend=backend), [p], [tl.Spec((COUNT,), "int64")], square)
    session = tl.Session()
    leaf = session.use(p)
    trainer.optim_step(tl.optim.SGD([p], lr=0.5), indices())
    assert leaf.value.numpy().tobytes() == table().tobytes()
    expected, _ = trained(backend, square, table(), [(indices(),)])
    assert p.get().numpy().tobytes() == expected.tobytes()


def test_the_program_makes_no_whole_gradient():
    p = tl.Param(np.zeros((100_000, 16), np.float32))
    trainer = tl.ScalarTrainer(tl.Options(backend="compiled"), [p], [tl.Spec((COUNT,), "int64")], square)
    trainer.optim_step(tl.optim.SGD([p], lr=0.5), indices(rows=100_000))
    (trace,) = trainer._steps._made.values()
    assert trace.run.plan.scratch_bytes < 64 * COUNT * 16
    names = [step.kernel for step in trace.run.plan.program.steps]
    assert names[-1] == "_sgd_rows" and "_summed_rows" in names and "scatter_rows" not in names


@pytest.mark.parametrize("backend", BACKENDS)
def test_embedding_layers_train_by_rows(monkeypatch, backend):
    def run():
        model = tl.nn.Sequential(tl.nn.Embedding(5000, 8), tl.nn.Flatten(), tl.nn.Linear(32, 3))
        model.init(3)
        rng = np.random.default_rng(5)
        x, y = rng.integers(0, 5000, (64, 4)), rng.integers(0, 3, 64)
        optimizer = tl.optim.SGD(model.parameters(), lr=0.5)
        history = tl.fit(
            model, (x, y), "cross_entropy", optimizer, epochs=3, batch_size=16, verbose=False, options=tl.Options(backend=backend)
        )
        return [p.get().numpy().tobytes() for p in model.parameters()], history

    made = []
    for module in (row_pass, eager_rows):
        rule = module.by_rows
        monkeypatch.setattr(module, "by_rows", lambda *numbers, rule=rule: made.append(rule(*numbers)) or made[-1])
    one, _ = run()
    assert any(made)
    for module in (row_pass, eager_rows):
        monkeypatch.setattr(module, "by_rows", lambda *numbers: False)
    other, _ = run()
    assert one == other
