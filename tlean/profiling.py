"""Where the time goes: `profile`, a context that times every kernel that runs in it, eager and compiled."""

from __future__ import annotations

import codecs
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tlean._core.eager.instance import profile_instances
from tlean._core.plan.plan import profile_start, profile_stop
from tlean._core.table import KERNELS

from .display import preformatted
from .ops import Spec

_LONGEST = 60

# What replaces letters that a stream does not have.
_PLAIN = {"µ": "u", "→": "->", "…": "...", "×": "x", "·": ".", "−": "-", "≥": ">=", "≤": "<=", "–": "-"}


def _in_ascii(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(_PLAIN.get(c, "?") for c in error.object[error.start : error.end]), error.end


#: The name of the error handler that writes what an encoding does not have in ASCII, for `errors=` of a stream.
IN_ASCII = "tlean-ascii"
codecs.register_error(IN_ASCII, _in_ascii)


def encodable(text: str, stream: Any) -> str:
    """The text in letters that a stream has: others are written in ASCII."""
    encoding = getattr(stream, "encoding", None)
    if not isinstance(encoding, str):
        return text
    try:
        return text.encode(encoding, IN_ASCII).decode(encoding)
    except LookupError:
        return text


@dataclass(frozen=True)
class Row:
    """One line of a profile.

    `op` is the op, or the chain that was fused; `node` says which one (its arguments' shapes, and its value's id in a compiled program);
    `phase` is "forward", "backward", "update", or "compiled" (a plan holds all three). Times are in seconds.
    """

    op: str
    node: str
    phase: str
    calls: int
    total: float

    @property
    def mean(self) -> float:
        """Seconds of one call."""
        return self.total / self.calls


class Profile:
    """What a `profile` context found: `rows`, the slowest first; prints as a table."""

    def __init__(self) -> None:
        self.rows: tuple[Row, ...] = ()
        #: Seconds from entering the context to leaving it.
        self.elapsed: float = 0.0

    def __enter__(self) -> Profile:
        profile_start()
        self._begun = time.perf_counter()
        return self

    def __exit__(self, *exc: Any) -> None:
        self.elapsed = time.perf_counter() - self._begun
        plans, kernels = profile_stop()
        instances = profile_instances()
        owner = {}
        found: list[Row] = []
        for instance, nanoseconds, calls in instances:
            node = _signature(instance.specs, [Spec(instance.out_shape, instance.out_dtype)])
            owner[instance.plan] = (instance.name, node, "forward")
            owner |= dict.fromkeys(instance.backward_plans, (instance.name, node, "backward"))
            # An op that runs by a plan has its time there.
            if calls and instance.plan is None:
                found.append(Row(instance.name, node, "forward", calls, nanoseconds * 1e-9))
        programs = [p for p in plans if p[0] not in owner]
        found += [Row(*owner[plan], runs, sum(ticks) * 1e-9) for plan, runs, ticks in plans if plan in owner]
        for number, (plan, runs, ticks) in enumerate(programs, 1):
            # Values are numbered within their program; where several ran, the program's own number comes first.
            prefix = f"{number}" if len(programs) > 1 else ""
            found += [Row(*_instruction(plan.program, k, prefix), "compiled", runs, t * 1e-9) for k, t in enumerate(ticks)]
        names = {address: name for name, address in KERNELS.items()}
        found += [Row(names[a].partition(":")[0].lstrip("_"), "", "update", calls, t * 1e-9) for a, (t, calls) in kernels.items()]
        self.rows = _merged(found, by_node=True)

    @property
    def total(self) -> float:
        """Seconds in kernels, summed over the rows (and over threads, where several call the library at once)."""
        return sum(r.total for r in self.rows)

    def by_op(self) -> tuple[Row, ...]:
        """The rows added up over the nodes of one op and phase, the slowest first."""
        return _merged(self.rows, by_node=False)

    def table(self, rows: Iterable[Row] | None = None, limit: int | None = None) -> str:
        """A table of rows (by default all of them), of the first `limit` if that is given."""
        chosen = list(self.rows if rows is None else rows)[:limit]
        total = self.total or 1.0
        lines = [("op", "node", "phase", "calls", "total ms", "mean µs", "share")]
        for r in chosen:
            figures = (f"{r.calls:,}", f"{r.total * 1e3:.3f}", f"{r.mean * 1e6:.2f}", f"{r.total / total:.1%}")
            lines.append((_short(r.op), _short(r.node), r.phase, *figures))
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        texts = ["  ".join(c.ljust(w) if k < 3 else c.rjust(w) for k, (c, w) in enumerate(zip(row, widths, strict=True))) for row in lines]
        texts.append(f"{self.total * 1e3:.3f} ms in kernels, {self.elapsed * 1e3:.3f} ms in all")
        return "\n".join(t.rstrip() for t in texts)

    def __str__(self) -> str:
        # Printed to a stream that has no such letters, "µ" and "→" are "u" and "->".
        return encodable(self.table(), sys.stdout)

    def _repr_html_(self) -> str:
        return preformatted(self.table())

    def __repr__(self) -> str:
        return f"<profile: {len(self.rows)} rows, {self.total * 1e3:.3f} ms in kernels>"


def profile() -> Profile:
    """Time every kernel that runs in a `with` block: per op and node, eager and compiled.

    Outside such a block nothing is timed. One profile runs at a time; it sees the work of every thread.

    Returns: a context; afterwards `.rows`, `.by_op()`, `.table(limit=…)`, and `print` for the whole table.
    Raises: OptionError on entering while another one runs.

    Example::

        with tl.profile() as p:
            trainer.step(0.1, x, y)
        print(p)
    """
    return Profile()


def _merged(rows: Iterable[Row], by_node: bool) -> tuple[Row, ...]:
    found: dict[Any, Row] = {}
    for r in rows:
        key = (r.op, r.phase, r.node if by_node else "")
        known = found.get(key, Row(r.op, key[2], r.phase, 0, 0.0))
        found[key] = Row(r.op, key[2], r.phase, known.calls + r.calls, known.total + r.total)
    return tuple(sorted(found.values(), key=lambda r: -r.total))


def _signature(specs: Iterable[Spec | None], outs: Iterable[Spec]) -> str:
    inputs = " ".join("None" if s is None else _shape(s) for s in specs)
    return f"{inputs} → {' '.join(map(_shape, outs))}".strip()


def _shape(spec: Spec) -> str:
    return f"({', '.join(map(str, spec.shape))})"


def _instruction(program: Any, k: int, prefix: str) -> tuple[str, str]:
    # The op and the node of an instruction of a compiled program: the value it makes, by its name where it has one.
    step = program.steps[k]
    specs = program.graph.specs
    made = [v for v in step.outputs if 0 <= v < len(specs)]
    named = [n.name for n in step.nodes if n.name]
    label = ", ".join(named) if named else ", ".join(f"{prefix}%{v}" for v in made)
    signature = _signature([None if i < 0 else specs[i] for i in step.inputs], [specs[v] for v in made])
    op = step.kernel if len(step.nodes) > 1 else program.instruction_name(k)
    return op, f"{label}: {signature}" if label else signature


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
