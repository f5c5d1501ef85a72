"""The package installs with all it needs, and its documented example runs."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import trajectory_files as make

ROOT = Path(__file__).resolve().parents[2]


def example():
    text = (ROOT / "docs/library.md").read_text()
    return re.search(r"```python\n(.*?)```", text, re.S)[1]


def test_example_goes_from_an_ase_trajectory_to_states_and_flux(tmp_path, monkeypatch, capsys):
    make.ase_traj(tmp_path / "md.traj", make.make(n_frames=60))
    monkeypatch.chdir(tmp_path)
    code = example()
    statements = [node for node in ast.parse(code).body if not isinstance(node, ast.ImportFrom)]
    assert len(statements) == 10
    found = {}
    exec(compile(code.replace('"steps": 200', '"steps": 10'), "docs/library.md", "exec"), found)
    assert found["states"].labels.shape == (32, 60)
    assert found["flux"].estimates["total_flux"]["unit"] == "1/(ion ns)"
    assert capsys.readouterr().out.count("\n") > 4


def test_installed_package_finds_its_files(tmp_path):
    pytest.importorskip("setuptools", reason="pip install setuptools to build the wheel in this test")
    source = tmp_path / "source"
    for name in (
        "pyproject.toml",
        "setup.py",
        "README.md",
        "LICENSE",
        "scripts/getsei",
        "config/structures",
        "workflow/schemas",
    ):
        target = source / name
        target.parent.mkdir(parents=True, exist_ok=True)
        copy(ROOT / name, target)
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        ".",
        "--no-deps",
        "--no-build-isolation",
        "-q",
        "-w",
        "..",
    ]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(next(tmp_path.glob("getsei-*.whl"))) as wheel:
        wheel.extractall(tmp_path / "site")
    code = (
        "from getsei import settings, resources; from getsei.structures import crystals;"
        "from getsei.potentials.native import build;"
        "from pathlib import Path; print(resources.SHARED);"
        "assert settings.of_system()['mobile'] == ['Li'];"
        "assert (crystals.LIBRARY / 'Li_bcc.yaml').is_file();"
        "assert all(path.is_file() for path in (build.SOURCE, *build.HEADERS))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path / "site", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str((tmp_path / "site/getsei").resolve())


DISTRIBUTIONS = {"sklearn": "scikit-learn", "yaml": "pyyaml", "mace": "mace-torch"}
"""Packages that are not called what they are imported as."""


def imported(paths):
    """Return the distributions that some modules import."""
    found = set()
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            found |= {name.split(".")[0] for name in names}
    found -= {*sys.stdlib_module_names, "getsei", ""}
    return {DISTRIBUTIONS.get(name, name).replace("_", "-") for name in found}


def test_what_the_package_imports_it_also_requires():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    core, dynamics, graph = (
        {re.match(r"[\w-]+", line)[0] for line in lines}
        for lines in (project["dependencies"], extras["dynamics"], extras["graph"])
    )
    package = ROOT / "scripts/getsei"
    modules = set(package.rglob("*.py"))
    simulation = {path for room in ("dynamics", "potentials") for path in (package / room).rglob("*.py")}
    assert imported(modules - simulation) <= core | graph
    assert imported(modules) <= core | graph | dynamics


def copy(source, target):
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)
