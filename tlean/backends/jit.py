"""Programs as functions of arrays, compiled when arrays of new shapes or dtypes come."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tlean import tree
from tlean._core.array import AnyTensor, as_tensor
from tlean.errors import OptionError
from tlean.ops import Spec

from .compiled import GraphM
from .cost import Cost, cost_of
from .cpu import CPU
from .executable import Executable, Stream
from .graph import Graph
from .lower import device_of, target_of
from .target import Target


def specs_of(leaves: Sequence[Any], target: Target = CPU) -> tuple[list[Any], list[Spec], str]:
    """Arrays, specs and float dtype of the arguments of a functional call.

    The float dtype is float64 if any array is float64, else float32; Python numbers are weak; integer and Boolean arrays keep their kind.
    On a GPU it is float32.
    """
    raw = [x if isinstance(x, AnyTensor) else target.array(x) for x in leaves]
    strong = [hasattr(x, "dtype") for x in leaves]
    wide = target is CPU and any(t.dtype == "float64" and s for t, s in zip(raw, strong, strict=True))
    dtype = "float64" if wide else "float32"
    tensors = []
    for t, s in zip(raw, strong, strict=True):
        if s and t.dtype in ("int64", "bool"):
            tensors.append(t)
        else:
            tensors.append(target.array(t, "int64" if s and t.dtype == "int32" else dtype))
    return tensors, [Spec(t.shape, t.dtype) for t in tensors], dtype


_ARRAYS = frozenset((AnyTensor, np.ndarray))


class Compiled:
    """A program compiled per structure, shapes and dtypes of its arguments, and kept.

    Args:
        record: `record(graph, *args)` records the program and returns a tree of references.
        device: where it runs; None for the device of the first device array among the arguments, the CPU where there is none.
    """

    def __init__(self, record: Callable[..., Any], seed: int = 0, device: str | None = None) -> None:
        self._record = record
        self._target = None if device is None else target_of(device)
        self._known: dict[Any, tuple[Executable, Any]] = {}
        #: The same for calls with nothing but arrays, by what is quick to ask of them; with the dtypes that the plan takes.
        self._arrays: dict[Any, tuple[Executable, Any, list[str]]] = {}
        self._latest: Executable | None = None
        self.stream = Stream(seed)

    def known_arrays(self, args: tuple[Any, ...]) -> Any:
        """What `call_known` needs if these arguments are arrays like those of an earlier call, else None."""
        return self._arrays.get(tuple([(a.shape, a.dtype) if type(a) in _ARRAYS else None for a in args]))

    def call_known(self, known: tuple[Executable, Any, list[str]], args: tuple[Any, ...]) -> Any:
        """The result for such arguments."""
        self._latest, structure, dtypes = known
        return tree.unflatten(structure, self._latest([as_tensor(a, d) for a, d in zip(args, dtypes, strict=True)], self.stream))

    def __call__(self, *args: Any, keep: bool = True) -> Any:
        quick = self.known_arrays(args)
        if quick is not None:
            return self.call_known(quick, args)
        leaves, structure = tree.flatten(args)
        target = self._target or target_of(device_of(leaves))
        tensors, specs, dtype = specs_of(leaves, target)
        key = (structure, tuple(specs), dtype, target)
        known = self._known.get(key)
        if known is None:
            known = self._build(structure, specs, dtype, target)
            if keep:
                self._known[key] = known
        if keep and all(type(a) in _ARRAYS for a in args):
            self._arrays[tuple((a.shape, a.dtype) for a in args)] = (*known, [s.dtype for s in specs])
        self._latest = known[0]
        return tree.unflatten(known[1], known[0](tensors, self.stream))

    def _build(self, structure: Any, specs: Sequence[Spec], dtype: str, target: Target) -> tuple[Executable, Any]:
        graph = GraphM(dtype)
        refs = [graph.arg(i, s) for i, s in enumerate(specs)]
        out, out_structure = tree.flatten(self._record(graph, *tree.unflatten(structure, refs)))
        graph.outputs = [graph.ref(r).id for r in out]  # type: ignore[union-attr]
        return Executable(graph, graph.finish(), target), out_structure

    def _called(self) -> Executable:
        if self._latest is None:
            raise OptionError("the program was not called yet, so no shapes are known")
        return self._latest

    @property
    def graph(self) -> Graph:
        """The program of the latest call, one line a node when printed."""
        return self._called().graph

    @property
    def plan(self) -> Any:
        """The instructions of the latest call."""
        return self._called().plan

    def cost(self) -> Cost:
        """FLOPs and bytes of the latest call, whole and per node."""
        return cost_of(self.graph)


def jit(f: Callable[..., Any], device: str | None = None) -> Compiled:
    """The program `f(ops, *xs)` as a function of arrays, compiled once for each structure, shapes and dtypes of its arguments.

    Args:
        device: where it runs, "cpu", "cuda" or "cuda:<number>"; None for where the first device array among the arguments is, the CPU
            where there is none. On a GPU results are device arrays.

    Raises: OptionError for another device; DeviceError without such a device; when called, DeviceError for an op that cannot run there.
    """
    return Compiled(f, device=device)
