"""Where a change of the compiler changes no result: rules for what is never drawn, and single mutants that turned out to be so."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from .mutants import Mutant


class Rule(NamedTuple):
    """Mutants that are not drawn: expressions that the file with the scope, and the changed piece, match as a whole; and why."""

    place: str
    before: str
    reason: str


RULES = (
    Rule(r"(derive|instances|fold)\.py::", r"4_096|4096", "the size of a cache, and of the constants worth computing ahead"),
    Rule(r"memory\.py::", r"256", "how many buffers are packed with each other in mind: both ways are right for any number"),
    Rule(r"cpu\.py::(Cpu)?", r"96|24|512|1024|8|96 \* 1024|24 \* 1024|512 \* 1024|1 << 30|30", "sizes of caches, by which blocks are cut"),
    Rule(r"cpu\.py::_header", r"0", "the counts and places of a group's parts: what its code is written with fills them in"),
    Rule(r"tails\.py::", r"[\d<* ]+", "sizes of caches: how many rows are made at a time, and from how many elements on"),
    Rule(r"stretch_kinds\.py::", r"2048|4|.* // 4", "from which lengths on a pattern is read in another way: a matter of time alone"),
    Rule(r"remake\.py::", r"\d+", "how much work is done again rather than stored and read: a matter of time alone"),
    Rule(r"channel_blocks\.py::", r"2", "how many turns of an array must be saved before it is kept in blocks: a matter of time alone"),
)


#: Of mutants that have others alike in their scope: a part of the line that they are on, or of the one before. A number alone would name
#: another mutant when the scope gains or loses one.
LINES: dict[str, str] = {}


def _keys(place: str, operator: str, *changes: str, number: int = 0, line: str = "") -> list[str]:
    keys = [f"tlean/{place}::{operator}::{c}::{number}" for c in changes]
    LINES.update(dict.fromkeys(keys, line) if line else {})
    return keys


#: Survivors that were read and found to change no result, by `Mutant.key`, with the reason.
EQUIVALENT: dict[str, str] = {
    **dict.fromkeys(
        _keys("compiler/passes/epilogues.py::elementwise", "constant", "1 -> 2", number=1, line="default=-1) < 0"),
        "the smallest of no inputs is any number below 0",
    ),
    **dict.fromkeys(
        _keys("compiler/arrange.py::_outputs", "constant", "0 -> (-1)", line="outputs.append((NONE, 0"),
        "an output that is absent is no input: its number is never looked up",
    ),
    **dict.fromkeys(
        _keys(
            "compiler/passes/expand.py::with_kernels",
            "choice",
            "graph.labels.get(value) if value is not None else None -> (graph.labels.get(value))",
        ),
        "None is not among the labelled values, so its label is None",
    ),
    **dict.fromkeys(
        _keys("compiler/cpu.py::_header", "choice", "_FAR_BLOCK_BYTES if far else _BLOCK_BYTES -> (_BLOCK_BYTES)"),
        "how a group is cut into blocks changes no bit: a matter of time alone",
    ),
    **dict.fromkeys(
        _keys("compiler/arrange.py::_roots", "constant", "0 -> (-1)", number=1, line="root[node.outputs[0]]"),
        "a view has one input and one value: the last is the first",
    ),
    **dict.fromkeys(
        _keys(
            "compiler/derive.py::jvp_graph",
            "arguments swapped",
            "_key(\"jvp\", record, specs, options, dtype, present) -> (_key('jvp', record, specs, options, present, dtype))",
        ),
        "the key of a cache has the same parts in another order",
    ),
    **dict.fromkeys(
        _keys("compiler/memory.py::_Holes.take", "constant", "0 -> (-1)"),
        "places begin at 0: no hole lies between the two bounds",
    ),
    **dict.fromkeys(
        _keys("compiler/passes/epilogues.py::epilogues", "constant", "0 -> (-1)", number=1, line="made_at ="),
        "−1 is an absent output or input, and a chain has none: no producer is looked up for it",
    ),
    **dict.fromkeys(
        _keys("compiler/arrange.py::arrange", "constant", "0 -> 1", "0 -> (-1)", number=2, line="places.append((NOWHERE, 0))"),
        "where there is no place there is no number of it",
    ),
    **dict.fromkeys(
        _keys("interpreters/instances.py::_instance", "constant", "0 -> 1", number=9, line="address or 0"),
        "a view calls no kernel, so that its address is never used",
    ),
    **dict.fromkeys(
        _keys(
            "compiler/derive.py::reverse",
            "condition removed",
            "i is not None and contribution is not None -> (contribution is not None)",
        ),
        "an absent input is not among those that need a cotangent: its contribution is None",
    ),
    **dict.fromkeys(
        _keys("compiler/arrange.py::_updates_last", "constant", "0 -> 1"),
        "an update reads a parameter, so that what it makes is never the first value",
    ),
    **dict.fromkeys(
        _keys("compiler/passes/merge.py::merged", "choice", "None if v is None else same.get(v, v) -> (same.get(v, v))"),
        "None is not among the values, so what replaces it is None",
    ),
    **dict.fromkeys(
        _keys("compiler/arrange.py::arrange", "constant", "0 -> 1", "0 -> (-1)", line="[(NOWHERE, 0)]"),
        "where there is no place there is no number of it",
    ),
    **dict.fromkeys(
        _keys(
            "compiler/passes/epilogues.py::epilogues",
            "condition removed",
            "producer is None or not _reports(graph, producer) or not _reads_result(graph, producer, group)"
            " -> (not _reports(graph, producer) or not _reads_result(graph, producer, group))",
        ),
        "where there is no producer, none reports: the condition is there for the type checker",
    ),
    **dict.fromkeys(
        _keys(
            "compiler/passes/outer_updates.py::outer_updates",
            "condition removed",
            "len(update.nodes) != 1 or not update.nodes[0].record.updates or update.inputs[1] != gradient or states > MOST_STATES"
            " -> (len(update.nodes) != 1 or not update.nodes[0].record.updates or update.inputs[1] != gradient)",
        ),
        "no optimiser's step has so many states",
    ),
    **dict.fromkeys(
        [
            *_keys("interpreters/instances.py::_instance", "constant", "0 -> (-1)", number=10, line="lower(decomposition("),
            *_keys("interpreters/instances.py::_instance", "constant", "0 -> (-1)", number=11, line="lower(decomposition("),
        ],
        "an op that runs by its parts has no residuals: its first result is its last",
    ),
    **dict.fromkeys(
        _keys("compiler/arrange.py::_states", "constant", "1 -> 2", number=1, line="direct = free"),
        "what no instruction reads is read before any: −2 is as little as −1",
    ),
    **dict.fromkeys(
        _keys("compiler/arrange.py::_states", "constant", "1 -> (0)", line="writer = writers.get(source, -1)"),
        "what no instruction makes is an input or a constant, and has a place already",
    ),
    **dict.fromkeys(
        _keys("compiler/passes/remake.py::made_again", "filter removed", "op.made in own -> True"),
        "what is made again and not read: a matter of time alone",
    ),
    **dict.fromkeys(
        _keys("compiler/passes/fuse.py::_make_again", "condition is true", "item.kind[0] >= MANY -> True"),
        "from how many elements on a value is made again: a matter of time alone",
    ),
    **dict.fromkeys(
        _keys("interpreters/instances.py::_instance", "condition removed", "reference and not record.view -> (not record.view)"),
        "a plan of one op runs the op's own kernel: a matter of time alone",
    ),
    **dict.fromkeys(
        _keys(
            "compiler/passes/epilogues.py::elementwise",
            "constant",
            "0 -> 1",
            number=3,
            line="return made.size > 0 and all(graph.specs[v].size =",
        ),
        "whether an op on one element ends a kernel's loop: a matter of time alone",
    ),
    **dict.fromkeys(
        _keys(
            "compiler/passes/stretch_kinds.py::stretched_input",
            "constant",
            "1 -> 2",
            number=5,
            line="if strides[-1] == 1 and sizes[-1] >= _LONGEST_ROW:",
        ),
        "how a stretched input is read: all ways give the same values",
    ),
    **dict.fromkeys(
        _keys("compiler/passes/stretch_kinds.py::stretched_input", "comparison", "sizes[-1] >= _LONGEST_ROW -> (sizes[-1] > _LONGEST_ROW)"),
        "how a stretched input is read: all ways give the same values",
    ),
    **dict.fromkeys(
        _keys("compiler/passes/stretch_kinds.py::stretched_input", "comparison", "pattern <= _LONGEST_ROW -> (pattern > _LONGEST_ROW)"),
        "how a stretched input is read: all ways give the same values",
    ),
    **dict.fromkeys(
        _keys(
            "compiler/passes/stretch_kinds.py::stretched_input",
            "constant",
            "0 -> 1",
            number=12,
            line="return Stretched(0, POINTER, 0, sizes[-1], tuple(a",
        ),
        "which input it is becomes known later",
    ),
    **dict.fromkeys(
        _keys(
            "compiler/passes/stretch_kinds.py::stretched_input",
            "constant",
            "0 -> (-1)",
            number=15,
            line="return Stretched(0, COLUMN, 0, sizes[-1], tuple(ax",
        ),
        "which input it is becomes known later",
    ),
    **dict.fromkeys(
        _keys("compiler/graph.py::Graph.__init__", "constant", "True -> False"), "`merged` makes a repeated call once in any case"
    ),
    **dict.fromkeys(
        _keys(
            "compiler/passes/chain_runs.py::is_step",
            "and/or",
            "op.spreads or (op.stretches and stretched_input(op).kind == COLUMN)"
            " -> (op.spreads and (op.stretches and stretched_input(op).kind == COLUMN))",
        ),
        "a separate op or a step of a run: a matter of time alone",
    ),
    **dict.fromkeys(
        _keys("compiler/passes/fuse.py::_Grouping._group_for", "function", "sorted -> list"),
        "which of the groups that fit an op joins changes no bit",
    ),
    **dict.fromkeys(
        _keys("compiler/passes/fuse.py::_Grouping._group_for", "function", "max -> min"),
        "which of the groups that fit an op joins changes no bit",
    ),
    **dict.fromkeys(
        _keys("compiler/target.py::Step", "constant", "0 -> 1"),
        "a group's code is set when it is encoded; all other steps are made with theirs",
    ),
    **dict.fromkeys(
        _keys("compiler/target.py::Step", "constant", "0 -> (-1)"),
        "a group's code is set when it is encoded; all other steps are made with theirs",
    ),
    **dict.fromkeys(
        _keys("compiler/cpu.py::_fused", "constant", "0 -> (-1)", line="summed = {v: t for t, v in enumerate(dict.fromkeys"),
        "a sum has one input: the last is the first",
    ),
    **dict.fromkeys(
        _keys(
            "compiler/passes/tails.py::tail_of", "constant", "1 -> (0)", number=1, line="return Tail(LOGSUMEXP, rows, width) if inner == 1"
        ),
        "of rows of one element a group's sums have the bits of the kernel's",
    ),
    **dict.fromkeys(
        _keys("compiler/arrange.py::_takes_over", "condition removed", "node is not None and node.record.updates -> (node.record.updates)"),
        "what a step makes is made by one of its nodes: the condition is there for the type checker",
    ),
    **dict.fromkeys(
        _keys("compiler/arrange.py::arrange", "constant", "0 -> (-1)", number=2, line="places.append((NOWHERE, 0))"),
        "where there is no place there is no number of it",
    ),
    **dict.fromkeys(
        _keys("compiler/arrange.py::arrange", "constant", "0 -> (-1)", number=7, line="if step.accumulates and len(step.outputs) == 1 and"),
        "of one output the last is the first",
    ),
    **dict.fromkeys(
        _keys(
            "compiler/passes/channel_blocks.py::channel_blocks",
            "comparison",
            "v >= 0 -> (v > 0)",
            line="dtypes = {graph.specs[v].dtype for s in steps if s",
        ),
        "a convolution reads inputs: what it makes is never the first value",
    ),
    **dict.fromkeys(
        _keys(
            "compiler/passes/channel_blocks.py::",
            "constant",
            "False -> True",
            number=4,
            line='"_conv_grad_w": (False, ((1, False), (2, True))),',
        ),
        "whether blocks pay there: a matter of time alone",
    ),
    **dict.fromkeys(
        _keys(
            "compiler/passes/expand.py::with_kernels", "condition removed", "value is not None and ref is not None -> (value is not None)"
        ),
        "an argument with a spec has a reference: the condition is there for the type checker",
    ),
    **dict.fromkeys(
        _keys(
            "compiler/passes/epilogues.py::_joined",
            "constant",
            "0 -> (-1)",
            number=2,
            line='" + ".join((p.nodes[0].record.name if len(p.nodes)',
        ),
        "of one node the last is the first",
    ),
    **dict.fromkeys(
        _keys(
            "interpreters/dual.py::Dual._tangents",
            "condition removed",
            "record.rules.jvp is not None and dtypes.own == self.inner.dtype and not dtypes.converted"
            " -> (record.rules.jvp is not None and (not dtypes.converted))",
        ),
        "the numbers that rules make are exact in both float dtypes",
    ),
}


def is_exempt(mutant: Mutant, rules: Sequence[Rule] = RULES) -> bool:
    """Whether a rule names the mutant."""
    place = f"{mutant.file.rsplit('/', 1)[-1]}::{mutant.scope}"
    return any(re.fullmatch(r.place, place) and re.fullmatch(r.before, mutant.before) for r in rules)
