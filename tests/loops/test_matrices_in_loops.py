"""Determinants, inverses and systems in loops: values and two derivatives against exact ones, at singular matrices too."""

from __future__ import annotations

import itertools
import math
import random
from fractions import Fraction

import numpy as np
import pytest

import tlean as tl


class Jet:
    """a + b e + c e^2 of fractions, without higher powers: a value with two derivatives along a line."""

    def __init__(self, a, b=0, c=0):
        self.parts = tuple(Fraction(x) for x in (a, b, c))

    def __add__(self, other):
        return Jet(*(x + y for x, y in zip(self.parts, jet(other).parts, strict=True)))

    def __mul__(self, other):
        (a, b, c), (p, q, r) = self.parts, jet(other).parts
        return Jet(a * p, a * q + b * p, a * r + b * q + c * p)

    def __neg__(self):
        return self * -1

    def __sub__(self, other):
        return self + jet(other) * -1

    def inverse(self):
        a, b, c = self.parts
        return Jet(1 / a, -b / a**2, b * b / a**3 - c / a**2)

    __radd__, __rmul__ = __add__, __mul__


def jet(x):
    return x if isinstance(x, Jet) else Jet(x)


class Exact:
    """The functions of a program on arrays of jets; loops are Python's."""

    @staticmethod
    def det(m):
        n = len(m)
        total = Jet(0)
        for order in itertools.permutations(range(n)):
            term = Jet((-1) ** sum(order[i] > order[j] for i in range(n) for j in range(i + 1, n)))
            for row, column in enumerate(order):
                term = term * m[row, column]
            total = total + term
        return total

    @staticmethod
    def logdet(m):
        """log|det|: its value is a float, its derivatives are exact."""
        a, b, c = Exact.det(m).parts
        return Jet(Fraction(math.log(abs(a))), b / a, c / a - b * b / (2 * a * a))

    @staticmethod
    def solve(m, rhs):
        rows = [[*m[i], *rhs[i]] for i in range(len(m))]
        for k in range(len(m)):
            pivot = next(i for i in range(k, len(m)) if jet(rows[i][k]).parts[0] != 0)
            rows[k], rows[pivot] = rows[pivot], rows[k]
            by = jet(rows[k][k]).inverse()
            rows[k] = [by * x for x in rows[k]]
            for i in range(len(m)):
                if i != k:
                    rows[i] = [jet(x) - jet(rows[i][k]) * y for x, y in zip(rows[i], rows[k], strict=True)]
        return np.array([row[len(m) :] for row in rows], object)

    @staticmethod
    def inv(m):
        return Exact.solve(m, np.eye(len(m), dtype=int).astype(object))

    sum = staticmethod(np.sum)

    @staticmethod
    def scan(step, carry, xs):
        ys = []
        for x in xs:
            carry, y = step(carry, x)
            ys.append(y)
        return carry, np.array(ys, object)

    @staticmethod
    def repeat(steps, body, carry):
        for _ in range(steps):
            carry = body(carry)
        return carry

    @staticmethod
    def cond(pred, yes, no, *operands):
        return (yes if pred.parts[0] > Fraction(1, 2) else no)(*operands)


class Library:
    """The same by the library; a loop of some steps is a `while_loop` that may run further."""

    det, inv, solve, sum = map(staticmethod, (tl.linalg.det, tl.linalg.inv, tl.linalg.solve, tl.sum))
    scan = staticmethod(tl.scan)

    @staticmethod
    def logdet(m):
        return tl.linalg.slogdet(m)[1]

    @staticmethod
    def repeat(steps, body, carry):
        run = lambda state: (state[0] + 1, body(state[1]))  # noqa: E731
        return tl.while_loop(lambda state: state[0] < steps, run, (np.int64(0), carry), max_steps=steps + 2)[1]

    @staticmethod
    def cond(pred, yes, no, *operands):
        return tl.cond(pred > 0.5, yes, no, *operands)


