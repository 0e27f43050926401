"""Roots of equations as ops: any solver finds one, and the implicit function theorem differentiates it.

Where f(x*, p) = 0, the tangent of x* solves J dx = -df/dp dp, with J = df/dx at x*; the cotangent of p is -(df/dp)' u with J' u = g. Such a
linear system is the root of an equation again, J u - b = 0, whose solver is the one for linear systems: so derivatives of any order are
those of roots, and no step of a solver is ever differentiated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tlean import tree
from tlean.autodiff import jacfwd
from tlean.compiler.derive import forward, reverse, with_zeros
from tlean.compiler.graph import Graph, GraphRef
from tlean.compiler.loops.bodies import part
from tlean.compiler.ruled import Ruled
from tlean.dtypes import FLOATS
from tlean.errors import DTypeError, OptionError, ShapeError
from tlean.functions import concat, linalg_solve, reshape
from tlean.loops.bodies import BodyGraph, called, leaf, results, spec_of
from tlean.loops.choices import together
from tlean.programs.recorder import Recorder
from tlean.programs.running import backend_itself, innermost_among, run_in


def custom_root(
    f: Callable[..., Any],
    initial_guess: Any,
    solve: Callable[..., Any],
    tangent_solve: Callable[..., Any] | None = None,
    has_aux: bool = False,
) -> Any:
    """A root of f, found by any solver and differentiated by the implicit function theorem: no step of the solver is.

    The root has derivatives, of any order and in both modes, in all that f captures; what `solve` starts from does not change them.

    Args:
        f: `f(x)`, or `f(ops, x)`, returns a tree like x: zero at the root.
        initial_guess: what the solver starts from, a tree of floating-point arrays.
        solve: `solve(f, initial_guess)` returns the root, a tree like `initial_guess`.
        tangent_solve: `tangent_solve(g, y)` solves `g(x) = y` for x, where g is a linear function of trees like x. None forms the matrix
            of g and solves with it: for up to some thousand numbers.
        has_aux: whether `solve` returns (root, aux); aux has no derivative.

    Returns: the root, or (root, aux).
    Raises: ShapeError, DTypeError for a root or a value of f that is not like the guess; OptionError for what is no function.

    Example:
        >>> def newton(f, x):
        ...     return tl.fori_loop(0, 20, lambda i, x: x - f(x) / tl.jvp(f, (x,), (tl.ones(()),))[1], x)
        >>> root = lambda a: tl.custom_root(lambda x: x * x - a, 1.0, newton, lambda g, y: y / g(1.0))
        >>> round(tl.grad(root)(np.array(4.0)).item(), 6)
        0.25
    """
    if not isinstance(has_aux, bool):
        raise OptionError(f"custom_root: has_aux must be True or False, got {has_aux!r}")
    return root_of("custom_root", f, initial_guess, solve, tangent_solve, has_aux)


def root_of(
    name: str, f: Callable[..., Any], guess: Any, solve: Callable[..., Any], tangent_solve: Callable[..., Any] | None, has_aux: bool = False
) -> Any:
    """What `custom_root` returns.

    Args:
        name: of the caller, for messages.
        f, guess, solve, tangent_solve, has_aux: as for `custom_root`.
    """
    equation, solver = Recorder(name, f), Recorder(name, solve)
    linear = Recorder(name, dense_solve if tangent_solve is None else tangent_solve)

    def record(program: Any, guess: Any) -> Any:
        ops = backend_itself(program)
        leaves, structure = tree.flatten(guess)
        firsts = [leaf(ops, x) for x in leaves]
        if not firsts:
            raise OptionError(f"{name}: the initial guess must have a leaf, got a tree without one")
        for r in firsts:
            if str(r.dtype) not in FLOATS:
                raise DTypeError(f"{name}: the initial guess must hold floating-point numbers, got {r.dtype}")
        like = [spec_of(r) for r in firsts]

        def value(x: Any) -> Any:
            return equation(innermost_among((x,)), x)

        residual, search = BodyGraph(name, program), BodyGraph(name, program)
        zero = equation(residual, tree.unflatten(structure, [residual.arg(s) for s in like]))
        zeros = _alike(f"{name}: f", residual, zero, structure, like)
        made = solver(search, value, tree.unflatten(structure, [search.arg(s) for s in like]))
        if has_aux and (not isinstance(made, tuple | list) or len(made) != 2):
            raise OptionError(f"{name}: has_aux=True, so solve returns (root, aux), got {type(made).__name__}")
        found, aux = made if has_aux else (made, None)
        roots = _alike(f"{name}: solve", search, found, structure, like)
        more, aux_structure = tree.flatten(aux)
        outputs = [[*roots, *results(search, more, [None] * len(more))], zeros]
        n = len(like)
        params, (first, second) = together([search, residual], outputs, firsts, n)
        # The guess is a parameter of the solver alone.
        second.inputs = [*second.inputs[:n], *(second._value(s).id for s in like), *second.inputs[n:]]
        ys = Root(name, second, first, n, linear, structure).op(ops, params)
        root = tree.unflatten(structure, ys[:n])
        return (root, tree.unflatten(aux_structure, ys[n:])) if has_aux else root

    functions = (f, solve) if tangent_solve is None else (f, solve, tangent_solve)
    return called(name, functions, record, guess)


def _alike(what: str, graph: BodyGraph, value: Any, structure: tree.Structure, like: Sequence[Any]) -> list[GraphRef]:
    leaves, got = tree.flatten(value)
    if got != structure:
        raise ShapeError(f"{what} must return a tree like the initial guess, {tree.describe(structure)}, got {tree.describe(got)}")
    refs = results(graph, leaves, like)
    for r, s in zip(refs, like, strict=True):
        if r.spec != s:
            kind = ShapeError if r.shape != s.shape else DTypeError
            raise kind(f"{what} must return arrays like the initial guess, {s.shape} {s.dtype}, got {r.shape} {r.dtype}")
    return refs


class Root:
    """A root as an op, `op`: its inputs are parameters, its outputs the root's arrays and what else the solver returns.

    Args:
        title: shown in printed programs and messages.
        residual: the equation; its inputs are the root's arrays and the parameters, its outputs zero at the root.
        solver: its inputs are the parameters.
        count: how many arrays the root has.
        solve: records the solution of a linear system, `solve(graph, function, y)`.
        structure: of the root.
    """

    residual: Graph
    count: int
    solve: Recorder
    structure: Any

    def __init__(self, title: str, residual: Graph, solver: Graph, count: int, solve: Recorder, structure: tree.Structure) -> None:
        self.residual, self.count, self.solve, self.structure = residual, count, solve, structure
        self.op: Ruled = Ruled(title, solver, self._vjp, self._jvp)
        self._systems: dict[bool, Root] = {}

    def _vjp(self, graph: Graph, gs: Sequence[Any], ys: Sequence[GraphRef], xs: Sequence[GraphRef]) -> Sequence[Any]:
        n = self.count
        wanted = with_zeros(graph, gs[:n], ys[:n])
        if all(g is None for g in gs[:n]):
            return [None] * len(xs)
        u = self._system(True).op(graph, [*ys[:n], *xs, *wanted])
        zero = graph._inline(self.residual, [*ys[:n], *xs], merge=False)
        seeds: Any = [(z, graph.neg(v)) for z, v in zip(zero, u, strict=True)]
        return reverse(graph, seeds, [x if x.dtype in FLOATS else None for x in xs])

    def _jvp(self, graph: Graph, ts: Sequence[Any], ys: Sequence[GraphRef], xs: Sequence[GraphRef]) -> Sequence[Any]:
        n = self.count
        zero = graph._inline(self.residual, [*ys[:n], *xs], merge=False)
        moved = forward(graph, [(x, t) for x, t in zip(xs, ts, strict=True) if t is not None], zero)
        rest: list[GraphRef | None] = [None] * (len(ys) - n)
        if all(t is None for t in moved):
            return [None] * len(ys)
        wanted = [graph.neg(t) for t in with_zeros(graph, moved, zero)]
        return [*self._system(False).op(graph, [*ys[:n], *xs, *wanted]), *rest]

    def _system(self, transposed: bool) -> Root:
        # J u = b, or J' u = b: a root whose parameters are this root, its parameters, and b.
        if transposed not in self._systems:
            n, specs = self.count, [self.residual.specs[v] for v in self.residual.inputs]  # type: ignore[index]
            product = self._product(transposed)
            residual = Graph(self.residual.dtype, merge=False)
            for s in (*specs[:n], *specs, *specs[:n]):
                residual.arg(s)
            u = [GraphRef(residual, v) for v in residual.inputs[:n]]  # type: ignore[arg-type]
            given = [GraphRef(residual, v) for v in residual.inputs[n:]]  # type: ignore[arg-type]
            made: Any = residual._inline(product, [*given[:-n], *u], merge=False)
            residual.outputs = [residual.sub(a, b).id for a, b in zip(made, given[-n:], strict=True)]
            self._systems[transposed] = Root("linear system", residual, self._solver(product), n, self.solve, self.structure)
        return self._systems[transposed]

    def _product(self, transposed: bool) -> Graph:
        # J v, or J' v, as a program of the root, its parameters, and v.
        n = self.count
        graph = Graph(self.residual.dtype, merge=False)
        specs = [self.residual.specs[v] for v in self.residual.inputs]  # type: ignore[index]
        given = [GraphRef(graph, graph.arg(s).id) for s in (*specs, *specs[:n])]  # type: ignore[union-attr]
        xs, vs = given[:n], given[-n:]
        zero = graph._inline(self.residual, given[:-n], merge=False)
        if transposed:
            made = with_zeros(graph, reverse(graph, list(zip(zero, vs, strict=True)), xs), xs)  # type: ignore[arg-type]
        else:
            made = with_zeros(graph, forward(graph, list(zip(xs, vs, strict=True)), zero), zero)
        return part(graph, graph.inputs, [r.id for r in made])  # type: ignore[arg-type]

    def _solver(self, product: Graph) -> Graph:
        # The solution of the linear system, as a program of the root, its parameters, and b.
        n = self.count
        graph = Graph(self.residual.dtype, merge=False)
        given = [GraphRef(graph, graph.arg(product.specs[v]).id) for v in product.inputs]  # type: ignore[index, union-attr]

        def linear(v: Any) -> Any:
            program = innermost_among((v,))
            ops = graph if program is None else backend_itself(program)
            leaves, got = tree.flatten(v)
            if got != self.structure:
                raise ShapeError(f"a linear function of {tree.describe(self.structure)} is called with {tree.describe(got)}")
            own = [leaf(ops, x) for x in leaves]
            own = [ops.broadcast_to(x, g.shape) if tuple(x.shape) == () != g.shape else x for x, g in zip(own, given[-n:], strict=True)]
            return tree.unflatten(self.structure, ops._inline(product, [*(ops.ref(g) for g in given[:-n]), *own], merge=False))

        made = run_in(graph, self.solve, (graph, linear, tree.unflatten(self.structure, given[-n:])), {}, False)
        leaves, got = tree.flatten(made)
        if got != self.structure:
            shown = tree.describe(self.structure)
            raise ShapeError(f"tangent_solve must return a tree like its second argument, {shown}, got {tree.describe(got)}")
        refs = [graph.ref(x) for x in leaves]
        for r, g in zip(refs, given[-n:], strict=True):
            if r is None or r.spec != g.spec:
                raise ShapeError(
                    f"tangent_solve must return arrays like its second argument, {g.spec}, got {None if r is None else r.spec}"
                )
        return part(graph, graph.inputs, [r.id for r in refs])  # type: ignore[arg-type, union-attr]


def dense_solve(linear: Callable[..., Any], y: Any) -> Any:
    """The solution of `linear(x) = y` by the matrix of the linear function.

    Args:
        linear: a linear function of trees like y.
        y: the right side.
    """
    leaves, structure = tree.flatten(y)
    shapes = [tuple(x.shape) for x in leaves]

    def flat(parts: Sequence[Any]) -> Any:
        return concat([reshape(p, (-1,)) for p in parts], axis=0)

    def apart(vector: Any) -> list[Any]:
        parts, first = [], 0
        for shape in shapes:
            size = 1
            for k in shape:
                size *= k
            parts.append(reshape(vector[first : first + size], shape))
            first += size
        return parts

    def whole(vector: Any) -> Any:
        return flat(tree.flatten(linear(tree.unflatten(structure, apart(vector))))[0])

    right = flat(leaves)
    return tree.unflatten(structure, apart(linalg_solve(jacfwd(whole)(right), right)))
