"""The build: generate code from the op registry, translate the Cython, compile the hot kernels once per instruction set.

Environment: TLEAN_BUILD_ISA (comma-separated subset of base,avx2,avx512), TLEAN_BUILD_ONLY (comma-separated module names, for
development; "none" builds none), TLEAN_DEBUG=1 (bounds checks, no optimisation), TLEAN_WERROR=1 (warnings are errors), TLEAN_SANITIZE
(sanitizers of the compiler: "address,undefined" or "thread"), TLEAN_BUILD_GLIBC=2.28 (what is linked runs with that glibc as well).
"""

import json
import os
import platform
import shutil
import sys
import sysconfig
from pathlib import Path
from typing import Any

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext
from setuptools.command.editable_wheel import editable_wheel

ROOT = Path(__file__).parent.resolve()
sys.path.insert(0, str(ROOT))
CORE = Path("tlean/_core")
DEBUG = os.environ.get("TLEAN_DEBUG") == "1"

# Modules that hold a program's structures: built once, each importable by its path.
COLD = ["arena", "array", "refs", "tape", "capi/table", "device/answers", "threads/threads"]
COLD += ["eager/accum", "eager/eager", "eager/instance"]
COLD += [
    f"plan/{name}" for name in ("band", "bound", "callback", "calls", "chain", "commit", "epilogue", "guard", "loops/body", "loops/loop")
]
COLD += [f"plan/{name}" for name in ("outer_update", "plan", "update")]
PASSED_BY_EVERY_CALL = ("arena", "refs", "eager/eager")
# Modules that hold loops over numbers: built once per instruction set. The second list may contract a*b+c (GEMM family).
HOT = [
    "elementwise/elementwise",
    "reduce/reduce",
    "reduce/maximum",
    "integer/integer",
    "integer/totals",
    "reduce/truth",
    "reduce/running",
    "order/order",
    "recurrent/cells",
    "layout/layout",
    "layout/convert",
    "layout/create",
    "pool/pool",
    "pool/avg_pool",
    "pool/smooth",
    "pool/unfold",
]
HOT += ["softmax/softmax", "norm/norm", "norm/batchnorm", "loss/loss", "gather/gather", "random/random", "optim/optim", "special/special"]
HOT_CONTRACTED = ["gemm/gemm", "conv/conv", "attention/attention", "linalg/linalg", "fft/fft"]
WRITTEN_OUT_LATE = ("elementwise/elementwise",)
SLOWER_WITHOUT_O3 = ("conv/conv", "order/order")

ISA_FLAGS = {
    "base": [],
    "avx2": ["-mavx2", "-mfma", "-mf16c", "-mbmi", "-mbmi2"],
    "avx512": [
        *["-mavx2", "-mfma", "-mf16c", "-mbmi", "-mbmi2"],
        *["-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mprefer-vector-width=512"],
    ],
}
# Warnings are on, and errors where TLEAN_WERROR=1 (CI): what newer compilers refuse is then seen with older ones too.
WARNINGS = [
    "-Wall",
    "-Wno-unused-function",
    "-Wno-pass-failed",
    "-Werror=incompatible-pointer-types",
    "-Werror=int-conversion",
    "-Werror=implicit-function-declaration",
]
if os.environ.get("TLEAN_WERROR") == "1":
    WARNINGS += ["-Werror"]
COMMON = ["-O3", "-g0", "-fno-math-errno", "-fno-trapping-math", "-fno-strict-aliasing", *WARNINGS]
# Nothing unwinds through these modules (they are C), and the tables for it are a twentieth of a wheel. Some Pythons ask for a frame pointer
# in every module: kernels want the register.
COMMON += ["-fno-asynchronous-unwind-tables", "-fno-unwind-tables", "-fomit-frame-pointer"] if sys.platform == "linux" else []
LINK: list[str] = []
if DEBUG:
    COMMON = ["-O1", "-g", "-fno-math-errno", "-fno-strict-aliasing", *WARNINGS]
SANITIZE = os.environ.get("TLEAN_SANITIZE", "")
if SANITIZE:
    LINK = [f"-fsanitize={SANITIZE}"]
    COMMON = [*WARNINGS, "-O1", "-g1", "-fno-math-errno", "-fno-strict-aliasing", "-fno-omit-frame-pointer", *LINK]
    # AddressSanitizer knows arrays of exact sizes that are never used again; ThreadSanitizer looks at the arena as it is.
    COMMON += ["-DTLEAN_EXACT_ARENA"] if "address" in SANITIZE else []
    # What wraps around or is shifted out on purpose is unsigned; a misaligned access goes through a type that allows it.
    COMMON += ["-fno-sanitize-recover=undefined"] if "undefined" in SANITIZE else []
