"""The greatest errors of the incomplete gamma and beta functions and of Student's distribution, in units in the last place.

    python tools/kernels/incomplete.py                        300,000 arguments of each: writes a part of benchmarks/SPECIAL.md
    python tools/kernels/incomplete.py --draws 1000 --print   fewer, printed

They are compared with `incomplete.c`, of 113 bits, which is itself compared with mpmath at a few arguments, the worst among them.
"""

from __future__ import annotations

import argparse
import ctypes
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import mpmath as mp
import numpy as np

import tlean as tl
from tlean._core.table import ISA

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "benchmarks" / "SPECIAL.md"
LIMIT = 4.0
BATCH, CHECKED, TRUSTED = 100_000, 20, 0.02
#: Below, a part of the last place is no number.
LEAST = {"float32": float(np.finfo(np.float32).tiny), "float64": 1e-290}
FUNCTIONS = ("gammainc", "gammaincc", "betainc", "betaincc", "stdtr")
BEGIN = "\n## Incomplete functions\n"
HEAD = """
The same over {draws:,} drawn arguments: parameters of every magnitude from 10⁻³ to 10⁴, points within a few standard deviations of the mean
and anywhere. `python tools/kernels/incomplete.py` measures and writes this; the limit is 4. The greatest errors are in tails below 10⁻²⁰⁰.

| function | float32 | float64 |
|---|---|---|
"""


def library(folder: Path) -> ctypes.CDLL:
    """`incomplete.c`, compiled."""
    path = folder / "incomplete.so"
    source = Path(__file__).with_name("incomplete.c")
    subprocess.run(["gcc", "-O2", "-shared", "-fPIC", str(source), "-o", str(path), "-lquadmath", "-lm"], check=True)
    return ctypes.CDLL(str(path))


def drawn(name: str, rng: np.random.Generator, n: int, dtype: np.dtype) -> list[np.ndarray]:
    """Arguments of a function: (a, x), (a, b, x) or (degrees of freedom, x)."""
    a, b = (10.0 ** rng.uniform(-3, 4, n) for _ in range(2))
    near, deviation = rng.random(n) < 0.6, rng.normal(0, 2, n)
    if name.startswith("gamma"):
        x = np.where(near, a * np.exp(deviation / np.sqrt(a + 0.5)), 10.0 ** rng.uniform(-3, 3, n))
        made = [a, x]
    elif name == "stdtr":
        made = [a, np.where(near, deviation, rng.choice([-1, 1], n) * 10.0 ** rng.uniform(-3, 3, n))]
    else:
        mean = a / (a + b)
        x = mean + np.sqrt(mean * (1 - mean) / (a + b + 1)) * deviation
        made = [a, b, np.where(near & (x > 0) & (x < 1), x, rng.random(n))]
    made = [v.astype(dtype) for v in made]
    if name.startswith("beta"):
        kept = (made[2] > 0) & (made[2] < 1)
        made = [v[kept] for v in made]
    return made


def exact(name: str, point: list[float]) -> object:
    """mpmath's value."""
    with mp.workprec(200):
        *parameters, x = map(mp.mpf, point)
        if name.startswith("gamma"):
            ends = (x, mp.inf) if name.endswith("cc") else (0, x)
            return mp.gammainc(parameters[0], *ends, regularized=True)
        if name == "stdtr":
            half = mp.betainc(parameters[0] / 2, 0.5, 0, parameters[0] / (parameters[0] + x * x), regularized=True) / 2
            return half if x < 0 else 1 - half
        if name.endswith("cc"):
            return mp.betainc(parameters[1], parameters[0], 0, 1 - x, regularized=True)
        return mp.betainc(*parameters, 0, x, regularized=True)


def measure(c: ctypes.CDLL, name: str, dtype: np.dtype, draws: int) -> tuple[float, list[float]]:
    """The greatest error and where it is. Raises: ValueError where the reference is not to be trusted."""
    rng, count, worst = np.random.default_rng(0), 0, (0.0, [0.0])
    while count < draws:
        given = drawn(name, rng, min(BATCH, draws), dtype)
        found = np.asarray(getattr(tl, name)(*given))
        wide = [np.ascontiguousarray(v, dtype=np.float64) for v in (given[0], given[min(1, len(given) - 2)], given[-1], found)]
        error, value = np.empty(len(found)), np.empty(len(found))
        pointers = [ctypes.c_void_p(v.ctypes.data) for v in (*wide, error, value)]
        c.reference(FUNCTIONS.index(name), ctypes.c_long(len(found)), *pointers)
        units = np.spacing(np.maximum(np.abs(value), LEAST[dtype.name]).astype(dtype)).astype(np.float64)
        error = np.where(np.abs(value) >= LEAST[dtype.name], np.abs(error) / units, 0.0)
        count += len(found)
        at = int(np.argmax(error))
        worst = max(worst, (float(error[at]), [float(v[at]) for v in given]))
        for k in {at, *rng.integers(0, len(found), max(CHECKED * BATCH // draws, 1)).tolist()}:
            if abs(value[k]) < LEAST[dtype.name] or max(float(v[k]) for v in given[:-1]) > 300:
                continue
            real = float(abs(mp.mpf(float(found[k])) - exact(name, [float(v[k]) for v in given])) / units[k])
            if abs(real - error[k]) > TRUSTED:
                raise ValueError(f"{name}:{dtype} at {[v[k] for v in given]}: the reference says {error[k]:.4f} units, mpmath {real:.4f}")
    return worst


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=300_000)
    parser.add_argument("--print", action="store_true", help="write no page")
    given = parser.parse_args()
    lines, failed = [], False
    with tempfile.TemporaryDirectory() as folder:
        c = library(Path(folder))
        for name in FUNCTIONS:
            begun, cells = time.perf_counter(), []
            for dtype in (np.dtype("float32"), np.dtype("float64")):
                error, at = measure(c, name, dtype, given.draws)
                failed |= error > LIMIT
                cells.append(f"{error:.3f} at {', '.join(f'{v:.9g}' if dtype == np.float32 else repr(v) for v in at)}")
            print(f"{name:10s} {'  '.join(cells)}  {time.perf_counter() - begun:.0f} s", flush=True)
            lines.append(f"| `{name}` | {' | '.join(cells)} |")
    if not given.print:
        text = PAGE.read_text().partition(BEGIN)[0]
        PAGE.write_text(text + BEGIN + HEAD.format(draws=given.draws) + "\n".join(lines) + f"\n\nKernels for {ISA}.\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
