"""A plan on a device: launches whose arguments are packed once, one block of memory for everything that does not outlive a run.

Per run the inputs that are on the host are copied up, the addresses of arrays that moved are written into the packed arguments, and the
launches are queued, all of them by one call that nothing interrupts. Nothing waits for the device, unless the plan looks for numbers that
are not finite: then its verdict is read, together with the loss. An index out of range is met on the device, so it is reported when the
host next waits for it: at a read, or at `synchronize`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from tlean._core.array import AnyTensor
from tlean._core.plan.commit import Commit
from tlean.compiler.target import COMPUTED, CONST, INPUT, IS_INPUT, OUTPUT, SCRATCH, Arrangement, Program, Step, nbytes
from tlean.display import preformatted
from tlean.errors import DeviceError, IndexRangeError, NumericsError

from .calls.packing import Addresses, DriverCall, Packed, Place, address_at
from .code import Code, module
from .kernels.optim import FAMILY as OPTIM
from .kernels.optim import LOOKED, STEPS
from .kernels.plan import Address, Argument, Fault, Faults, In, Launch, Out, Scratch
from .loops import LoopCalls, RunsOnDevice
from .runtime.array import DeviceArray, empty, to_device
from .runtime.context import Block, Context
from .runtime.flags import FaultFlags
from .runtime.graphs import Replay
from .runtime.values import require_here
from .steered import SteeredLoop
from .step import verdict_of
from .updates import Row, Updates

_ALIGNMENT = 256
#: What vector loads ask of an array's address.
_WORD = 16
#: A plan is replayed as a graph if it has at most so many outputs of at most so many bytes: a loss, some numbers beside it.
_MOST_OUTPUTS = 8
_SMALL_OUTPUT = 1 << 16
#: Inputs of at most so many bytes are copied where their addresses change from run to run.
_SMALL_INPUT = 1 << 24


@dataclass(frozen=True)
class _Copy:
    # A copy within the device.
    where: Context
    source: Place
    target: Place
    size: int

    def calls(self, addresses: Addresses) -> tuple[DriverCall]:
        source, target = address_at(self.source, addresses), address_at(self.target, addresses)
        return ((self.where.module.memcpy_dtod_async, (target, source, self.size, self.where.stream)),)


class DevicePlan:
    """A program that is ready to run on a device. Made by `Target.plan`.

    Runs from several threads follow one another: they share the stream and the plan's memory.

    Attributes:
        program: the instructions, for people to read.
        scratch_bytes: the size of the block that temporaries live in.
        work: estimated nanoseconds of a run on one core of a CPU.
    """

    def __init__(self, arrangement: Arrangement, where: Context) -> None:
        self.context = where
        self.program: Program = arrangement.program
        self.scratch_bytes: int = arrangement.scratch_bytes
        self.work: float = arrangement.work
        self._outputs = arrangement.outputs
        self._checked = [k for k, s in enumerate(self.program.steps) if any(isinstance(a, Fault) for a in _arguments(s.code))]
        self._layout(arrangement)
        self._inputs = [0] * arrangement.inputs
        self._slots: dict[int, Block] = {}
        self._loops: list[RunsOnDevice] = []
        self._calls = self._prepare(arrangement)
        self._settle_addresses()

    def __len__(self) -> int:
        return len(self.program.steps)

    def __repr__(self) -> str:
        return f"<plan: {len(self)} instructions, {self.scratch_bytes} scratch bytes, on cuda:{self.context.device}>"

    def __str__(self) -> str:
        return str(self.program)

    def _repr_html_(self) -> str:
        return preformatted(f"{self!r}\n{self}")

    # Making ---------------------------------------------------------------------------------------------------------------------

    def _layout(self, arrangement: Arrangement) -> None:
        # One block: temporaries, constants, and a flag for each instruction that looks for indices out of range.
        at = arrangement.scratch_bytes
        offsets = []
        hosts = [np.ascontiguousarray(c.numpy()) for c in arrangement.constants]
        for host in hosts:
            offsets.append(at)
            at += max(-(-host.nbytes // _ALIGNMENT), 1) * _ALIGNMENT
        flags = at
        at += -(-4 * len(self._checked) // LOOKED) * LOOKED
        # The instruction that looks for numbers that are not finite leaves a verdict, which updates read.
        self._look = next((s for s in self.program.steps if s.kernel == "_finite"), None)
        self._memory = self.context.allocate(at + (0 if self._look is None else LOOKED))
        base = self._memory.address
        self._faults = base + flags
        self._verdict = 0 if self._look is None else base + at
        constants = [base + offset for offset in offsets]
        fixed = {SCRATCH: lambda offset: base + offset, CONST: constants.__getitem__}
        self._places: list[Place] = [fixed[kind](n) if kind in fixed else (kind, n) for kind, n in arrangement.places]
        with self.context.current() as driver:
            for host, address in zip(hosts, constants, strict=True):
                self.context.uploads.copy(address, host, driver)
        # An index out of range is reported with the instruction that met it.
        self._flags = (
            FaultFlags(self.context, len(self._checked), partial(_out_of_range, self.program, self._checked), self._memory, flags)
            if self._checked
            else None
        )

    def _prepare(self, arrangement: Arrangement) -> list[tuple[int, Packed | _Copy | Updates | LoopCalls]]:
        # What a run queues, in order, each with the instruction that it is named after, or -1.
        own, codes = module(arrangement), [step.code for step in self.program.steps]
        families = [family or own for code in codes for family, _ in code.launches]
        self.context.load([*families, *([OPTIM] if any(code.update for code in codes) else [])])
        calls: list[tuple[int, Packed | _Copy | Updates | LoopCalls]] = []
        for k, (step, code) in enumerate(zip(self.program.steps, codes, strict=True)):
            if code.loop is not None:
                self._loops.append(code.loop)
                given, made = ([self._places[v] if v >= 0 else 0 for v in values] for values in (step.inputs, step.outputs))
                calls.append((k, LoopCalls(code.loop, given, made)))
            if code.copied:
                source, target = (self._places[v] for v in (*step.inputs, *step.outputs))
                calls.append((-1, _Copy(self.context, source, target, code.copied)))
            launches = [*code.launches]
            if code.update:
                op, rows = code.update
                together, apart = self._update(step, op, rows)
                if together:
                    calls.append((-1, Updates(self.context, op, together, self._verdict)))
                launches += [(OPTIM, launch) for launch in apart]
            place = partial(self._place, k, arrangement.temporaries[k])
            calls += [(k, Packed(self.context, family or own, launch, place)) for family, launch in launches if not launch.empty]
        return calls

    def _update(self, step: Step, op: str, rows: Sequence[Row]) -> tuple[list[Any], list[Launch]]:
        # The parameters that change in place go together; the launches of the others.
        states = STEPS[op].states
        together: list[tuple[list[Place], int]] = []
        apart: list[Launch] = []
        for row in rows:
            read = [self._places[v] for v in step.inputs[row.inputs : row.inputs + states + 3]]
            written = [self._places[v] for v in step.outputs[row.outputs : row.outputs + states + 1]]
            if written == [read[0], *read[2:-1]]:
                together.append((read, row.size))
            else:
                apart += row.launches
        return together, apart

    def _place(self, k: int, temporaries: Sequence[int], a: Address) -> Place:
        # Where an argument of instruction k is.
        step = self.program.steps[k]
        match a:
            case In(n) | Out(n):
                v = (step.inputs if isinstance(a, In) else step.outputs)[n]
                return self._places[v] if v >= 0 else 0
            case Scratch(n):
                return self._memory.address + temporaries[n]
            case Fault():
                return self._faults + 4 * self._checked.index(k)
            case Faults(count):
                return len(self._checked) if count else self._faults
        return self._verdict

    def _settle_addresses(self) -> None:
        # A plan of few and small outputs is replayed as a graph. For that the addresses stay: its outputs are made in the plan's memory and
        # copied from there, and inputs that come from different places each time are copied to it.
        graph = self.program.graph
        made = [v if out[0] == COMPUTED else None for v, out in zip(graph.outputs, self._outputs, strict=True)]
        sizes = [0 if v is None else nbytes(graph.specs[v]) for v in made]
        steady = not self.steered and len(sizes) <= _MOST_OUTPUTS and max(sizes, default=0) <= _SMALL_OUTPUT
        held = {v for _, v, _ in graph.states}
        self._wanders = [steady and v is not None and v not in held and nbytes(graph.specs[v]) <= _SMALL_INPUT for v in graph.inputs]
        self._wandering = [False] * len(graph.inputs)
        self._kept = [self.context.allocate(size) for size in sizes] if steady else []
        self._made = [block.address for block in self._kept]
        self._replay = Replay(self.context) if steady else None

    # Running --------------------------------------------------------------------------------------------------------------------

    def run(
        self, inputs: Sequence[Any], out_specs: Sequence[tuple[tuple[int, ...], str]], changes: Commit | None = None
    ) -> list[DeviceArray | None]:
        """Queue a run: the outputs, whose values are there once the device gets to them; None where there is none.

        Args:
            inputs: arrays of the device, used where they are, or of the host, copied; None for an absent input. States are the device's.
            out_specs: (shape, dtype) of every output.
            changes: what becomes real with the run, and does not if it fails.

        Raises: NumericsError where the plan looks for numbers that are not finite and there is one; then nothing was updated.
        """
        where, changes = self.context, Commit() if changes is None else changes
        with where.current() as driver:
            self._expect(driver)
            addresses = self._take(inputs, driver)
            results = [self._result(k, inputs, *spec) for k, spec in enumerate(out_specs)]
            made = [0 if r is None or kind != COMPUTED else r.address for r, (kind, *_) in zip(results, self._outputs, strict=True)]
            queued = self.calls_at({INPUT: addresses, OUTPUT: made if self._replay is None else self._made})
            calls = [call for call, _ in queued]
            graph = None if self._replay is None else self._replay.graph(tuple(addresses), calls)
            if graph is not None:
                changes.call(*graph.call, instead=calls)
            for function, arguments in calls if graph is None else ():
                changes.call(function, *arguments)
            if self._replay is not None:
                for target, source, result in zip(made, self._made, results, strict=True):
                    if target and result is not None:
                        changes.call(driver.memcpy_dtod_async, target, source, result.nbytes, where.stream)
            verdict = bytearray(LOOKED)
            if self._verdict:
                changes.call(driver.memcpy_dtoh_async, verdict, self._verdict, where.stream)
                changes.call(where.stream.synchronize)
                changes.require(verdict)
            self._carry_out(changes, results, [k for _, k in queued])
            if graph is not None and changes.replaced and self._replay is not None:
                self._replay.refused()
        if self._verdict:
            self._tell(results, verdict)
        return results

    def _carry_out(self, changes: Commit, results: Sequence[Any], instructions: Sequence[int]) -> None:
        # The launches of a run and the changes that belong to it: one call, in which there is no line of Python.
        try:
            changes.now(results)
        except self.context.error as error:
            if not self.context.blocking:
                raise
            # Where every launch is waited for, a fault is of the instruction that was queued last.
            k = instructions[changes.done] if changes.done < len(instructions) else -1
            where = f"{self.program.instruction_name(k)}: " if k >= 0 else ""
            raise DeviceError(f"{where}{self.context.fault(error)}") from error

    def _tell(self, results: Sequence[DeviceArray | None], verdict: bytearray) -> None:
        # The device was waited for. What it met before is told first, as it may be the reason.
        step: Any = self._look
        found, loss = verdict_of(verdict)
        if found is None:
            for v, result in zip(self.program.graph.outputs, results, strict=True):
                if v == step.inputs[1] and result is not None:
                    result.known = np.full(result.shape, loss, result.dtype)
        self.context.settle()
        if found is not None:
            what = step.nodes[0].name if found[0] else "the loss"
            raise NumericsError(f"{what} became {found[1]}; nothing was updated")

    def _result(self, k: int, inputs: Sequence[Any], shape: tuple[int, ...], dtype: str) -> DeviceArray | None:
        kind, given, _ = self._outputs[k]
        if kind == IS_INPUT:
            return to_device(_host(inputs[given]), self.context).reshape(shape)
        return empty(shape, dtype, self.context) if kind == COMPUTED else None

    def _expect(self, driver: Any) -> None:
        # A run follows, whose faults are those of its loops' bodies too.
        if self._flags is not None:
            self._flags.expect(driver)
        for loop in self._loops:
            for plan in loop.plans:
                plan._expect(driver)

    @property
    def steered(self) -> bool:
        """Whether the host reads numbers on the way."""
        return any(isinstance(loop, SteeredLoop) or any(p.steered for p in loop.plans) for loop in self._loops)

    @property
    def reports(self) -> bool:
        """Whether an instruction may meet an index out of range."""
        return bool(self._checked) or any(p.reports for loop in self._loops for p in loop.plans)

    def faulty(self) -> bool:
        """Whether an instruction has met an index out of range, which is reported later. Waits for the device; the context is current."""
        found = np.zeros(len(self._checked), np.int32)
        if self._checked:
            self.context.read(found, self._faults)
        return bool(found.any()) or any(p.faulty() for loop in self._loops for p in loop.plans)

    @property
    def made_of(self) -> list[tuple[int, int, int]]:
        """How each output comes about: computed, or an input, with its number."""
        return self._outputs

    def calls_at(self, addresses: Addresses) -> list[tuple[DriverCall, int]]:
        """One launch after the other, as calls of the driver, each with the instruction that it is of, or -1.

        Args:
            addresses: of the inputs and of the outputs.
        """
        found = [(call, k) for k, part in self._calls for call in part.calls(addresses)]
        if self.context.blocking:
            # Each launch is waited for, so that a fault is met by the instruction that made it.
            return [entry for call, k in found for entry in ((call, k), ((self.context.stream.synchronize, ()), k))]
        return found

    def _take(self, inputs: Sequence[Any], driver: Any) -> list[int]:
        # Addresses of the inputs; what is on the host goes to memory of the plan's own, an array that comes twice once.
        if len(inputs) != len(self._inputs):
            raise ValueError(f"plan: {len(self._inputs)} inputs, got {len(inputs)}")
        addresses = self._inputs
        copied: dict[int, int] = {}
        for k, x in enumerate(inputs):
            if x is None:
                addresses[k] = 0
            elif isinstance(x, DeviceArray):
                require_here(x, self.context)
                if self._wanders[k] and not self._wandering[k]:
                    self._wandering[k] = addresses[k] not in (0, x.address)
                addresses[k] = self._copied(k, x, driver) if self._wandering[k] or x.address % _WORD else x.address
            else:
                if id(x) not in copied:
                    host = np.ascontiguousarray(_host(x))
                    copied[id(x)] = self._slot(k, host.nbytes)
                    self.context.uploads.copy(copied[id(x)], host, driver)
                addresses[k] = copied[id(x)]
        return addresses

    def _slot(self, k: int, size: int) -> int:
        if k not in self._slots:
            self._slots[k] = self.context.allocate(size)
        return self._slots[k].address

    def _copied(self, k: int, x: DeviceArray, driver: Any) -> int:
        address = self._slot(k, x.nbytes)
        if x.nbytes:
            driver.memcpy_dtod_async(address, x.address, x.nbytes, self.context.stream)
        return address


def _out_of_range(program: Program, checked: Sequence[int], number: int) -> IndexRangeError:
    k = checked[number]
    return IndexRangeError(f"{program.instruction_name(k)}: an index or label is out of range, got {program.instruction_arguments(k)}")


def _arguments(code: Code) -> list[Argument]:
    return [a for _, launch in code.launches for a in launch.args]


def _host(x: Any) -> Any:
    return x.numpy() if isinstance(x, AnyTensor) else x
