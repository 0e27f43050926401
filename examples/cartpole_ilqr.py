"""A cart swings its pole up: the iterative linear-quadratic regulator (iLQR), with all derivatives from tlean.

One iteration is one compiled program: the Jacobians of the dynamics at every step (`vmap` of `jacfwd`), the sweep back that makes gains
(`scan(reverse=True)`), and the way forward for many step lengths at once (`vmap` of a `scan`), of which the cheapest is taken.

Source: Li & Todorov 2004; Tassa, Erez, Todorov 2012, "Synthesis and stabilization of complex behaviors through online trajectory
optimization".
"""

from __future__ import annotations

import argparse
from typing import Any

import common
import numpy as np

import tlean as tl

GRAVITY, CART, POLE, LENGTH = 9.81, 1.0, 0.2, 0.5  # m/s², kg, kg, m


def dynamics(x: Any, u: Any, dt: float) -> Any:
    """The state (place, angle, their rates) after `dt` seconds under the force u; the angle is 0 where the pole hangs.

    Runge and Kutta's method of order 4. Equations: Tedrake, "Underactuated Robotics", chapter 3.
    """

    def rate(x: Any) -> Any:
        sine, cosine, turn = tl.sin(x[1]), tl.cos(x[1]), x[3]
        mass = CART + POLE * sine * sine
        push = (u[0] + POLE * sine * (LENGTH * turn * turn + GRAVITY * cosine)) / mass
        spin = (-u[0] * cosine - POLE * LENGTH * turn * turn * cosine * sine - (CART + POLE) * GRAVITY * sine) / (LENGTH * mass)
        return tl.stack([x[2], turn, push, spin], axis=0)

    a = rate(x)
    b = rate(x + a * (dt / 2))
    c = rate(x + b * (dt / 2))
    return x + (a + 2.0 * b + 2.0 * c + rate(x + c * dt)) * (dt / 6)


class Problem:
    """Swing up and be at rest within a time: costs, rollouts, and an iteration of iLQR as one compiled program."""

    def __init__(self, steps: int, dt: float, force: float) -> None:
        self.steps, self.dt = steps, dt
        self.weights = np.array([0.1, 1.0, 0.1, 0.1]) * dt
        self.last = np.array([200.0, 500.0, 50.0, 50.0])
        self.price, self.force = 0.01 * dt, force
        self.goal = np.array([0.0, np.pi, 0.0, 0.0])
        self.lengths = 0.5 ** np.arange(12)
        self.iterate = tl.jit(self._iterate)
        self.rollout = tl.jit(self._rollout)

    def step(self, x: Any, u: Any) -> Any:
        """The next state; the motor gives `force` newtons at most."""
        return dynamics(x, self.force * tl.tanh(u / self.force), self.dt)

    def running(self, x: Any, u: Any) -> Any:
        """The cost of a step."""
        miss = tl.stack([x[0], 1.0 + tl.cos(x[1]), x[2], x[3]], axis=0)
        return tl.sum(self.weights * miss * miss) + self.price * tl.sum(u * u)

    def final(self, x: Any) -> Any:
        """The cost of where it ends."""
        miss = x - self.goal
        return tl.sum(self.last * miss * miss)

    def _rollout(self, x: Any, us: Any) -> tuple[Any, Any]:
        # The states, and what they cost.
        def move(x: Any, u: Any) -> Any:
            return self.step(x, u), (x, self.running(x, u))

        end, (xs, costs) = tl.scan(move, x, us)
        return tl.concat([xs, end.reshape(1, 4)], axis=0), tl.sum(costs) + self.final(end)

    def _back(self, xs: Any, us: Any, damping: Any) -> tuple[Any, Any]:
        # The gains: at each step u = u₀ + α·k + K (x − x₀).
        first = (xs[: self.steps], us)
        fx, fu = tl.vmap(tl.jacfwd(self.step, argnums=(0, 1)))(*first)
        lx, lu = tl.vmap(tl.grad(self.running, argnums=(0, 1)))(*first)
        (lxx, _), (lux, luu) = tl.vmap(tl.hessian(self.running, argnums=(0, 1)))(*first)
        end = xs[self.steps]

        def sweep(value: Any, now: Any) -> Any:
            v, vv = value
            fx, fu, lx, lu, lxx, lux, luu = now
            qx, qu = lx + fx.T @ v, lu + fu.T @ v
            qxx, qux = lxx + fx.T @ vv @ fx, lux + fu.T @ vv @ fx
            # One control: what has to be inverted is a number, which damping keeps positive.
            quu = tl.maximum((luu + fu.T @ vv @ fu)[0, 0], 1e-6) + damping
            k, gain = -qu / quu, -qux / quu
            v = qx + gain.T @ (quu * k) + gain.T @ qu + qux.T @ k
            vv = qxx + quu * (gain.T @ gain) + gain.T @ qux + qux.T @ gain
            return (v, 0.5 * (vv + vv.T)), (k, gain)

        start = tl.grad(self.final)(end), tl.hessian(self.final)(end)
        return tl.scan(sweep, start, (fx, fu, lx, lu, lxx, lux, luu), reverse=True)[1]

    def _iterate(self, xs: Any, us: Any, damping: Any) -> tuple[Any, Any, Any]:
        # New states and controls, and the cheapest cost among the step lengths.
        ks, gains = self._back(xs, us, damping)

        def along(length: Any) -> Any:
            def move(x: Any, now: Any) -> Any:
                before, u, k, gain = now
                u = u + length * k + gain @ (x - before)
                return self.step(x, u), (x, u, self.running(x, u))

            end, (new, controls, costs) = tl.scan(move, xs[0], (xs[: self.steps], us, ks, gains))
            return tl.concat([new, end.reshape(1, 4)], axis=0), controls, tl.sum(costs) + self.final(end)

        new, controls, costs = tl.vmap(along)(self.lengths)
        costs = tl.where(tl.isfinite(costs), costs, 1e30)
        best = tl.argmin(costs)
        return new[best], controls[best], costs[best]


