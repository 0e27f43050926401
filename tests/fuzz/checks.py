"""What a graph is put through. Each check raises FindingError where something that must agree does not."""

from __future__ import annotations

import os
import pickle
import select
import signal
import threading
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

import tlean as tl
from tlean.errors import TleanError

from . import exported, faces, oracle, transforms
from .faces import Compiled, FindingError, Result
from .program import Program, as_function

#: Seconds that a forked child may take for what its parent did in less.
FORK_LIMIT = 20.0


def same(check: str, what: str, a: Any, b: Any) -> None:
    """Raise unless two arrays (or None) have the same dtype, shape and bits; NaNs are all alike."""
    if a is None or b is None:
        if not (a is None and b is None):
            raise FindingError(check, f"{what}: one of the two is missing")
        return
    if a.dtype != b.dtype or a.shape != b.shape:
        raise FindingError(check, f"{what}: {a.shape} {a.dtype} and {b.shape} {b.dtype}")
    if a.dtype.kind == "f":
        word = f"u{a.dtype.itemsize}"
        differ = (a.ravel().view(word) != b.ravel().view(word)) & ~(np.isnan(a) & np.isnan(b)).ravel()
    else:
        differ = (a != b).ravel()
    if differ.any():
        first = int(np.argmax(differ))
        at = tuple(int(k) for k in np.unravel_index(first, a.shape))
        both = f"{a.ravel()[first]} and {b.ravel()[first]}"
        raise FindingError(check, f"{what}: {int(differ.sum())} of {a.size} elements differ, the first at {at}: {both}")


def same_values(check: str, what: str, a: list[np.ndarray], b: list[np.ndarray]) -> None:
    for k, (x, y) in enumerate(zip(a, b, strict=True)):
        same(check, f"output {k}, {what}", x, y)


def same_gradients(check: str, what: str, program: Program, a: Result, b: Result) -> None:
    """Raise unless loss and gradients agree; no gradient is as good as zeros."""
    same(check, f"the loss, {what}", a.loss, b.loss)
    for i in program.arguments:
        if not i.is_float or not i.grad:
            continue
        zero = np.zeros(i.shape, program.dtype)
        x, y = a.grads.get(i.key), b.grads.get(i.key)
        x, y = zero if x is None else x, zero if y is None else y
        if not (x.any() or y.any()) and x.shape == y.shape:
            continue
        same(check, f"the gradient by x{i.key}, {what}", x, y)


def attempt(what: str, f: Callable[[], Any]) -> tuple[Any, str]:
    """(the result, "") or (None, the kind of tlean's error). Raises: FindingError for an error that is not tlean's."""
    faces.note(what)
    try:
        return f(), ""
    except TleanError as error:
        return None, f"{type(error).__name__}: {error}"
    except (FindingError, MemoryError):
        raise
    except Exception as error:
        raise FindingError("error", f"{what} raised {type(error).__name__}: {str(error)[:300]}") from error


