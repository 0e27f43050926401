"""Optimisers: the formulas in NumPy, groups, gradients in every form, saved states, clipping, averages; eager and compiled the same."""

from __future__ import annotations

import numpy as np
import pytest

import tlean as tl

STEPS = 200

# Formulas in NumPy: (p, g, state, options, t) -> p; `g` has weight decay and sign already. State is a dict of this parameter's own.


def sgd(p, g, s, o, t):
    u = g
    if o["momentum"]:
        u = s["u"] = g if t == 1 else o["momentum"] * s["u"] + (1 - o["dampening"]) * g
        if o["nesterov"]:
            u = g + o["momentum"] * u
    return p - o["lr"] * u


def adagrad(p, g, s, o, t):
    s["sum"] = s.get("sum", o["initial_accumulator_value"]) + g * g
    return p - o["lr"] / (1 + (t - 1) * o["lr_decay"]) * g / (np.sqrt(s["sum"]) + o["eps"])


def rmsprop(p, g, s, o, t):
    s["v"] = o["alpha"] * s.get("v", 0) + (1 - o["alpha"]) * g * g
    s["a"] = o["alpha"] * s.get("a", 0) + (1 - o["alpha"]) * g
    each = g / (np.sqrt(s["v"] - (s["a"] ** 2 if o["centered"] else 0)) + o["eps"])
    s["u"] = o["momentum"] * s.get("u", 0) + each
    return p - o["lr"] * s["u"]


def adam(p, g, s, o, t):
    b1, b2 = o["betas"]
    if o["decoupled_weight_decay"]:
        p = p * (1 - o["lr"] * o["weight_decay"])
    s["m"] = b1 * s.get("m", 0) + (1 - b1) * g
    s["v"] = b2 * s.get("v", 0) + (1 - b2) * g * g
    s["w"] = np.maximum(s.get("w", 0), s["v"]) if o["amsgrad"] else s["v"]
    return p - o["lr"] * (s["m"] / (1 - b1**t)) / (np.sqrt(s["w"] / (1 - b2**t)) + o["eps"])


def adadelta(p, g, s, o, t):
    s["v"] = o["rho"] * s.get("v", 0) + (1 - o["rho"]) * g * g
    d = s.get("d", 0)
    move = np.sqrt(d + o["eps"]) / np.sqrt(s["v"] + o["eps"]) * g
    s["d"] = o["rho"] * d + (1 - o["rho"]) * move * move
    return p - o["lr"] * move


