"""Every fault in turn: after each the state is exactly that of before the step or of after it, and later steps have the bits of an
undisturbed run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any

from .inject import forget
from .subjects import Subject

Injection = Callable[[], AbstractContextManager[None]]


class Course:
    """The states of an undisturbed run, made as far as they are asked for."""

    def __init__(self, make: Callable[[], Subject]) -> None:
        self._subject = make()
        self._states = [self._subject.state()]

    def __getitem__(self, k: int) -> Any:
        while len(self._states) <= k:
            self._subject.step()
            self._states.append(self._subject.state())
        return self._states[k]


def new(make: Callable[[], Subject]) -> Subject:
    """A subject that meets a process as if new: all is made again but what no step makes twice, as the form of a function's code."""
    make().step()
    forget()
    return make()


class Broken(AssertionError):
    """A fault after which the state is neither that of before the step nor that of after it, or a later step is wrong."""


def survey(
    make: Callable[[], Subject], faults: Iterable[tuple[str, Injection]], fresh: bool, course: Course | None = None
) -> tuple[int, int]:
    """Take steps with these faults.

    Args:
        faults: (name, what injects it) in turn.
        fresh: whether each fault meets a new subject in a process as if new, where all is yet to be recorded and compiled.

    Returns: how many faults there were, and how many of them ended the step.
    Raises: Broken.
    """
    course = course or Course(make)
    subject, at, count, ended = make(), 0, 0, 0
    if not fresh:
        subject.step()
        at = 1
    for name, fault in faults:
        if fresh:
            forget()
            subject, at = make(), 0
        count += 1
        error: BaseException | None = None
        try:
            with fault():
                subject.step()
        except (KeyboardInterrupt, MemoryError) as raised:
            error = raised
            ended += 1
        now = subject.state()
        if now == course[at + 1] and (error is None or now != course[at]):
            at += 1
        elif error is None or now != course[at]:
            raise Broken(f"{name} ({error!r}): the state is neither that of before the step nor that of after it")
        for _ in range(2 if fresh else 1):
            try:
                subject.step()
            except Exception as later:
                raise Broken(f"{name} ({error!r}): the next step raised {later!r}") from later
            at += 1
            if subject.state() != course[at]:
                raise Broken(f"{name} ({error!r}): the next step has other bits than in an undisturbed run")
    return count, ended