class Graph:
    """One graph and the runs that all checks compare with."""

    def __init__(self, program: Program, count: Counter[str]) -> None:
        self.program, self.count = program, count
        self.arrays = program.arrays()
        self.stream = program.uses_stream

    def run(self) -> None:
        """Every check of the program. Raises: FindingError."""
        program = self.program
        tl.set_num_threads(2)
        self.eager, wrong = attempt("the eager run", lambda: faces.eager(program))
        self.compiled, refused = attempt("compile_out", lambda: Compiled(program))
        values = None
        if not refused:
            values, refused = attempt("the compiled run", lambda: self.compiled.forward(self.arrays))
        if wrong or refused:
            if wrong.partition(":")[0] != refused.partition(":")[0]:
                raise FindingError("error", f"the eager run: {wrong or 'works'}; the compiled one: {refused or 'works'}")
            self.count["skipped: both raise"] += 1
            return
        same_values("compiled", "eager and compiled", self.eager.values, values)
        self.has_loss = self.eager.loss is not None
        if self.has_loss:
            self.grads, refused = attempt("value_and_grad", lambda: self.compiled.gradients(self.arrays))
            if refused:
                raise FindingError("error", f"value_and_grad raises {refused}, the eager gradient works")
            same_gradients("gradient", "eager and compiled", program, self.eager, self.grads)
        for name in program.checks:
            _, wrong = attempt(f"check {name}", lambda name=name: getattr(self, f"check_{name}")())  # type: ignore[misc]
            if wrong:
                raise FindingError("error", f"check {name} raises {wrong}, the eager run works")
            self.count[f"check: {name}"] += 1

    # Bits -------------------------------------------------------------------------------------------------------------------

    def check_again(self) -> None:
        """A second call, on memory full of NaN, gives the same; what the first gave, and the inputs, have not changed."""
        if self.stream:
            return
        kept = self.compiled.out.forward(*self.arrays)
        poison([a.size for a in self.eager.values] + [a.size for a in self.arrays])
        same_values("again", "two calls", self.compiled.forward(self.arrays), self.eager.values)
        if self.has_loss:
            poison([a.size for a in self.arrays])
            same_gradients("again", "two calls", self.program, self.compiled.gradients(self.arrays), self.eager)
        moved = [a * a.dtype.type(0.5) if a.dtype.kind == "f" else a for a in self.arrays]
        self.compiled.forward(moved)
        same_values("again", "a result after later calls", [faces.plain(y) for y in kept], self.eager.values)
        for a, b in zip(self.arrays, self.program.arrays(), strict=True):
            same("again", "an input after the calls", a, b)
        poison([a.size for a in self.eager.values])
        same_values("again", "two eager runs", faces.eager(self.program).values, self.eager.values)

    def check_threads(self) -> None:
        try:
            for n in (1, 3):
                tl.set_num_threads(n)
                self._whole("threads", f"2 and {n} threads", new=self.stream)
        finally:
            tl.set_num_threads(2)

    def _whole(self, check: str, what: str, new: bool) -> None:
        # Everything once more; `new` compiles again, so that the random stream begins again.
        compiled = Compiled(self.program) if new else self.compiled
        same_values(check, what, compiled.forward(self.arrays), self.eager.values)
        again = faces.eager(self.program)
        same_values(check, f"{what}, eagerly", again.values, self.eager.values)
        if self.has_loss:
            same_gradients(check, what, self.program, compiled.gradients(self.arrays), self.eager)
            same_gradients(check, f"{what}, eagerly", self.program, again, self.eager)

    def check_fork(self) -> None:
        """A forked child gives the same with the plans that its parent made."""
        text = in_fork(lambda: self._whole("fork", "a process and its forked child", new=self.stream))
        if text:
            raise FindingError("fork", text)

    def check_concurrent(self) -> None:
        """Two threads that call one compiled program."""
        if self.stream:
            return
        found: list[Any] = []

        def calls() -> None:
            for _ in range(3):
                found.append(self.compiled.forward(self.arrays))

        threads = [threading.Thread(target=calls) for _ in range(2)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        if len(found) != 6:
            raise FindingError("concurrent", "a call in a separate thread raised")
        for values in found:
            same_values("concurrent", "calls from two threads", values, self.eager.values)

    # Faces ------------------------------------------------------------------------------------------------------------------

    def check_jit(self) -> None:
        if any(a.dtype == np.int32 for a in self.arrays) or not any(str(a.dtype) == self.program.dtype for a in self.arrays):
            return
        f = faces.seeded(tl.jit, as_function(self.program))
        for _ in range(1 if self.stream else 2):
            same_values("jit", "eager and jit", [faces.plain(y) for y in f(*self.arrays)], self.eager.values)

    def check_functional(self) -> None:
        """`tl.value_and_grad` gives the eager gradients, `tl.jvp` what the compiled program gives."""
        floats = [k for k, i in enumerate(self.program.arguments) if i.is_float]
        if not floats or not self.has_loss or any(str(self.arrays[k].dtype) != self.program.dtype for k in floats):
            return
        value, grads = faces.seeded(tl.value_and_grad, as_function(self.program, "loss"), tuple(floats))(*self.arrays)
        keys = [self.program.arguments[k].key for k in floats]
        found = Result([], faces.plain(value), {key: faces.plain(g) for key, g in zip(keys, grads, strict=True)})
        same_gradients("functional", "eager and tl.value_and_grad", self.program, self.eager, found)
        ts = [random_array(self.program, 405 + k, i.shape) if i.is_float else None for k, i in enumerate(self.program.arguments)]
        if self.stream:
            return
        ys, moved = tl.jvp(as_function(self.program), self.arrays, ts)
        same_values("functional", "eager and tl.jvp", [faces.plain(y) for y in ys], self.eager.values)
        for k, (a, b) in enumerate(zip(moved, self.compiled.out.jvp(self.arrays, ts)[1], strict=True)):
            same("functional", f"tangent {k}, tl.jvp and compile_out", faces.plain(a), faces.plain(b))

    def check_nested(self) -> None:
        """Transformations of transformed functions."""
        transforms.nested(self)

    def check_mapped(self) -> None:
        """`vmap` against a loop."""
        transforms.mapped(self)

    def check_captured(self) -> None:
        """Captured values that change between calls."""
        transforms.captured(self)

    def check_export_c(self) -> None:
        """The plan against C."""
        exported.compared(self)

    def check_strided(self) -> None:
        """Arguments that are strided, turned or read-only views."""
        if self.stream:
            return
        same_values(
            "strided", "contiguous and strided inputs", self.compiled.forward([_strided(a) for a in self.arrays]), self.eager.values
        )
        same_values(
            "strided", "strided inputs, eagerly", faces.eager(self.program, [_strided(a) for a in self.arrays]).values, self.eager.values
        )

    def check_tapem(self) -> None:
        found = faces.eager(self.program, ops=faces.seeded(tl.TapeM, dtype=self.program.dtype))
        same_values("tapem", "Session and TapeM", found.values, self.eager.values)
        same_gradients("tapem", "Session and TapeM", self.program, found, self.eager)

    def check_tape(self) -> None:
        # An explicit tape's ids are ints: an op of the user's own takes them for numbers. It has public ops alone, and floats for leaves.
        ops = [r for r in (faces.record_of(step.op) for step in self.program.steps) if r is not None]
        if self.program.uses_own or any(not hasattr(tl.Tape, r.name) or r.whole_inputs != r.integer for r in ops):
            return
        found = faces.eager(self.program, ops=faces.Explicit(self.program.dtype))
        same_values("tape", "Session and Tape", found.values, self.eager.values)
        same_gradients("tape", "Session and Tape", self.program, found, self.eager)

    def check_seed(self) -> None:
        """The cotangents of one output alone, for its own cotangent."""
        places = [k for k, v in enumerate(self.eager.values) if v.dtype.kind == "f"]
        program = self.program
        if not places or not any(i.is_float and i.grad for i in program.arguments):
            return
        one = replace(program, outputs=(program.outputs[places[-1]],))
        if one.outputs[0] in {i.key for i in one.inputs}:
            return
        g = random_array(program, 3, self.eager.values[places[-1]].shape)
        found = faces.eager_pull(one, g)
        compiled = Compiled(one).out.vjp_with_seed(self.arrays, [g])
        for i, c in zip(program.arguments, compiled, strict=True):
            if i.key in found and (found[i.key].any() or faces.plain(c).any()):
                same("seed", f"the cotangent of x{i.key}, eager and compiled", found[i.key], faces.plain(c))

    # Numbers ----------------------------------------------------------------------------------------------------------------

    def check_reference(self) -> None:
        self._against_reference("reference", self.eager.values)

    def check_definition(self) -> None:
        """`fast_kernels=False` runs the definitions."""
        if sum(a.size for a in self.arrays) > 20_000:
            return
        found = faces.eager(self.program, ops=faces.session_of(self.program, fast_kernels=False))
        self._against_reference("definition", found.values)

    def _against_reference(self, check: str, values: list[np.ndarray]) -> None:
        wanted = oracle.expected(self.program)
        if wanted is None:
            self.count["skipped: not finite"] += 1
            return
        for k, (found, e, tol) in enumerate(zip(values, wanted.values, wanted.tolerances, strict=True)):
            if tol is None:
                self.count["skipped: chaotic output"] += 1
                continue
            off = oracle.off_by(found, e)
            if off > tol:
                harder = oracle.expected(self.program, 16, 4.0)
                tol = None if harder is None else harder.tolerances[k]
                if tol is None or off <= tol:
                    self.count["skipped: chaotic output"] += 1
                    continue
                raise FindingError(check, f"output {k} is off the reference by {off:.3g}, allowed {tol:.3g}, values up to {_top(e):.3g}")
            self.count["outputs compared with the reference"] += 1

    def check_transpose(self) -> None:
        """⟨J t, g⟩ = ⟨t, Jᵀ g⟩, in float64."""
        program = self.wide
        arguments, outs = program.arguments, self.eager.values
        ts = [random_array(program, 5 + k, i.shape) if i.is_float else None for k, i in enumerate(arguments)]
        gs = [random_array(program, 105 + k, v.shape) if v.dtype.kind == "f" else np.zeros(v.shape, v.dtype) for k, v in enumerate(outs)]
        if all(t is None for t in ts) or not self.has_loss or self.stream:
            return
        out = self.compiled.out if program is self.program else Compiled(program).out

        def sides(arrays: list[np.ndarray]) -> tuple[float, float, float]:
            moved = [faces.plain(m) for m in out.jvp(arrays, ts)[1]]
            pulled = [None if p is None else faces.plain(p) for p in out.vjp_with_seed(arrays, gs)]
            pairs = [(m, g) for m, g in zip(moved, gs, strict=True) if g.dtype.kind == "f"]
            back = [(t, p) for t, p in zip(ts, pulled, strict=True) if t is not None and p is not None]
            return inner(pairs), inner(back), size([*pairs, *back])

        self.equal("transpose", "⟨J t, g⟩ and ⟨t, Jᵀ g⟩", program, sides)

    def check_symmetric(self) -> None:
        """⟨u, H v⟩ = ⟨v, H u⟩, in float64."""
        program = self.wide
        if self.stream or not self.has_loss or program.uses_own or len(program.steps) > 30:
            return
        floats = [i.is_float for i in program.arguments]
        if not any(floats) or sum(a.size for a in self.arrays) > 20_000:
            return
        us, vs = (
            tuple(
                random_array(program, n + k, i.shape) if f else None for k, (i, f) in enumerate(zip(program.arguments, floats, strict=True))
            )
            for n in (205, 305)
        )
        f = as_function(program, "loss")

        def sides(arrays: list[np.ndarray]) -> tuple[float, float, float]:
            first, second = (tl.hvp(f, tuple(arrays), directions) for directions in (vs, us))
            left = [(u, faces.plain(h)) for u, h in zip(us, first, strict=True) if u is not None]
            right = [(v, faces.plain(h)) for v, h in zip(vs, second, strict=True) if v is not None]
            return inner(left), inner(right), size([*left, *right])

        self.equal("symmetric", "⟨u, H v⟩ and ⟨v, H u⟩", program, sides)

    @property
    def wide(self) -> Program:
        """The program in float64."""
        return self.program if self.program.dtype == "float64" else replace(self.program, dtype="float64")

    def equal(self, check: str, what: str, program: Program, sides: Callable[[list[np.ndarray]], tuple[float, float, float]]) -> None:
        arrays = program.arrays()
        left, right, size = sides(arrays)
        if not np.isfinite([left, right, size]).all():
            self.count["skipped: not finite"] += 1
            return
        off = abs(left - right)
        if off <= 1e-9 * size + 1e-10:
            return
        # How far the two move when the inputs do: what rounding on the way may do.
        rng = np.random.default_rng(program.seed)
        moves = 0.0
        for _ in range(4):
            near = [a * (1 + 1e-12 * rng.standard_normal(a.shape)) if a.dtype.kind == "f" else a for a in arrays]
            other = sides(near)
            moves = max(moves, abs(other[0] - left), abs(other[1] - right))
        if not np.isfinite(moves) or off <= 100 * moves + 1e-7 * size:
            self.count["skipped: chaotic derivative"] += 1
            return
        raise FindingError(check, f"{what} are {left:.12g} and {right:.12g}, off by {off:.3g} where terms add up to {size:.3g}")


def _strided(a: np.ndarray) -> np.ndarray:
    # The same numbers every other element of a larger array, with the axes in another order in memory.
    if not a.ndim:
        return a
    held = np.empty(tuple(2 * d for d in reversed(a.shape)), a.dtype).T
    view = held[tuple(slice(None, None, 2) for _ in a.shape)]
    view[...] = a
    view.flags.writeable = False
    return view


def inner(pairs: list[tuple[np.ndarray, np.ndarray]]) -> float:
    return sum(float((a * b).sum()) for a, b in pairs)


def size(pairs: list[tuple[np.ndarray, np.ndarray]]) -> float:
    return sum(float(np.abs(a * b).sum()) for a, b in pairs)


def _top(x: np.ndarray) -> float:
    return float(np.abs(x).max()) if x.size else 0.0


def random_array(program: Program, key: int, shape: tuple[int, ...]) -> np.ndarray:
    rng = np.random.default_rng(zlib.crc32(f"{program.seed} {key} {shape}".encode()))
    return rng.standard_normal(shape).astype(program.dtype)


def poison(sizes: list[int]) -> None:
    """Leave NaN in the memory that arrays of these sizes will be given next."""
    held = [tl.AnyTensor(np.full(max(1, n), np.nan, dtype)) for n in sizes[:40] for dtype in ("float64", "float32") for _ in range(3)]
    for a in held:
        a.release()


def in_fork(f: Callable[[], Any]) -> str:
    """Run f in a forked child: what it raised as text, "" where it went well, "hangs" or the signal it died by."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        signal.alarm(int(2 * FORK_LIMIT))
        try:
            f()
            text = ""
        except BaseException as error:
            text = f"{type(error).__name__}: {error}"
        os.write(write, pickle.dumps(text)[:60_000])
        os._exit(0)
    os.close(write)
    ready, _, _ = select.select([read], [], [], FORK_LIMIT)
    if not ready:
        os.kill(pid, signal.SIGKILL)
    given = os.read(read, 65536) if ready else b""
    os.close(read)
    _, status = os.waitpid(pid, 0)
    if not ready:
        return "the forked child hangs"
    if os.WIFSIGNALED(status):
        return f"the forked child died by signal {os.WTERMSIG(status)}"
    return pickle.loads(given) if given else "the forked child said nothing"