# The module that starts threads; against an older glibc it names the library that had them before 2.34.
THREADS_COMPILED = [] if sys.platform == "win32" else ["-pthread"]
THREADS_LINKED = list(THREADS_COMPILED)
if GLIBC := os.environ.get("TLEAN_BUILD_GLIBC"):
    if GLIBC != "2.28":
        raise SystemExit(f"TLEAN_BUILD_GLIBC must be 2.28; got {GLIBC}")
    THREADS_COMPILED += ["-DTLEAN_GLIBC_2_28"]
    THREADS_LINKED = ["-Wl,--no-as-needed", "-l:libpthread.so.0", "-Wl,--as-needed"]

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


def named(variable: str, allowed: list[str]) -> list[str]:
    """What the environment variable names, separated by commas: each must be one of `allowed`."""
    names = [name.strip() for name in os.environ.get(variable, "").split(",") if name.strip()]
    unknown = [name for name in names if name not in allowed]
    if unknown:
        raise SystemExit(f"{variable} must name some of {', '.join(allowed)}; got {', '.join(unknown)}")
    return names


def instruction_sets() -> list[str]:
    """The instruction sets to build for: all three on x86-64, the base elsewhere."""
    # The machine built for: a cross build says it in the platform's name, which for macOS may name two.
    machine = sysconfig.get_platform().rpartition("-")[2]
    if machine == "universal2":
        machine = platform.machine().lower()
    every = list(ISA_FLAGS) if machine in ("x86_64", "amd64") else ["base"]
    return [i for i in named("TLEAN_BUILD_ISA", list(ISA_FLAGS)) if i in every] or every


def wanted(paths: list[str]) -> list[str]:
    """Those of the modules that TLEAN_BUILD_ONLY, if it is set, names by the last part of their paths."""
    only = named("TLEAN_BUILD_ONLY", [*(Path(p).name for p in COLD + HOT + HOT_CONTRACTED), "none"])
    return [p for p in paths if not only or Path(p).name in only]


def optimised(path: str, isa: str) -> list[str]:
    """The flags that all modules share, for this module of kernels.

    Short loops inside elementwise kernels (the terms of a polynomial) stay loops until the one around them is vectorised: gcc would
    write them out first, and then vectorise neither; a power takes half of the time so. On x86-64 the base is for processors from
    before 2013: its loops are vectorised as the others, but not written several times over, which makes it a fifth smaller and
    only two modules slower.
    """
    if "-O3" not in COMMON:
        return COMMON
    if path in WRITTEN_OUT_LATE:
        return [*COMMON, "--param", "max-completely-peel-times=1", "-Wno-unused-command-line-argument"]
    if isa != "base" or len(instruction_sets()) == 1 or path in SLOWER_WITHOUT_O3:
        return COMMON
    return [*("-O2" if flag == "-O3" else flag for flag in COMMON), "-ftree-vectorize"]


def extensions() -> list[Extension]:
    """One extension for every cold module, one for every hot module and instruction set, named by their Cython sources."""
    include = [str(CORE), str(CORE / "_generated")]
    headers = [str(h) for h in CORE.rglob("*.h")]
    built = []
    for path in wanted(COLD):
        compiled, linked = (THREADS_COMPILED, THREADS_LINKED) if path == "threads/threads" else ([], [])
        # Control flow, not loops over numbers: -O3 makes it a seventh longer, and is faster only where every eager call passes.
        flags = [f if f != "-O3" or path in PASSED_BY_EVERY_CALL else "-O2" for f in COMMON]
        options = {"include_dirs": include, "extra_compile_args": [*flags, "-ffp-contract=off", *compiled], "depends": headers}
        name = f"tlean._core.{path.replace('/', '.')}"
        built.append(Extension(name, [str(CORE / f"{path}.pyx")], extra_link_args=[*linked, *LINK], **options))
    for path in wanted(HOT + HOT_CONTRACTED):
        contract = "-ffp-contract=fast" if path in HOT_CONTRACTED else "-ffp-contract=off"
        for isa in instruction_sets():
            flags = [*optimised(path, isa), contract, *ISA_FLAGS[isa]]
            options = {"include_dirs": include, "extra_compile_args": flags, "extra_link_args": LINK, "depends": headers}
            built.append(Extension(f"tlean._core.isa_{isa}.{Path(path).name}", [str(CORE / "kernels" / f"{path}.pyx")], **options))
    return built


