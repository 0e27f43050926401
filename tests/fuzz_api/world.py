"""What the text of a call may name: arrays that lie, numbers that lie, programs, objects to call methods of."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np

import tlean as tl
from tlean import nn

__all__ = [
    "Calls",
    "Lying",
    "LyingInt",
    "LyingStr",
    "NoLength",
    "array_of",
    "compiled",
    "deep",
    "factor",
    "fails",
    "foreign",
    "in_threads",
    "layer",
    "loss",
    "nn",
    "nothing",
    "np",
    "number",
    "pair",
    "params",
    "ref",
    "released",
    "squares",
    "stale",
    "tape_ref",
    "tl",
    "trainer",
    "used",
]


class Lying(np.ndarray):
    """An array that says it has another shape and dtype than it has."""

    def __new__(cls, value: Any, shape: Any = (7, 7), dtype: Any = "float16") -> Lying:
        made = np.asarray(value).view(cls)
        made.__dict__["said"] = (shape, dtype)
        return made

    @property
    def shape(self) -> Any:  # type: ignore[override]
        return self.__dict__.get("said", ((7, 7), None))[0]

    @property
    def dtype(self) -> Any:  # type: ignore[override]
        return self.__dict__.get("said", (None, "float16"))[1]

    @property
    def size(self) -> Any:  # type: ignore[override]
        return 10**9

    def __repr__(self) -> str:
        return "Lying(…)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)


class LyingInt(int):
    """A number that is another one as an index."""

    def __index__(self) -> int:
        return 2**40

    def __lt__(self, other: Any) -> bool:
        return False

    def __ge__(self, other: Any) -> bool:
        return True


class LyingStr(str):
    """A text that equals every other."""

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False

    __hash__ = str.__hash__


class NoLength:
    """A sequence without an end."""

    def __getitem__(self, k: Any) -> int:
        if isinstance(k, int) and k > 1000:
            raise IndexError
        return 1

    def __len__(self) -> int:
        return 3


def deep(depth: int) -> Any:
    """A list in a list in a list."""
    made: Any = []
    for _ in range(depth):
        made = [made]
    return made


# Arrays and references -----------------------------------------------------------------------------------------------------


def array_of(*shape: int) -> np.ndarray:
    """An array of that shape, of small numbers."""
    return (np.arange(np.prod(shape, dtype=int), dtype=np.float32).reshape(shape) % 5) / 4 - 0.5


def released() -> Any:
    """An array whose memory was given back."""
    made = tl.AnyTensor(np.ones((2, 3)))
    made.release()
    return made


def ref(s: Any, *shape: int) -> Any:
    """A leaf of a session or tape."""
    return s.leaf(array_of(*shape)) if hasattr(s, "leaf") and not hasattr(s, "input") else s.input(array_of(*shape))


def foreign(*shape: int) -> Any:
    """A reference of another session."""
    return tl.Session().input(array_of(*shape))


def stale(s: Any, *shape: int) -> Any:
    """A reference of a session from before its tape was reset; a fresh one where there is no reset."""
    made = ref(s, *shape)
    if hasattr(s, "reset_tape"):
        s.reset_tape()
    return made


def tape_ref(m: Any, *shape: int) -> Any:
    """A leaf of a TapeM."""
    return m.leaf(array_of(*shape), True)


# Programs ------------------------------------------------------------------------------------------------------------------


def loss(ops: Any, *xs: Any) -> Any:
    """A scalar of everything it is given."""
    return ops.sum(ops.square(xs[0]))


def squares(ops: Any, *xs: Any) -> Any:
    """An array."""
    return ops.square(xs[-1])


def pair(ops: Any, *xs: Any) -> Any:
    """A scalar and something else."""
    return ops.sum(xs[0]), {"x": ops.neg(xs[0])}


def nothing(*xs: Any) -> None:
    """No result."""


def number(*xs: Any) -> float:
    """A number that is no reference."""
    return 3.0


def fails(*xs: Any) -> Any:
    """An error of the caller's own."""
    raise Own


class Own(Exception):
    """The caller's own error: it must come back as it is."""


# Objects -------------------------------------------------------------------------------------------------------------------


def params() -> list[Any]:
    """Two parameters."""
    return [tl.Param(array_of(2, 3), "w"), tl.Param(array_of(2), "b")]


def layer() -> Any:
    """A model."""
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm(4), nn.Tanh(), nn.Linear(4, 2)).init(0)


def used() -> Any:
    """An optimiser that has made a step."""
    ps = params()
    opt = tl.optim.Adam(ps, lr=0.1)
    opt.step([np.ones((2, 3)), np.ones(2)])
    return opt


def trainer(backend: str = "eager") -> Any:
    """A trainer of a linear layer."""

    def program(ops: Any, w: Any, b: Any, x: Any) -> Any:
        return ops.mean(ops.square(ops.linear(w, b, x)))

    return tl.ScalarTrainer(tl.Options(backend=backend), params(), [(4, 3)], program)


def compiled() -> Any:
    """A compiled scalar."""
    return tl.compile_scalar(loss, [(2, 3)])


def factor() -> Any:
    """A user's own op."""
    return tl.custom_op(lambda x: x * 2, lambda x, y, g: g * 2)


class Calls:
    """A callback."""

    def on_step(self, run: Any) -> None:
        run.stop("enough")


def in_threads(call: Callable[[], Any], count: int = 3) -> Any:
    """The call in several threads at once; the first error of one is raised."""
    found: list[BaseException] = []

    def work() -> None:
        try:
            call()
        except BaseException as error:
            found.append(error)

    threads = [threading.Thread(target=work) for _ in range(count)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if found:
        raise found[0]
