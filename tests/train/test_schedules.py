"""Learning-rate schedules: points of each formula, groups, saved states, and 200 steps of PyTorch's."""

from __future__ import annotations

import math

import numpy as np
import pytest

import tlean as tl

STEPS = 200


def optimiser(kind="Adam", **options):
    groups = [{"params": [tl.Param([1.0])]}, {"params": [tl.Param([1.0])], "lr": 0.4}]
    return getattr(tl.optim, kind)(groups, lr=0.1, **options)


def rates(schedule, steps):
    return [schedule(k) for k in range(steps)]


def test_points_of_the_formulas():
    o = tl.optim
    assert rates(o.ConstantLR(1.0), 7) == [1 / 3] * 5 + [1.0] * 2
    assert rates(o.ConstantLR(0.5, factor=1.0), 3) == [0.5] * 3
    assert rates(o.StepLR(1.0, step_size=2, gamma=0.5), 5) == [1.0, 1.0, 0.5, 0.5, 0.25]
    assert rates(o.ExponentialLR(2.0, gamma=0.5), 3) == [2.0, 1.0, 0.5]
    assert rates(o.CosineAnnealingLR(2.0, T_max=4, eta_min=1.0), 5) == pytest.approx(
        [2.0, 1.5 + math.sqrt(0.5) / 2, 1.5, 1.5 - math.sqrt(0.5) / 2, 1.0]
    )
    assert rates(o.LinearLR(1.0, start_factor=0.5, total_iters=2), 4) == [0.5, 0.75, 1.0, 1.0]
    assert rates(o.WarmupCosineLR(1.0, warmup_steps=2, total_steps=4, start_factor=0.5), 6) == pytest.approx([0.5, 0.75, 1, 0.5, 0, 0])
    assert rates(o.WarmupCosineLR(1.0, warmup_steps=0, total_steps=2), 3) == pytest.approx([1, 0.5, 0])
    cycle = o.OneCycleLR(None, max_lr=1.0, total_steps=11, pct_start=6 / 11, anneal_strategy="linear", div_factor=2, final_div_factor=5)
    assert rates(cycle, 11) == pytest.approx([0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 0.82, 0.64, 0.46, 0.28, 0.1])
    assert [cycle.momentum(k) for k in (0, 5, 10)] == pytest.approx([0.95, 0.85, 0.95])
    assert rates(o.CyclicLR(None, 0.0, 1.0, step_size_up=2), 6) == [0.0, 0.5, 1.0, 0.5, 0.0, 0.5]
    assert rates(o.CyclicLR(None, 0.0, 1.0, 2, mode="triangular2"), 8) == [0.0, 0.5, 1.0, 0.5, 0.0, 0.25, 0.5, 0.25]
    assert rates(o.CyclicLR(None, 0.0, 1.0, 1, 2, mode="exp_range", gamma=0.5), 4) == [0.0, 0.5, 0.125, 0.0]


SCHEDULES = {
    "constant": ("ConstantLR", {"factor": 0.3, "total_iters": 20}),
    "step": ("StepLR", {"step_size": 30}),
    "step-options": ("StepLR", {"step_size": 7, "gamma": 0.8}),
    "exponential": ("ExponentialLR", {"gamma": 0.98}),
    "cosine": ("CosineAnnealingLR", {"T_max": 150, "eta_min": 0.01}),
    "cosine-waves": ("CosineAnnealingLR", {"T_max": 37}),
    "linear": ("LinearLR", {}),
    "linear-options": ("LinearLR", {"start_factor": 0.05, "end_factor": 0.9, "total_iters": 120}),
    "onecycle": ("OneCycleLR", {"max_lr": 0.7, "total_steps": 200}),
    "onecycle-three": ("OneCycleLR", {"max_lr": 0.7, "epochs": 10, "steps_per_epoch": 20, "three_phase": True, "pct_start": 0.4}),
    "onecycle-linear": ("OneCycleLR", {"max_lr": 0.7, "total_steps": 200, "anneal_strategy": "linear", "div_factor": 10}),
    "cyclic": ("CyclicLR", {"base_lr": 0.01, "max_lr": 0.2, "step_size_up": 20}),
    "cyclic-2": ("CyclicLR", {"base_lr": 0.01, "max_lr": 0.2, "step_size_up": 20, "step_size_down": 7, "mode": "triangular2"}),
    "cyclic-exp": ("CyclicLR", {"base_lr": 0.01, "max_lr": 0.2, "step_size_up": 13, "mode": "exp_range", "gamma": 0.99}),
    "cyclic-fixed": ("CyclicLR", {"base_lr": 0.01, "max_lr": 0.2, "step_size_up": 20, "cycle_momentum": False}),
}


def follow(opt, schedule, steps, momentum):
    found = []
    for k in range(steps):
        found.append([[g["lr"], momentum(g)] for g in opt.param_groups])
        if k < steps - 1:
            opt.step()
            schedule.step()
    return np.array(found)


