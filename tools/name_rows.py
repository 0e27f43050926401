"""What tools/names.py cannot read from the registry: names that differ, and what differs about them."""

from __future__ import annotations

_COMMON = """
    abs acos acosh asin asinh atan atan2 atanh bitwise_and bitwise_not bitwise_or bitwise_xor ceil copysign cos cosh diff einsum equal exp
    exp2 expm1 eye flip floor floor_divide fmod full full_like greater greater_equal hypot isclose isfinite isinf isnan kron less
    less_equal linspace log log10 log1p log2 logical_and logical_not logical_or logical_xor matmul maximum median meshgrid minimum moveaxis
    not_equal ones ones_like outer prod quantile reciprocal remainder reshape roll searchsorted sign sin sinh sort sqrt square squeeze stack
    std sum swapaxes tan tanh tensordot tile trace tril triu trunc var where zeros zeros_like arange argmax argmin argsort cumprod cumsum
    mean all any diagonal diag
""".strip()
#: Library -> the names that it shares with tlean, of one meaning.
SAME = {
    "numpy": f"{_COMMON} cbrt concat expand_dims logaddexp max min power repeat round split take take_along_axis",
    "jax": f"{_COMMON} cbrt concat expand_dims logaddexp max min power repeat round split take take_along_axis",
    "pytorch": f"""{_COMMON} bmm chunk digamma erf erfc erfinv lgamma logaddexp logit logsumexp permute polygamma rsqrt sigmoid softmax
        log_softmax round xlogy celu selu relu flatten""",
}

NUMPY = (
    """Replace `import numpy as np` by `import tlean as tl`: what the second table lists has NumPy's meaning, for arrays of NumPy's and for
values and references of tlean's. NumPy's own functions take tlean's arrays too: `np.sin(x)` records `tl.sin`. [arrays.md](arrays.md) says
what differs everywhere: values do not change, an element is an array, and integers with float32 give float32.
""",
    (
        ("x[key] = v", "x.at[key].set(v)", "A changed copy; x stays as it is."),
        ("np.add.at(x, i, v)", "x.at[i].add(v)", "In the order of i, so the bits repeat."),
        ("np.concatenate(xs, axis)", "tl.concat(xs, axis)", "The axis is never None: flatten first."),
        ("np.vstack(xs)", "tl.concat(xs, 0)", "Of vectors `tl.stack(xs)`."),
        ("np.hstack(xs)", "tl.concat(xs, 1)", "Of vectors `tl.concat(xs)`."),
        ("np.transpose(x, axes)", "tl.permute(x, axes)", "`x.T` and `x.transpose()` are there too."),
        ("np.ravel(x)", "tl.flatten(x)", ""),
        ("np.clip(x, lo, hi)", "tl.clamp(x, lo, hi)", "NaN stays NaN; bounds that are arrays: `tl.minimum(tl.maximum(x, lo), hi)`."),
        ("np.linalg.norm(x)", "tl.norm(x)", "Of vectors along axes; the gradient where it is 0 is 0."),
        ("np.dot(a, b)", "tl.matmul(a, b)", "Of up to two axes."),
        ("np.inner(a, b)", "tl.tensordot(a, b, (-1, -1))", ""),
        ("np.invert(x)", "tl.bitwise_not(x)", ""),
        ("np.fix(x)", "tl.trunc(x)", ""),
        ("np.mod(a, b)", "tl.remainder(a, b)", "`a % b` too; of integers a % 0 is 0."),
        ("np.float_power(a, b)", "tl.power(a, b)", ""),
        ("np.fmax(a, b)", "tl.where(tl.isnan(a), b, tl.where(tl.isnan(b), a, tl.maximum(a, b)))", ""),
        ("np.nansum(x)", "tl.sum(tl.where(tl.isnan(x), 0, x))", "The gradient of NaN is 0."),
        ("np.count_nonzero(x)", "tl.sum(x != 0)", ""),
        ("np.var(x, ddof=1)", "tl.var(x, correction=1)", "The method is `x.var(ddof=1)`."),
        ("np.pad(x, w, mode='reflect')", "tl.pad_by(x, w, 'reflect')", "`tl.pad(x, w, value)` pads with a number."),
        ("np.put_along_axis(x, i, v, axis)", "tl.put_along_axis(x, i, v, axis)", "A changed copy."),
        ("np.add.reduceat, np.bincount", "tl.segment_sum(x, ids, count)", "The number of segments is named."),
        ("np.rot90(x)", "tl.flip(tl.swapaxes(x, 0, 1), 0)", ""),
        ("np.heaviside(x, v)", "tl.where(x == 0, v, x > 0)", ""),
        ("np.trapezoid(y, x)", "tl.sum((y[1:] + y[:-1]) * tl.diff(x)) / 2", ""),
        ("np.nonzero(x), x[mask]", "x[mask]", "Where there are values; a recorded program takes `tl.where` or `x.at[mask]`."),
        ("np.random.default_rng(n)", "tl.Rng(n)", "Other numbers than NumPy's."),
        ("rng.random(shape)", "tl.rand_uniform(shape)", "New numbers at each run of a compiled program."),
        ("rng.normal(size=shape)", "tl.random.normal(shape)", "Other numbers than NumPy's."),
        ("np.linalg.inv(a)", "tl.linalg.inv(a)", "`tl.inv` is 1/x."),
        ("np.linalg.solve(a, b)", "tl.linalg.solve(a, b)", ""),
        ("np.linalg.eigh(a)", "tl.linalg.eigh(a)", ""),
        ("np.linalg.svd(a)", "tl.linalg.svd(a)", ""),
        ("np.asarray(r)", "r.numpy()", "`np.asarray` works too where there are values."),
    ),
)

