"""The greatest errors of the special functions over drawn arguments, in units in the last place, both dtypes.

    python tools/kernels/special.py                          10,000,000 arguments of each: writes benchmarks/SPECIAL.md
    python tools/kernels/special.py --draws 100000 --print   fewer, printed
    python tools/kernels/special.py --only erfc,lgamma       some functions, the others' rows stay

The kernels are those that this processor takes (TLEAN_ISA chooses others). They are compared with the C library's functions of 64 bits and
with those of `special.c`, which are themselves compared with mpmath at a few hundred arguments, those of the greatest errors among them.
"""

from __future__ import annotations

import argparse
import ctypes
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import mpmath as mp
import numpy as np

import tlean as tl
from tlean._core.table import ISA

ROOT = Path(__file__).parents[2]
sys.path += [str(ROOT / "tests" / "kernels"), str(ROOT / "tests" / "support")]
PAGE = ROOT / "benchmarks" / "SPECIAL.md"
LIMIT = 4.0
#: Arguments that are computed at once, and those that mpmath computes too.
BATCH, CHECKED = 1_000_000, 300
#: Of results: below, a part of their last place is no float64.
LEAST = {"float32": float(np.finfo(np.float32).tiny), "float64": 1e-290}
#: Of a function near its zero, where the reference has no digits left: the tests compare with mpmath there.
CLOSE = {"digamma": 1e-13}
#: Of the reference itself, in units in the last place.
TRUSTED = 0.02
HEAD = """\
# Accuracy of the special functions

The greatest error over {draws:,} drawn arguments and the neighbours of the points where a method changes, in units in the last place of the
exact result, and an argument where it is found. `python tools/kernels/special.py` measures and writes this; the limit is 4. Arguments are
uniform in [−20, 20] and in [−1000, 1000], of every magnitude, and close to 1, within the range of the function; results below 10⁻²⁹⁰ do not
count.

| function | float32 | float64 |
|---|---|---|
"""


def library(folder: Path) -> ctypes.CDLL:
    """`special.c`, compiled."""
    path = folder / "special.so"
    source = ROOT / "tools" / "kernels" / "special.c"
    subprocess.run(["gcc", "-O2", "-shared", "-fPIC", str(source), "-o", str(path), "-lquadmath", "-lm"], check=True)
    return ctypes.CDLL(str(path))


def batches(low: float, high: float, dtype: np.dtype, size: int) -> Iterator[np.ndarray]:
    """The neighbours of the points in the range, then drawn arguments without end."""
    from test_kernels_functions import NARROW, arguments

    least, greatest = NARROW[dtype.name]
    low, high = max(low, least), min(high, greatest)
    low = 1e-30 if low == 1e-300 and dtype == np.float32 else low
    yield arguments(low, high, dtype.type)
    rng, third = np.random.default_rng(0), size // 3
    most = 300 if dtype == np.float64 else 30
    while True:
        x = np.concatenate([
            rng.uniform(max(low, -20), min(high, 20), third), 10.0 ** rng.uniform(-most, most, 2 * third) * rng.choice([-1, 1], 2 * third),
            1 - 10.0 ** rng.uniform(-14, 0, third), rng.uniform(max(low, -1e3), min(high, 1e3), third),
        ]).astype(dtype)  # fmt: skip
        yield x[(x >= low) & (x <= high)]


def exact(function: object, x: float) -> object:
    """mpmath's value."""
    with mp.workprec(140):
        return mp.re(function(mp.mpf(x))) if x else mp.mpf("inf")  # type: ignore[operator]


def errors(c: ctypes.CDLL, name: str, x: np.ndarray, found: np.ndarray) -> np.ndarray:
    """What was found less the exact values, which have no error that counts."""
    wide, value, out = x.astype(np.float64), found.astype(np.float64), np.empty(len(x))
    pointers = [ctypes.c_void_p(a.ctypes.data) for a in (wide, value)]
    assert c.reference(name.encode(), *pointers, ctypes.c_long(len(x)), ctypes.c_void_p(out.ctypes.data))
    return out


def measure(c: ctypes.CDLL, name: str, dtype: np.dtype, draws: int) -> tuple[float, float]:
    """The greatest error and where it is. Raises: ValueError where the reference is not to be trusted."""
    from test_kernels_functions import FUNCTIONS

    function, low, high = FUNCTIONS[name]
    limits, worst, count = np.finfo(dtype), (0.0, 0.0), 0
    rng = np.random.default_rng(1)
    for x in batches(low, high, dtype, min(draws, BATCH)):
        found = np.asarray(getattr(tl, name)(x))
        error = errors(c, name, x, found)
        with np.errstate(invalid="ignore"):
            value = found.astype(np.float64) - error
        kept = (
            np.isfinite(error)
            & (x != 0)
            & (np.abs(value) < float(limits.max) / 2)
            & (np.abs(value) >= LEAST[dtype.name])
            & (np.abs(value) >= CLOSE.get(name, 0.0))
        )
        x, found, error, value = x[kept], found[kept], error[kept], value[kept]
        units = np.spacing(np.maximum(np.abs(value), float(limits.tiny)).astype(dtype)).astype(np.float64)
        error = np.abs(error) / units
        count += len(x)
        at = int(np.argmax(error))
        worst = max(worst, (float(error[at]), float(x[at])))
        share = max(CHECKED * BATCH // max(draws, BATCH), 4)
        for k in {at, *rng.integers(0, len(x), share).tolist()}:
            real = float(abs(mp.mpf(float(found[k])) - exact(function, float(x[k]))) / units[k])
            if abs(real - error[k]) > TRUSTED:
                raise ValueError(f"{name}:{dtype} at {x[k]!r}: the reference says {error[k]:.4f} units, mpmath {real:.4f}")
        if count >= draws:
            break
    return worst


def main() -> int:
    from test_kernels_functions import FUNCTIONS

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=10_000_000)
    parser.add_argument("--only", default="", help="names, with commas")
    parser.add_argument("--print", action="store_true", help="write no page")
    given = parser.parse_args()
    rows = {} if not PAGE.exists() else {line.split("`")[1]: line for line in PAGE.read_text().splitlines() if line.startswith("| `")}
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        c = library(Path(folder))
        for name in [n for n in FUNCTIONS if not given.only or n in given.only.split(",")]:
            begun, cells = time.perf_counter(), []
            for dtype in (np.dtype("float32"), np.dtype("float64")):
                error, at = measure(c, name, dtype, given.draws)
                failed |= error > LIMIT
                cells.append(f"{error:.3f} at {at:.9g}" if dtype == np.float32 else f"{error:.3f} at {at!r}")
            print(f"{name:10s} {'  '.join(cells)}  {time.perf_counter() - begun:.0f} s", flush=True)
            rows[name] = f"| `{name}` | {' | '.join(cells)} |"
    if not given.print:
        lines = [rows[n] for n in FUNCTIONS if n in rows]
        # What `incomplete.py` wrote stays.
        _, begin, rest = PAGE.read_text().partition("\n## ") if PAGE.exists() else ("", "", "")
        PAGE.write_text(HEAD.format(draws=given.draws) + "\n".join(lines) + f"\n\nKernels for {ISA}.\n" + begin + rest)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