def translate(built: list[Extension], jobs: int) -> None:
    """Translate the Cython sources to C, each once, `jobs` at a time; then the extensions are made of the C."""
    from Cython.Build import cythonize

    # A module of kernels is translated under a name that no instruction set is in.
    names = {e.sources[0]: e.name if ".isa_" not in e.name else f"tlean._core.{e.name.rpartition('.')[2]}" for e in built}
    modules = [Extension(name, [source]) for source, name in names.items()]
    options = {"compiler_directives": DIRECTIVES, "include_path": [str(CORE), str(CORE / "_generated")], "build_dir": "build/cython"}
    translated = cythonize(modules, nthreads=jobs if len(modules) > 1 else 0, quiet=True, **options)
    c_of = {source: Path(module.sources[0]) for source, module in zip(names, translated, strict=True)}
    for extension in built:
        made = c_of[extension.sources[0]]
        package = extension.name.split(".")[-2]
        if package.startswith("isa_"):
            # Each instruction set compiles its own copy, so that the object files do not overwrite each other.
            copy = Path("build/cython") / package.removeprefix("isa_") / made.name
            copy.parent.mkdir(parents=True, exist_ok=True)
            if not copy.exists() or copy.read_bytes() != made.read_bytes():
                shutil.copyfile(made, copy)
            made = copy
        extension.sources = [str(made)]


def remove_stale(folder: Path) -> None:
    """Remove modules of an earlier build that no source has any more: a wheel would hold them, and every module of kernels is loaded."""
    paths = {f"{CORE}/{p}" for p in COLD} | {f"{CORE}/isa_{i}/{Path(p).name}" for i in ISA_FLAGS for p in HOT + HOT_CONTRACTED}
    for built in [*(folder / CORE).rglob("*.so"), *(folder / CORE).rglob("*.pyd")]:
        if built.relative_to(folder).as_posix().partition(".")[0] not in paths:
            built.unlink()


class BuildExt(build_ext):
    """build_ext on every core, which translates the Cython first and builds again what changed: the sources or the flags."""

    def finalize_options(self) -> None:
        super().finalize_options()
        if self.parallel is None:
            self.parallel = os.cpu_count() or 1
        if self.editable_mode:
            # An editable install would build in a folder that it removes, and everything at the next call.
            plain = self.distribution.get_command_class("build")(self.distribution)
            plain.ensure_finalized()
            self.build_lib, self.build_temp = plain.build_platlib, plain.build_temp

    def run(self) -> None:
        if self.extensions:
            translate(self.extensions, int(self.parallel))
        super().run()
        if not os.environ.get("TLEAN_BUILD_ONLY"):
            for folder in {self.build_lib, "."} if self.inplace else {self.build_lib}:
                remove_stale(Path(folder))

    def build_extension(self, ext: Extension) -> None:
        """Build a module, unless it is there, newer than its sources and headers, and was built with these flags."""
        record = Path(f"{self.build_lib}.flags") / self.get_ext_filename(ext.name)
        environment = [os.environ.get(name, "") for name in ("CFLAGS", "LDFLAGS", "ARCHFLAGS")]
        flags = json.dumps([environment, ext.extra_compile_args, ext.extra_link_args])
        if not record.exists() or record.read_text() != flags:
            Path(self.get_ext_fullpath(ext.name)).unlink(missing_ok=True)
        super().build_extension(ext)
        record.parent.mkdir(parents=True, exist_ok=True)
        record.write_text(flags)


class Wheel(bdist_wheel):
    """bdist_wheel with the list of what is in the wheel, as PEP 770 wants it."""

    def write_wheelfile(self, *args: Any, **options: Any) -> None:
        from tools.packaging import sbom

        sbom.write(Path(args[0]), self.distribution.get_version())
        super().write_wheelfile(*args, **options)


class Editable(editable_wheel):
    """An editable install by the folder's name on the path: Cython finds the declarations there, and would not behind an import hook."""

    def finalize_options(self) -> None:
        super().finalize_options()
        self.package_dir = {"": "."}


def generate() -> None:
    """Write what the registry implies: kernels of elementwise ops, the method faces, the type stubs."""
    from tools.codegen import generate as codegen

    codegen.main(ROOT)


if __name__ == "__main__":
    generate()
    setup(ext_modules=extensions(), cmdclass={"build_ext": BuildExt, "bdist_wheel": Wheel, "editable_wheel": Editable})
