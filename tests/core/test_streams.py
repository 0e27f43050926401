"""Streams of random numbers: none coincide unless the user requests it, and `tl.seed` and `seed=` fix them."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import tlean as tl
from tlean import nn
from tlean.rng import op_seed, philox, program_seed

ONES = np.ones(64)


def masks() -> list[bytes]:
    """The masks of one program of every kind, none with a seed."""
    drop = lambda ops, x: ops.dropout(x, 0.5)  # noqa: E731
    loss = lambda ops, x: ops.sum(ops.dropout(x, 0.5))  # noqa: E731
    made = [tl.jit(drop)(ONES), tl.jit(drop)(ONES), tl.compile_out(drop, [(64,)])(ONES)]
    made += [tl.grad(loss, backend=b)(ONES) for b in ("compiled", "eager")]
    made += [tl.compile_scalar(loss, [(64,)]).backward(ONES)[0], tl.jacfwd(loss)(ONES)]
    made += [tl.vjp(drop, ONES)[0], tl.vjp(drop, ONES)[0], tl.jvp(drop, (ONES,), (ONES,))[0]]
    for backend in ("eager", "compiled", "eager"):
        s = tl.Session(backend=backend)
        made.append(s.dropout(s.input(ONES), 0.5).value)
        t = tl.ScalarTrainer(tl.Options(backend=backend), [ONES], [], lambda ops, w: ops.sum(ops.dropout(w, 0.5)))
        made.append(t.backward()[0])
    for _ in range(2):
        m = tl.TapeM()
        made += [m.value(m.dropout(m.leaf(ONES), 0.5)), m.value(m.dropout(m.leaf(ONES), 0.5))]
        tape, i = tl.Tape().leaf(ONES)
        tape, i = tape.dropout(i, 0.5)
        made.append(tape.get_value(i))
    made += [tl.dropout(ONES, 0.5), tl.dropout(ONES, 0.5), tl.rand_uniform((64,)), tl.bernoulli_mask(0.5, (64,))]
    return [(np.asarray(m) != 0).tobytes() if np.asarray(m).min() == 0 else np.asarray(m).tobytes() for m in made]


def test_no_two_programs_draw_alike():
    drawn = masks()
    assert len(set(drawn)) == len(drawn)


def test_seed_fixes_them_all():
    tl.seed(7)
    first = masks()
    assert masks() != first
    tl.seed(7)
    assert masks() == first
    tl.seed(8)
    assert not set(masks()) & set(first)


def test_runs_repeat():
    program = "import numpy, tlean; print(tlean.dropout(numpy.ones(32), 0.5).tolist(), tlean.nn.Linear(2, 2).weight.get().tolist())"
    runs = {subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout for _ in range(2)}
    assert len(runs) == 1


@pytest.mark.parametrize("seed", [0, 5, -1, 1 << 63])
def test_a_seed_is_the_same_stream_everywhere(seed):
    drop = lambda ops, x: ops.dropout(x, 0.5)  # noqa: E731
    single = ONES.astype(np.float32)
    made = [tl.jit(drop, seed=seed)(single), tl.compile_out(drop, [(64,)], seed=seed)(single), tl.vjp(drop, single, seed=seed)[0]]
    made += [tl.jvp(drop, (single,), (single,), seed=seed)[0]]
    made += [tl.grad(lambda ops, x: ops.sum(drop(ops, x)), seed=seed, backend=b)(single) for b in ("compiled", "eager")]
    for backend in ("eager", "compiled"):
        s = tl.Session(backend=backend, seed=seed)
        made.append(s.dropout(s.input(single), 0.5).value)
        t = tl.ScalarTrainer(tl.Options(backend=backend, seed=seed), [single], [], lambda ops, w: ops.sum(drop(ops, w)))
        made.append(t.backward()[0])
    m = tl.TapeM(seed=seed)
    made.append(m.value(m.dropout(m.leaf(single), 0.5)))
    tape, i = tl.Tape(seed=seed).leaf(single)
    start = tape
    for _ in range(2):
        # A tape is a value: the same op on it gives the same numbers.
        tape, j = start.dropout(i, 0.5)
        made.append(tape.get_value(j))
    assert len({np.asarray(m).tobytes() for m in made}) == 1
    more = tape.dropout(i, 0.5)
    assert np.asarray(more[0].get_value(more[1])).tobytes() != np.asarray(made[0]).tobytes()


def test_the_rule_is_the_one_written_down():
    tl.seed(3)
    words = philox(3, np.arange(2), stream=3)
    assert [program_seed() for _ in range(2)] == [int(a) | int(b) << 32 for a, b, *_ in words]
    assert op_seed(3, 0) == int.from_bytes(philox(3, 0, stream=1).tobytes()[:8], "little")


def test_seed_begins_first_values_anew():
    tl.seed(4)
    first = nn.Linear(3, 3).weight.get().tolist()
    tl.seed(4)
    assert nn.Linear(3, 3).weight.get().tolist() == first
    nn.seed(4)
    assert nn.Linear(3, 3).weight.get().tolist() == first


def test_fit_is_fixed_by_its_own_seed():
    def trained(options=None, **more):
        model = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 1)).init(0)
        x = np.random.default_rng(0).normal(size=(16, 3)).astype(np.float32)
        tl.fit(model, (x, x[:, :1]), "mse_loss", epochs=2, batch_size=4, verbose=False, options=options, **more)
        return np.concatenate([np.asarray(p).ravel() for p in model.parameters()]).tobytes()

    same = {trained(), trained(tl.Options(backend="eager")), trained(tl.Options(backend="compiled"))}
    assert len(same) == 1 and trained(seed=1) not in same


@pytest.mark.parametrize("wrong", [None, 1.5, "1", [1]])
def test_no_seed(wrong):
    with pytest.raises(tl.OptionError, match="a seed must be an int"):
        tl.seed(wrong)
    if wrong is not None:
        with pytest.raises(tl.OptionError, match="a seed must be an int"):
            tl.jit(lambda ops, x: x, seed=wrong)
