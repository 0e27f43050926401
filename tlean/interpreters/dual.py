"""The dual backend: computes a value and its directional derivative together, on any inner backend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tlean._core.eager.eager import body_among
from tlean._core.refs import RefBase
from tlean._generated.methods import OpsMethods
from tlean.compiler.derive import jvp_graph
from tlean.compiler.graph import integers_of, replay
from tlean.dtypes import TRUTH, keeps
from tlean.errors import NodeError
from tlean.ops import OpDef, Spec, get


def _as_it_is(value: Any) -> Any:
    return value


class DualRef(RefBase):
    """A value with its tangent (None means an exact zero), both references of the inner backend."""

    __slots__ = ("ops", "primal", "tangent")

    def __init__(self, ops: Dual, primal: Any, tangent: Any) -> None:
        self.ops: Dual = ops
        self.primal: Any = primal
        self.tangent: Any = tangent

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.primal.shape)

    @property
    def dtype(self) -> str:
        return self.primal.dtype

    def __repr__(self) -> str:
        return f"<dual {self.primal!r}{'' if self.tangent is None else ' with tangent'}>"


class Dual(OpsMethods):
    """Forward mode: every op computes y and, by the op's `jvp`, the tangent of y.

    Args:
        inner: the backend that does the arithmetic; another Dual gives second derivatives.
    """

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    @property
    def dtype(self) -> str:
        """The float dtype of the inner backend."""
        return self.inner.dtype

    def lift(self, primal: Any, tangent: Any = None) -> DualRef:
        """A dual value from two references of the inner backend.

        Args:
            primal: the value.
            tangent: of its shape; None for zero.
        """
        return DualRef(self, primal, tangent)

    def const(self, value: Any, name: str | None = None) -> DualRef:
        """A constant: its tangent is zero.

        Args:
            value: anything array-like.
            name: shown by the inner backend.
        """
        return DualRef(self, self.inner.const(value), None)

    leaf = const

    def _own_constant(self, value: Any) -> DualRef:
        return DualRef(self, self.inner._own_constant(value), None)

    def apply(self, op: str, inputs: Sequence[Any], options: dict[str, Any], name: str | None = None) -> Any:
        """Compute one op and its tangent.

        Args:
            op: its name.
            inputs: references or arrays; None for an absent one.
            options: of the op.
            name: shown by the inner backend.

        Returns: a dual value, or a tuple of them.
        """
        record = get(op)
        inside = body_among(self, inputs)
        if inside is not None:
            return inside.apply(op, inputs, options, name)
        names = record.input_names(len(inputs))
        whole = integers_of(record, inputs, _as_it_is)
        # What the inner backend is to read itself.
        raw = {*record.integer, *(n for n, kind in record.dtypes.items() if kind == TRUTH), *(["seed"] if record.random else [])}
        raw |= {n for n in names if n.partition("[")[0] in record.alike} if whole is not inputs else set()
        refs = [self._own(x, n in raw, record.dtypes.get(n.partition("[")[0], "")) for n, x in zip(names, whole, strict=True)]
        primals = tuple(r.primal if isinstance(r, DualRef) else r for r in refs)
        tangents = tuple(r.tangent if isinstance(r, DualRef) else None for r in refs)
        made = self.inner.apply(op, primals, options, name)
        ys = made if len(record.outputs) > 1 else (made,)
        ts: Sequence[Any] = [None] * len(ys)
        if record.differentiable and any(t is not None for t in tangents):
            ts = self._tangents(record, primals, tangents, ys, options)
        duals = tuple(DualRef(self, y, t) for y, t in zip(ys, ts, strict=True))
        return duals if len(record.outputs) > 1 else duals[0]

    def _tangents(self, record: OpDef, primals: Any, tangents: Any, ys: Any, options: dict[str, Any]) -> Sequence[Any]:
        shapes = tuple(None if p is None else tuple(p.shape) if hasattr(p, "shape") else () for p in primals)
        kinds = [record.dtypes.get(n, "") for n in record.input_names(len(primals))]
        specs = [
            None if shape is None else Spec(shape, p.dtype if isinstance(p, RefBase) else "bool" if kind == TRUTH else kind)
            for p, shape, kind in zip(primals, shapes, kinds, strict=True)
        ]
        clean = record.rules.options(*shapes, **options) if record.rules.options else options
        dtypes = record.dtypes_at(specs, clean, self.inner.dtype)
        if record.rules.jvp is not None and dtypes.own == self.inner.dtype and not dtypes.converted:
            found = record.rules.jvp(self.inner, tangents, ys if len(record.outputs) > 1 else ys[0], *primals, **clean)
            return found if isinstance(found, tuple | list) else [found]
        graph = jvp_graph(record, specs, clean, self.inner.dtype, tuple(t is not None for t in tangents))
        return replay(graph, self.inner, [*tangents, *ys, *primals])

    def _own(self, value: Any, raw: bool, kind: str) -> Any:
        if value is None or isinstance(value, DualRef):
            if isinstance(value, DualRef) and value.ops is not self:
                raise NodeError("a reference belongs to another dual backend")
            return value
        if raw and not isinstance(value, RefBase):
            return value
        if isinstance(value, RefBase) and value.ops is self.inner:
            # A value of the enclosing program: a constant of this differentiation.
            return DualRef(self, value, None)
        if isinstance(value, RefBase):
            raise NodeError("a reference belongs to another backend")
        return self._own_constant(value) if keeps(kind, value) else self.const(value)
