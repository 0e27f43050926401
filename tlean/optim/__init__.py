"""`tl.optim`: optimisers, schedules of the learning rate, clipping, averages of parameters. Names, defaults and formulas are PyTorch's.

    opt = tl.optim.Adam(params, lr=1e-3)
    schedule = tl.optim.CosineAnnealingLR(opt, T_max=1000)
    for x, y in batches:
        trainer.optim_step(opt, x, y)       # or opt.step(grads), or session.optim_step(opt, grads)
        schedule.step()

Each optimiser's update is one fused kernel a parameter: gradient, states and parameter pass through memory once.
"""

from .average import ExponentialMovingAverage
from .clip import clip_by_norm, clip_by_value
from .optimizer import Optimizer
from .optimizers import SGD, Adadelta, AdaGrad, Adam, AdamW, MomentumSGD, RMSProp
from .schedules import ConstantLR, CosineAnnealingLR, CyclicLR, ExponentialLR, LinearLR, OneCycleLR, Schedule, StepLR, WarmupCosineLR

__all__ = [
    "AdaGrad",
    "Adadelta",
    "Adam",
    "AdamW",
    "ConstantLR",
    "CosineAnnealingLR",
    "CyclicLR",
    "ExponentialLR",
    "ExponentialMovingAverage",
    "LinearLR",
    "MomentumSGD",
    "OneCycleLR",
    "Optimizer",
    "RMSProp",
    "SGD",
    "Schedule",
    "StepLR",
    "WarmupCosineLR",
    "clip_by_norm",
    "clip_by_value",
]
