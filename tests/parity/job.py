"""The job: the samples of the entries that have a counterpart, all of them or a drawn few."""

from __future__ import annotations

import contextlib
import random
import re
import warnings
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch.testing._internal.opinfo.core import OpInfo

from .adapters import ADAPTERS
from .compare import check
from .samples import Sample, Skip, Waits, entries, samples

#: Samples of an entry that a short run draws.
DRAWN = 4


@dataclass
class Outcome:
    """What became of the samples of an entry; without a counterpart, none were run."""

    name: str
    counterpart: bool
    passed: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    waiting: Counter[str] = field(default_factory=Counter)
    failures: dict[str, str] = field(default_factory=dict)

    @property
    def counts(self) -> bool:
        return self.passed > 0 and not self.failures and not self.waiting


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    # Python numbers are float64 on both sides.
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.set_default_dtype(before)


def _drawn(name: str, found: list[Sample], seed: int) -> list[Sample]:
    rng = random.Random(zlib.crc32(f"{name} {seed}".encode()))
    return [found[k] for k in sorted(rng.sample(range(len(found)), min(DRAWN, len(found))))]


def outcome(name: str, op: OpInfo, seed: int | None = None) -> Outcome:
    """Run an entry's samples: all of them, or a few that a seed draws."""
    adapter = ADAPTERS.get(name)
    result = Outcome(name, adapter is not None)
    if adapter is None:
        return result
    with _quiet():
        found = samples(name, op)
        for s in found if seed is None else _drawn(name, found, seed):
            try:
                check(s, op, adapter)
                result.passed += 1
            except Waits as reason:
                result.waiting[str(reason)] += 1
            except Skip as reason:
                result.skipped[str(reason)] += 1
            except Exception as error:
                result.failures[s.label] = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    return result


def run(only: str = "", seed: int | None = None) -> Iterator[Outcome]:
    """Every entry whose name matches."""
    for name, op in entries().items():
        if re.search(only, name):
            yield outcome(name, op, seed)
