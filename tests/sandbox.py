"""The workflow on a copy of the checkout, away from the user's results, and a configuration of a minute."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("Snakefile", "workflow", "config", "envs", "scripts", "profiles")
TINY = {
    "systems": {
        "li6ps5cl": {"interface": {"electrolyte": "Li6PS5Cl_ordered", "electrolyte_thickness_A": 9.0}}
    },
    "defaults": {
        "interface": {"metal_thickness_A": 10.0},
        "md": {
            "minimise_steps": 5,
            "react_ps": 0.1,
            "equilibrate_ps": 0.1,
            "segment_ps": 0.4,
            "checkpoint_ps": 0.2,
            "production_ps": 0.8,
            "frame_interval_fs": 20.0,
        },
        "gcl": {"steps": 40},
        "states": {"sample": 500},
        "kinetics": {"lag_ps": 0.06, "scan_lags_ps": [0.02, 0.06, 0.1], "bootstrap": 50},
        "transport": {"mobility_lag_ps": 0.1},
    },
}


@dataclass(frozen=True)
class Workflow:
    """A checkout of its own in which Snakemake runs."""

    folder: Path
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    program: tuple[str, ...] = (sys.executable, "-m", "snakemake")

    @property
    def results(self) -> Path:
        return self.folder / "results"

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen:
        """Start Snakemake as the leader of a process group, so that all it starts can be killed with it."""
        environment = {k: v for k, v in self.environment.items() if not k.startswith("SNAKEMAKE")}
        return subprocess.Popen(
            [*self.program, "--nocolor", *arguments],
            cwd=self.folder,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            **options,
        )

    def run(self, *arguments: str, timeout: float = 900) -> subprocess.CompletedProcess:
        process = self.start(*arguments)
        try:
            out, err = process.communicate(timeout=timeout)
        except BaseException:
            kill(process)
            raise
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

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

    def configure(self, config: Mapping[str, Any]) -> None:
        """Replace the configuration, but for the part that makes the potential."""
        path = self.folder / "config/config.yaml"
        training = yaml.safe_load(path.read_text())["potential_training"]
        path.write_text(yaml.safe_dump({**config, "potential_training": training}))


def kill(process: subprocess.Popen) -> None:
    """Kill a process and all of its group at once, without a chance to clean up."""
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def copy(folder: Path, **options: Any) -> Workflow:
    """Return the workflow in a folder, without results."""
    folder.mkdir(parents=True, exist_ok=True)
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / part)
    return Workflow(folder, **options)
