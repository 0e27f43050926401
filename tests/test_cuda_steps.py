"""A device's training steps are taken whole or not at all: numbers that are not finite, exceptions at every line. On a device, or on the
emulation that `.ci/cuda` builds."""

from __future__ import annotations

import threading

import pytest
from faults.inject import exception_at, lines_of
from faults.subjects import Session, Trainer
from faults.survey import survey

import tlean as tl

if not tl.cuda.is_available():
    reason = "needs a CUDA device; `bash .ci/cuda` builds an emulation of one and runs this file on it"
    pytest.skip(reason, allow_module_level=True)

ERRORS = (KeyboardInterrupt, MemoryError)
SUBJECTS = {
    **{
        f"trainer, {b}, {o}{', clipped' if c else ''}{'' if f else ', unchecked'}": (
            lambda b=b, o=o, c=c, f=f: Trainer(b, o, c, device="cuda", finite=f)
        )
        for b in ("eager", "compiled")
        for o, c, f in (("SGD", None, True), ("Adam", 0.1, True), ("momentum", None, False))
    },
    **{f"session, {b}, Adam": lambda b=b: Session(b, "Adam", device="cuda") for b in ("eager", "compiled")},
}
#: A long step's lines are tried at their first and last time; of the ops that an eager one runs, every so-manieth.
STRIDE = 7


def chosen(lines):
    """Places in a step: each of the library's lines where it comes first and where it comes last, those of ops thinned out."""
    places = {}
    for k, line in enumerate(lines):
        places.setdefault(line, [k, k])[1] = k
    found = sorted({k for both in places.values() for k in both})
    dense = ("/train/", "session_cuda.py", "session_compiled.py", "param.py", *(f"cuda/{x}.py" for x in DENSE))
    return [k for n, k in enumerate(found) if n % STRIDE == 0 or any(d in lines[k][0] for d in dense)]


DENSE = ("step", "updates", "program", "capture")


def free():
    """Whether another thread can use the device."""
    where, taken = tl.cuda.ops().context, []
    thread = threading.Thread(target=lambda: taken.append(where.lock.acquire(blocking=False)) or (taken[0] and where.lock.release()))
    thread.start()
    thread.join()
    return taken[0] and where.depth == 0


@pytest.mark.parametrize("name", SUBJECTS)
def test_an_exception_at_every_line_of_a_step(name):
    make = SUBJECTS[name]
    subject = make()
    for _ in range(3):
        subject.step()
    lines = lines_of(subject.step)
    faults = [(f"line {k}: {lines[k]}", lambda k=k: exception_at(k, ERRORS[k % 2])) for k in chosen(lines)]
    count, ended = survey(make, faults, fresh=False)
    assert count > 40 and ended >= 0.8 * count
    assert free()