@pytest.mark.torch
@pytest.mark.parametrize("kind", ["Adam", "SGD"])
@pytest.mark.parametrize("name", SCHEDULES)
def test_equals_pytorch(name, kind):
    torch = pytest.importorskip("torch", reason="compared with PyTorch where it is installed")
    schedule, options = SCHEDULES[name]
    extra = {"momentum": 0.9} if kind == "SGD" else {}

    def momentum(group):
        return group["betas"][0] if kind == "Adam" else group["momentum"]

    ours = optimiser(kind, **extra)
    ours.step = lambda: None
    found = follow(ours, getattr(tl.optim, schedule)(ours, **options), STEPS, momentum)
    p, q = (torch.zeros(1, dtype=torch.float64, requires_grad=True) for _ in range(2))
    theirs = getattr(torch.optim, kind)([{"params": [p]}, {"params": [q], "lr": 0.4}], lr=0.1, **extra)
    expected = follow(theirs, getattr(torch.optim.lr_scheduler, schedule)(theirs, **options), STEPS, momentum)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-12)


@pytest.mark.torch
def test_warmup_and_cosine_equal_pytorch():
    torch = pytest.importorskip("torch", reason="compared with PyTorch where it is installed")
    lr = torch.optim.lr_scheduler
    theirs = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.3)
    parts = [lr.LinearLR(theirs, start_factor=0.01, total_iters=40), lr.CosineAnnealingLR(theirs, T_max=160, eta_min=0.02)]
    both = lr.SequentialLR(theirs, parts, milestones=[40])
    expected = follow(theirs, both, STEPS, lambda g: 0.0)[:, 0, 0]
    ours = tl.optim.WarmupCosineLR(0.3, warmup_steps=40, total_steps=200, eta_min=0.02)
    np.testing.assert_allclose(rates(ours, STEPS), expected, rtol=1e-6)


@pytest.mark.torch
def test_moving_average_equals_pytorch():
    torch = pytest.importorskip("torch", reason="compared with PyTorch where it is installed")
    from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

    layer = torch.nn.Linear(3, 2).double()
    theirs = AveragedModel(layer, multi_avg_fn=get_ema_multi_avg_fn(0.95))
    ours = [tl.Param(x.detach().numpy()) for x in layer.parameters()]
    ema = tl.optim.ExponentialMovingAverage(ours, decay=0.95)
    rng = np.random.default_rng(0)
    for _ in range(STEPS):
        for p, x in zip(ours, layer.parameters(), strict=True):
            value = rng.standard_normal(p.shape)
            p.set(value)
            x.data = torch.from_numpy(value)
        ema.update()
        theirs.update_parameters(layer)
    for a, x in zip(ema.get(), theirs.module.parameters(), strict=True):
        np.testing.assert_allclose(a.numpy(), x.detach().numpy(), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", SCHEDULES)
def test_state_round_trip(name):
    kind, options = SCHEDULES[name]
    whole = optimiser()
    schedule = getattr(tl.optim, kind)(whole, **options)
    for _ in range(50):
        schedule.step()
    again = optimiser()
    second = getattr(tl.optim, kind)(again, **options)
    second.load_state_dict(schedule.state_dict())
    for _ in range(3):
        assert [(g["lr"], g["betas"]) for g in again.param_groups] == [(g["lr"], g["betas"]) for g in whole.param_groups]
        assert second.lr == schedule.lr == whole.lr
        schedule.step()
        second.step()


def test_foreign_states_change_nothing():
    schedule = tl.optim.StepLR(optimiser(), step_size=3)
    schedule.step()
    good = schedule.state_dict()
    for state in (
        {},
        {**good, "schedule": "LinearLR"},
        {**good, "base_lrs": [0.1]},
        {**good, "step": -1},
        {**good, "base_lrs": [1.0, -1.0]},
    ):
        with pytest.raises(tl.OptionError):
            schedule.load_state_dict(state)
    assert schedule.state_dict() == good


def test_the_last_step_of_one_cycle():
    opt = optimiser()
    schedule = tl.optim.OneCycleLR(opt, max_lr=1.0, total_steps=2)
    schedule.step()
    schedule.step()
    rate = opt.lr
    with pytest.raises(tl.OptionError, match="step 3 of 2"):
        schedule.step()
    assert (schedule.last_step, opt.lr) == (2, rate)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: tl.optim.StepLR("fast", 3), "lr must be a number"),
        (lambda: tl.optim.StepLR(0.1, 0), "step_size"),
        (lambda: tl.optim.ExponentialLR(0.1, -1), "gamma"),
        (lambda: tl.optim.CosineAnnealingLR(0.1, 2.5), "T_max"),
        (lambda: tl.optim.WarmupCosineLR(0.1, 5, 5), "warmup_steps must be less"),
        (lambda: tl.optim.OneCycleLR(None, 0.1), "epochs"),
        (lambda: tl.optim.OneCycleLR(None, 0.1, 10, anneal_strategy="wave"), "anneal_strategy"),
        (lambda: tl.optim.OneCycleLR(None, 0.1, 10, pct_start=2), "pct_start"),
        (lambda: tl.optim.OneCycleLR(0.1, 0.1, 10), "over an optimiser"),
        (lambda: tl.optim.OneCycleLR(optimiser("AdaGrad"), 0.1, 10), "no momentum"),
        (lambda: tl.optim.CyclicLR(None, 0.1, 0.2, mode="square"), "mode"),
        (lambda: tl.optim.StepLR(0.1, 3)(-1), "step"),
    ],
)
def test_bad_options(make, words):
    with pytest.raises(tl.OptionError, match=words):
        make()