# name -> (class, formula, PyTorch's name, options)
CASES = {
    "sgd": ("SGD", sgd, "SGD", {}),
    "sgd-decay": ("SGD", sgd, "SGD", {"lr": 0.1, "weight_decay": 0.02, "maximize": True}),
    "sgd-momentum": ("SGD", sgd, "SGD", {"lr": 0.05, "momentum": 0.8, "dampening": 0.3, "weight_decay": 0.01}),
    "momentum": ("MomentumSGD", sgd, "SGD", {"lr": 0.02, "momentum": 0.9}),
    "nesterov": ("MomentumSGD", sgd, "SGD", {"lr": 0.02, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    "adagrad": ("AdaGrad", adagrad, "Adagrad", {}),
    "adagrad-options": (
        "AdaGrad",
        adagrad,
        "Adagrad",
        {"lr": 0.3, "lr_decay": 0.05, "weight_decay": 0.1, "initial_accumulator_value": 0.5, "eps": 1e-3},
    ),
    "rmsprop": ("RMSProp", rmsprop, "RMSprop", {}),
    "rmsprop-momentum": ("RMSProp", rmsprop, "RMSprop", {"momentum": 0.7, "weight_decay": 0.1}),
    "rmsprop-centered": ("RMSProp", rmsprop, "RMSprop", {"alpha": 0.9, "centered": True, "eps": 1e-3}),
    "rmsprop-both": ("RMSProp", rmsprop, "RMSprop", {"momentum": 0.5, "centered": True, "eps": 1e-2, "maximize": True}),
    "adam": ("Adam", adam, "Adam", {}),
    "adam-options": ("Adam", adam, "Adam", {"lr": 0.02, "betas": (0.8, 0.95), "eps": 1e-4, "weight_decay": 0.1, "maximize": True}),
    "adam-amsgrad": ("Adam", adam, "Adam", {"lr": 0.02, "amsgrad": True}),
    "adamw": ("AdamW", adam, "AdamW", {}),
    "adamw-amsgrad": ("AdamW", adam, "AdamW", {"lr": 0.02, "weight_decay": 0.3, "amsgrad": True}),
    "adadelta": ("Adadelta", adadelta, "Adadelta", {}),
    "adadelta-options": ("Adadelta", adadelta, "Adadelta", {"lr": 0.5, "rho": 0.8, "eps": 1e-4, "weight_decay": 0.1}),
}


def start():
    rng = np.random.default_rng(0)
    return [rng.standard_normal(s) for s in ((3, 4), (4,), ())]


def gradients(values, t):
    """Of a bumpy function whose gradient differs in size from element to element."""
    rng = np.random.default_rng(t)
    return [np.tanh(v) * np.linspace(0.1, 3, v.size).reshape(v.shape) + 0.1 * rng.standard_normal(v.shape) for v in values]


@pytest.mark.parametrize("case", CASES)
def test_formula(case):
    kind, formula, _, options = CASES[case]
    params = tl.ParamList(start(), dtype="float64")
    opt = getattr(tl.optim, kind)(params, **options)
    whole = opt.param_groups[0]
    values, states = start(), [{} for _ in params]
    for t in range(1, STEPS + 1):
        opt.step(gradients([p.get().numpy() for p in params], t))
        used = [-g if whole["maximize"] else g for g in gradients(values, t)]
        if not whole.get("decoupled_weight_decay"):
            used = [g + whole["weight_decay"] * v for g, v in zip(used, values, strict=True)]
        values = [formula(v, g, s, whole, t) for v, g, s in zip(values, used, states, strict=True)]
    for p, v in zip(params, values, strict=True):
        np.testing.assert_allclose(p.get().numpy(), v, rtol=1e-10, atol=1e-12)


@pytest.mark.torch
@pytest.mark.parametrize("case", CASES)
def test_equals_pytorch(case):
    torch = pytest.importorskip("torch", reason="compared with PyTorch where it is installed")
    kind, _, theirs, options = CASES[case]
    params = tl.ParamList(start(), dtype="float64")
    opt = getattr(tl.optim, kind)(params, **options)
    tensors = [torch.from_numpy(np.array(v)).requires_grad_() for v in start()]
    # Ours by default: PyTorch's own default for the class.
    other = getattr(torch.optim, theirs)(tensors, **options)
    for t in range(1, STEPS + 1):
        opt.step(gradients([p.get().numpy() for p in params], t))
        for x, g in zip(tensors, gradients([x.detach().numpy() for x in tensors], t), strict=True):
            x.grad = torch.from_numpy(np.array(g))
        other.step()
    for p, x in zip(params, tensors, strict=True):
        np.testing.assert_allclose(p.get().numpy(), x.detach().numpy(), rtol=1e-6, atol=1e-6)


# On trainers and sessions -----------------------------------------------------------------------------------------------------------


def network(o, w1, b1, w2, x, y):
    return o.mse_loss(o.linear(w2, None, o.tanh(o.linear(w1, b1, x))), y)


def batches(t):
    rng = np.random.default_rng(1000 + t)
    return rng.standard_normal((6, 3)), rng.standard_normal((6, 2))


def trainer(backend, dtype="float32"):
    rng = np.random.default_rng(2)
    values = [rng.standard_normal((5, 3)), np.zeros(5), rng.standard_normal((2, 5))]
    return tl.ScalarTrainer(tl.Options(backend=backend, dtype=dtype), values, [(6, 3), (6, 2)], network)


def bits(params):
    return [p.get().numpy().tobytes() for p in params]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES)
def test_eager_compiled_and_sessions_have_the_same_bits(case, dtype):
    kind, _, _, options = CASES[case]
    found = []
    for backend in ("eager", "compiled"):
        for face in ("trainer", "session"):
            t = trainer(backend, dtype)
            opt = getattr(tl.optim, kind)([{"params": [t.params[0], t.params[2]]}, {"params": t.params[1], "lr": 0.03}], **options)
            s = tl.Session(t.options)
            for k in range(8):
                if face == "trainer":
                    t.optim_step(opt, *batches(k))
                    continue
                s.reset_tape()
                x, y = batches(k)
                grads = s.backward_scalar_dense_all(network(s, *s.use_all(list(t.params)), s.input(x), s.const(y)))
                if k % 2:
                    opt.step(grads)
                else:
                    s.optim_step(opt, grads)
            found.append((bits(t.params), [[m.numpy().tobytes() for m in opt.state.moments.get(p, ())] for p in t.params]))
    assert found[0] == found[1] == found[2] == found[3]


def test_trainer_steps_equal_the_optimisers():
    for backend in ("eager", "compiled"):
        a, b, c, d = (trainer(backend) for _ in range(4))
        descent, adamw = tl.optim.SGD(b.params, lr=0.1), tl.optim.AdamW(d.params, lr=0.01, weight_decay=0.1)
        for k in range(5):
            assert a.step(0.1, *batches(k)).item() == b.optim_step(descent, *batches(k)).item()
            c.adamw_step(0.01, 0.9, 0.999, 1e-8, 0.1, *batches(k))
            d.optim_step(adamw, *batches(k))
        assert bits(a.params) == bits(b.params)
        assert bits(c.params) == bits(d.params)


def test_a_changed_rate_makes_no_new_plan():
    t = trainer("compiled")
    opt = tl.optim.Adam(t.params)
    for k in range(5):
        opt.lr = 0.1 / (k + 1)
        t.optim_step(opt, *batches(k))
    assert len(t._steps._made) == 1


@pytest.mark.parametrize("backend", ["eager", "compiled"])
def test_what_the_optimiser_does_not_have_and_what_is_frozen_stays(backend):
    t = trainer(backend)
    t.params[0].requires_grad = False
    before = bits(t.params)
    t.optim_step(tl.optim.Adam([t.params[0], t.params[1]]), *batches(0))
    after = bits(t.params)
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, False, True]


