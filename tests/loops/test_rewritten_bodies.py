"""What passes make of loops' bodies: values that others still read stay, and what is known of a call goes with its operands."""

import numpy as np

import tlean as tl


def gradients(loop, *args):
    """Of the sum of what a loop returns, rolled and written out."""
    made = [tl.grad(lambda *a, unroll=unroll: tl.sum(loop(unroll, *a)), argnums=tuple(range(len(args))))(*args) for unroll in (1, True)]
    return zip(*made, strict=True)


def test_a_value_that_leaves_a_loop_beside_another_is_read_through_a_view():
    # The sweep reads the maximum's place, and the maximum through a view of it.
    def loop(unroll, a, b):
        return tl.scan(lambda c, _: (c + tl.max(a, -1) @ b, None), tl.zeros((2,), dtype="float64"), length=3, unroll=unroll)[0]

    rng = np.random.default_rng(0)
    for rolled, written in gradients(loop, rng.normal(size=(2, 1)), rng.normal(size=(2, 2))):
        np.testing.assert_allclose(rolled, written, rtol=1e-14)


def test_multiples_of_a_part_are_made_of_the_whole():
    # The adjoint puts -2 v and v into zeros: v is put there, then multiplied, so that the factor is one of the whole array.
    def loop(unroll, x):
        return tl.scan(lambda c, _: (c.at[1:-1].add(0.1 * (c[2:] - 2.0 * c[1:-1] + c[:-2])), None), x, length=2, unroll=unroll)[0] ** 2

    for rolled, written in gradients(loop, np.random.default_rng(1).normal(size=4)):
        np.testing.assert_allclose(rolled, written, rtol=1e-13)


def test_parts_that_are_added_to_twice():
    # The adjoint of each takes the part out of the cotangent and puts it back: the second does so with what the first restored.
    def loop(unroll, x, y):
        return tl.scan(lambda c, _: (c.at[1:].add(y).at[1:].add(tl.sin(y)), None), x, length=2, unroll=unroll)[0] ** 2

    rng = np.random.default_rng(2)
    for rolled, written in gradients(loop, rng.normal(size=4), rng.normal(size=3)):
        np.testing.assert_allclose(rolled, written, rtol=1e-13)
