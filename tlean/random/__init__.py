"""Random numbers: `tl.random.normal((3,))` is the op `random_normal`, in a program and outside of one.

Without a `seed` each call takes the next number of its program's stream, and outside of programs that of the process (`tl.seed`). `tl.Rng`
is a separate stream with the same distributions as methods.
"""

from ..functions import random_bernoulli as bernoulli
from ..functions import random_beta as beta
from ..functions import random_categorical as categorical
from ..functions import random_choice as choice
from ..functions import random_dirichlet as dirichlet
from ..functions import random_exponential as exponential
from ..functions import random_gamma as gamma
from ..functions import random_gumbel as gumbel
from ..functions import random_multinomial as multinomial
from ..functions import random_normal as normal
from ..functions import random_permutation as permutation
from ..functions import random_poisson as poisson
from ..functions import random_randint as randint
from ..functions import random_truncated_normal as truncated_normal
from ..functions import random_uniform as uniform
from ..rng import Rng, seed

__all__ = [
    "Rng",
    "bernoulli",
    "beta",
    "categorical",
    "choice",
    "dirichlet",
    "exponential",
    "gamma",
    "gumbel",
    "multinomial",
    "normal",
    "permutation",
    "poisson",
    "randint",
    "seed",
    "truncated_normal",
    "uniform",
]
