"""Updates of parameters: an optimiser's step as C, with the library's formulas; the rates are numbers of the file, the step is counted."""

from __future__ import annotations

from collections.abc import Sequence

from .values import C_TYPES, Value, literal
from .writer import Call, Writer, emits

#: The updates that are written, with the place of the step in their numbers (`tlean/ops/optim.py`).
STEP_AT = {"_sgd_step": None, "_momentum_step": 6, "_adam_step": 6}


def _numbers(writer: Writer, dtype: str, **values: str) -> None:
    # Constants of the update, computed in float64.
    writer.add(*(f"const {C_TYPES[dtype]} {n} = ({C_TYPES[dtype]})({v});" for n, v in values.items()))


def _written(writer: Writer, call: Call, count: int, body: str, numbers: dict[str, str]) -> list[Value]:
    # `body` in terms of p, g and the states u, w; it makes p1, u1, w1.
    size, dtype = call.outs[0].size, call.outs[0].dtype
    outs = [writer.room(dtype, size) for _ in range(count)]
    with writer.block(""):
        _numbers(writer, dtype, **numbers)
        names = ["p", "g", *("u", "w")[: count - 1]]

        def each(at: Sequence[str]) -> list[str]:
            reads = [f"const {C_TYPES[dtype]} {n} = {x};" for n, x in zip(names, at, strict=False)]
            made = [f"{y} = {n};" for n, y in zip(("p1", "u1", "w1"), at[len(names) :], strict=False)]
            return [*reads, body, *made]

        writer.each([*(writer.dense(x) for x in call.inputs[: len(names)]), *outs], size, each)
    return outs


@emits("_sgd_step")
def _sgd(writer: Writer, call: Call) -> list[Value]:
    h = call.inputs[-1].all()
    real = C_TYPES[call.outs[0].dtype]
    decays = h[2] not in ("0.0", "0.0f")
    body = f"const {real} p1 = p - lr * {'(scale * g + decay * p)' if decays else '(scale * g)'};"
    return _written(writer, call, 1, body, {"scale": h[1], **({"decay": h[2]} if decays else {}), "lr": h[0]})


@emits("_momentum_step")
def _momentum(writer: Writer, call: Call) -> list[Value]:
    h = call.inputs[-1].all()
    real = C_TYPES[call.outs[0].dtype]
    body = f"const {real} e = scale * g + decay * p, u1 = mu * u + fresh * e, p1 = p - lr * (nesterov ? e + mu * u1 : u1);"
    numbers = {"scale": h[1], "decay": h[2], "lr": h[0], "mu": h[3], "fresh": f"{h[6]} == 1 ? 1.0 : 1.0 - {h[4]}", "nesterov": h[5]}
    return _written(writer, call, 2, body, numbers)


@emits("_adam_step")
def _adam(writer: Writer, call: Call) -> list[Value]:
    h = call.inputs[-1].all()
    dtype = call.outs[0].dtype
    real, root = C_TYPES[dtype], "sqrtf" if dtype == "float32" else "sqrt"
    body = (
        f"const {real} e = scale * g + decay * p, u1 = u + m_rate * (e - u), w1 = v_keep * w + v_rate * e * e,"
        f" p1 = left * p - rate * u1 / ({root}(w1) / v_root + eps);"
    )
    numbers = {
        "scale": h[1],
        "decay": f"{h[7]} != 0 ? 0.0 : {h[2]}",
        "left": f"{h[7]} != 0 ? 1.0 - {h[0]} * {h[2]} : 1.0",
        "m_rate": f"1.0 - {h[3]}",
        "v_keep": h[4],
        "v_rate": f"1.0 - {h[4]}",
        "rate": f"{h[0]} / (1.0 - pow({h[3]}, {h[6]}))",
        "v_root": f"sqrt(1.0 - pow({h[4]}, {h[6]}))",
        "eps": h[5],
    }
    return _written(writer, call, 3, body, numbers)


def hyper_value(numbers: Sequence[float], step_at: int | None, step: str) -> Value:
    """The numbers of an update as constants, with the step in its place."""
    texts = [step if k == step_at else literal(x, "float64") for k, x in enumerate(numbers)]
    return Value("float64", len(texts), tuple(texts))
