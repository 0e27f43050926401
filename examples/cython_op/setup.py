"""Builds the kernels against the tlean that is installed."""

import sys
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

import tlean as tl

# MSVC has other flags.
flags = [] if sys.platform == "win32" else ["-O3"]
kernels = Extension("scaled_tanh.kernels", ["scaled_tanh/kernels.pyx"], include_dirs=[tl.get_include()], extra_compile_args=flags)
# Where tlean is installed in editable mode, Cython does not find it by itself.
setup(ext_modules=cythonize([kernels], build_dir="build", include_path=[str(Path(tl.__file__).parents[1])]))
