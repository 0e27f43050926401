"""A pole is kept upright by a policy that learns from rewards alone: REINFORCE with a baseline, on an environment with Gymnasium's methods.

The loop is the usual one, `observation, reward, terminated, truncated, info = env.step(action)`. The policy acts by a compiled program
(`tl.jit`), a call of some microseconds; a batch of steps becomes one step of Adam. With `--env NAME` an environment of Gymnasium takes the
place of the built-in cart-pole, where that package is installed and its actions are numbered.

Source: Williams 1992; cart-pole: Barto, Sutton, Anderson 1983.
"""

from __future__ import annotations

import argparse
from typing import Any

import common
import numpy as np

import tlean as tl
from tlean import nn


class CartPole:
    """A pole on a cart, pushed left (0) or right (1) by 10 N; a reward of 1 a step while it is within 12° and 2.4 m."""

    actions, observations = 2, 4

    def __init__(self, limit: int = 500) -> None:
        self.limit = limit

    def reset(self, *, seed: int | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin again near the upright."""
        if seed is not None:
            self.rng = np.random.default_rng(seed)
        self.state, self.steps = self.rng.uniform(-0.05, 0.05, 4), 0
        return self.state.astype(np.float32), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Push for 0.02 s: (observation, reward, terminated, truncated, info)."""
        _, speed, angle, turn = self.state
        force = 10.0 if action == 1 else -10.0
        sine, cosine = np.sin(angle), np.cos(angle)
        push = (force + 0.05 * turn * turn * sine) / 1.1
        spin = (9.8 * sine - cosine * push) / (0.5 * (4 / 3 - 0.1 * cosine * cosine / 1.1))
        self.state = self.state + 0.02 * np.array([speed, push - 0.05 * spin * cosine / 1.1, turn, spin])
        self.steps += 1
        fell = bool(abs(self.state[0]) > 2.4 or abs(self.state[2]) > np.pi / 15)
        return self.state.astype(np.float32), 1.0, fell, self.steps >= self.limit, {}


def environment(name: str | None) -> tuple[Any, int, int]:
    """The environment, and how many actions and observations it has."""
    if name is None:
        return CartPole(), CartPole.actions, CartPole.observations
    try:
        import gymnasium
    except ImportError:
        raise tl.OptionError("--env needs the package gymnasium: pip install gymnasium") from None
    env = gymnasium.make(name)
    return env, int(env.action_space.n), int(np.prod(env.observation_space.shape))


class Agent:
    """A policy with its trainer."""

    def __init__(self, observations: int, actions: int, batch: int, lr: float, discount: float, seed: int) -> None:
        self.policy = nn.Sequential(nn.Linear(observations, 32), nn.Tanh(), nn.Linear(32, actions)).init(seed)
        self.act = tl.jit(lambda x: tl.softmax(self.policy(x)))
        self.batch, self.discount, self.rng = batch, discount, np.random.default_rng(seed)
        shapes = [(batch, observations), tl.Spec((batch,), "int64"), (batch,)]
        self.trainer = tl.ScalarTrainer(tl.Options(), self.policy.state(), shapes, self.policy.program(self._loss))
        self.optimizer = tl.optim.Adam(self.trainer.params, lr=lr)

    @staticmethod
    def _loss(ops: Any, scores: Any, actions: Any, advantages: Any) -> Any:
        chosen = ops.take_along_axis(ops.log_softmax(scores), actions[:, None], axis=1)
        return -ops.mean(chosen[:, 0] * advantages)

    def choose(self, observation: np.ndarray) -> int:
        """An action, drawn from the policy."""
        return int(np.searchsorted(np.cumsum(self.act(observation)), self.rng.random()).clip(0, self.policy[2].weight.shape[0] - 1))

    def returns(self, rewards: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """The discounted sum of the rewards from each step to the end of its episode."""
        sums, total = np.empty_like(rewards), 0.0
        for k in reversed(range(len(rewards))):
            total = rewards[k] + self.discount * total * (not ends[k])
            sums[k] = total
        return sums

    def learn(self, seen: np.ndarray, actions: np.ndarray, rewards: np.ndarray, ends: np.ndarray) -> None:
        """A step of Adam on a batch."""
        gains = self.returns(rewards, ends)
        advantages = (gains - gains.mean()) / (gains.std() + 1e-8)
        self.trainer.optim_step(self.optimizer, seen, actions, advantages)


def train(env: Any, agent: Agent, updates: int, observations: int, seed: int) -> list[float]:
    """Updates of the policy; returns the reward of every episode that ended."""
    episodes: list[float] = []
    observation, _ = env.reset(seed=seed)
    total, told = 0.0, common.Progress(updates, "update")
    seen = np.zeros((agent.batch, observations), np.float32)
    actions, rewards, ends = np.zeros(agent.batch, np.int64), np.zeros(agent.batch), np.zeros(agent.batch, bool)
    for update in range(updates):
        for k in range(agent.batch):
            seen[k] = np.ravel(observation)
            actions[k] = agent.choose(seen[k])
            observation, rewards[k], terminated, truncated, _ = env.step(int(actions[k]))
            total += float(rewards[k])
            ends[k] = terminated or truncated
            if ends[k]:
                episodes.append(total)
                observation, _ = env.reset()
                total = 0.0
        agent.learn(seen, actions, rewards, ends)
        told(update + 1, f"{len(episodes)} episodes, mean reward of the last 20: {np.mean(episodes[-20:] or [0]):.0f}")
    return episodes


def draw(args: argparse.Namespace, episodes: list[float], agent: Agent) -> None:
    """The reward of every episode, and what the policy does at a standstill."""
    figure, axes = common.panels(2 if args.env is None else 1, (9.5 if args.env is None else 5.5, 3.6))
    width = max(1, min(20, len(episodes) // 3))
    axes[0].plot(episodes, ".", color=common.GREY, markersize=3, label="episode")
    smooth = np.convolve(episodes, np.ones(width) / width, "valid")
    axes[0].plot(np.arange(width - 1, len(episodes)), smooth, color=common.BLUE, label=f"mean of {width}")
    axes[0].set(title="Reward", xlabel="episode", ylim=(0, None))
    axes[0].legend(frameon=False)
    if args.env is None:
        angle, turn = np.meshgrid(np.linspace(-0.2, 0.2, 61), np.linspace(-1.5, 1.5, 61))
        rest = np.zeros(angle.size)
        states = np.stack([rest, rest, angle.ravel(), turn.ravel()], axis=1).astype(np.float32)
        right = np.asarray(tl.vmap(lambda x: tl.softmax(agent.policy(x)))(states))[:, 1].reshape(angle.shape)
        picture = axes[1].pcolormesh(np.degrees(angle), turn, right, cmap="RdBu", vmin=0, vmax=1, rasterized=True)
        axes[1].set(title="Probability of a push to the right", xlabel="angle, degrees", ylabel="turn, rad/s")
        figure.colorbar(picture, ax=axes[1])
    common.save(figure, args, "policy_gradient.png")


def main() -> None:
    """Train, say how well, draw."""
    p = common.parser(__file__, __doc__)
    p.add_argument("--env", metavar="NAME", help="an environment of Gymnasium (default: the built-in cart-pole)")
    p.add_argument("--updates", type=int, help="of the policy (default: 60)")
    p.add_argument("--batch", type=int, help="steps of an update (default: 2000)")
    p.add_argument("--lr", type=float, default=0.01, help="of Adam (default: %(default)s)")
    p.add_argument("--discount", type=float, default=0.99, help="of later rewards (default: %(default)s)")
    args = p.parse_args()
    common.settle(args, updates=(60, 12), batch=(2000, 600))
    if args.updates < 1 or args.batch < 2 or not args.lr > 0 or not 0 < args.discount <= 1:
        p.error("--updates must be at least 1, --batch at least 2, --lr greater than 0, --discount in (0, 1]")
    env, actions, observations = environment(args.env)
    agent = Agent(observations, actions, args.batch, args.lr, args.discount, args.seed)
    episodes = train(env, agent, args.updates, observations, args.seed)
    if not episodes:
        print("no episode ended; give more --updates")
        return
    part = max(1, len(episodes) // 10)
    first, last = np.mean(episodes[:part]), np.mean(episodes[-part:])
    print(f"{len(episodes)} episodes: mean reward {first:.0f} of the first {part}, {last:.0f} of the last")
    if args.plot:
        draw(args, episodes, agent)


if __name__ == "__main__":
    common.run(main, __file__)
