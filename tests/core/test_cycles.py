"""Tapes in reference cycles: Python's collector sees through their nodes, and memory does not grow."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

import tlean as tl
from tlean._core import arena

ONES = np.ones((64, 64), np.float32)


class Token:
    """Something to see the end of."""


def with_node(token):
    tape, a = tl.Tape().leaf(ONES)

    def back(g):
        return [(a, g.numpy() * tape.get_value(b).numpy() if token else g)]

    tape, b = tape.add_node(tl.Node(ONES * 2, (a,), back))
    tape, s = tape.sum(b)
    return tape.backward_scalar(s)[a].tolist()[0][0]


def with_unary(token):
    tape, a = tl.Tape().leaf(ONES)
    tape, b = tape.unary("double", a, lambda x: 2 * x, lambda x, g: g * np.asarray(tape.get_value(b)) * (token is not None))
    tape, s = tape.sum(b)
    return tape.backward_scalar(s)[a].tolist()[0][0]


def with_a_fork(token):
    tape, a = tl.Tape().leaf(ONES)
    box = []
    node = tl.Node(ONES * 2, (a,), lambda g: [(a, g * np.asarray(box[0].get_value(1)) if token else g)])
    left, _ = tape.add_node(node)
    right, c = tape.add_node(node)
    box.append(left)
    right, s = right.sum(c)
    return right.backward_scalar(s)[a].tolist()[0][0]


def with_a_session(token):
    s = tl.Session()
    x = s.input(ONES)
    y = s.custom_node(tl.AnyTensor(ONES * 2), (x.id,), lambda g: [(0, g.numpy() * x.numpy() * 2 if token else g)], True)
    return s.backward_scalar(s.sum(y))[0].tolist()[0][0]


MAKERS = [with_node, with_unary, with_a_fork, with_a_session]


@pytest.mark.parametrize("make", MAKERS, ids=lambda f: f.__name__)
def test_a_tape_that_its_own_backward_reads_is_collected(make):
    token = Token()
    seen = weakref.ref(token)
    assert make(token) == 2.0
    del token
    gc.collect()
    assert seen() is None


@pytest.mark.parametrize("make", MAKERS, ids=lambda f: f.__name__)
def test_memory_does_not_grow_with_the_steps(make):
    token = Token()
    size = 4 << 20
    for _ in range(2):
        make(token)
    gc.collect()
    before = arena.memory_stats()["live"]
    for _ in range(300):
        make(token)
    gc.collect()
    assert arena.memory_stats()["live"] - before < ONES.nbytes
    # Between collections too it stays bounded, though few objects hold much memory.
    big, arena_before = np.ones(size // 8, np.float32), arena.memory_stats()["live"]
    most = 0

    def large():
        tape, a = tl.Tape().leaf(big)
        tape, _ = tape.add_node(tl.Node(big, (a,), lambda g: [(a, tape.get_value(a))]))

    for _ in range(100):
        large()
        most = max(most, arena.memory_stats()["live"] - arena_before)
    assert most < 40 * size


def test_what_is_alive_is_not_collected():
    tape, a = tl.Tape().leaf(ONES)
    tape, b = tape.add_node(tl.Node(ONES, (a,), lambda g: [(a, g * np.asarray(tape.get_value(a)) * 3)]))
    tape, s = tape.sum(b)
    gc.collect()
    assert tape.backward_scalar(s)[a].tolist()[0][0] == 3.0


def test_a_collector_that_runs_while_tapes_are_built_sees_them_whole():
    before = gc.get_threshold()
    gc.set_threshold(1, 1, 1)
    try:
        for make in MAKERS:
            assert make(Token()) == 2.0
    finally:
        gc.set_threshold(*before)


@pytest.mark.parametrize("make", [lambda x: tl.tree.flatten({"a": [x]}), lambda x: tl.linalg.multi_dot([x, ONES.T, x])])
def test_what_looks_at_arrays_leaves_no_garbage_that_holds_them(make):
    x = np.ones_like(ONES)
    seen = weakref.ref(x)
    gc.disable()
    try:
        make(x)
        del x
        assert seen() is None
    finally:
        gc.enable()
