"""What the passes from a graph to a plan ask of a device: the kernels it has, its instructions, and its plans.

The passes (`lower`, `fuse`, `memory`) are the same for every device. A target says which kernels there are, makes instructions of nodes and
of fused groups, and turns an arrangement of instructions and places into something that runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from tlean._core.plan import plan as core
from tlean.dtypes import FLOATS, SIZES
from tlean.ops import OpDef, Spec
from tlean.ops.layout import strided_numbers
from tlean.ops.registry import Rules, no_gradient, no_tangent
from tlean.shapes import size

from .graph import Graph, GraphNode, Origin
from .signature import Signature

if TYPE_CHECKING:
    from .chain_code import ChainCode
    from .checks.plan_check import PlanCheck

#: Where a value is: an input, an output, the block of temporaries, a constant; NOWHERE for one that has no memory.
INPUT: int
OUTPUT: int
SCRATCH: int
CONST: int
NOWHERE: int
INPUT, OUTPUT, SCRATCH, CONST, NOWHERE = core.AT_INPUT, core.AT_OUTPUT, core.AT_SCRATCH, core.AT_CONST, core.AT_NOWHERE
#: What an output is: absent, computed into separate memory, or one of the inputs.
NONE: int
COMPUTED: int
IS_INPUT: int
NONE, COMPUTED, IS_INPUT = core.OUT_NONE, core.OUT_COMPUTED, core.OUT_INPUT
#: Kernels that write a part of their first input, and leave the rest as it is where the output is that input.
WRITES = frozenset(("set_rows", "set_box", "scatter_into_rows"))

#: What puts a value of consecutive elements, of which some are between the rows of a box, into a larger array.
IN_BOX = OpDef(
    name="_in_box",
    inputs=("v", "x"),
    options_names=("shape", "offset", "lead", "sizes", "strides"),
    rules=Rules(
        "x, or zeros, with a box in it: element p of it is element lead + p * strides of v, element offset + p * strides of the result.",
        shape=lambda v, x, **options: options["shape"],
        kernel_params=lambda v, x, *, shape, offset, lead, sizes, strides: ((offset - lead, lead, *sizes, size(shape), *strides), ()),
        vjp=no_gradient,
        jvp=no_tangent,
    ),
    optional=frozenset(("x",)),
    kernel="_in_box",
    algebraic=False,
    differentiable=False,
)

#: The box of a range, by itself; and a range whose box is an array of two axes, with whatever between the rows: groups alone have that.
OF_RANGE = OpDef(
    name="_of_range",
    inputs=("v",),
    options_names=("lead", "sizes", "strides"),
    rules=Rules(
        "Element lead + p * strides of v for each p.",
        shape=lambda v, *, lead, sizes, strides: sizes,
        kernel_params=lambda v, *, lead, sizes, strides: strided_numbers(sizes, strides, lead),
        vjp=no_gradient,
        jvp=no_tangent,
    ),
    kernel="strided_copy",
    algebraic=False,
    differentiable=False,
)
IN_RANGE = OpDef(
    name="_in_range",
    inputs=("x",),
    options_names=("width",),
    rules=Rules(
        "The rows of x, each from element k * width on.",
        shape=lambda x, *, width: ((x[0] - 1) * width + x[1],),
        kernel_params=lambda x, *, width: ((2, x[0], width, x[1], 1), ()),
        vjp=no_gradient,
        jvp=no_tangent,
    ),
    kernel="_in_range",
    algebraic=False,
    differentiable=False,
)


def works_in(graph: Graph, node: GraphNode) -> str:
    """The dtype that a node's kernel is named by."""
    return graph.call_of(node).dtypes.works


def group_dtype(graph: Graph, op: Bound) -> str:
    """The dtype that a group with this op computes in: what the op makes, or what it makes Booleans of."""
    made = graph.specs[op.made].dtype
    return op.specs[0].dtype if op.converts and made not in FLOATS else made  # type: ignore[union-attr]


def nbytes(spec: Spec) -> int:
    """Bytes of an array of that spec."""
    return spec.size * SIZES[spec.dtype]


