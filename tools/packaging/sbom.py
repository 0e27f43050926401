"""The list of what a wheel contains, CycloneDX in `.dist-info/sboms/` (PEP 770): setup.py writes it into every wheel.

It names no time and no serial number: the same sources give the same bytes.
"""

from __future__ import annotations

import json
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def document(version: str) -> dict[str, Any]:
    """The document for this version of tlean, made with the Cython and the setuptools that are installed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    itself, cython = component("tlean", version, project["license"]), component("cython", metadata.version("cython"), "Apache-2.0")
    cython["description"] = "Its support code is in the C that it made of tlean's sources, and so in every extension module."
    needed = []
    for requirement in project["dependencies"]:
        name = requirement.partition(">=")[0]
        needed.append({"type": "library", "bom-ref": name, "name": name, "purl": f"pkg:pypi/{name}"})
        needed[-1]["description"] = f"Not in the wheel: an installation takes {requirement} beside it."
    references = [part["bom-ref"] for part in (cython, *needed)]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "lifecycles": [{"phase": "build"}],
            "tools": {"components": [component("setuptools", metadata.version("setuptools"), "MIT")]},
            "component": itself,
        },
        "components": [cython, *needed],
        "dependencies": [{"ref": itself["bom-ref"], "dependsOn": references}, *({"ref": reference} for reference in references)],
    }


def component(name: str, version: str, license_id: str) -> dict[str, Any]:
    """A package of the Python Package Index, as CycloneDX describes it."""
    reference = f"pkg:pypi/{name}@{version}"
    about = {"type": "library", "bom-ref": reference, "name": name, "version": version, "purl": reference}
    return about | {"licenses": [{"license": {"id": license_id}}]}


def write(folder: Path, version: str) -> None:
    """Write the document into this `.dist-info` folder."""
    target = folder / "sboms" / "tlean.cdx.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(document(version), indent=1) + "\n")
