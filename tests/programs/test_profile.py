"""`tl.profile`: every kernel that runs is counted, eager and compiled, and nothing is when no profile runs."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import tlean as tl

X = np.ones((8, 6))


def loss(ops, w, x):
    return ops.sum(ops.tanh(ops.matmul(x, w)))


def calls(p):
    return {(r.op, r.phase): r.calls for r in p.by_op()}


def test_eager():
    s = tl.Session()
    w = s.param(np.ones((6, 4)))
    with tl.profile() as p:
        for _ in range(3):
            s.reset_tape()
            s.sgd_step_all(0.1, s.backward_scalar_dense_all(loss(s, s.use(w), s.input(X))))
    found = calls(p)
    for op in ("matmul", "tanh", "sum"):
        assert found[op, "forward"] == 3 and found[op, "backward"] == 3
    assert found["sgd_step", "update"] == 3
    row = next(r for r in p.rows if (r.op, r.phase) == ("matmul", "forward"))
    assert row.node == "(8, 6) (6, 4) → (8, 4)"
    assert row.mean == row.total / 3


def test_compiled():
    trainer = tl.ScalarTrainer(tl.Options(backend="compiled"), [np.ones((6, 4))], [(8, 6)], lambda ops, w, x: loss(ops, w, x))
    trainer.step(0.1, X)
    with tl.profile() as p:
        for _ in range(5):
            trainer.step(0.1, X)
    assert {r.phase for r in p.rows} == {"compiled"} and {r.calls for r in p.rows} == {5}
    assert sum(r.op == "matmul" for r in p.rows) == 2 and any(r.op == "sgd_step" for r in p.rows)
    assert any("tanh" in r.op for r in p.rows)
    first = next(r for r in p.rows if r.op == "matmul" and r.node.endswith("(8, 6) (6, 4) → (8, 4)"))
    assert first.node.startswith("%")


def test_names_and_several_programs():
    double = tl.compile_out(lambda ops, x: ops.matmul(x, x, name="twice"), [(3, 3)])
    other = tl.compile_out(lambda ops, x: ops.cumsum(x, 0), [(3, 3)])
    with tl.profile() as p:
        double.forward(np.eye(3))
        other.forward(np.eye(3))
    assert {r.node.partition(":")[0] for r in p.rows} == {"twice", "2%1"}


def test_an_op_that_runs_by_a_plan_is_one_row():
    s = tl.Session()
    x = s.input(np.ones((4, 3)))
    wide = tl.grad(lambda ops, x: ops.sum(ops.square(ops.sin(x))))
    wide(s, x)
    with tl.profile() as p:
        wide(s, x)
    (row,) = p.rows
    assert (row.op, row.phase, row.calls) == ("call", "forward", 1) and row.total > 0


def test_the_table():
    f = tl.compile_out(lambda ops, x: ops.cumsum(ops.matmul(x, x), 0), [(64, 64)])
    with tl.profile() as p:
        f.forward(np.eye(64))
    lines = str(p).splitlines()
    assert lines[0].split() == ["op", "node", "phase", "calls", "total", "ms", "mean", "µs", "share"]
    assert len(lines) == 2 + len(p.rows) == 4
    assert [r.total for r in p.rows] == sorted((r.total for r in p.rows), reverse=True)
    shares = [float(line.split()[-1].rstrip("%")) for line in lines[1:-1]]
    assert sum(shares) == pytest.approx(100, abs=0.2)
    assert p.total <= p.elapsed and lines[-1].endswith("ms in all")
    assert len(p.table(limit=1).splitlines()) == 3
    assert repr(p).startswith("<profile: 2 rows")


def test_nothing_is_timed_outside():
    f = tl.compile_out(lambda ops, x: ops.cumsum(x, 0), [(4,)])
    with tl.profile() as p:
        pass
    f.forward(np.ones(4))
    assert p.rows == () and p.total == 0
    with tl.profile() as p:
        f.forward(np.ones(4))
    f.forward(np.ones(4))
    with tl.profile() as again:
        f.forward(np.ones(4))
        f.forward(np.ones(4))
    assert p.rows[0].calls == 1 and again.rows[0].calls == 2


def test_one_at_a_time():
    with tl.profile(), pytest.raises(tl.OptionError, match="profile: one is running already"), tl.profile():
        pass
    with pytest.raises(KeyError), tl.profile() as p:
        raise KeyError
    with tl.profile():
        pass
    assert p.rows == ()


def test_threads_are_counted():
    f = tl.compile_out(lambda ops, x: ops.cumsum(x, 0), [(64,)])
    with tl.profile() as p:
        workers = [threading.Thread(target=lambda: [f.forward(np.ones(64)) for _ in range(50)]) for _ in range(4)]
        for w in workers:
            w.start()
        for w in workers:
            w.join()
    assert p.rows[0].calls == 200
