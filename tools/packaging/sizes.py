"""What the bytes of a wheel are: kernels by family, the rest of the compiled code, Python.

python -m tools.packaging.sizes WHEEL            print the table
python -m tools.packaging.sizes WHEEL --write    and write it into docs/packaging.md
"""

from __future__ import annotations

import sys
import zipfile
from collections import Counter, defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "packaging.md"
BEGIN, END = "<!-- sizes -->\n", "<!-- end of sizes -->\n"
INSTRUCTION_SETS = ("isa_base", "isa_avx2", "isa_avx512")


def families() -> dict[str, str]:
    """The folder of every module of kernels."""
    kernels = ROOT / "tlean" / "_core" / "kernels"
    return {path.stem: path.relative_to(kernels).parts[0] for path in kernels.rglob("*.pyx")}


def bytes_of(wheel: Path) -> tuple[dict[str, Counter[str]], Counter[str]]:
    """Compressed bytes of the kernels, by family and instruction set; of all else, by kind."""
    folders = families()
    kernels: dict[str, Counter[str]] = defaultdict(Counter)
    rest: Counter[str] = Counter()
    with zipfile.ZipFile(wheel) as files:
        entries = files.infolist()
    for entry in entries:
        parts = entry.filename.split("/")
        module, size = parts[-1].partition(".")[0], entry.compress_size
        if entry.filename.endswith((".so", ".pyd")):
            if parts[2] in INSTRUCTION_SETS:
                kernels[folders[module]][parts[2]] += size
            else:
                kind = {"plan": "plans", "eager": "eager calls"}.get(parts[2], "arrays, tape, threads")
                rest[f"compiled: {kind}"] += size
        elif entry.filename.endswith(".py"):
            rest["Python"] += size
        else:
            rest["stubs and declarations" if ".dist-info" not in entry.filename else "metadata"] += size
    rest["the archive's own"] = wheel.stat().st_size - sum(entry.compress_size for entry in entries)
    return kernels, rest


def table(wheel: Path) -> str:
    """The table, as Markdown, in kB."""
    kernels, rest = bytes_of(wheel)

    def row(*cells: str | int) -> str:
        return "| " + " | ".join(f"{cell / 1000:,.0f}" if isinstance(cell, int) else cell for cell in cells) + " |"

    lines = [row("kB in the wheel", "base", "AVX2", "AVX-512", "together"), "|---|--:|--:|--:|--:|"]
    for family, sizes in sorted(kernels.items(), key=lambda item: -item[1].total()):
        lines.append(row(f"kernels: {family}", *(sizes[isa] for isa in INSTRUCTION_SETS), sizes.total()))
    lines += [row(kind, "", "", "", size) for kind, size in rest.most_common()]
    columns = [sum(sizes[isa] for sizes in kernels.values()) for isa in INSTRUCTION_SETS]
    lines.append(row("**all**", *columns, wheel.stat().st_size))
    return "\n".join(lines)


def main() -> None:
    """Print the table of a wheel; with --write, put it into the page."""
    wheel = Path(sys.argv[1])
    text = table(wheel)
    print(text)
    if "--write" in sys.argv:
        before, _, after = PAGE.read_text().partition(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}\n{text}\n\n{END}{after.partition(END)[2]}")


if __name__ == "__main__":
    main()
