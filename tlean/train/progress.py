"""What a person sees while a loop runs: a bar on a terminal, else a line every few seconds, on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

# Seconds between two lines where there is no terminal.
INTERVAL = 2.0


def progress(
    batches: Iterable[Any], title: str, total: int, report: Callable[[], str], count: Callable[[Any], int], unit: str = "samples"
) -> Iterator[Any]:
    """The batches, one by one, with a sign of how far they are.

    Args:
        title: what stands first, such as "epoch 1/8".
        total: samples in all.
        report: called for a text on how it goes, such as the loss.
        count: the samples in a batch.
        unit: what the samples are called.
    """
    if sys.stderr.isatty():
        try:
            from tqdm import tqdm
        except ImportError:
            pass
        else:
            layout = "{l_bar}{bar:16}| {n_fmt}/{total_fmt} [{rate_fmt}, {remaining} left]{postfix}"
            with tqdm(total=total, desc=title, unit=f" {unit}", unit_scale=True, bar_format=layout, leave=False, dynamic_ncols=True) as bar:
                for batch in batches:
                    yield batch
                    bar.set_postfix_str(report(), refresh=False)
                    bar.update(count(batch))
            return
    begun = told = time.perf_counter()
    done = 0
    for batch in batches:
        yield batch
        done += count(batch)
        now = time.perf_counter()
        if now - told > INTERVAL or done >= total:
            told, rate = now, done / max(now - begun, 1e-9)
            left = max(total - done, 0) / rate
            print(f"{title}  {done / total:4.0%}  {report()}  {rate:,.0f} {unit}/s  {left:.0f} s left", file=sys.stderr, flush=True)