def test_clipped_steps():
    found = []
    for backend in ("eager", "compiled"):
        t = trainer(backend, "float64")
        opt = tl.optim.SGD(t.params, lr=1.0)
        before = [p.get().numpy() for p in t.params]
        t.optim_step(opt, *batches(0), clip_norm=0.01)
        moved = np.sqrt(sum(((p.get().numpy() - b) ** 2).sum() for p, b in zip(t.params, before, strict=True)))
        assert moved == pytest.approx(0.01, rel=1e-3)
        t.optim_step(opt, *batches(1), clip_norm=1e9)
        found.append(bits(t.params))
    assert found[0] == found[1]


def test_an_error_counts_no_step():
    for backend in ("eager", "compiled"):
        t = tl.ScalarTrainer(
            tl.Options(backend=backend),
            [np.eye(3)],
            [(2, 3), tl.Spec((2,), "int64")],
            lambda o, w, x, y: o.cross_entropy(o.matmul(x, w), y),
        )
        opt = tl.optim.Adam(t.params)
        t.optim_step(opt, np.ones((2, 3)), [0, 1])
        before = bits(t.params)
        with pytest.raises(tl.IndexRangeError):
            t.optim_step(opt, np.ones((2, 3)), [0, 7])
        assert bits(t.params) == before
        assert opt.state.steps == {t.params[0]: 1}
    with pytest.raises(tl.OptionError, match=r"tl\.optim"):
        t.optim_step(0.1, np.ones((2, 3)), [0, 1])


# Gradients and groups ------------------------------------------------------------------------------------------------------------------


def test_gradients_in_every_form():
    a, b = tl.Param([1.0, 2.0], "a"), tl.Param([3.0], "b")
    opt = tl.optim.SGD([a, b], lr=1.0)
    opt.step({b: np.array([1.0])})
    opt.step([np.array([1.0, 1.0]), None])
    assert (a.get().tolist(), b.get().tolist()) == ([0.0, 1.0], [2.0])
    other = tl.Param([0.0])
    opt.step({other: np.array([1.0])})
    assert other.get().tolist() == [0.0]
    a.requires_grad = False
    opt.step([np.ones(2), np.ones(1)])
    assert (a.get().tolist(), b.get().tolist()) == ([0.0, 1.0], [1.0])
    with pytest.raises(tl.ShapeError, match="b has shape"):
        opt.step({a: np.ones(2), b: np.ones(2)})
    with pytest.raises(tl.ShapeError, match="one gradient for each of the 2"):
        opt.step([np.ones(2)])
    with pytest.raises(tl.OptionError, match="node id"):
        opt.step({0: np.ones(2)})
    assert (a.get().tolist(), b.get().tolist()) == ([0.0, 1.0], [1.0])


