"""`nuts`: the No-U-Turn sampler."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import tlean.functions as F
from tlean import tree
from tlean.arguments import flag, is_reference, whole
from tlean.arguments import seed as checked_seed
from tlean.autodiff import value_and_grad
from tlean.errors import OptionError
from tlean.loops import scan, while_loop
from tlean.programs.executable import signed_seed
from tlean.rng import program_seed
from tlean.solvers.vectors import Unknowns, solved

from .adapting import added, averaged, metric_of, none, restarted, windows
from .trajectories import Leaf, Metric, Point, Sampler, kinetic, leapfrog


class Draws(NamedTuple):
    """What the sampler returns.

    Attributes:
        x: the draws, a tree like the first point with the draws as a new first axis.
        log_density: at each.
        acceptance: the mean probability to accept along each trajectory.
        leaves: of each trajectory: how often the gradient was computed.
        diverging: whether the trajectory ended since its energy was off.
        step_size: after the warm-up.
        inverse_mass: after the warm-up, a vector or a matrix.
    """

    x: Any
    log_density: Any
    acceptance: Any
    leaves: Any
    diverging: Any
    step_size: Any
    inverse_mass: Any


def nuts(
    log_density: Callable[..., Any],
    x0: Any,
    *args: Any,
    draws: int = 1000,
    warmup: int = 1000,
    seed: Any = None,
    target: float = 0.8,
    max_depth: int = 10,
    dense_mass: bool = False,
) -> Draws:
    """Draws from a density by the No-U-Turn sampler, with warm-up: one compiled program, from the first step to the last.

    Trajectories are weighted, not sliced; steps get their length by dual averaging, the mass is the variance of the draws in windows that
    double. `tl.jit(lambda x0, seed: tl.mcmc.nuts(f, x0, seed=seed))` keeps the program for further chains.

    Args:
        log_density: `log_density(x, *args)`, a number, up to a constant; x may be any floats, so transform what is bounded.
        x0: where the chain begins, a tree.
        args: trees of further arguments.
        draws: how many draws are returned.
        warmup: how many come before, to adapt.
        seed: an integer, or a reference to one; None is the next of the process.
        target: the acceptance that the steps come to.
        max_depth: trajectories have at most `2 ** max_depth` steps.
        dense_mass: adapt a matrix in place of its diagonal.

    Returns: the draws, and what the sampler did.
    Raises: OptionError for an option that is none of these; DTypeError for a point that is not of floats.

    Example:
        >>> found = tl.mcmc.nuts(lambda x: -0.5 * tl.sum(x * x), np.zeros(2), draws=200, warmup=200, seed=1)
        >>> found.x.shape, bool(abs(found.x.numpy().mean()) < 0.3)
        ((200, 2), True)
    """
    draws, warmup = whole("nuts: draws", draws, 1), whole("nuts: warmup", warmup, 0)
    if whole("nuts: max_depth", max_depth, 1) > 16:
        raise OptionError(f"nuts: max_depth must be at most 16, got {max_depth}")
    if not (isinstance(target, int | float) and 0.0 < target < 1.0):
        raise OptionError(f"nuts: target must be between 0 and 1, got {target!r}")
    dense = flag("nuts", "dense_mass", dense_mass)
    first = program_seed() if seed is None else seed
    if not is_reference(first) and not hasattr(first, "dtype"):
        first = np.int64(signed_seed(checked_seed("nuts", first)))

    def record(program: Any, x0: Any, args: tuple[Any, ...], seed: Any) -> Draws:
        unknowns = Unknowns("nuts", program, x0, args)
        both = value_and_grad(unknowns.function(log_density, args))
        sampler = Sampler(both, int(unknowns.vector.shape[0]), unknowns.dtype, max_depth)
        return _chain(sampler, unknowns, (draws, warmup), F.astype(seed, "int64"), float(target), dense)

    # The seed as an input, so that one program serves many.
    return solved("nuts", (log_density,), record, x0, args, first)


def _chain(sampler: Sampler, unknowns: Unknowns, counts: tuple[int, int], seed: Any, target: float, dense: bool) -> Draws:
    draws, warmup = counts
    n, dtype, x = sampler.n, sampler.dtype, unknowns.vector
    point = Point(x, *sampler.both(x))
    one = F.ones((n,), dtype=dtype)
    metric = Metric(F.eye(n, dtype=dtype), F.eye(n, dtype=dtype)) if dense else Metric(one, one)
    # A seed for each trajectory; the seeds behind it are far from the next.
    seeds = F.random_randint(0, 2**62, (warmup + draws + 1,), seed=seed)
    length = restarted(F.log(_first_length(sampler, metric, point, seeds[warmup + draws])))

    def adapt(carry: Any, row: Any) -> Any:
        point, length, metric, moments = carry
        seed, counts, ends = row
        made = sampler.trajectory(metric, point, F.exp(length.log), seed)
        length = averaged(length, made.acceptance, target)
        more = added(moments, made.point.x)
        moments = _either(counts, more, moments)
        metric = _either(ends, metric_of(moments), metric)
        length = _either(ends, restarted(length.averaged), length)
        return (made.point, length, metric, _either(ends, none(n, dtype, dense), moments)), None

    if warmup:
        rows = (seeds[:warmup], *windows(warmup))
        (point, length, metric, _), _ = scan(adapt, (point, length, metric, none(n, dtype, dense)), rows)
    h = F.exp(length.averaged if warmup else length.log)

    def step(point: Any, seed: Any) -> Any:
        made = sampler.trajectory(metric, point, h, seed)
        return made.point, (made.point.x, made.point.value, made.acceptance, made.leaves, made.diverging)

    _, (xs, values, acceptance, leaves, diverging) = scan(step, point, seeds[warmup : warmup + draws])
    parts, start = [], 0
    for shape in unknowns.shapes:
        size = math.prod(shape)
        parts.append(F.reshape(xs[:, start : start + size], (draws, *shape)))
        start += size
    return Draws(tree.unflatten(unknowns.structure, parts), values, acceptance, leaves, diverging, h, metric.inverse)


def _either(condition: Any, yes: Any, no: Any) -> Any:
    return type(yes)(*(F.where(condition, a, b) for a, b in zip(yes, no, strict=True)))


def _first_length(sampler: Sampler, metric: Metric, point: Point, seed: Any) -> Any:
    # The length is doubled, or halved, until one step's acceptance crosses 0.8.
    momentum = metric.momentum(F.random_normal((sampler.n,), seed=seed, dtype=sampler.dtype))
    energy = kinetic(metric, momentum) - point.value

    def gain(h: Any) -> Any:
        leaf, value = leapfrog(sampler.both, metric, Leaf(point.x, momentum, point.slope), h)
        change = energy - (kinetic(metric, leaf.momentum) - value)
        return F.where(F.isnan(change), -math.inf, change)

    one = F.ones((), dtype=sampler.dtype)
    grows = F.greater(gain(one), math.log(0.8))
    factor = F.where(grows, 2.0, 0.5)

    def go_on(carry: Any) -> Any:
        _, good, k = carry
        return F.logical_and(F.equal(good, grows), F.less(k, 50))

    def change(carry: Any) -> Any:
        h, _, k = carry
        h = h * factor
        return h, F.greater(gain(h), math.log(0.8)), k + 1

    return while_loop(go_on, change, (one, grows, 0))[0]
