"""What a person sees while a loop runs: a bar on a terminal, else a line every few seconds, on standard error."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from tlean.profiling import encodable

# Seconds between two lines where there is no terminal.
INTERVAL = 2.0


def _stream() -> Any:
    """Standard error where it can be written to; a service or a notebook may have none, or a closed one."""
    stream = sys.stderr
    return None if stream is None or getattr(stream, "closed", False) else stream


def say(text: str) -> None:
    """A line to standard error, in ASCII where it has no other letters; where the stream is gone, it is dropped, and the work goes on."""
    stream = _stream()
    if stream is not None:
        # A pipe whose reader went away, or a stream that was closed meanwhile.
        with contextlib.suppress(OSError, ValueError):
            print(encodable(text, stream), file=stream, flush=hasattr(stream, "flush"))


def _on_terminal() -> bool:
    is_terminal = getattr(_stream(), "isatty", None)
    return bool(is_terminal and is_terminal())


def progress(
    batches: Iterable[Any], title: str, total: int | None, report: Callable[[], str], count: Callable[[Any], int], unit: str = "samples"
) -> Iterator[Any]:
    """The batches, one by one, with a sign of how far they are.

    Args:
        title: the text at the beginning, such as "epoch 1/8".
        total: samples in all; None if unknown.
        report: called for a text on how it goes, such as the loss.
        count: the samples in a batch.
        unit: what the samples are called.
    """
    if _on_terminal():
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
        if now - told > INTERVAL or (total is not None and done >= total):
            told, rate = now, done / max(now - begun, 1e-9)
            if total is None:
                say(f"{title}  {done:,} {unit}  {report()}  {rate:,.0f} {unit}/s")
            else:
                say(f"{title}  {done / max(total, 1):4.0%}  {report()}  {rate:,.0f} {unit}/s  {max(total - done, 0) / rate:.0f} s left")
