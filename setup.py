"""The build: generate code from the op registry, translate the Cython, compile the hot kernels once per instruction set.

Environment: TLEAN_BUILD_ISA (comma-separated subset of base,avx2,avx512), TLEAN_BUILD_ONLY (comma-separated module names, for
development), TLEAN_DEBUG=1 (bounds checks, no optimisation).
"""

import os
import platform
import shutil
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).parent.resolve()
sys.path.insert(0, str(ROOT))
CORE = Path("tlean/_core")
DEBUG = os.environ.get("TLEAN_DEBUG") == "1"

# Modules that hold a program's structures: built once.
COLD = ["threads", "arena", "array", "accum", "plan", "fused", "epilogue", "outer", "host", "instance", "tape", "refs", "eager"]
# Modules that hold loops over numbers: built once per instruction set. The second list may contract a*b+c (GEMM family).
HOT = ["elementwise", "reduce", "maximum", "layout", "pool", "avg_pool", "windows", "softmax", "norm", "batchnorm", "loss", "gather"]
HOT += ["random", "optim"]
HOT_CONTRACTED = ["gemm", "conv", "attention"]

ISA_FLAGS = {
    "base": [],
    "avx2": ["-mavx2", "-mfma", "-mf16c", "-mbmi", "-mbmi2"],
    "avx512": [
        *["-mavx2", "-mfma", "-mf16c", "-mbmi", "-mbmi2"],
        *["-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mprefer-vector-width=512"],
    ],
}
COMMON = ["-O3", "-g0", "-fno-math-errno", "-fno-trapping-math", "-fno-strict-aliasing", "-w"]
if DEBUG:
    COMMON = ["-O1", "-g", "-fno-math-errno", "-fno-strict-aliasing", "-w"]

DIRECTIVES = {
    "language_level": 3,
    "binding": True,
    "embedsignature": False,
    "boundscheck": DEBUG,
    "wraparound": False,
    "cdivision": not DEBUG,
    "initializedcheck": DEBUG,
    "nonecheck": DEBUG,
}


def instruction_sets() -> list[str]:
    """The instruction sets to build for: all three on x86-64, the base elsewhere."""
    asked = os.environ.get("TLEAN_BUILD_ISA")
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    every = list(ISA_FLAGS) if x86 else ["base"]
    return [i for i in asked.split(",") if i in every] if asked else every


def extensions() -> list[Extension]:
    from Cython.Build import cythonize

    only = set(filter(None, os.environ.get("TLEAN_BUILD_ONLY", "").split(",")))

    def wanted(names: list[str]) -> list[str]:
        return [n for n in names if (CORE / f"{n}.pyx").exists() and (not only or n in only)]

    include = [str(ROOT / CORE), str(ROOT / CORE / "_generated")]
    found = [
        Extension(
            f"tlean._core.{name}",
            [str(CORE / f"{name}.pyx")],
            include_dirs=include,
            extra_compile_args=[*COMMON, "-ffp-contract=off", *(["-pthread"] if name == "threads" else [])],
            extra_link_args=["-pthread"] if name == "threads" else [],
        )
        for name in wanted(COLD)
    ]
    hot = [Extension(f"tlean._core.{name}", [str(CORE / f"{name}.pyx")]) for name in wanted(HOT + HOT_CONTRACTED)]
    options = {"compiler_directives": DIRECTIVES, "include_path": [str(CORE), str(CORE / "_generated")], "build_dir": "build/cython"}
    built = cythonize(found, **options) if found else []
    for translated in cythonize(hot, **options) if hot else []:
        name = translated.name.rpartition(".")[2]
        for isa in instruction_sets():
            # Each instruction set compiles a copy of its own, so that the object files do not overwrite each other.
            copy = Path("build/cython") / isa / f"{name}.c"
            copy.parent.mkdir(parents=True, exist_ok=True)
            if not copy.exists() or copy.read_bytes() != Path(translated.sources[0]).read_bytes():
                shutil.copyfile(translated.sources[0], copy)
            headers = [str(h) for h in [*CORE.glob("*.h"), *(CORE / "_generated").glob("*.h")]]
            contract = "-ffp-contract=fast" if name in HOT_CONTRACTED else "-ffp-contract=off"
            built.append(
                Extension(
                    f"tlean._core.isa_{isa}.{name}",
                    [str(copy)],
                    depends=headers,
                    include_dirs=include,
                    extra_compile_args=[*COMMON, contract, *ISA_FLAGS[isa]],
                )
            )
    return built


class BuildExt(build_ext):
    """build_ext on every core."""

    def finalize_options(self) -> None:
        super().finalize_options()
        if self.parallel is None:
            self.parallel = os.cpu_count() or 1


def generate() -> None:
    """Write what the registry implies: kernels of elementwise ops, the method faces, the type stubs."""
    import importlib.util

    spec = importlib.util.spec_from_file_location("tlean_build_generate", ROOT / "tlean" / "ops" / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.main(ROOT)


if __name__ == "__main__":
    generate()
    setup(ext_modules=extensions(), cmdclass={"build_ext": BuildExt})
