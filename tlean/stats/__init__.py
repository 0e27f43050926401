"""Distributions: log densities and random numbers, with the names and the parameters of `scipy.stats`.

`tl.stats.norm.logpdf(x, loc, scale)`, `tl.stats.gamma.rvs(a, shape=(3,))`. They are made of ops, so they run eagerly and compiled and have
derivatives of any order.
"""

from . import bernoulli, beta, categorical, dirichlet, gamma, multivariate_normal, norm, poisson, t

__all__ = ["bernoulli", "beta", "categorical", "dirichlet", "gamma", "multivariate_normal", "norm", "poisson", "t"]
