"""Run Snakemake on a copy of the workflow, away from the user's results."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("Snakefile", "workflow", "config", "envs", "scripts", "profiles")


@dataclass(frozen=True)
class Workflow:
    """A checkout of its own in which Snakemake runs."""

    folder: Path

    def run(self, *arguments: str, timeout: float = 900) -> subprocess.CompletedProcess:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("SNAKEMAKE")}
        return subprocess.run(
            [sys.executable, "-m", "snakemake", "--nocolor", *arguments],
            cwd=self.folder,
            env=environment,
            text=True,
            capture_output=True,
            timeout=timeout,
            check=False,
        )

    def jobs(self, *arguments: str) -> dict[str, int]:
        """Return the number of jobs of each rule that a dry run announces."""
        done = self.run("--dry-run", "--cores", "2", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        counts: dict[str, int] = {}
        for line in (done.stdout + done.stderr).splitlines():
            words = line.split()
            if len(words) == 2 and words[1].isdigit() and words[0].isidentifier():
                counts[words[0]] = int(words[1])
        return counts


@pytest.fixture
def workflow(tmp_path):
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, tmp_path / part)
    return Workflow(tmp_path)
