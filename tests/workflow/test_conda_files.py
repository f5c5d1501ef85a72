"""Environments for conda and containers: readable by conda's own parser, and made from the lock."""

import re
from pathlib import Path

import pytest
import yaml
from rattler import MatchSpec

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("path", sorted((ROOT / "envs").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_specification_parses_and_is_pinned(path):
    content = yaml.safe_load(path.read_text())
    assert content["channels"] == ["conda-forge", "nodefaults"]
    for entry in content["dependencies"]:
        if isinstance(entry, dict):
            for line in entry["pip"]:
                assert line.startswith("--") or "==" in line, line
        else:
            spec = MatchSpec(entry)
            assert spec.name is not None
            assert spec.version, f"{entry}: no version"


def test_conda_dry_run_works_with_a_stub(workflow, tmp_path):
    folder = tmp_path / "bin"
    folder.mkdir()
    stub = folder / "conda"
    stub.write_text(
        "#!/bin/sh\n"
        'case "$*" in\n'
        '  *--get*) echo \'{"get": {"channel_priority": "strict"}}\';;\n'
        '  *--json*) echo \'{"conda_version": "26.1.0", "conda_prefix": "/none", "platform": "x"}\';;\n'
        "  *) echo 'conda 26.1.0';;\n"
        "esac\n"
    )
    stub.chmod(0o755)
    environment = {**workflow.environment, "PATH": f"{folder}:{workflow.environment['PATH']}"}
    with_conda = type(workflow)(workflow.folder, environment)
    done = with_conda.run("--sdm", "conda", "--dry-run", "--cores", "1")
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-3000:]
    assert re.search(r"(?m)^run_md\s+\d+", said), "the dry run lists the jobs"


def test_container_is_made_from_the_lock():
    recipe = (ROOT / "Dockerfile").read_text()
    assert recipe.count("FROM ") == 1
    python = re.search(r"FROM python:(3\.11\.\d+)-", recipe).group(1)
    assert f"python ={python}" in (ROOT / "envs/run_md.yaml").read_text()
    assert "-r requirements.lock" in recipe
    assert re.search(r"pip==(\S+)", recipe).group(1) == re.search(
        r"pip==(\S+)", (ROOT / "Makefile").read_text()
    ).group(1)
    assert recipe.rstrip().splitlines()[-1] == 'CMD ["snakemake"]'
    assert recipe.index("USER getsei") < recipe.index("CMD")
    assert "results" in (ROOT / ".dockerignore").read_text().split()
