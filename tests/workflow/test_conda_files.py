"""Environments for conda and containers: readable by conda's own parser, and made from the lock."""

import re
import subprocess
import sys
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


def steps(text):
    """Return the commands that install, without what differs between make, Docker and Apptainer."""
    text = re.sub(r"\\\n\s*", " ", text).replace("&&", "\n").replace("$$", "$")
    text = text.replace("$(BIN)/python", "python").replace("$(VENV)/bin/python", "python")
    lines = [line.strip().removeprefix("RUN ").strip() for line in text.splitlines()]
    quiet = r" --(no-cache-dir|quiet|disable-pip-version-check)|[\"']"
    return [re.sub(quiet, "", line) for line in lines if line.startswith(("python -m pip", "apt-get"))]


def installs(text):
    return [line for line in steps(text) if "pip install" in line]


def test_containers_are_made_from_the_lock_as_the_makefile_makes_its_environment():
    docker, apptainer = ((ROOT / name).read_text() for name in ("Dockerfile", "apptainer.def"))
    made = (ROOT / "Makefile").read_text().split("$(STAMP): requirements.lock")[1].split("\n\n")[0]
    assert len(installs(made)) == 3
    assert installs(docker) == installs(made)
    assert steps(apptainer) == steps(docker)
    python = re.search(r"FROM python:(3\.11\.\d+)-", docker).group(1)
    assert f"python ={python}" in (ROOT / "envs/run_md.yaml").read_text()
    base = re.search(r"FROM (\S+)", docker).group(1)
    assert f"From: {base}\n" in apptainer
    assert docker.count("FROM ") == 1
    assert docker.index("USER 1000") < docker.index("CMD")
    assert "results" in (ROOT / ".dockerignore").read_text().split()


def test_dockerfile_has_no_fault_that_hadolint_knows():
    program = Path(sys.executable).with_name("hadolint")
    done = subprocess.run(
        [program, "--no-color", ROOT / "Dockerfile"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
