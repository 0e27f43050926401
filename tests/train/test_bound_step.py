"""Compiled steps that are repeated: no line of Python for each parameter, and whatever changes between two steps is seen by the next."""

from __future__ import annotations

import contextlib
import sys

import numpy as np
import pytest

import tlean as tl
from tlean import optim
from tlean.train.steps import CompiledSteps

X = np.linspace(-1.0, 1.0, 4).astype(np.float32)


def loss(ops, *refs):
    *params, x = refs
    terms = [ops.mean(ops.square(ops.mul(p, x))) for p in params]
    total = terms[0]
    for t in terms[1:]:
        total = ops.add(total, t)
    return total


def trainer(backend, count=3):
    values = [tl.Param(np.linspace(0.1, 1.0 + k, 4).astype(np.float32), f"p{k}", requires_grad=True) for k in range(count)]
    return tl.ScalarTrainer(tl.Options(backend=backend), values, [(4,)], loss)


def lines(call):
    """How many lines of Python a call runs."""
    count = 0

    def trace(frame, event, argument):
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return count


@pytest.mark.usefixtures("without_capture_check")
@pytest.mark.parametrize("kind", ["sgd", "adam", "optimizer", "groups"])
def test_a_repeated_step_runs_as_many_lines_for_many_parameters_as_for_few(kind):
    counts = []
    for size in (2, 30):
        t = trainer("compiled", size)
        ps = list(t.params)
        opt = optim.Adam([{"params": ps[::2]}, {"params": ps[1::2], "lr": 0.5}] if kind == "groups" else ps)
        step = {"sgd": lambda t=t: t.step(0.1, X), "adam": lambda t=t: t.adam_step(0.1, 0.9, 0.999, 1e-8, X)}.get(
            kind, lambda t=t, opt=opt: t.optim_step(opt, X)
        )
        for _ in range(3):
            step()
        counts.append(lines(step))
    assert counts[0] == counts[1] < 300


def replaced(t, opt):
    t.params[1].set(np.full(4, 0.5, np.float32))


def all_replaced(t, opt):
    t.params.set([np.full(4, 0.25 * k, np.float32) for k in range(3)])


def read(t, opt):
    return t.params[0]._tensor.numpy()


def held(t, opt):
    s = tl.Session()
    return s, s.use(t.params[0])


def frozen(t, opt):
    t.params[1].requires_grad = False


def rate(t, opt):
    opt.lr = 0.25


def momentum(t, opt):
    opt.param_groups[0]["momentum"] = 0.0


def other_momentum(t, opt):
    opt.param_groups[0]["momentum"] = 0.75


def joined(t, opt):
    opt.add_param_group({"params": [t.params[2]], "lr": 0.5})


def loaded(t, opt):
    opt.load_state_dict(opt.state_dict())


def loaded_earlier(t, opt):
    state = opt.state_dict()
    t.optim_step(opt, X)
    opt.load_state_dict(state)


def forgotten(t, opt):
    opt.state = type(opt.state)()


def forgotten_counts(t, opt):
    opt.state.steps.clear()


def forgotten_moments(t, opt):
    opt.state.moments.clear()


def moved_apart(t, opt):
    opt.step({t.params[0]: np.ones(4, np.float32)})


def cast(t, opt):
    t.params[0].cast("float64")


def cast_back(t, opt):
    t.params[0].cast("float64")
    t.params[0].cast("float32")


def cast_moved_back(t, opt):
    cast(t, opt)
    with contextlib.suppress(tl.DTypeError):
        t.optim_step(opt, X)
    t.params[0].cast("float32")


def wrong_rate(t, opt):
    opt.param_groups[0]["lr"] = -1.0


def other_shape(t, opt):
    t.optim_step(opt, X)
    t.step(0.1, X)


def released(t, opt):
    t.params[0].release()


CHANGES = [
    *(replaced, all_replaced, read, held, frozen, rate, momentum, other_momentum, joined, loaded, loaded_earlier, forgotten),
    *(forgotten_counts, forgotten_moments, moved_apart, cast, cast_back, cast_moved_back, wrong_rate, other_shape, released),
]
OPTIMIZERS = {
    "sgd": lambda ps: optim.SGD(ps[:2], lr=0.1, momentum=0.5),
    "adam": lambda ps: optim.Adam(ps[:2], lr=0.1),
    "plain": lambda ps: optim.SGD(ps[:2], lr=0.1),
}


def run(backend, make, change, clip_norm):
    """What can be seen of a training in which `change` happens between two steps, errors and their texts among it."""
    t = trainer(backend)
    opt = make(list(t.params))
    seen = []
    kept = None
    for k in range(9):
        if k in (3, 6):
            try:
                kept = change(t, opt)
            except tl.TleanError as error:
                seen.append(str(error))
        before = kept.copy() if isinstance(kept, np.ndarray) else None
        try:
            seen.append(t.optim_step(opt, X, clip_norm=clip_norm).item())
        except tl.TleanError as error:
            seen.append((type(error), str(error)))
        if before is not None:
            # An array that is held elsewhere never changes.
            np.testing.assert_array_equal(before, kept)
    seen += [(opt.state.steps.get(p), p._version) for p in t.params]
    arrays = [*(list(t.params)[change is released :]), *(m for p in t.params for m in opt.state.moments.get(p, ()))]
    return seen, [np.array(a).tobytes() for a in arrays]


@pytest.mark.parametrize("clip_norm", [None, 0.5])
@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("change", CHANGES, ids=lambda f: f.__name__)
def test_what_changes_between_steps_is_seen(change, make, clip_norm, monkeypatch):
    bound = run("compiled", make, change, clip_norm)
    with monkeypatch.context() as patch:
        patch.setattr(CompiledSteps, "_binding", lambda self, update: None)
        assert run("compiled", make, change, clip_norm) == bound
    if change not in (cast, cast_moved_back, released):
        # On what an error does not end.
        assert run("eager", make, change, clip_norm)[1] == bound[1]


def test_running_statistics_are_stored_by_repeated_steps():
    runs = []
    for backend in ("compiled", "eager"):
        w = tl.Param(np.linspace(0.1, 1.0, 4).astype(np.float32), "w", requires_grad=True)
        mean = tl.Param(np.zeros(4, np.float32), "mean", requires_grad=False)

        def mean_loss(ops, w, mean, x):
            moved = ops.add(ops.scale(mean, 0.5), ops.scale(x, 0.5))
            return ops.mean(ops.square(ops.mul(ops.add(w, mean), x))), moved

        t = tl.ScalarTrainer(tl.Options(backend=backend), [w, mean], [(4,)], mean_loss)
        t.store_with_step(lambda aux, mean=mean: [(mean, aux)])
        for k in range(6):
            t.adam_step(0.1, 0.9, 0.999, 1e-8, X + k)
        runs.append([np.array(p).tobytes() for p in (w, mean)])
    assert runs[0] == runs[1]