def drawn(seed):
    """(program(kit, x), x, direction): determinants of integer matrices, mostly singular; or regular ones, which are inverted, too."""
    rng = random.Random(seed)
    n, singular = rng.randint(1, 4), seed % 3 < 2

    def matrix(top):
        return np.array([[rng.randint(-top, top) for _ in range(n)] for _ in range(n)])

    x = matrix(2)
    if singular and n > 1:
        # Of rank n - 1, or n - 2, or less.
        for _ in range(rng.randint(1, 2)):
            i, j = rng.sample(range(n), 2)
            x[i] = rng.randint(-1, 1) * x[j]
    elif not singular:
        x = x + 9 * np.eye(n, dtype=int)
    stack, other, steps = np.stack([matrix(1) for _ in range(3)]), matrix(1), rng.randint(0, 3)
    weights = [rng.choice([-2, -1, 1, 2]) for _ in range(4)]
    kinds = [rng.choice(["product", "transposed", "added"]) for _ in range(2)]

    def moved(kind, c, m):
        return {"product": lambda: c @ (m + np.eye(n, dtype=int)), "transposed": lambda: c.T + m * 0, "added": lambda: c + m}[kind]()

    def program(kit, x):
        def step(c, m):
            y = kit.det(c) if singular else kit.logdet(c) + kit.sum(kit.solve(c, m + c))
            return moved(kinds[0], c, m), y

        last, ys = kit.scan(step, x, stack)

        def again(state):
            c, total = state
            return moved(kinds[1], c, other), total + kit.det(c)

        _, total = kit.repeat(steps, again, (x, kit.det(x) * 0))
        chosen = kit.cond(kit.det(x), lambda: kit.det(x @ other), lambda: kit.det(x + other) + kit.det(other + x.T))
        rest = kit.det(last) * weights[3] if singular else kit.sum(kit.inv(x))
        return kit.sum(ys) * weights[0] + total * weights[1] + chosen * weights[2] + rest

    return program, x, matrix(2)


def exactly(program, x, direction):
    """The value, and two derivatives along the direction, as floats."""
    line = np.array([[Jet(int(a), int(d)) for a, d in zip(*rows, strict=True)] for rows in zip(x, direction, strict=True)], object)
    a, b, c = program(Exact, line).parts
    return float(a), float(b), float(2 * c)


@pytest.mark.parametrize("seed", range(36))
def test_values_and_derivatives_are_exact(seed):
    program, whole, direction = drawn(seed)
    x, v = whole.astype(float), direction.astype(float)

    def f(x):
        return program(Library, x)

    wanted = exactly(program, whole, direction)
    value, gradient = tl.value_and_grad(f)(x)
    second = tl.hvp(f, (x,), (v,))[0]
    found = [value.item(), float(np.sum(gradient.numpy() * v)), float(np.sum(second.numpy() * v))]
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-8)
    assert abs(tl.jvp(f, (x,), (v,))[1].item() - wanted[1]) <= 1e-8 + 1e-9 * abs(wanted[1])
    before = tl.get_num_threads()
    try:
        for threads in (1, 3):
            tl.set_num_threads(threads)
            for backend in ("eager", "compiled"):
                s = tl.Session(tl.Options(backend=backend, dtype="float64"))
                leaf = s.leaf(x)
                loss = f(leaf)
                slope = s.backward_scalar_dense_all(loss)[leaf]
                assert (loss.numpy().tobytes(), slope.numpy().tobytes()) == (value.numpy().tobytes(), gradient.numpy().tobytes())
            assert tl.jit(tl.grad(f))(x).numpy().tobytes() == gradient.numpy().tobytes()
            assert tl.jit(lambda x, v: tl.hvp(f, (x,), (v,))[0])(x, v).numpy().tobytes() == second.numpy().tobytes()
    finally:
        tl.set_num_threads(before)
    lanes = np.stack([x, x.T, x + 1.0])
    mapped = tl.vmap(tl.grad(f))(lanes).numpy()
    for one, lane in zip(mapped, lanes, strict=True):
        np.testing.assert_allclose(one, tl.grad(f)(lane).numpy(), rtol=1e-9, atol=1e-8)
