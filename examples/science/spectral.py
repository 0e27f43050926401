"""Waves by their spectrum: two solitons of the Korteweg–de Vries equation pass through each other, and are weighed afterwards.

Derivatives in space are products in Fourier space, where the stiff one is solved exactly (an integrating factor) and the other by
Runge–Kutta steps in a `tl.scan`. The amplitudes at the start are then found from the wave at the end, by derivatives along all steps.
Source: Trefethen 2000, "Spectral Methods in MATLAB", program 27.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import tlean as tl

# Beside the folder of this file: what all examples share.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from common import BLUE, GREY, RED, panels, parser, save

TRUE = np.array([25.0, 16.0])


def solitons(sizes: Any, x: np.ndarray) -> Any:
    """Two waves: the larger is faster, and begins behind."""
    first, second = (0.5 * sizes[k] * (x - at) for k, at in ((0, -2.0), (1, -1.0)))
    return 3.0 * (sizes[0] / tl.cosh(first)) ** 2 + 3.0 * (sizes[1] / tl.cosh(second)) ** 2


def waves(sizes: Any, x: np.ndarray, frames: int, steps: int, dt: float) -> Any:
    """The wave at each frame, after so many steps each."""
    n = len(x)
    k = np.fft.rfftfreq(n, 1.0 / n)
    half = tl.fft.as_complex(np.exp(0.5j * dt * k**3))
    whole = tl.fft.as_complex(np.exp(1j * dt * k**3))
    factor = tl.fft.as_complex(-0.5j * dt * k)

    def bend(v: Any) -> Any:
        return factor * tl.fft.rfft(tl.fft.irfft(v, n=n) ** 2)

    def step(v: Any, _: Any) -> Any:
        a = bend(v)
        b = bend(half * (v + 0.5 * a))
        c = bend(half * v + 0.5 * b)
        d = bend(whole * v + half * c)
        return whole * v + (whole * a + 2.0 * half * (b + c) + d) / 6.0, None

    def frame(v: Any, _: Any) -> Any:
        v = tl.scan(step, v, length=steps)[0]
        return v, tl.fft.irfft(v, n=n)

    return tl.scan(frame, tl.fft.rfft(solitons(sizes, x)), length=frames)[1]


def main(argv: list[str] | None = None) -> None:
    """Solve, weigh, print and draw."""
    p = parser(__file__, __doc__)
    args = p.parse_args(argv)
    n, frames = (128, 5) if args.quick else (256, 40)
    dt = 0.4 / n**2
    steps = round(0.006 / dt / frames)
    x = 2.0 * np.pi * np.arange(n) / n - np.pi

    def program(sizes: Any) -> Any:
        return waves(sizes, x, frames, steps, dt)

    run = tl.jit(program)
    begun = time.perf_counter()
    path = np.asarray(run(TRUE))
    print(f"{frames * steps} steps of {n} points in {time.perf_counter() - begun:.2f} s, the first call")
    change = np.abs(path.sum(1) / path[0].sum() - 1.0).max()
    print(f"largest change of the mass: {change:.1e}")

    seen = path[-1] + 10.0 * np.random.default_rng(args.seed).standard_normal(n)
    both = tl.jit(lambda sizes: (program(sizes)[-1], tl.jacfwd(lambda s: program(s)[-1])(sizes)))
    sizes = TRUE * np.array([1.01, 0.99])
    for k in range(6):
        at, slopes = (np.asarray(v) for v in both(sizes))
        move = np.linalg.lstsq(slopes, seen - at, rcond=None)[0]
        sizes = sizes + move
        print(f"step {k + 1}: sizes {sizes[0]:.4f} and {sizes[1]:.4f}")
    print(f"true: {TRUE[0]:.4f} and {TRUE[1]:.4f}")
    if args.plot:
        drawn, axes = panels(2, (11.0, 3.8))
        left, right = axes
        every = max(1, frames // 20)
        for k, u in enumerate(path[::every]):
            left.plot(x, u / 2200.0 + k, color=BLUE, linewidth=0.8)
        left.set(xlabel="x", ylabel="time", yticks=[], title="the larger wave overtakes")
        right.plot(x, seen, ".", color=GREY, markersize=3, label="seen at the end")
        right.plot(x, path[-1], color=RED, linewidth=3, alpha=0.5, label="true")
        right.plot(x, np.asarray(run(sizes))[-1], color=BLUE, linewidth=1, label="found")
        right.set(xlabel="x")
        right.legend()
        save(drawn, args, "spectral.png")


if __name__ == "__main__":
    main()
