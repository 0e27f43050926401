"""Whatever takes steps, in its smallest form: with a state that can be compared bit by bit."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

import tlean as tl
from tlean import nn

X = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
Y = np.array([0, 1, 1, 0, 1, 0])


def frozen(state: Any) -> Any:
    """A state as values that compare by their bits."""
    if isinstance(state, dict):
        return {k: frozen(v) for k, v in state.items()}
    if isinstance(state, list | tuple):
        return [frozen(v) for v in state]
    if hasattr(state, "dtype"):
        array = np.asarray(state)
        return str(array.dtype), array.shape, array.tobytes()
    return copy.copy(state)


class Subject:
    """Something that takes steps. `step` takes one; `state` is all that later steps depend on."""

    def step(self) -> None:
        raise NotImplementedError

    def state(self) -> Any:
        raise NotImplementedError


OPTIMISERS: dict[str, Callable[[Any], Any]] = {
    "SGD": lambda params: tl.optim.SGD(params, lr=0.1),
    "momentum": lambda params: tl.optim.SGD(params, lr=0.1, momentum=0.9),
    "Adam": lambda params: tl.optim.Adam(params, lr=0.01),
}


class Trainer(Subject):
    """A model with running statistics and random numbers, trained by a `ScalarTrainer`."""

    def __init__(self, backend: str, optimiser: str, clip_norm: float | None = None, device: str = "cpu", finite: bool = True) -> None:
        self.model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm(4), nn.Dropout(0.5), nn.Linear(4, 2)).init(0)
        specs = [X.shape, tl.Spec(Y.shape, "int64")]
        options = tl.Options(backend=backend, seed=0, device=device)
        self.trainer = tl.ScalarTrainer(options, self.model.state(), specs, self.model.program("cross_entropy"))
        self.trainer.store_with_step(lambda aux: zip(self.model.buffers(), aux["buffers"], strict=True))
        self.optimiser = OPTIMISERS[optimiser](self.model.parameters())
        self.clip_norm = clip_norm
        self.finite = finite

    def step(self) -> None:
        self.trainer.optim_step(self.optimiser, X, Y, clip_norm=self.clip_norm, check_finite=self.finite)

    def state(self) -> Any:
        return frozen([self.trainer.state_dict(), self.optimiser.state_dict()])


class Kernels(Subject):
    """A model of many kernels with scratch memory: convolutions, pools, norms, attention; large enough that threads share the work."""

    def __init__(self, backend: str, threads: int = 2) -> None:
        self.threads = threads
        rng = np.random.default_rng(0)
        self.x, self.y = rng.normal(size=(8, 4, 16, 16)).astype(np.float32), rng.integers(0, 5, 8)
        front = [nn.Conv2d(4, 16, 3, padding=1), nn.BatchNorm(16), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 16, 3, padding=1)]
        self.front = nn.Sequential(*front)
        self.attention = nn.MultiHeadAttention(64, 4)
        self.back = nn.Sequential(nn.LayerNorm(64), nn.Flatten(), nn.Linear(1024, 5))
        self.model = _Attending(self.front, self.attention, self.back).init(0)
        specs = [self.x.shape, tl.Spec((8,), "int64")]
        self.trainer = tl.ScalarTrainer(tl.Options(backend=backend, seed=0), self.model.state(), specs, self.model.program("cross_entropy"))
        self.optimiser = tl.optim.Adam(self.model.parameters())

    def step(self) -> None:
        before = tl.get_num_threads()
        tl.set_num_threads(self.threads)
        try:
            self.trainer.optim_step(self.optimiser, self.x, self.y)
        finally:
            tl.set_num_threads(before)

    def state(self) -> Any:
        return frozen([self.trainer.state_dict(), self.optimiser.state_dict()])


class _Attending(nn.Module):
    def __init__(self, front: nn.Module, attention: nn.Module, back: nn.Module) -> None:
        self.front, self.attention, self.back = front, attention, back

    def forward(self, ops: Any, x: Any) -> Any:
        y = self.front(ops, x)
        return self.back(ops, self.attention(ops, ops.reshape(y, (8, 16, 64))))


class Outer(Subject):
    """A linear layer on one sample: its update is made of an outer product; moved by the trainer's own Adam."""

    def __init__(self, backend: str) -> None:
        w = np.random.default_rng(1).normal(size=(4, 3))

        def loss(ops: Any, w: Any, x: Any) -> Any:
            return ops.mean(ops.square(ops.linear(w, None, x)))

        self.trainer = tl.ScalarTrainer(tl.Options(backend=backend, seed=0), [w], [(3,)], loss)

    def step(self) -> None:
        self.trainer.adam_step(0.1, 0.9, 0.999, 1e-8, X[0])

    def state(self) -> Any:
        return frozen(self.trainer.state_dict())