def test_groups_have_options_of_their_own():
    a, b = tl.Param([1.0]), tl.Param([1.0])
    opt = tl.optim.SGD([{"params": [a]}, {"params": [b], "lr": 0.5}], lr=0.1)
    opt.step([np.ones(1), np.ones(1)])
    assert (a.get().tolist(), b.get().tolist()) == ([np.float32(0.9)], [0.5])
    assert opt.lr == 0.1
    opt.lr = 0.25
    opt.step([np.ones(1), np.ones(1)])
    assert b.get().tolist() == [0.25]
    c = tl.Param([1.0])
    opt.add_param_group({"params": c, "momentum": 0.9})
    assert opt.params == [a, b, c]
    assert opt.kernel(c) == "_momentum_step"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda p: tl.optim.SGD([]), "no parameters"),
        (lambda p: tl.optim.SGD([p, p]), "twice"),
        (lambda p: tl.optim.SGD([{"params": [p]}, {"params": [p]}]), "twice"),
        (lambda p: tl.optim.SGD([np.ones(3)]), "Params"),
        (lambda p: tl.optim.SGD([{"params": [p], "speed": 1}]), "unknown option speed"),
        (lambda p: tl.optim.SGD([{"lr": 1}]), "'params'"),
        (lambda p: tl.optim.SGD([p], lr=-1), "lr"),
        (lambda p: tl.optim.SGD([p], nesterov=True), "nesterov"),
        (lambda p: tl.optim.MomentumSGD([p], nesterov=True, dampening=0.1), "nesterov"),
        (lambda p: tl.optim.Adam([p], betas=(0.9, 1.0)), "beta2"),
        (lambda p: tl.optim.Adam([p], betas=0.9), "betas"),
        (lambda p: tl.optim.Adam([p], eps=-1), "eps"),
        (lambda p: tl.optim.AdaGrad([p], lr_decay=-1), "lr_decay"),
        (lambda p: tl.optim.RMSProp([p], alpha=-1), "alpha"),
        (lambda p: tl.optim.Adadelta([p], rho=1.5), "rho"),
        (lambda p: tl.optim.Adam([p], lr="fast"), "lr must be a number"),
    ],
)
def test_bad_options(make, words):
    with pytest.raises(tl.OptionError, match=words):
        make(tl.Param([1.0]))


# States -----------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES)
def test_state_round_trip(case):
    kind, _, _, options = CASES[case]

    def run(t, opt, first, last):
        for k in range(first, last):
            t.optim_step(opt, *batches(k))

    whole = trainer("eager")
    run(whole, getattr(tl.optim, kind)(whole.params, **options), 0, 9)
    first = trainer("eager")
    opt = getattr(tl.optim, kind)(first.params, **options)
    run(first, opt, 0, 4)
    state, saved = opt.state_dict(), first.state_dict()
    run(first, opt, 4, 6)  # what was saved does not move with what goes on
    second = trainer("compiled")
    again = getattr(tl.optim, kind)(second.params)
    second.load_state_dict(saved)
    again.load_state_dict(state)
    run(second, again, 4, 9)
    assert bits(second.params) == bits(whole.params)


def test_foreign_states_change_nothing():
    t = trainer("eager")
    opt = tl.optim.Adam(t.params)
    t.optim_step(opt, *batches(0))
    good = opt.state_dict()

    def changed(**parts):
        return {**good, **parts}

    def entry(**parts):
        return changed(state={**good["state"], "1": {**good["state"]["1"], **parts}})

    bad = [
        ({}, tl.OptionError),
        (tl.optim.SGD(t.params).state_dict(), tl.OptionError),
        (tl.optim.Adam(t.params[:2]).state_dict(), tl.OptionError),
        (changed(param_groups=[{**good["param_groups"][0], "lr": -1.0}]), tl.OptionError),
        (changed(param_groups=[{"params": [0, 1, 2]}]), tl.OptionError),
        (changed(state={"7": good["state"]["0"]}), tl.OptionError),
        (entry(extra=1), tl.OptionError),
        (entry(exp_avg=np.zeros(4, np.float32)), tl.ShapeError),
        (entry(exp_avg=np.zeros(5)), tl.DTypeError),
    ]
    for state, kind in bad:
        with pytest.raises(kind):
            opt.load_state_dict(state)
    now = opt.state_dict()
    assert now["param_groups"] == good["param_groups"]
    for k in good["state"]:
        assert {n: np.asarray(v).tolist() for n, v in now["state"][k].items()} == {
            n: np.asarray(v).tolist() for n, v in good["state"][k].items()
        }


def test_options_that_change_the_states_in_the_middle():
    p = tl.Param([1.0])
    opt = tl.optim.Adam([p])
    opt.step([np.ones(1)])
    opt.param_groups[0]["amsgrad"] = True
    with pytest.raises(tl.OptionError, match="options changed"):
        opt.step([np.ones(1)])