class Bound(NamedTuple):
    """A node that is no view, bound to memory: the passes from here on compare values by `reads` and `made`, never by the node's inputs.

    Attributes:
        reads: for every input the value whose memory it is (−1: absent). An input may be a view of that value.
        specs: the inputs as the op sees them.
        made: the value of the op, or its first.
        spreads, stretches, converts: as `Signature` has them.
    """

    node: GraphNode
    reads: tuple[int, ...]
    call: Signature
    record: OpDef
    specs: tuple[Spec | None, ...]
    made: int
    spreads: bool
    stretches: bool
    converts: bool

    @staticmethod
    def of(node: GraphNode, reads: tuple[int, ...], call: Signature) -> Bound:
        """A node of that call that reads these values."""
        fields = node, reads, call, call.record, call.specs, node.outputs[0], call.spreads, call.stretches, call.converts
        return tuple.__new__(Bound, fields)

    @property
    def shift(self) -> int:
        """The first element of the consecutive ones that it takes of an array; -1 for any other op."""
        record = self.record
        if record.kernel != "strided_copy" or record.spreads or record.host is not None:
            return -1
        offset, axes, *numbers = self.kernel_params()[0]
        return offset if axes == 1 and numbers[1] == 1 else -1

    @property
    def fills(self) -> bool:
        """Whether it writes a box of a larger array (`IN_BOX`)."""
        return self.record.kernel == IN_BOX.kernel

    @property
    def ranges(self) -> bool:
        """Whether it makes a range of an array (`IN_RANGE`)."""
        return self.record.kernel == IN_RANGE.kernel

    def kernel_params(self) -> tuple[tuple[int, ...], tuple[float, ...]]:
        """The numbers of its kernel."""
        return self.call.params


@dataclass
class Step:
    """One instruction: a kernel, the values it reads and makes (−1: absent), and its numbers."""

    kernel: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    nodes: tuple[GraphNode, ...]
    ints: tuple[int, ...] = ()
    floats: tuple[float, ...] = ()
    #: What runs: the kernel's address on the CPU, launches on another device.
    code: Any = 0
    #: Bytes of temporaries that the kernel needs while it runs.
    scratch: tuple[int, ...] = ()
    #: Whether the kernel can add into its only output.
    accumulates: bool = False
    #: Input values whose memory output k may take over.
    in_place: dict[int, tuple[int, ...]] = field(default_factory=dict)
    #: The program of a fused group, which `ints` end with; None once it is encoded there, and for other kernels.
    chain: ChainCode | None = None
    #: That program encoded, where it is known.
    encoded: tuple[int, ...] | None = None
    #: Values that live in the memory of another value of the same instruction.
    shares: dict[int, int] = field(default_factory=dict)
    #: Whether its kernel reports what it has made part by part (`epilogues`), once that is known.
    reports: bool | None = None
    #: Those of its values whose channels are in blocks (`blocked`).
    blocked: tuple[int, ...] = ()
    #: The instructions of a band, on all rows.
    parts: tuple[Step, ...] = ()

    def like(
        self, inputs: tuple[int, ...], outputs: tuple[int, ...], nodes: tuple[GraphNode, ...], in_place: dict[int, tuple[int, ...]]
    ) -> Step:
        """The same instruction on other values."""
        made = object.__new__(Step)
        made.__dict__.update(self.__dict__)
        made.inputs, made.outputs, made.nodes, made.in_place = inputs, outputs, nodes, in_place
        return made


@dataclass(frozen=True)
class Program:
    """What a plan does, for people and for other devices: kernel names, value ids and numbers, no addresses."""

    steps: tuple[Step, ...]
    graph: Graph

    def instruction_name(self, k: int) -> str:
        """The op of instruction k; the kernel where it is no op's."""
        step = self.steps[k]
        return (step.nodes[0].record.name if step.nodes else step.kernel).lstrip("_")

    def instruction_arguments(self, k: int) -> str:
        """The arguments of instruction k as messages show them."""
        if not self.steps[k].nodes:
            return ""
        node = self.steps[k].nodes[0]
        shown = ", ".join(node.record.describe_arguments(self.graph._specs_of(node.inputs)))
        line = next((n.name.line for n in self.steps[k].nodes if isinstance(n.name, Origin)), None)
        return shown if line is None else f"{shown} ({line[0]}:{line[1]})"

    def __str__(self) -> str:
        # A value with its channels in blocks is marked.
        names = {v: f"%{v}:blocked" for step in self.steps for v in step.blocked}
        lines = []
        for step in self.steps:
            made = ", ".join(names.get(v, f"%{v}") if v >= 0 else "_" for v in step.outputs)
            read = ", ".join(names.get(v, f"%{v}") if v >= 0 else "None" for v in step.inputs)
            lines.append(f"{made} = {step.kernel}({read})")
        return "\n".join(lines)


@dataclass(frozen=True)
class Arrangement:
    """A program whose every value has its place: what a target makes a plan of.

    Attributes:
        places: (kind, n) of every value: n is the input's or output's number, the constant's, or the offset among the temporaries.
        temporaries: for each step the offsets of the buffers that it asked for.
        outputs: (kind, input's number, step that may add into it or −1) of every output.
        scratch_bytes: the size of the block of temporaries.
        constants: the arrays of the constants, in order.
        work: estimated nanoseconds of a run on one core.
    """

    places: list[tuple[int, int]]
    temporaries: list[tuple[int, ...]]
    inputs: int
    outputs: list[tuple[int, int, int]]
    scratch_bytes: int
    constants: tuple[Any, ...]
    work: float
    program: Program


