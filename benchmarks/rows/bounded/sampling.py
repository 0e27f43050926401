"""The No-U-Turn sampler on eight schools, beside BlackJAX and NumPyro: seconds for a draw that is worth an independent one."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from rows.libraries import Bound, CompiledRow, Timed

_FAMILY = "sampling"
#: A third of the other's time for a draw, a tenth for the first call, which compiles.
_MOST, _FIRST = 1 / 3, 0.1
WARMUP, DRAWS = 1000, 10000

Sampler = Callable[[int], np.ndarray]


def _schools(rng: np.random.Generator) -> list[np.ndarray]:
    # What was measured of each school, and how well.
    return [np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0]), np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])]


def _density(library: Any, p: Any, y: Any, sigma: Any) -> Any:
    # Of the mean, the logarithm of the spread, and the schools' effects as standard numbers.
    mean, log_spread, z = p[0], p[1], p[2:]
    error = (y - mean - library.exp(log_spread) * z) / sigma
    prior = -0.5 * (mean / 5.0) ** 2 - library.log1p((library.exp(log_spread) / 5.0) ** 2) + log_spread
    return prior - 0.5 * library.sum(z * z) - 0.5 * library.sum(error * error)


def worth(chain: np.ndarray) -> float:
    """How many independent draws a chain (draws, numbers) is worth, of the number for which that is least: Geyer's positive sequence."""
    n = len(chain)
    if not np.isfinite(chain).all():
        raise ValueError("a chain must be finite")
    x = chain - chain.mean(0)
    spectrum = np.fft.rfft(x, 2 * n, axis=0)
    covariance = np.fft.irfft(np.abs(spectrum) ** 2, axis=0)[:n] / n
    pairs = covariance[0 : n - n % 2 : 2] + covariance[1:n:2]
    least = float(n)
    for k in range(chain.shape[1]):
        end = int(np.argmax(pairs[:, k] <= 0)) or len(pairs)
        total = np.minimum.accumulate(pairs[:end, k]).sum() * 2 - covariance[0, k]
        least = min(least, n * float(covariance[0, k] / total))
    return least


def _timed(sampler: Sampler) -> Timed:
    seeds = iter(range(1 << 62))

    def seconds() -> float:
        begun = time.perf_counter()
        chain = sampler(next(seeds))
        return (time.perf_counter() - begun) / worth(chain)

    return seconds


def _ours(arrays: list[np.ndarray]) -> Timed:
    import tlean as tl

    y, sigma = arrays
    run = tl.jit(lambda x0, seed: tl.mcmc.nuts(lambda p: _density(tl, p, y, sigma), x0, draws=DRAWS, warmup=WARMUP, seed=seed))
    return _timed(lambda seed: np.asarray(run(np.zeros(10), seed).x))


def _blackjax(arrays: list[np.ndarray]) -> Timed:
    import blackjax
    import jax
    import jax.numpy as jnp

    y, sigma = map(jnp.asarray, arrays)

    def density(p: Any) -> Any:
        return _density(jnp, p, y, sigma)

    @jax.jit
    def run(key: Any) -> Any:
        first, second = jax.random.split(key)
        (state, settings), _ = blackjax.window_adaptation(blackjax.nuts, density).run(first, jnp.zeros(10), WARMUP)
        step = blackjax.nuts(density, **settings).step

        def one(state: Any, key: Any) -> Any:
            state, _ = step(key, state)
            return state, state.position

        return jax.lax.scan(one, state, jax.random.split(second, DRAWS))[1]

    return _timed(lambda seed: np.asarray(run(jax.random.key(seed))))


def _numpyro(arrays: list[np.ndarray]) -> Timed:
    import jax
    import jax.numpy as jnp
    from numpyro.infer import MCMC, NUTS

    y, sigma = map(jnp.asarray, arrays)
    kernel = NUTS(potential_fn=lambda p: -_density(jnp, p, y, sigma))
    chains = MCMC(kernel, num_warmup=WARMUP, num_samples=DRAWS, progress_bar=False, jit_model_args=True)

    def run(seed: int) -> np.ndarray:
        chains.run(jax.random.PRNGKey(seed), init_params=jnp.zeros(10))
        return np.asarray(chains.get_samples())

    return _timed(run)


def sampling_rows() -> list[CompiledRow]:
    """Chains of 10,000 draws after 1,000 of warm-up, both counted in the time."""
    rows = []
    for name, theirs in (("blackjax", _blackjax), ("numpyro", _numpyro)):
        row = CompiledRow(f"nuts_eight_schools_{name}", "rate", _schools, 0, _ours, None, theirs, _FAMILY, (Bound(_MOST),), same=False)
        rows += [row, replace(row, name=f"{row.name}_first", kind="call", bounds=(Bound(_FIRST),), first=True)]
    return rows
