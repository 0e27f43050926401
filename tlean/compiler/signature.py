"""What is known of a call whatever values it reads: a program repeats few calls many times, and each is looked into once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tlean._core.eager.instance import options_key
from tlean.caching import Cache, once
from tlean.dtypes import FLOATS, Dtypes
from tlean.ops import OpDef, Spec
from tlean.ops.layout import CONVERSIONS
from tlean.shapes import size

#: Signatures by record, specs, options as they are written, and the program's dtype.
_KNOWN = Cache(4096)


class Signature:
    """A call of an op with operands of these specs and with these options, in a program of that float dtype.

    Args:
        record: of the op.
        specs: of the operands, None for an absent one.
        options: as they are written.
        dtype: of the program.

    Raises: what the op says of such a call.
    """

    record: OpDef
    specs: tuple[Spec | None, ...]
    dtype: str
    options: dict[str, Any]

    def __init__(self, record: OpDef, specs: tuple[Spec | None, ...], options: dict[str, Any], dtype: str) -> None:
        self.record, self.specs, self.dtype = record, specs, dtype
        #: The options in canonical form, which all nodes of this call share; and the specs of what it makes.
        self.options, outs = record.infer(specs, options, dtype)
        self.outs: list[Spec] = [spec.resolved(dtype) for spec in outs]
        #: Whether nothing runs for it: what it makes is its operand under another shape.
        self.view: bool = record.view
        #: Whether gradients can flow to all that it makes.
        self.flows: bool = record.differentiable and all(spec.dtype in FLOATS for spec in self.outs)
        #: What others know of the call: its derivatives, its kernels on a target.
        self.memo: dict[Any, Any] = {}

    @once
    def key(self) -> Any:
        """What tells it from other calls of the op on the same values. Raises: TypeError, ValueError for options that are no key."""
        key = options_key(self.options) if self.options else ()
        hash(key)
        return key

    @once
    def lasting(self) -> bool:
        """Whether its op stays as long as the library does, so that what is known of it may be kept."""
        return self.record.registered or "lasting" in self.record.memo

    @once
    def dtypes(self) -> Dtypes:
        """The dtypes of the call."""
        return self.record.dtypes_at(self.specs, self.options, self.dtype)

    @once
    def in_parts(self) -> bool:
        """Whether it runs by its parts, as the function of that name says."""
        return in_parts(self.record, self.specs, self.options)

    @once
    def broadcasts(self) -> bool:
        """Whether it is an elementwise op that stretches an operand."""
        record = self.record
        return record.broadcasts and record.host is None and record.stretches(self.specs, self.outs[0], self.options)

    @once
    def spreads(self) -> bool:
        """Whether it spreads a number over an array."""
        record, spec = self.record, self.specs[0] if self.specs else None
        return record.spreads and record.host is None and spec is not None and spec.size == 1

    @once
    def stretches(self) -> bool:
        """Whether it repeats an array of several elements over a larger one."""
        record, spec = self.record, self.specs[0] if self.specs else None
        return record.spreads and record.host is None and spec is not None and 1 < spec.size < size(self.options["shape"])

    @once
    def converts(self) -> bool:
        """Whether it converts an array to another dtype."""
        return self.record.name in CONVERSIONS and self.record.host is None

    @once
    def params(self) -> tuple[tuple[int, ...], tuple[float, ...]]:
        """The numbers of its kernel."""
        return self.record.kernel_params(self.specs, self.options)


def in_parts(record: OpDef, specs: Sequence[Spec | None], options: dict[str, Any]) -> bool:
    """Whether a call runs by its parts, and is differentiated by them: its rule says that the kernel does not take such operands."""
    if record.rules.of_integers is not None and record.whole(specs, options):
        return True
    rule = record.rules.in_parts
    return rule is not None and bool(rule(*(None if s is None else s.shape for s in specs), **options))


def signature(record: OpDef, specs: tuple[Spec | None, ...], options: dict[str, Any], dtype: str, written: Any = None) -> Signature:
    """The one object for equal calls; a new one where the options are no key. Those of an op that is not registered are freed with it.

    Args:
        record, specs, options, dtype: as for `Signature`.
        written: the options as a key, where it is known.
    """
    if written is None:
        written = options_key(options) if options else ()
    return record.kept("calls", _KNOWN).make((record, specs, written, dtype), lambda: Signature(record, specs, options, dtype))