def solve(problem: Problem, iterations: int, seed: int) -> tuple[np.ndarray, np.ndarray, list[float]]:
    """Iterations from small random controls until the cost changes no more."""
    us = np.random.default_rng(seed).normal(0, 0.5, (problem.steps, 1))
    xs, cost = (np.asarray(a) for a in problem.rollout(np.zeros(4), us))
    costs, damping, told = [float(cost)], 1.0, common.Progress(iterations, "iteration")
    for k in range(iterations):
        new, controls, cost = (np.asarray(a) for a in problem.iterate(xs, us, damping))
        if cost < costs[-1]:
            gain = costs[-1] - float(cost)
            xs, us, damping = new, controls, max(damping * 0.5, 1e-6)
            costs.append(float(cost))
            if gain < 1e-7 * costs[-1] and damping < 1e-3:
                told.total = k + 1
        else:
            damping = min(damping * 4, 1e6)
            if damping == 1e6:
                told.total = k + 1
        told(k + 1, f"cost {costs[-1]:.4f}  damping {damping:.1e}")
        if told.total == k + 1:
            break
    return xs, us, costs


def draw(args: argparse.Namespace, problem: Problem, xs: np.ndarray, us: np.ndarray, costs: list[float]) -> None:
    """The pole every so often, states and force over time, the cost."""
    figure, (poles, states, cost) = common.panels(3, (12.5, 3.8), (1.35, 1, 0.8))
    tips = xs[:, :1] + LENGTH * np.stack([np.sin(xs[:, 1]), np.zeros(len(xs))], axis=-1)[:, :1]
    heights = -LENGTH * np.cos(xs[:, 1])
    for k in range(0, len(xs), max(1, len(xs) // 28)):
        shade = 0.15 + 0.85 * k / len(xs)
        poles.plot([xs[k, 0], tips[k, 0]], [0, heights[k]], color=common.BLUE, alpha=shade, linewidth=2, solid_capstyle="round")
        poles.plot(xs[k, 0], 0, "s", color=common.INK, alpha=shade, markersize=5)
    poles.plot(tips[:, 0], heights, color=common.RED, linewidth=0.8, alpha=0.7)
    poles.axhline(0, color=common.GREY, linewidth=0.6)
    poles.set(title="Cart and pole; later is darker", xlabel="place, m", ylabel="height, m", aspect="equal")
    t = problem.dt * np.arange(len(xs))
    states.plot(t, np.degrees(xs[:, 1]) / 180, color=common.BLUE, label="angle, half turns")
    states.plot(t, xs[:, 0], color=common.INK, label="place, m")
    states.plot(t[:-1], problem.force * np.tanh(us[:, 0] / problem.force) / 10, color=common.RED, linewidth=1, label="force, 10 N")
    states.axhline(1, color=common.GREY, linewidth=0.6, linestyle="--")
    states.set(title="State and control", xlabel="time, s")
    states.legend(frameon=False, fontsize=9)
    cost.plot(costs, color=common.BLUE)
    cost.set(title="Cost", xlabel="iteration that helped", yscale="log")
    common.save(figure, args, "cartpole_ilqr.png")


def main() -> None:
    """Solve, say how well, draw."""
    p = common.parser(__file__, __doc__)
    p.add_argument("--steps", type=int, help="of control (default: 200)")
    p.add_argument("--seconds", type=float, default=4.0, help="of the swing (default: %(default)s)")
    p.add_argument("--force", type=float, default=12.0, help="the most that the motor gives, in newtons (default: %(default)s)")
    p.add_argument("--iterations", type=int, help="at most (default: 300)")
    args = p.parse_args()
    common.settle(args, steps=(200, 80), iterations=(300, 30))
    if args.steps < 2 or args.iterations < 1 or not (args.seconds > 0 and args.force > 0):
        p.error("--steps must be at least 2, the other numbers greater than 0")
    problem = Problem(args.steps, args.seconds / args.steps, args.force)
    xs, us, costs = solve(problem, args.iterations, args.seed)
    print(f"cost {costs[0]:.2f} -> {costs[-1]:.4f} in {len(costs) - 1} iterations that helped")
    print(
        f"at the end: place {xs[-1, 0]:+.4f} m, angle {np.degrees(xs[-1, 1]):.2f} degrees of 180, rates {xs[-1, 2]:+.4f}, {xs[-1, 3]:+.4f}"
    )
    if args.plot:
        draw(args, problem, xs, us, costs)


if __name__ == "__main__":
    common.run(main, __file__)
