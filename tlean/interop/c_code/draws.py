"""Random numbers, with the library's bits, and distribution functions: element by element, by the functions of the kernels' headers."""

from __future__ import annotations

from .functions import Function, function
from .values import Value
from .writer import Call, Writer, emits

#: The generator makes `each` elements a call, from the block of the first on; `{made}` is the element i, u[k].
_DRAWN = """\
static void tl_{name}_S({args}, const int64_t *n{more}) {{
    enum {{ EACH = {each} }};
    {type} u[EACH];
    for (int64_t i = 0; i < n[0]; i += EACH) {{
        {draw}(u, (uint64_t)*seed, (uint64_t)(i / {in_block}){rest});
        for (int64_t k = 0; k < EACH && i + k < n[0]; k++) {made};
    }}
}}
"""


def _drawn(name: str, args: str, draw: str, made: str, more: str = "") -> str:
    # Four float32s or two float64s in a block of the generator, of which there are sixteen in a call.
    in_block = "(16 / (int64_t)sizeof(T))"
    return _DRAWN.format(
        name=name, args=args, draw=draw, made=made, type="T", each="256 / sizeof(T)", in_block=in_block, more=more, rest=""
    )


function("rand_uniform", name="tl_uniform", text=_drawn("uniform", "T *y, const int64_t *seed", "tl_uniforms_S", "y[i + k] = u[k]"))
function("_rand_normal", name="tl_normal", text=_drawn("normal", "T *y, const int64_t *seed", "tl_normals_S", "y[i + k] = u[k]"))
function(
    "bernoulli_mask",
    name="tl_bernoulli",
    text=_drawn("bernoulli", "T *y, const T *keep, const int64_t *seed", "tl_uniforms_S", "y[i + k] = u[k] < *keep ? 1 : 0"),
)
_DROPOUT = _drawn(
    "dropped",
    "T *y, const T *x, const int64_t *seed",
    "tl_uniforms_S",
    "y[i + k] = x[i + k] * (u[k] < (T)(1.0 - f[0]) ? (T)(1.0 / (1.0 - f[0])) : 0)",
    ", const double *f",
)


@emits("dropout")
def _dropout(writer: Writer, call: Call) -> list[Value]:
    # Without a probability nothing is drawn.
    return [call.inputs[0]] if call.floats[0] == 0 else Function("tl_dropped", _DROPOUT)(writer, call)


# ints: (elements, low, span)
_INTEGERS = _DRAWN.format(
    name="whole",
    args="T *y, const int64_t *seed",
    more="",
    type="T",
    each="32",
    draw="tl_integers_S",
    in_block="2",
    rest=", (uint64_t)n[1], (uint64_t)n[2]",
    made="y[i + k] = u[k]",
)
function("_rand_integers", name="tl_whole", text=_INTEGERS, ints=lambda n: (n[0], *(x - (1 << 64) if x >= 1 << 63 else x for x in n[1:])))

_EACH = """\
static void tl_{name}_S({args}, const int64_t *seed, const int64_t *n) {{
    for (int64_t i = 0; i < n[0]; i++) y[i] = ({type}){draw}((double)x[i], (uint64_t)*seed, (uint64_t)i);
}}
"""
_LOG_GAMMA = _EACH.format(name="log_gammas", args="T *y, const T *x", type="T", draw="tl_log_gamma_number")
_POISSON = _EACH.format(name="counts", args="int64_t *y, const T *x", type="int64_t", draw="tl_poisson_number")
function("_rand_log_gamma", name="tl_log_gammas", text=_LOG_GAMMA)
function("_rand_poisson", name="tl_counts", text=_POISSON)

# ints: (elements, from one seed to the next, from one step to the next, the number of the op)
_LOOP_SEED = """\
static void tl_loop_seed_S(int64_t *y, const int64_t *seed, const int64_t *step, const int64_t *n) {
    for (int64_t i = 0; i < n[0]; i++) {
        const uint64_t key = (uint64_t)seed[i * n[1]], at = (uint64_t)step[i * n[2]];
        uint32_t c[4];
        c[0] = (uint32_t)n[3];
        c[1] = (uint32_t)at;
        c[2] = (uint32_t)(at >> 32);
        c[3] = 2;
        tl_philox_block(c, (uint32_t)key, (uint32_t)(key >> 32));
        y[i] = (int64_t)(c[0] | (uint64_t)c[1] << 32);
    }
}
"""
function("_loop_seed", name="tl_loop_seed", text=_LOOP_SEED)

# ints: (elements, upper, which)
_INCOMPLETE = ("tl_gammainc", "tl_gammaincinv", "tl_betainc", "tl_betaincinv", "tl_student", "tl_student_inverse")
_TAIL = """\
static void {name}_each_S(T *y, {args}, const int64_t *n) {{
    for (int64_t i = 0; i < n[0]; i++) y[i] = (T){name}({values}, (int)n[1]);
}}
"""


@emits("incomplete")
def _incomplete(writer: Writer, call: Call) -> list[Value]:
    name, letters = _INCOMPLETE[call.ints[2]], "abc"[: len(call.inputs)]
    args = ", ".join(f"const T *{x}" for x in letters)
    values = ", ".join(f"(double){x}[i]" for x in letters)
    return Function(f"{name}_each", _TAIL.format(name=name, args=args, values=values))(writer, call)
