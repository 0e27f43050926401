"""What a graph is put through under nested transformations, and with values that it captures and that change between calls."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

import tlean as tl
from tlean import functions
from tlean.programs.running import frame

from . import faces
from .faces import FindingError, Result
from .own import OWN
from .program import Program, as_function, loss_of, run

if TYPE_CHECKING:
    from .checks import Graph

#: Programs with more elements in their arguments have no Jacobians.
SMALL = 40


def _outputs(program: Program, f: Any, floats: list[int]) -> Any:
    # f with the arguments that take a derivative alone: the others as they are.
    arrays = program.arrays()

    def g(ops: Any, *xs: Any) -> Any:
        given = list(arrays)
        for k, x in zip(floats, xs, strict=True):
            given[k] = x
        return f(ops, *given)

    return g


class _Free:
    # Every op as a free function; what is none, such as `const`, is the running program's.
    def __getattr__(self, name: str) -> Any:
        found = frame()
        assert found is not None
        return getattr(functions if name in functions.NAMES else found[0], name)


def nested(graph: Graph) -> None:
    """Transformations of jitted functions and of each other: first derivatives by bits, second ones by their symmetry."""
    from .checks import same_gradients

    program = graph.program
    floats = [k for k, i in enumerate(program.arguments) if i.is_float]
    if graph.stream or not graph.has_loss or not floats or any(str(graph.arrays[k].dtype) != program.dtype for k in floats):
        return
    xs = [graph.arrays[k] for k in floats]
    loss = _outputs(program, as_function(program, "loss"), floats)
    numbers = tuple(range(len(floats)))
    keys = [program.arguments[k].key for k in floats]

    def compare(what: str, value: Any, grads: Any) -> None:
        found = Result([], faces.plain(value), {key: faces.plain(g) for key, g in zip(keys, grads, strict=True)})
        same_gradients("nested", f"eager and {what}", program, graph.eager, found)

    inner = tl.jit(loss)
    compare("value_and_grad of jit", *tl.value_and_grad(lambda ops, *xs: inner(ops, *xs), numbers)(*xs))
    compare("value_and_grad of a plain function", *tl.value_and_grad(lambda *xs: loss(_Free(), *xs), numbers)(*xs))
    compare("jit of value_and_grad of jit", *tl.jit(tl.value_and_grad(inner, numbers))(*xs))
    value, pull = tl.vjp(inner, *xs)
    compare("vjp of jit", value, pull(np.ones((), program.dtype)))
    inside = tl.jit(lambda ops, *xs: tl.vjp(inner, *xs)[1](ops.const(1.0)))
    compare("jit of vjp of jit", value, inside(*xs))
    if not program.uses_own and len(program.steps) <= 30 and sum(x.size for x in xs) <= 20_000:
        _second_order(graph, floats)


def _second_order(graph: Graph, floats: list[int]) -> None:
    # ⟨∇⟨Jᵀg, t⟩, u⟩ by reverse over reverse and by forward over reverse, in float64; rows of Jacobians in both modes where they are small.
    from .checks import inner, random_array, size

    program = graph.wide
    shapes = [program.arguments[k].shape for k in floats]
    ts, us = ([random_array(program, n + k, s) for k, s in enumerate(shapes)] for n in (505, 605))
    inner_loss = tl.jit(_outputs(program, as_function(program, "loss"), floats))
    numbers = tuple(range(len(floats)))

    def pulled(ops: Any, *xs: Any) -> Any:
        grads = tl.vjp(inner_loss, *xs)[1](ops.const(1.0))
        total = ops.const(0.0)
        for g, t in zip(grads, ts, strict=True):
            total = ops.add(total, ops.sum(ops.mul(g, ops.const(t))))
        return total

    outer = tl.grad(tl.jit(pulled), numbers)

    def sides(arrays: list[np.ndarray]) -> tuple[float, float, float]:
        xs = [arrays[k] for k in floats]
        back = [(u, faces.plain(h)) for u, h in zip(us, outer(*xs), strict=True)]
        _, moved = tl.jvp(lambda ops, *xs: tl.grad(inner_loss, numbers)(ops, *xs), tuple(xs), tuple(us))
        ahead = [(t, faces.plain(m)) for t, m in zip(ts, moved, strict=True)]
        return inner(back), inner(ahead), size([*back, *ahead])

    graph.equal("nested", "grad of vjp of jit, and jvp of grad of jit,", program, sides)
    if sum(int(np.prod(s)) for s in shapes) <= SMALL:
        graph.count["nested: Hessians"] += 1

        def hessians(arrays: list[np.ndarray]) -> tuple[float, float, float]:
            xs = [arrays[k] for k in floats]
            forward = tl.jacfwd(tl.grad(inner_loss))(*xs)
            backward = tl.jacrev(tl.grad(inner_loss))(*xs)
            weights = random_array(program, 705, tuple(forward.shape))
            left, right = [(weights, faces.plain(forward))], [(weights, faces.plain(backward))]
            return inner(left), inner(right), size([*left, *right])

        graph.equal("nested", "jacfwd and jacrev of grad of jit", program, hessians)


#: By how much the arguments of the lanes differ.
LANES = (1.0, 1.015625, 0.96875)


def mapped(graph: Graph) -> None:
    """`vmap` of the program, of its gradient, and the gradient of that, against a loop over the lanes, in float64."""
    from .checks import inner, random_array, size

    program = graph.wide
    floats = [k for k, i in enumerate(program.arguments) if i.is_float]
    if graph.stream or not graph.has_loss or not floats or sum(a.size for a in graph.arrays) > 20_000 or len(program.steps) > 40:
        return
    if any(r is not None and r.random for r in (faces.record_of(step.op) for step in program.steps)):
        # Each lane has its own numbers.
        return
    rng = np.random.default_rng((program.seed, 2))
    own = {k for k in floats if rng.random() < 0.6} or {int(rng.choice(floats))}
    axes = tuple((-1 if rng.random() < 0.5 else 0) if k in own else None for k in range(len(program.arguments)))
    numbers = tuple(floats)
    alone = tl.value_and_grad(as_function(program, "loss"), numbers)
    inside = tl.vmap(alone, in_axes=axes)
    weights = random_array(program, 805, (len(LANES),))
    outside = tl.grad(lambda *xs: tl.sum(tl.vmap(as_function(program, "loss"), in_axes=axes)(*xs) * weights), numbers)

    def sides(arrays: list[np.ndarray]) -> tuple[float, float, float]:
        lanes = [[x * f if k in own else x for k, x in enumerate(arrays)] for f in LANES]
        given = [x if a is None else np.stack([row[k] for row in lanes], a) for k, (x, a) in enumerate(zip(arrays, axes, strict=True))]
        values, grads = inside(*given)
        found = [faces.plain(values), *(faces.plain(g) for g in grads)]
        found += [
            np.moveaxis(faces.plain(g), axes[k], 0) if k in own else faces.plain(g) for k, g in zip(floats, outside(*given), strict=True)
        ]
        rows = [alone(*row) for row in lanes]
        each = [np.stack([faces.plain(g[n]) for _, g in rows]) for n in range(len(floats))]
        wanted = [np.stack([faces.plain(v) for v, _ in rows]), *each]
        for k, g in zip(floats, each, strict=True):
            scaled = g * weights.reshape(-1, *(1,) * (g.ndim - 1))
            wanted.append(scaled if k in own else scaled.sum(0))
        left, right = ([(random_array(program, 905 + n, a.shape), a) for n, a in enumerate(side)] for side in (found, wanted))
        return inner(left), inner(right), size([*left, *right])

    graph.count["mapped"] += 1
    graph.equal("mapped", "vmap and a loop over the lanes", program, sides)


def captured(graph: Graph) -> None:
    """Arrays and a number that the program captures change between the calls of kept functions: each call has the eager run's bits."""
    from .checks import same, same_values

    program = graph.program
    arguments = program.arguments
    rng = np.random.default_rng((program.seed, 1))
    free = [k for k, i in enumerate(arguments) if i.is_float and i.grad and str(graph.arrays[k].dtype) == program.dtype]
    if graph.stream or not graph.has_loss or not free:
        return
    kept = int(rng.choice(free))
    taken = [i for k, i in enumerate(arguments) if k != kept and rng.random() < 0.7]
    held = {i.key: i.array(program.dtype) for i in taken}
    rest = [i for i in arguments if i.key not in held]
    # Half of the arrays are given to ops as they are. A user's op that is given arrays alone would run at once.
    own = {a for s in program.steps if s.op in OWN for a in s.args}
    bare = {i.key for i in taken if not i.is_float or (i.key not in (*program.outputs, *own) and rng.random() < 0.5)}
    factor = 1.0

    def values(ops: Any, refs: Any) -> list[Any]:
        known = dict(zip([i.key for i in rest], refs, strict=True))
        known |= {key: held[key] if key in bare else ops.const(held[key]) for key in held}
        return run(program, ops, known)

    def loss(ops: Any, *refs: Any) -> Any:
        return loss_of(program, ops, values(ops, refs), factor)

    def outputs(ops: Any, *refs: Any) -> Any:
        return values(ops, refs)

    at = next(n for n, i in enumerate(rest) if i.key == arguments[kept].key)
    xs = [i.array(program.dtype) for i in rest]
    vg, f, jacobian = tl.value_and_grad(loss, at), tl.jit(outputs), tl.value_and_grad(tl.jit(loss), at)
    for n in range(4):
        if n:
            # In place, another array, back again.
            for i in taken:
                moved = replace(i, seed=i.seed + n % 3).array(program.dtype)
                if n == 2:
                    held[i.key] = moved
                else:
                    held[i.key][...] = moved
            factor = (1.0, 2.0, 0.5, 1.0)[n]
        now = replace(program, inputs=tuple(replace(i, seed=i.seed + n % 3) if i.key in held else i for i in program.inputs))
        now = replace(now, inputs=tuple(replace(i, const=True) if i.key in held else i for i in now.inputs))
        wanted = _eager(now, factor)
        what = f"call {n} of a function that captures"
        same_values("captured", f"the eager run and jit, {what}", wanted.values, [faces.plain(y) for y in f(*xs)])
        for name, g in (("value_and_grad", vg), ("value_and_grad of jit", jacobian)):
            value, grad = g(*xs)
            same("captured", f"the loss, eagerly and by {name}, {what}", wanted.loss, faces.plain(value))
            there, back = faces.plain(grad), wanted.grads.get(arguments[kept].key)
            back = np.zeros_like(there) if back is None else back
            if there.any() or back.any():
                same("captured", f"the gradient by x{arguments[kept].key}, eagerly and by {name}, {what}", back, there)


def _eager(program: Program, factor: float) -> Result:
    ops = faces.session_of(program)
    refs = faces.enter(program, ops, program.arrays())
    outs = run(program, ops, refs)
    result = Result([faces.plain(y) for y in outs])
    loss = loss_of(program, ops, outs, factor)
    if loss is None:
        raise FindingError("captured", "the program has lost its floating-point outputs")
    result.loss = faces.plain(loss)
    found = ops.backward_scalar(loss)
    for i in program.arguments:
        g = found.get(refs[i.key].id) if i.is_float and i.grad else None
        result.grads[i.key] = None if g is None else faces.plain(g)
    return result
