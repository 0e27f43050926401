"""A call as text, from a seed and a number alone."""

from __future__ import annotations

import random
from dataclasses import dataclass

from .targets import Target
from .values import argument


@dataclass(frozen=True)
class Call:
    """A call: what is called, and the lines of a program that does it, the last of which is the call."""

    target: Target
    setup: str
    text: str


def draw(targets: list[Target], seed: int, number: int) -> Call:
    """Call `number` of a seed."""
    rng = random.Random(f"{seed}:{number}")
    # Each area gets its share, however many methods a class has.
    area = rng.choice(sorted({t.area for t in targets}))
    target = rng.choice([t for t in targets if t.area == area])
    given = []
    refs = list(target.refs)
    for kind, name in target.parameters:
        if kind == "must":
            given.append(argument(rng, name, refs))
        elif kind == "may":
            # By name from the first that is left out on.
            if rng.random() < 0.35:
                given.append(f"{name}={argument(rng, name, refs)}")
        elif kind == "mustkey" or (kind == "key" and rng.random() < 0.35):
            given.append(f"{name}={argument(rng, name, refs)}")
        elif kind == "star":
            given += [argument(rng, name, refs) for _ in range(rng.randrange(4))]
    text = f"{target.text}({', '.join(given)})"
    if rng.random() < 0.03:
        text = f"in_threads(lambda: {text})"
    return Call(target, f"s = {target.made}" if target.made else "", text)
