"""How arrays follow NumPy: the methods and operators of references and results, and NumPy's own functions of them."""

from tlean._core.array import install_operators
from tlean._core.refs import install_arrays

from . import methods, notebooks, numpy_calls, values

install_arrays(
    methods.METHODS,
    methods.SAME,
    methods.PROPERTIES,
    methods.transposed,
    methods.compare,
    methods.bitwise,
    numpy_calls.ufunc,
    numpy_calls.function,
    notebooks.html,
)
install_operators(values.operate, values.attribute, values.ufunc, values.function)
