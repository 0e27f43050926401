"""Measures a selection of rows with tlean and PyTorch both held to one instruction set after the other.

    python benchmarks/isa.py --markdown benchmarks/INSTRUCTION_SETS.md

The protocol is that of harness.py, whose options it takes: what a machine without the wider sets would do.
"""

from __future__ import annotations

from typing import Any

from harness import arguments, chosen_rows, measure, write_json
from report.measures import limits_in, percent, ratio_text, share_of_limit, table, time_text
from report.summary import about, mean

METHOD = """\
# Instruction sets

Written by `make bench-isa`: the method is that of [RESULTS.md](RESULTS.md), 1 thread, PyTorch with its default allocator. Both libraries
are held to one instruction set after the other: tlean with `TLEAN_ISA`, PyTorch below AVX-512 with `ATEN_CPU_CAPABILITY`,
`ONEDNN_MAX_CPU_ISA` and `MKL_ENABLE_INSTRUCTIONS` (MKL may look at the maker of the processor instead). A row is timed only if both
computed the same. In each column: tlean's time, the ratio to PyTorch's (below 1 tlean is faster), the share of what the same instruction
set allows on this machine.
"""

# How PyTorch and what it is built on are held to an instruction set.
THEIRS = {
    "avx512": {},
    "avx2": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
    "base": {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"},
}


def available() -> list[str]:
    """The instruction sets whose kernels were built and that this processor runs, the widest first."""
    from importlib.util import find_spec

    from tlean._core.threads import cpu_supports

    return [isa for isa in ("avx512", "avx2", "base") if cpu_supports(isa) and find_spec(f"tlean._core.isa_{isa}.gemm")]


def page(reports: dict[str, dict[str, Any]]) -> str:
    """The reports as a page, one column an instruction set."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    for isa, report in reports.items():
        limits = limits_in(report)
        for r in report["results"]:
            text = f"{time_text(r['tlean_s'])} · {ratio_text(r, 'ratio')} · {percent(share_of_limit(r, limits))}"
            found.setdefault((r["row"], r["mode"]), {})[isa] = text
    rows = [[row, mode, *(texts.get(isa, "–") for isa in reports)] for (row, mode), texts in found.items()]
    means = [f"{isa}: geometric mean of the ratios {mean(report['results'], 'ratio')}; {about(report)}" for isa, report in reports.items()]
    failed = [f"- {isa}: {f['row']} was not measured: {f['error']}" for isa, report in reports.items() for f in report["failed"]]
    return "\n".join([METHOD, *(f"- {text}" for text in means), "", *table(["row", "mode", *reports], rows), *failed, ""])


def main() -> None:
    parser = arguments()
    parser.description = __doc__
    parser.set_defaults(threads="1", sides="tlean,torch", quick=True)
    args = parser.parse_args()
    # Rows that are named are all wanted.
    args.quick = not args.rows
    rows = chosen_rows(args)
    if args.list:
        print("\n".join(row.name for row in rows))
        return
    reports = {isa: measure(rows, args, isa, {"tlean": {"TLEAN_ISA": isa}, "torch": THEIRS[isa]}) for isa in available()}
    text = page(reports)
    write_json(args.json, reports)
    if args.markdown:
        args.markdown.parent.mkdir(parents=True, exist_ok=True)
        args.markdown.write_text(text)
    else:
        print(text)
    failed = [f"{isa}: {f['row']}: {f['error']}" for isa, report in reports.items() for f in report["failed"]]
    if failed:
        raise SystemExit("\n".join(failed))


if __name__ == "__main__":
    main()