PYTORCH = (
    """Which entries of PyTorch's own operator database agree with tlean, and how they are written, is in [pytorch_ops.md](pytorch_ops.md).
Axes are `axis` and `keepdims`, not `dim` and `keepdim`; `torch.nn.functional` is `tl` itself.
""",
    (
        ("loss.backward(); p.grad", "tl.grad(loss)(p)", "Derivatives are of functions; a `tl.Session` has `backward` too."),
        ("torch.func.vjp, jvp", "tl.vjp(f, x), tl.jvp(f, (x,), (t,))", ""),
        ("torch.func.hessian(f)(x)", "tl.hessian(f)(x)", ""),
        ("torch.func.vmap(f)", "tl.vmap(f)", ""),
        ("torch.compile(f)", "tl.jit(f)", "Compiled and eager give the same bits."),
        ("torch.no_grad()", "tl.no_grad", "Where a gradient stops: `tl.stop_gradient(x)`."),
        ("x.detach()", "tl.detach(x)", ""),
        ("torch.tensor(a)", "tl.AnyTensor(a)", "Values do not change."),
        ("torch.nn.Parameter(a)", "tl.Param(a)", ""),
        ("torch.nn.Module", "tl.nn.Module", ""),
        ("torch.nn.Linear(n, m)", "tl.nn.Linear(n, m)", ""),
        ("torch.optim.Adam(ps)", "tl.optim.Adam(ps)", ""),
        ("torch.save, torch.load", "tl.save, tl.load", "Another file format."),
        ("torch.manual_seed(n)", "tl.seed(n)", "Other numbers than PyTorch's."),
        ("x.to(dtype), x.long()", "tl.astype(x, dtype)", "float32, float64, int32, int64, bool."),
        ("torch.cat(xs, dim)", "tl.concat(xs, axis)", ""),
        ("x.view(shape)", "tl.reshape(x, shape)", ""),
        ("x.transpose(a, b)", "tl.swapaxes(x, a, b)", ""),
        ("x.unsqueeze(d)", "tl.expand_dims(x, d)", ""),
        ("x.expand(shape)", "tl.broadcast_to(x, shape)", "No −1: name the size."),
        ("x.repeat(reps)", "tl.tile(x, reps)", ""),
        ("torch.repeat_interleave(x, n, dim)", "tl.repeat(x, n, dim)", ""),
        ("x.movedim(a, b)", "tl.moveaxis(x, a, b)", ""),
        ("x.masked_fill(m, v)", "tl.where(m, v, x)", ""),
        ("x.gather(dim, i)", "tl.take_along_axis(x, i, dim)", "Sizes along other axes broadcast, not cut."),
        ("x.index_select(dim, i)", "tl.take(x, i, dim)", ""),
        ("x.scatter(dim, i, v)", "tl.put_along_axis(x, i, v, dim)", "The last of equal places wins."),
        ("x.scatter_add(dim, i, v)", "tl.put_along_axis(x, i, v, dim, 'add')", "In the order of i, so the bits repeat."),
        ("x.index_add(0, i, v)", "x.at[i].add(v)", "`x.at[:, i].add(v)` for the next axis."),
        ("x[i] = v", "x.at[i].set(v)", "A changed copy."),
        ("torch.clamp(x, a, b)", "tl.clamp(x, a, b)", "Bounds are numbers; arrays: `tl.maximum`, `tl.minimum`."),
        ("x.max(dim)", "tl.max(x, axis=dim)", "The value alone; the place is `tl.argmax(x, dim)`."),
        ("x.var(), x.std()", "tl.var(x, correction=1)", "The correction is 0 unless it is named."),
        ("torch.median(x)", "tl.median(x)", "Of an even number the mean of both in the middle, PyTorch's is the lower."),
        ("torch.topk(x, k)", "tl.topk(x, k)", "Equal elements stay in their order."),
        ("torch.linalg.vector_norm(x)", "tl.norm(x)", ""),
        ("torch.addmm(c, a, b)", "c + tl.matmul(a, b)", "One step in a compiled program."),
        (
            "torch.cdist(a, b)",
            "tl.norm(a[:, None] - b[None], axis=-1)",
            "Reduced at once in a compiled program, it makes no array of pairs.",
        ),
        ("torch.lerp(a, b, w)", "a + w * (b - a)", ""),
        ("F.linear(x, w, b)", "tl.linear(w, b, x)", "Parameters come first."),
        ("F.conv2d(x, w, b)", "tl.conv2d(w, b, x)", "Parameters come first."),
        ("F.max_pool2d(x, 2)", "tl.max_pool2d(x, 2)", ""),
        ("F.cross_entropy(x, t)", "tl.cross_entropy(x, t)", "Classes on the last axis; probabilities: `tl.soft_cross_entropy`."),
        ("F.embedding(i, w)", "tl.take(w, i, 0)", "`tl.nn.Embedding` is the layer."),
        ("F.one_hot(i, n)", "tl.one_hot(i, n)", "Floats unless `dtype=int`."),
        ("F.logsigmoid(x)", "tl.log_sigmoid(x)", ""),
        ("F.gelu(x)", "tl.gelu(x, 'none')", "The default is the tanh form."),
        ("F.batch_norm(x, …)", "tl.batchnorm_channel_first(x, gamma, beta)", ""),
        ("F.interpolate(x, …)", "tl.interpolate", ""),
        ("torch.distributions.Normal", "tl.random.normal", "Other numbers than PyTorch's."),
        ("torch.linalg.solve(a, b)", "tl.linalg.solve(a, b)", "NaN where a is singular in a compiled program."),
    ),
)

