"""Looks for register spills in the inner loops of the built kernels; fails where there are more than the committed table allows.

    python tools/kernels/spills.py                      check
    python tools/kernels/spills.py --show softmax       print the loops with spills of the functions whose names hold that
    python tools/kernels/spills.py --update             rewrite the table from what is built now

What is looked at, in the disassembly of `tlean/_core/isa_avx512` and `isa_avx2`:

- A *loop* is what lies between the target of a backward jump and that jump, within one function. It is *innermost* if no other loop lies
  within it and it calls nothing; it is *hot* if it holds at least HOT arithmetic instructions on vectors.
- A *stack slot* is an address at a constant distance from %rsp, or from %rbp where the function makes that its frame pointer. An address
  with an index register is an array's, not a slot.
- A *spill* is a slot that a hot innermost loop stores a vector to and takes one from: a value that changes in the loop did not fit into the
  registers, and each round waits for memory.
- A *reload* is a slot that such a loop takes a vector from and never stores to: a constant did not fit. It costs a load.

The table holds, for each function, how many of each there are. A function without spills may not get any, one with some a tenth more.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CORE = Path(__file__).parents[2] / "tlean" / "_core"
TABLE = Path(__file__).parent / "spills.json"
SETS = ("avx512", "avx2")
HOT = 4
# Where there are many already a few more or less are the compiler's whim; so is which constants stay in registers.
MORE_SPILLS = 1.1
MORE_RELOADS = 1.25, 2

FUNCTION = re.compile(r"^[0-9a-f]+ <(.+)>:$")
INSTRUCTION = re.compile(r"^\s*([0-9a-f]+):\s+(\S+)\s*(.*)$")
JUMP = re.compile(r"^([0-9a-f]+) <")
VECTOR = re.compile(r"%[xyz]mm\d+")
# Packed arithmetic, floating-point and integer: vfmadd231ps, vaddpd, vpmulld; no moves, shuffles, comparisons or scalars.
ARITHMETIC = re.compile(
    r"^v(fn?m(add|sub)\w*p[sd]|(add|sub|mul|div|sqrt|max|min|scalef|rndscale|round|fixupimm|getexp|getmant)p[sd]|p(add|sub|mul\w*|max\w|min\w)[bwdq])$"
)
SLOT = re.compile(r"(?<![\w%])-?(?:0x)?[0-9a-f]*\((%r[sb]p)\)")
FRAME = "%rsp,%rbp"
# Cython's prefix of a function's name, with the length of the module's; and the number of a fused type: 0 is float, 1 is double.
MANGLED = re.compile(r"^(?:__pyx_fuse_(\d))?__pyx_f_5tlean_5_core_(\d+)(?=[a-z])")


#: The first two of a fused type; those with more have integers and Booleans too.
_TYPES = {None: "", "0": " (float)", "1": " (double)"}


@dataclass(frozen=True)
class Instruction:
    """One line of a disassembly."""

    address: int
    name: str
    operands: str

    @property
    def target(self) -> int | None:
        """Where a jump goes; None for anything else, and for a jump through a register."""
        found = JUMP.match(self.operands) if self.name.startswith("j") else None
        return int(found.group(1), 16) if found else None

    @property
    def slot(self) -> str | None:
        """The address with %rsp or %rbp and no index that it uses with a vector register."""
        found = SLOT.search(self.operands) if VECTOR.search(self.operands) else None
        return found.group(0) if found else None

    @property
    def stores(self) -> bool:
        """Whether its destination, the last operand, is in memory."""
        return self.operands.endswith(")")


Loop = tuple[Instruction, ...]


@dataclass(frozen=True)
class Function:
    """A function's name and its instructions in order."""

    name: str
    body: tuple[Instruction, ...]

    @property
    def framed(self) -> bool:
        """Whether %rbp is its frame pointer."""
        return any(i.name == "mov" and i.operands == FRAME for i in self.body[:16])

    def loops(self) -> list[Loop]:
        """The bodies of its hot innermost loops, in order."""
        index = {instruction.address: k for k, instruction in enumerate(self.body)}
        # A loop with several jumps back to its head is one loop, to the last of them.
        ends: dict[int, int] = {}
        for k, instruction in enumerate(self.body):
            if instruction.target is not None and (head := index.get(instruction.target, k + 1)) <= k:
                ends[head] = k
        innermost = [
            self.body[head : end + 1]
            for head, end in sorted(ends.items())
            if not any(other != head and head <= other and last <= end for other, last in ends.items())
        ]
        return [loop for loop in innermost if is_hot(loop) and not any(i.name.startswith("call") for i in loop)]


def functions(text: str) -> Iterator[Function]:
    """The functions in what `objdump -d --no-show-raw-insn` prints."""
    name, body = "", list[Instruction]()
    for line in text.splitlines():
        if found := FUNCTION.match(line):
            if body:
                yield Function(name, tuple(body))
            name, body = found.group(1), []
        elif found := INSTRUCTION.match(line):
            body.append(Instruction(int(found.group(1), 16), found.group(2), found.group(3).partition("#")[0].strip()))
    if body:
        yield Function(name, tuple(body))


def is_hot(loop: Loop) -> bool:
    """Whether a loop computes on vectors."""
    return sum(bool(ARITHMETIC.match(i.name) and VECTOR.search(i.operands)) for i in loop) >= HOT


