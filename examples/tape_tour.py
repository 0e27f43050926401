"""A tour of the explicit tape: values, forks, gradients of every node, your own op, and a picture.

    python examples/tape_tour.py                       # prints the tour, writes out/tape.svg and out/tape.dot
    python examples/tape_tour.py --out DIR

Every step checks itself: a wrong number would stop the tour.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import tlean as tl


def say(title: str) -> None:
    """A heading."""
    print(f"\n{title}\n{'-' * len(title)}")


def grow() -> tuple[tl.Tape, dict[str, int]]:
    """A small regression: h = tanh(W x + b), loss = mean((h − y)²)."""
    rng = tl.Rng(0)
    tape = tl.Tape(dtype="float64")
    # Each call returns a new tape and the id of its new node; ids are plain ints.
    tape, w = tape.leaf(rng.uniform((3, 2), -1, 1), name="w")
    tape, b = tape.leaf(np.zeros(3), name="b")
    tape, x = tape.leaf([0.5, -1.0], name="x", requires_grad=False)
    tape, y = tape.leaf([0.2, -0.4, 0.9], name="y", requires_grad=False)
    tape, z = tape.linear(w, b, x)
    tape, h = tape.tanh(z, name="h")
    tape, loss = tape.mse_loss(h, y, name="loss")
    return tape, {"w": w, "b": b, "x": x, "y": y, "z": z, "h": h, "loss": loss}


def gradients(tape: tl.Tape, at: dict[str, int]) -> dict[int, tl.AnyTensor]:
    """All gradients, sparse and dense, and a check by a finite difference."""
    say("2. Gradients: one for every node that was reached, leaves or not")
    found = tape.backward_scalar(at["loss"])
    names = {i: name for name, i in at.items()}
    for i, g in sorted(found.items()):
        print(f"d loss / d {names[i]:4} = {np.array2string(g.numpy(), precision=4, separator=', ').replace(chr(10), '')}")
    dense = tape.backward_dense(at["loss"], 1.0)
    assert [i for i, g in enumerate(dense) if g is not None] == sorted(found)
    # x and y take no gradient: None, or an explicit zero in the total form.
    assert dense[at["x"]] is None and not tape.backward_dense_all(at["loss"], 1.0)[at["x"]].numpy().any()
    step, moved = 1e-6, np.zeros(3)
    moved[1] = step

    def loss_with(b: np.ndarray) -> float:
        again, w = tl.Tape(dtype="float64").leaf(tape.get_value(at["w"]))
        again, b_ = again.leaf(b)
        again, x = again.leaf(tape.get_value(at["x"]))
        again, y = again.leaf(tape.get_value(at["y"]))
        again, z = again.linear(w, b_, x)
        again, h = again.tanh(z)
        again, loss = again.mse_loss(h, y)
        return again.item(loss)

    difference = (loss_with(moved) - loss_with(-moved)) / (2 * step)
    slope = float(found[at["b"]].numpy()[1])
    print(f"d loss / d b[1]: {slope:.8f}, by a central difference {difference:.8f}")
    assert abs(slope - difference) < 1e-8
    return found


def forks(tape: tl.Tape, at: dict[str, int]) -> None:
    """One past, two futures."""
    say("3. Forks: the old tape stays, and goes on another way")
    absolute, a = tape.l1_loss(at["h"], at["y"])
    smooth, s = tape.huber_loss(at["h"], at["y"], delta=0.1)
    print(f"the tape has {len(tape)} nodes; with an absolute loss {len(absolute)}, with a Huber loss {len(smooth)}")
    for name, fork, out in (("squared", tape, at["loss"]), ("absolute", absolute, a), ("Huber", smooth, s)):
        g = fork.backward_scalar(out)[at["w"]].numpy()
        print(f"{name:8} loss {fork.item(out):.5f}, |d loss / d w| = {np.linalg.norm(g):.5f}")
    assert tape.get_value(a) is None


def own_op(tape: tl.Tape, at: dict[str, int]) -> None:
    """An op that the library does not have, and a node made by hand."""
    say("4. Your own op")
    grown, bump = tape.unary("bump", at["z"], lambda x: np.exp(-x * x), lambda x, g: -2 * x * np.exp(-x * x) * g)
    grown, total = grown.sum(bump)
    by_rule = grown.backward_scalar(total)[at["z"]].numpy()
    z = tape.get_value(at["z"]).numpy()
    print(f"sum(exp(-z²)) = {grown.item(total):.6f}, gradient {np.round(by_rule, 6)}")
    assert np.allclose(by_rule, -2 * z * np.exp(-z * z))
    node = tl.Node(z[::-1].copy(), (at["z"],), lambda g: [(at["z"], g.numpy()[::-1])], name="reversed")
    grown, r = tape.add_node(node)
    pulled = grown.backward(r, [1.0, 2.0, 3.0])[at["z"]]
    print(f"reversed(z), pulled back from (1, 2, 3): {pulled.tolist()}")
    assert pulled.tolist() == [3.0, 2.0, 1.0]


def mistakes(tape: tl.Tape, at: dict[str, int]) -> None:
    """A mistake is told, and changes nothing."""
    say("5. Mistakes")
    for call in (lambda: tape.add(at["w"], at["b"]), lambda: tape.relu(99), lambda: tape.backward_scalar(at["h"])):
        try:
            call()
        except tl.TleanError as error:
            print(f"{type(error).__name__}: {error}")
        else:
            raise AssertionError("the mistake was not noticed")
    assert len(tape) == 7


def main(argv: list[str] | None = None) -> None:
    """The tour."""
    parser = argparse.ArgumentParser(prog="tape_tour.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", metavar="DIR", type=Path, default=Path("out"), help="where the pictures go (default: %(default)s)")
    args = parser.parse_args(argv)
    say("1. A tape is a value: each op returns a new one")
    tape, at = grow()
    print(tape)
    found = gradients(tape, at)
    forks(tape, at)
    own_op(tape, at)
    mistakes(tape, at)
    say("6. The same, threaded for you")
    result, whole = tl.TapeM.run(lambda m: ((m.leaf([1.0, 2.0], name="u") * 3 + 1) ** 2).sum())
    print(whole)
    print(f"gradient of u: {whole.backward_scalar(result)[0].tolist()}")
    say("7. A picture")
    args.out.mkdir(parents=True, exist_ok=True)
    tape.show(args.out / "tape.svg", found)
    (args.out / "tape.dot").write_text(tape.to_dot() + "\n", encoding="utf-8")
    print(f"picture: {args.out / 'tape.svg'}\ngraph: {args.out / 'tape.dot'}")


if __name__ == "__main__":
    main()