# Clipping and averages ------------------------------------------------------------------------------------------------------------------


def test_clip_by_norm():
    grads = [np.array([3.0, 0.0]), None, np.array([[4.0]])]
    clipped, norm = tl.optim.clip_by_norm(grads, 1.0)
    assert norm == 5.0
    assert clipped[1] is None
    np.testing.assert_allclose(clipped[0].numpy(), [0.6, 0.0], rtol=1e-6)
    np.testing.assert_allclose(clipped[2].numpy(), [[0.8]], rtol=1e-6)
    same, _ = tl.optim.clip_by_norm({"a": np.array([0.5])}, 1.0)
    assert same["a"].tolist() == [0.5]
    assert tl.optim.clip_by_norm([], 1.0) == ([], 0.0)
    with pytest.raises(tl.OptionError, match="max_norm"):
        tl.optim.clip_by_norm(grads, -1.0)


def test_clipping_the_gradients_of_a_session():
    found = []
    for backend in ("eager", "compiled"):
        s = tl.Session(backend=backend)
        w = s.param([3.0, 4.0])
        loss = s.sum(s.mul(s.use(w), s.const([30.0, 40.0])))
        clipped, norm = tl.optim.clip_by_norm(s.backward_scalar_dense_all(loss), 1.0)
        assert norm == 50.0
        assert list(clipped) == [w]
        tl.optim.SGD([w], lr=1.0).step(clipped)
        np.testing.assert_allclose(w.get().numpy(), [2.4, 3.2], rtol=1e-6)
        found.append(w.get().numpy().tobytes())
    assert found[0] == found[1]


@pytest.mark.torch
def test_clip_by_norm_equals_pytorch():
    torch = pytest.importorskip("torch", reason="compared with PyTorch where it is installed")
    values = start()
    tensors = [torch.zeros(v.shape, dtype=torch.float64, requires_grad=True) for v in values]
    for x, v in zip(tensors, values, strict=True):
        x.grad = torch.from_numpy(np.array(v))
    expected = torch.nn.utils.clip_grad_norm_(tensors, 0.7)
    clipped, norm = tl.optim.clip_by_norm(values, 0.7)
    assert norm == pytest.approx(expected.item(), rel=1e-12)
    for c, x in zip(clipped, tensors, strict=True):
        np.testing.assert_allclose(c.numpy(), x.grad.numpy(), rtol=1e-12)


def test_clip_by_value():
    p = tl.Param([0.0])
    clipped = tl.optim.clip_by_value({p: np.array([-3.0, 0.5, 2.0], np.float32)}, 1.0)
    assert clipped[p].tolist() == [-1.0, 0.5, 1.0]


def test_moving_average():
    p = tl.Param(np.array([1.0, -2.0]))
    ema = tl.optim.ExponentialMovingAverage([p], decay=0.9)
    expected = None
    for k in range(5):
        p.set([float(k), k * 0.5])
        now = p.get().numpy()
        expected = now.copy() if expected is None else expected + 0.1 * (now - expected)
        ema.update()
    np.testing.assert_allclose(ema.get()[0].numpy(), expected, rtol=1e-12)
    with ema.swapped():
        np.testing.assert_allclose(p.get().numpy(), expected, rtol=1e-12)
    assert p.get().tolist() == [4.0, 2.0]
    other = tl.optim.ExponentialMovingAverage([tl.Param(np.zeros(2))])
    other.load_state_dict(ema.state_dict())
    assert (other.count, other.decay, other.get()[0].tolist()) == (5, 0.9, ema.get()[0].tolist())
    with pytest.raises(tl.ShapeError):
        tl.optim.ExponentialMovingAverage([tl.Param(np.zeros(3))]).load_state_dict(ema.state_dict())
    with pytest.raises(tl.OptionError, match="decay"):
        tl.optim.ExponentialMovingAverage([p], decay=1.5)


def test_averages_of_another_dtype_are_refused():
    narrow, wide = (tl.optim.ExponentialMovingAverage([tl.Param([1.0, 2.0], "w", dtype=d)]) for d in ("float32", "float64"))
    wide.update()
    with pytest.raises(tl.DTypeError, match=r"that of w is float64 and the parameter float32; cast the parameter with cast\('float64'\)"):
        narrow.load_state_dict(wide.state_dict())
    assert narrow.count == 0
