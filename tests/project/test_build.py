"""The build: warnings are seen, and nothing is translated unless something is built."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import json
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from types import ModuleType

import pytest
import setuptools

import tlean
from tlean.interop.c_code import maths
from tools.packaging import pack, sbom

ROOT = Path(__file__).parents[2]


@pytest.fixture
def build(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """setup.py as a module."""
    monkeypatch.chdir(ROOT)
    spec = importlib.util.spec_from_file_location("tlean_setup", ROOT / "setup.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_no_warning_is_hidden(build: ModuleType) -> None:
    for extension in build.extensions():
        assert "-Wall" in extension.extra_compile_args and "-w" not in extension.extra_compile_args


def test_what_newer_compilers_refuse_is_an_error(build: ModuleType) -> None:
    refused = {f"-Werror={name}" for name in ("incompatible-pointer-types", "int-conversion", "implicit-function-declaration")}
    assert all(refused <= set(extension.extra_compile_args) for extension in build.extensions())


def test_hot_modules_are_built_once_for_every_instruction_set(build: ModuleType) -> None:
    names = [extension.name for extension in build.extensions()]
    assert len(set(names)) == len(names)
    for name in (Path(path).name for path in build.HOT + build.HOT_CONTRACTED):
        assert {n for n in names if n.endswith(f".{name}")} == {f"tlean._core.isa_{isa}.{name}" for isa in build.instruction_sets()}


def test_a_module_without_a_source_is_removed_wherever_it_was_built(build: ModuleType, tmp_path: Path) -> None:
    core = tmp_path / "tlean" / "_core"
    for name in ("plan/plan", "plan/of_old", "isa_base/gemm", "isa_base/of_old"):
        (core / name).parent.mkdir(parents=True, exist_ok=True)
        (core / f"{name}.cpython-311-x86_64-linux-gnu.so").touch()
    build.remove_stale(tmp_path)
    assert sorted(path.name.partition(".")[0] for path in core.rglob("*.so")) == ["gemm", "plan"]


def test_asking_for_the_name_translates_nothing(tmp_path: Path) -> None:
    pytest.importorskip("setuptools", reason="the build needs setuptools")
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "tools", tmp_path / "tools")
    shutil.copytree(ROOT / "tlean", tmp_path / "tlean", ignore=shutil.ignore_patterns("*.so", "__pycache__", "_generated"))
    (tmp_path / "tlean" / "functions.py").unlink()
    done = subprocess.run([sys.executable, "setup.py", "--name"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == "tlean"
    assert not (tmp_path / "build").exists()


@pytest.mark.parametrize(("variable", "allowed"), [("TLEAN_BUILD_ISA", "avx512"), ("TLEAN_BUILD_ONLY", "pool")])
def test_a_name_that_there_is_not_is_refused(build: ModuleType, monkeypatch: pytest.MonkeyPatch, variable: str, allowed: str) -> None:
    monkeypatch.setenv(variable, f"{allowed},typo")
    with pytest.raises(SystemExit, match=f"{variable} must name some of .*{allowed}.*; got typo"):
        build.extensions()


def test_what_has_other_flags_is_built_again(build: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    built = []
    monkeypatch.setattr(build.build_ext, "build_extension", lambda self, ext: built.append(Path(self.get_ext_fullpath(ext.name)).exists()))
    distribution = setuptools.Distribution({"name": "tlean", "ext_modules": [setuptools.Extension("module", ["module.c"])]})
    command = build.BuildExt(distribution)
    command.ensure_finalized()
    command.build_lib = str(tmp_path / "lib")
    [extension] = distribution.ext_modules
    target = Path(command.get_ext_fullpath(extension.name))
    target.parent.mkdir(parents=True)
    for flags in (["-O3"], ["-O3"], ["-O2"]):
        target.touch()
        extension.extra_compile_args = flags
        command.build_extension(extension)
    # The first has no record yet; the second is taken as it is; the third is not.
    assert built == [False, True, False]


def test_the_version_stands_in_one_place() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert "version" not in project and project["dynamic"] == ["version"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", tlean.__version__)


def test_a_wheel_lists_what_is_in_it(build: ModuleType, tmp_path: Path) -> None:
    sbom.write(tmp_path, "1.2.3")
    document = json.loads((tmp_path / "sboms" / "tlean.cdx.json").read_text())
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    assert document["metadata"]["component"]["purl"] == "pkg:pypi/tlean@1.2.3"
    assert {part["name"] for part in document["components"]} == {"cython", "numpy"}
    every = {part["bom-ref"] for part in (*document["components"], document["metadata"]["component"])}
    assert {entry["ref"] for entry in document["dependencies"]} == every


def test_a_wheel_has_what_others_build_with_and_what_exported_c_is_made_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    distribution = setuptools.Distribution({"script_name": "setup.py"})
    distribution.parse_config_files()
    command = distribution.get_command_obj("build_py")
    command.ensure_finalized()
    held = {Path(source, name).as_posix() for _, source, _, names in command.data_files for name in names}
    assert {name for name in held if name.endswith(".pxd")} == {"tlean/__init__.pxd"}
    assert {"tlean/_core/capi/tlean.h", "tlean/_core/kernel.h", "tlean/py.typed"} <= held
    assert {f"tlean/_core/{name}" for name in maths._HEADERS} <= held


def test_a_packed_wheel_is_the_same_whenever_it_is_packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    monkeypatch.setattr(pack, "cleaners", list)
    files = {
        "b/z.py": b"b" * 9999,
        "a/é.py": bytes(range(256)),
        "t-1.dist-info/WHEEL": b"W",
        "t-1.dist-info/RECORD": b"old",
        "m.so": b"\x7fELF",
    }
    packed = []
    for names in (list(files), list(reversed(files))):
        wheel = tmp_path / "t.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            for name in names:
                archive.writestr(name, files[name])
        pack.pack(wheel)
        packed.append(wheel.read_bytes())
    assert packed[0] == packed[1]
    with zipfile.ZipFile(wheel) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["a/é.py", "b/z.py", "m.so", "t-1.dist-info/WHEEL", "t-1.dist-info/RECORD"]
        assert {name: archive.read(name) for name in files if "RECORD" not in name} == {n: c for n, c in files.items() if "RECORD" not in n}
        rows = [line.split(",") for line in archive.read("t-1.dist-info/RECORD").decode().splitlines()]
        assert {entry.date_time for entry in archive.infolist()} == {(2023, 11, 14, 22, 13, 20)}
        assert archive.getinfo("m.so").external_attr >> 16 & 0o777 == 0o755
    digest = base64.urlsafe_b64encode(hashlib.sha256(files["b/z.py"]).digest()).decode().rstrip("=")
    assert ["b/z.py", f"sha256={digest}", "9999"] in rows and rows[-1] == ["t-1.dist-info/RECORD", "", ""]