class Target:
    """A device as the passes see it. Subclasses answer for theirs."""

    #: The device's name in messages.
    title: ClassVar[str]
    #: Every temporary begins at a multiple of this many bytes.
    alignment: ClassVar[int]
    #: The most nodes of a fused group.
    most_in_group: ClassVar[int]
    #: Arrays up to this many elements are grouped even if they have nothing in common: an instruction costs more than they do.
    small: ClassVar[int]
    #: Whether a fused group reads consecutive elements of an array where they are (`Bound.shift`), and writes boxes (`IN_BOX`).
    shifts: ClassVar[bool] = False
    #: Whether its loops count their steps up themselves.
    counts: ClassVar[bool] = False
    #: Whether kernels leave out outputs that are never read.
    skips_unread: ClassVar[bool]
    #: Whether a fused group sums rows and columns of what it makes; it sums everything in any case.
    sums_rows: ClassVar[bool]
    #: Whether a fused group repeats arrays itself (`Bound.stretches`).
    stretches: ClassVar[bool]

    #: What targets have in common that say the same of every call; None for one whose answers are not kept.
    family: ClassVar[str | None] = None

    @property
    def single(self) -> Target:
        """The same device without fusion: for plans that run once."""
        return self

    def program(self, graph: Graph) -> Graph:
        """The program that is lowered for a graph: the graph itself, but for a target that runs ops in its own way."""
        return graph

    def finished(self, graph: Graph) -> Graph:
        """The program as it is arranged, with the target's own forms of what its kernels do at once."""
        return graph

    def has_kernel(self, record: OpDef, dtype: str) -> bool:
        """Whether an op has its own kernel that works in that dtype. Raises: DeviceError for an op that cannot run here."""
        raise NotImplementedError

    def parts(self, call: Signature) -> Graph | None:
        """What a call without a kernel is here, with its residuals where there are some; None: its decomposition."""
        return None

    def fuses(self, record: OpDef, dtype: str) -> bool:
        """Whether the op is computed element by element, so that it can be part of a fused group."""
        raise NotImplementedError

    def instruction(self, graph: Graph, op: Bound, outputs: tuple[int, ...]) -> Step:
        """The instruction of one op that makes these values (−1: never read)."""
        raise NotImplementedError

    def loop(self, loop: Any, plans: Sequence[Any]) -> Any:
        """What the instruction of a loop runs, made of its bodies' plans. Raises: DeviceError where there are no loops."""
        raise loop.refused(self.title)

    def fused(self, graph: Graph, ops: Sequence[Bound], visible: Sequence[int], sums: Sequence[Bound]) -> Step:
        """The instruction of a group.

        Args:
            visible: the values of the group that others read.
            sums: ops that sum values of the group which nothing else reads; their outputs follow the visible ones.
        """
        raise NotImplementedError

    def copy(self, graph: Graph, source: int, target: int) -> Step:
        """The instruction that copies a value. Raises: DeviceError for a dtype that has no copy."""
        raise NotImplementedError

    def rewrite(self, graph: Graph, steps: list[Step], kept: set[int]) -> list[Step]:
        """The same program with instructions that do the work of several; values in `kept` are still made."""
        return steps

    def check(self, check: PlanCheck, step: Step, shared: Mapping[int, int]) -> None:
        """Check what the kernel of an instruction gets: the numbers of its record, and outputs on inputs only where it bears them.

        Args:
            check: the walk through the plan, with what it knows of values.
            shared: the inputs that outputs are written onto, by the output's place.

        Raises: PlanError.
        """

    def plan(self, arrangement: Arrangement) -> Any:
        """What runs: an object with `program` and `scratch_bytes`."""
        raise NotImplementedError

    def run(self, plan: Any, inputs: Sequence[Any], out_specs: Sequence[tuple[tuple[int, ...], str]]) -> list[Any]:
        """Run a plan on arrays of this device (None for an absent input): its outputs, None where there is none."""
        raise NotImplementedError

    def step(self, plan: Any, inputs: Sequence[Any], out_specs: Sequence[tuple[tuple[int, ...], str]], changes: Any) -> list[Any]:
        """The same with the `changes` of Python objects that belong to it: all of them if the run succeeds, none if it does not."""
        made = self.run(plan, inputs, out_specs)
        changes.now(made)
        return made

    def array(self, value: Any, dtype: str | None = None) -> Any:
        """A value as an array that `run` takes. Raises: DTypeError."""
        raise NotImplementedError

    def argument(self, value: Any, dtype: str | None = None) -> Any:
        """The same for a value that is read by the run alone. Raises: DTypeError."""
        return self.array(value, dtype)