JAX = (
    """Transformations have JAX's names and compose: `tl.grad`, `tl.value_and_grad`, `tl.vjp`, `tl.jvp`, `tl.jit`, `tl.hessian`,
`tl.jacrev`, `tl.jacfwd`. float64 needs no switch. What a program captures is read at each call.
""",
    (
        ("jax.grad(f)", "tl.grad(f)", ""),
        ("jax.value_and_grad(f, has_aux=True)", "tl.value_and_grad(f, has_aux=True)", ""),
        ("jax.vjp(f, x)", "tl.vjp(f, x)", ""),
        ("jax.jvp(f, (x,), (t,))", "tl.jvp(f, (x,), (t,))", ""),
        ("jax.jit(f, static_argnums=1)", "tl.jit(f, static_argnums=1)", "Strings, Booleans, None and functions are static anyway."),
        ("jax.hessian(f)", "tl.hessian(f)", ""),
        ("jax.jacrev(f), jax.jacfwd(f)", "tl.jacrev(f), tl.jacfwd(f)", ""),
        ("jax.vmap(f)", "tl.vmap(f)", ""),
        ("jax.lax.scan(f, init, xs)", "tl.scan(f, init, xs)", ""),
        ("jax.lax.fori_loop", "tl.fori_loop", ""),
        ("jax.lax.while_loop", "tl.while_loop", "It has a gradient."),
        ("jax.lax.cond", "tl.cond", ""),
        ("jax.checkpoint(f)", "tl.checkpoint(f)", ""),
        ("jax.tree.map", "tl.tree.map", ""),
        ("jax.tree_util.register_pytree_node", "tl.tree.register", ""),
        ("jax.lax.stop_gradient(x)", "tl.stop_gradient(x)", ""),
        ("x.at[i].set(v)", "x.at[i].set(v)", "Of equal indices the last wins; out of range is an error unless a `mode` is named."),
        ("x.at[i].add(v)", "x.at[i].add(v)", "In the order of i, so the bits repeat."),
        ("jax.lax.dynamic_slice(x, i, n)", "tl.dynamic_slice(x, i, n)", "Out of range is an error; `mode='clip'` as in JAX."),
        ("jax.lax.dynamic_update_slice(x, v, i)", "tl.dynamic_update_slice(x, v, i)", "Likewise."),
        ("jax.ops.segment_sum(x, ids, n)", "tl.segment_sum(x, ids, n)", "An id out of range is an error unless a `mode` is named."),
        ("jax.nn.relu, gelu, silu, softmax", "tl.relu, tl.gelu, tl.silu, tl.softmax", ""),
        ("jax.nn.one_hot(i, n)", "tl.one_hot(i, n)", ""),
        ("jax.nn.logsumexp(x)", "tl.logsumexp(x, None)", "The axis is the last unless it is named."),
        ("jax.scipy.special.gammaln(x)", "tl.lgamma(x)", ""),
        ("jax.scipy.special.erf, ndtr, xlogy", "tl.erf, tl.ndtr, tl.xlogy", ""),
        ("jnp.concatenate(xs)", "tl.concat(xs)", ""),
        ("jnp.transpose(x, axes)", "tl.permute(x, axes)", ""),
        ("jnp.clip(x, a, b)", "tl.clamp(x, a, b)", ""),
        ("jnp.var(x, ddof=1)", "tl.var(x, correction=1)", ""),
        ("jnp.linalg.norm(x)", "tl.norm(x)", "Of vectors along axes."),
        ("jax.random.key(n)", "tl.seed(n)", "There are no keys: a program has a stream, fixed by `seed=`."),
        ("jax.random.uniform(key, shape)", "tl.rand_uniform(shape)", "Other numbers than JAX's."),
        ("jax.random.normal(key, shape)", "tl.random.normal(shape)", "Other numbers than JAX's."),
        ("jnp.linalg.solve(a, b)", "tl.linalg.solve(a, b)", ""),
        ("jax.custom_vjp", "tl.custom_vjp", "The same rules; it takes `defjvp` too."),
        ("jax.custom_jvp", "tl.custom_jvp", "The same rules; it takes `defvjp` too."),
        ("jax.pure_callback", "tl.custom_op", "Functions of NumPy arrays, with derivatives."),
        ("jax.lax.custom_root", "tl.custom_root", "The same; `tl.fixed_point`, `tl.implicit_argmin` beside it."),
        ("jax.experimental.jet.jet", "tl.jet", "The same series of derivatives."),
        ("jax.config.update('jax_enable_x64', True)", "tl.Session(dtype='float64')", "Arrays of float64 stay so without it."),
    ),
)
