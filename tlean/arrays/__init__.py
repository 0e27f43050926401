"""How arrays follow NumPy: the methods and operators of references and results, and NumPy's own functions of them.

What computes is imported when it is first called.
"""

from tlean._core.array import install_operators
from tlean._core.refs import install_arrays

from ..later import function
from . import methods

install_arrays(
    methods.METHODS,
    methods.SAME,
    methods.PROPERTIES,
    methods.transposed,
    methods.compare,
    methods.bitwise,
    function("tlean.arrays.numpy_calls", "ufunc"),
    function("tlean.arrays.numpy_calls", "function"),
    function("tlean.arrays.notebooks", "html"),
)
install_operators(*(function("tlean.arrays.values", name) for name in ("operate", "attribute", "ufunc", "function")))