def slots(loop: Loop, framed: bool) -> tuple[set[str], set[str]]:
    """The slots that a loop spills to, and those that it only reloads from."""
    used = [(i.slot, i.stores) for i in loop if i.slot and ("%rsp" in i.slot or framed)]
    stored, taken = ({slot for slot, stores in used if stores is which} for which in (True, False))
    return stored & taken, taken - stored


def plain(name: str) -> str:
    """A function's name as its source has it; the compiler's copies of a function (name.part.0) count as the function."""
    name = name.partition(".")[0]
    found = MANGLED.match(name)
    if not found:
        return name
    return name[found.end() + int(found.group(2)) + 1 :] + _TYPES.get(found.group(1), f" (type {found.group(1)})")


def survey(text: str) -> dict[str, list[int]]:
    """[spills, reloads] of every function that has any, in what objdump prints."""
    found: dict[str, list[int]] = {}
    for function in functions(text):
        for loop in function.loops():
            spilled, reloaded = slots(loop, function.framed)
            if spilled or reloaded:
                counts = found.setdefault(plain(function.name), [0, 0])
                counts[0] += len(spilled)
                counts[1] += len(reloaded)
    return found


def excess(found: dict[str, list[int]], allowed: dict[str, list[int]]) -> list[str]:
    """What is more than allowed, in words."""
    words = []
    for name, (spills, reloads) in sorted(found.items()):
        most, constants = allowed.get(name, [0, 0])
        if spills > most * MORE_SPILLS:
            words.append(f"{name}: {spills} spills, {most} allowed")
        if reloads > constants * MORE_RELOADS[0] + MORE_RELOADS[1]:
            words.append(f"{name}: {reloads} constants reloaded, {constants} in the table")
    return words


def disassembly(path: Path) -> str:
    """What objdump says of a built module."""
    return subprocess.run(["objdump", "-d", "--no-show-raw-insn", str(path)], capture_output=True, text=True, check=True).stdout


def compiler(path: Path) -> str:
    """The compiler that built a module, with its major version."""
    said = subprocess.run(["objdump", "-s", "-j", ".comment", str(path)], capture_output=True, text=True, check=False).stdout
    text = "".join(line[-16:] for line in said.splitlines() if line.startswith(" "))
    found = re.search(r"GCC: \([^)]*\)\.?\s?(\d+)|clang version (\d+)", text.replace("\n", ""))
    return f"{'GCC' if found.group(1) else 'clang'} {found.group(1) or found.group(2)}" if found else "unknown"


def show(text: str, wanted: str) -> None:
    """Print the loops with spills of the functions whose names hold `wanted`."""
    for function in functions(text):
        for loop in function.loops():
            spilled, reloaded = slots(loop, function.framed)
            if spilled and wanted in plain(function.name):
                print(f"\n{plain(function.name)}, {len(loop)} instructions from {loop[0].address:x}:", *sorted(spilled))
                for i in loop:
                    mark = "spill " if i.slot in spilled else "reload" if i.slot in reloaded else "      "
                    print(f"  {mark} {i.name} {i.operands}")


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--folder", type=Path, default=CORE, help="where isa_avx512 and isa_avx2 lie")
    p.add_argument("--show", metavar="NAME", help="print loops instead of checking")
    p.add_argument("--update", action="store_true", help="rewrite the table")
    args = p.parse_args()
    if shutil.which("objdump") is None:
        print("spills: NOT CHECKED: objdump is not installed (Debian and Ubuntu: apt install binutils)")
        return
    if platform.machine().lower() not in ("x86_64", "amd64"):
        print("spills: NOT CHECKED: the table is of x86-64")
        return
    built = {isa: sorted((args.folder / f"isa_{isa}").glob("*.so")) for isa in SETS}
    if not all(built.values()):
        raise SystemExit(f"spills: nothing is built in {args.folder}/isa_avx512 or isa_avx2; run `make build`")
    found: dict[str, dict[str, list[int]]] = {}
    for isa, paths in built.items():
        for path in paths:
            text = disassembly(path)
            if args.show:
                show(text, args.show)
            if counts := survey(text):
                found[f"{isa} {path.name.partition('.')[0]}"] = counts
    if args.show:
        return
    made_by = compiler(built[SETS[0]][0])
    total = sum(counts[0] for module in found.values() for counts in module.values())
    if args.update:
        text = json.dumps({"compiler": made_by, "modules": found}, indent=1, sort_keys=True)
        # A pair on one line.
        TABLE.write_text(re.sub(r"\[\s+(\d+),\s+(\d+)\s+\]", r"[\1, \2]", text) + "\n")
        print(f"spills: {TABLE.name} rewritten; {total} spills in all, by {made_by}")
        return
    table = json.loads(TABLE.read_text())
    worse = [f"{module} {words}" for module, counts in found.items() for words in excess(counts, table["modules"].get(module, {}))]
    print(f"spills: {sum(map(len, built.values()))} modules looked at, {total} spills known, {len(worse)} functions worse than the table")
    if worse and table["compiler"] != made_by:
        print(f"spills: built by {made_by}, the table is of {table['compiler']}: reported, not failed")
    if worse:
        print(
            *(f"  {words}" for words in worse),
            "`python tools/kernels/spills.py --show NAME` prints the loops; `--update` accepts them",
            sep="\n",
        )
        sys.exit(table["compiler"] == made_by)


if __name__ == "__main__":
    main()
