"""The short form of `python -m tests.faults`: steps that fail at a line or for want of memory are taken whole or not at all."""

from __future__ import annotations

import pytest
from faults.inject import exception_at, lines_of, no_memory_at, requests_of
from faults.subjects import TRAINERS
from faults.survey import survey

ERRORS = (KeyboardInterrupt, MemoryError)


@pytest.mark.parametrize("name", TRAINERS)
def test_an_exception_at_every_line_of_a_step(name):
    make = TRAINERS[name]
    subject = make()
    subject.step()
    lines = lines_of(subject.step)
    assert len(lines) > 10
    faults = [(f"line {k}: {lines[k]}", lambda k=k: exception_at(k, ERRORS[k % 2])) for k in range(len(lines))]
    count, ended = survey(make, faults, fresh=False)
    assert count == len(lines)
    # A loop over parameters may take another turn once, and so come to an end before line k: seldom.
    assert ended >= 0.9 * count


@pytest.mark.parametrize("name", TRAINERS)
def test_an_exception_while_a_step_is_recorded_and_compiled(name):
    make = TRAINERS[name]
    lines = lines_of(make().step)
    first = {}
    for k, line in enumerate(lines):
        first.setdefault(line, k)
    chosen = sorted(first.values())[:: max(1, len(first) // 40)]
    survey(make, [(f"line {k}: {lines[k]}", lambda k=k: exception_at(k, ERRORS[k % 2])) for k in chosen], fresh=True)


@pytest.mark.parametrize("lasting", [False, True])
@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize("name", TRAINERS)
def test_no_memory_at_every_request_of_a_step(name, fresh, lasting):
    make = TRAINERS[name]
    subject = make()
    if not fresh:
        subject.step()
    count = requests_of(subject.step)
    chosen = range(0, count, max(1, count // 60))
    found, ended = survey(make, [(f"request {k} of {count}", lambda k=k: no_memory_at(k, lasting)) for k in chosen], fresh)
    assert found == len(chosen)
    # The first of a kind may be kept for good, so that there is one request less.
    assert ended >= 0.8 * found
