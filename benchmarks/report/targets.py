"""What the kernels are meant to reach, and which rows do: a table of the page of results."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from measuring.limits import Limits
from rows.base import BOTH, FORWARD

from report.beside import OWN_RATE, share_of_own_rate
from report.measures import percent, share_of_limit, table, time_text

# A chain has a hundred ops.
CHAIN = 100
# What a target is about, of a row: the lower, the better.
Value = Callable[[dict[str, Any], dict[int, Limits]], float | None]


@dataclass(frozen=True)
class Target:
    """A bound that rows should keep: `value`, None where a row has none, is at most `most`."""

    words: str
    rows: str
    most: float
    value: Value
    text: Callable[[float], str]
    modes: tuple[str, ...] = (FORWARD, BOTH)

    def found(self, report: dict[str, Any], limits: dict[int, Limits]) -> list[tuple[float, str]]:
        """The value of every row that the target is about, with the row's name and mode."""
        chosen = [r for r in report["results"] if r["threads"] == 1 and r["mode"] in self.modes and re.search(self.rows, r["row"])]
        values = [(self.value(r, limits), f"{r['row']} {r['mode']}") for r in chosen]
        return [(v, name) for v, name in values if v is not None]


def ratio(r: dict[str, Any], limits: dict[int, Limits]) -> float | None:
    """tlean's time over PyTorch's, which may keep its memory or not: the worse of the two."""
    found = [r[k] for k in ("ratio", "kept_ratio") if k in r]
    return max(found) if found else None


def times(value: float) -> str:
    """How many times as fast."""
    return f"{1 / value:.2f} times"


def missing(
    share: Callable[[dict[str, Any], dict[int, Limits]], float | None],
) -> Callable[[dict[str, Any], dict[int, Limits]], float | None]:
    """What is missing to the whole."""

    def value(r: dict[str, Any], limits: dict[int, Limits]) -> float | None:
        found = share(r, limits)
        return None if found is None else 1 - found

    return value


def rest(value: float) -> str:
    """A share, from what is missing of it."""
    return percent(1 - value)


def per_op(r: dict[str, Any], limits: dict[int, Limits]) -> float:
    """Seconds of an op in a chain."""
    return r["tlean_s"] / CHAIN


RESNET = r"^conv2d_(64x56_64|128x28_128|256x14_256|512x7_512)k3_"
TARGETS = (
    Target(
        "matrix products of 256 to 2048: 88 % of the multiply-add peak",
        r"^matmul_(256|512|1024|2048)x",
        0.12,
        missing(share_of_limit),
        rest,
    ),
    Target("3 × 3 convolutions of ResNet: 1.15 times PyTorch's speed", RESNET, 1 / 1.15, ratio, times),
    Target("convolutions of MNIST's and LeNet's size: 4 times", r"^conv2d_(1x28|16x14|6x14)_", 1 / 4, ratio, times),
    Target("convolutions in 3-D: 4 times", r"^conv3d_", 1 / 4, ratio, times),
    Target("depthwise convolutions: 4 times", r"depthwise", 1 / 4, ratio, times),
    Target("max pooling: 10 times", r"^max_pool", 1 / 10, ratio, times),
    Target("average pooling: 5 times", r"^avg_pool", 1 / 5, ratio, times),
    Target("GELU by tanh, from 16K elements on: 6 times", r"^gelu_(16K|1M|16M)", 1 / 6, ratio, times),
    Target(
        f"elementwise, softmax and layer norm: {OWN_RATE:.0%} of the kernel's own rate or of the bandwidth",
        *(r"", 1 - OWN_RATE, missing(share_of_own_rate), rest, (FORWARD,)),
    ),
    Target("attention with its gradients: 0.8 of PyTorch's time", r"^attention_8x\d+x64$", 0.8, ratio, "{:.2f}".format, (BOTH,)),
    Target("causal attention with its gradients: 0.5 of it", r"^attention_8x\d+x64_causal$", 0.5, ratio, "{:.2f}".format, (BOTH,)),
    Target("a small op: 250 ns", r"^chain_100_", 250e-9, per_op, time_text, (FORWARD,)),
    Target("a small op with its gradients: 500 ns", r"^chain_100_", 500e-9, per_op, time_text, (BOTH,)),
)


def targets_table(report: dict[str, Any], limits: dict[int, Limits]) -> list[str]:
    """Each target, how many rows meet it, and the one that is farthest from it."""
    rows = []
    for target in TARGETS:
        found = target.found(report, limits)
        if found:
            worst, name = max(found)
            met = sum(value <= target.most for value, _ in found)
            rows.append([target.words, f"{met} of {len(found)}", target.text(worst), name])
    words = "What the kernels are meant to reach at 1 thread: against PyTorch as it comes and with its memory kept, the worse of the two."
    return ["", "## Targets", "", words, "", *table(["target", "rows that do", "the farthest", "its row"], rows)] if rows else []