class Table(Subject):
    """A table of which some rows are looked up, twice, beside another parameter: only its rows that were looked up move."""

    def __init__(self, backend: str) -> None:
        values = [np.random.default_rng(1).normal(size=shape) for shape in ((2, 3), (6000, 3))]
        self.indices = np.array([[5, 0, 5999, 5], [7, 5, 1, 7]])

        def loss(ops: Any, b: Any, w: Any, i: Any) -> Any:
            rows = ops.add(ops.take(w, i[0], axis=0), ops.take(w, i[1], axis=0))
            return ops.add(ops.mean(ops.square(rows)), ops.mean(ops.square(b)))

        specs = [tl.Spec(self.indices.shape, "int64")]
        self.trainer = tl.ScalarTrainer(tl.Options(backend=backend, seed=0), values, specs, loss)
        self.optimiser = tl.optim.SGD(self.trainer.params, lr=0.1)

    def step(self) -> None:
        self.trainer.optim_step(self.optimiser, self.indices, check_finite=True)

    def state(self) -> Any:
        return frozen([self.trainer.state_dict(), self.optimiser.state_dict()])


class Alone(Subject):
    """An optimiser's step from gradients at hand, and an average of its parameters."""

    def __init__(self, optimiser: str) -> None:
        self.params = [tl.Param(X), tl.Param(X[0]), tl.Param(np.float32(1.0))]
        self.grads = {p: np.ones(p.shape, np.float32) for p in self.params}
        self.optimiser = OPTIMISERS[optimiser](self.params)

    def step(self) -> None:
        self.optimiser.step(self.grads)

    def state(self) -> Any:
        return frozen([[p.get() for p in self.params], self.optimiser.state_dict()])


class Average(Subject):
    """The moving average of parameters."""

    def __init__(self) -> None:
        self.params = [tl.Param(X), tl.Param(X[0])]
        self.average = tl.optim.ExponentialMovingAverage(self.params, 0.9)

    def step(self) -> None:
        self.average.update()

    def state(self) -> Any:
        return frozen(self.average.state_dict())


class Session(Subject):
    """A step on a session: recorded, differentiated, updated."""

    def __init__(self, backend: str, optimiser: str, device: str = "cpu") -> None:
        self.session = tl.Session(backend=backend, seed=0, device=device)
        self.w, self.b = self.session.param(X[:2]), self.session.param(np.zeros(2))
        self.optimiser = OPTIMISERS[optimiser]([self.w, self.b])

    def step(self) -> None:
        s = self.session
        s.reset_tape()
        scores = s.tanh(s.linear(s.use(self.w), s.use(self.b), s.input(X)))
        s.optim_step(self.optimiser, s.backward_scalar_dense_all(s.mean(s.square(scores))))

    def state(self) -> Any:
        return frozen([self.w.get(), self.b.get(), self.optimiser.state_dict()])


class Jit(Subject):
    """A compiled function and its gradient; every call gives the same."""

    def __init__(self) -> None:
        self.f = tl.value_and_grad(lambda ops, x: ops.sum(ops.square(ops.tanh(x))))
        self.result: Any = None

    def step(self) -> None:
        self.result = self.f(X)

    def state(self) -> Any:
        # A call that failed leaves what the one before gave, or nothing.
        return "no state"


TRAINERS: dict[str, Callable[[], Subject]] = {
    **{f"trainer, {b}, {o}": (lambda b=b, o=o: Trainer(b, o)) for b in ("eager", "compiled") for o in OPTIMISERS},  # type: ignore[misc]
    **{f"trainer, {b}, Adam, clipped": (lambda b=b: Trainer(b, "Adam", 0.1)) for b in ("eager", "compiled")},  # type: ignore[misc]
    **{f"outer product, {b}": (lambda b=b: Outer(b)) for b in ("eager", "compiled")},  # type: ignore[misc]
    **{f"table, {b}": (lambda b=b: Table(b)) for b in ("eager", "compiled")},  # type: ignore[misc]
    **{f"optimiser, {o}": (lambda o=o: Alone(o)) for o in OPTIMISERS},  # type: ignore[misc]
    "average": Average,
}
SESSIONS: dict[str, Callable[[], Subject]] = {
    f"session, {b}, {o}": (lambda b=b, o=o: Session(b, o))  # type: ignore[misc]
    for b in ("eager", "compiled")
    for o in ("SGD", "Adam")
}
KERNELS: dict[str, Callable[[], Subject]] = {
    f"kernels, {b}, {n} thread{'s' if n > 1 else ''}": (lambda b=b, n=n: Kernels(b, n))  # type: ignore[misc]
    for b in ("eager", "compiled")
    for n in (1, 2)
}
SUBJECTS: dict[str, Callable[[], Subject]] = {**TRAINERS, **SESSIONS, "jit": Jit}
