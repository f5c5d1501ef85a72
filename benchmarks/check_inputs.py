"""`make check-inputs`: the bars of bringing your own structure or trajectory, and what was measured.

    python benchmarks/check_inputs.py [WORD ...]    only the checks whose name holds one of the words

Exits with 1 where a bar is missed. Every run happens on a copy of the workflow in a temporary folder.
"""

import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "benchmarks")]

import check_trajectories
from getsei.errors import UserError
from getsei.structures import crystals

PARTS = ("Snakefile", "workflow", "config", "envs", "scripts", "profiles")
SHORT = {
    "defaults": {
        "interface": {"ordering_draws": 4},
        "md": {
            "frame_interval_fs": 2.0,
            "segment_ps": 0.08,
            "checkpoint_ps": 0.04,
            "minimise_steps": 3,
            "react_ps": 0.02,
            "equilibrate_ps": 0.02,
            "production_ps": 0.08,
        },
        "gcl": {"steps": 20},
        "states": {"sample": 200, "n_states": 4},
        "kinetics": {"lag_ps": 0.006, "scan_lags_ps": [0.002, 0.006, 0.01], "bootstrap": 20},
        "transport": {"mobility_lag_ps": 0.01},
    }
}
"""Sixty steps of dynamics: enough for every stage to run, too few for any number to mean anything."""


@dataclass(frozen=True)
class Row:
    """A bar and what was measured."""

    bar: str
    measured: str
    passed: bool


def run_example(name: str) -> Row:
    """Run one worked entry from its configuration to the report."""
    example = yaml.safe_load((ROOT / f"config/examples/{name}.yaml").read_text(encoding="utf-8"))
    return run(f"config/examples/{name}.yaml runs from entry to report on a short protocol", example)


def run_two_ions() -> Row:
    """Run a CIF whose lithium and sulphur are analysed together and each alone."""
    interface = {"electrolyte_thickness_A": 12.0, "metal_thickness_A": 10.0, "max_strain": 0.08}
    entry = {
        "mobile": ["Li", "S"],
        "interface": {"electrolyte": "mine.cif", **interface},
        "tpt": {"source": "region:metal", "target": "region:electrolyte"},
    }
    example = {"run": ["two"], "systems": {"two": entry}}
    return run("mobile: [Li, S] of a CIF runs together and ion by ion", example, ("two", "two_li", "two_s"))


def run(bar: str, example: dict[str, Any], systems: Sequence[str] = ()) -> Row:
    """Run a configuration, laid over the shipped one, on a copy of the workflow."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for part in PARTS:
            source = ROOT / part
            (shutil.copytree if source.is_dir() else shutil.copy)(source, copy / part)
        (copy / "mine.cif").write_text(CIF, encoding="utf-8")
        for name, content in (("example", example), ("short", SHORT)):
            (copy / f"{name}.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
        began, cpu = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        done = snakemake(copy, "--cores", "1", "--configfile", "example.yaml", "short.yaml")
        if done.returncode:
            return Row(bar, f"failed: {last_words(copy, done)}", passed=False)
        results = copy / example.get("pathvars", {}).get("results", "results")
        told = []
        for system in systems or example["run"]:
            numbers = json.loads((results / system / "summary.json").read_text(encoding="utf-8"))["numbers"]
            held = sum(one["supported"] for one in numbers.values())
            told.append(
                f"{system}: {numbers['n_atoms']['value']:.0f} atoms, {numbers['n_ions']['value']:.0f} ions, "
                f"{held} of {len(numbers)} numbers supported"
            )
        size = (results / "report.html").stat().st_size
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = used.ru_utime + used.ru_stime - cpu.ru_utime - cpu.ru_stime
    told.append(f"report {size / 1e6:.1f} MB")
    told.append(f"{seconds:.0f} s of CPU, {time.perf_counter() - began:.0f} s by the clock")
    return Row(bar, "; ".join(told), passed=size > 10_000)


def snakemake(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    """Run Snakemake in a folder."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("SNAKEMAKE")}
    return subprocess.run(
        [sys.executable, "-m", "snakemake", "--nocolor", *arguments],
        cwd=folder,
        env=environment,
        text=True,
        capture_output=True,
        check=False,
    )


def last_words(folder: Path, done: subprocess.CompletedProcess) -> str:
    """Return what the job that failed said last, else what Snakemake did."""
    failed = re.search(r"Error in rule (\w+):.*?log: (\S+)", done.stdout + done.stderr, re.DOTALL)
    log = folder / failed[2] if failed else None
    text = log.read_text(encoding="utf-8") if log and log.is_file() else done.stderr
    return f"{failed[1] if failed else 'snakemake'}: {(text.strip().splitlines() or ['killed'])[-1]}"


CIF = """data_x
_cell_length_a 5.7158
_cell_length_b 5.7158
_cell_length_c 5.7158
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_space_group_IT_number 225
loop_
_atom_site_label
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
S1 0.0 0.0 0.0 1.0
Li1 0.25 0.25 0.25 1.0
"""
POSCAR = "Li2S\n1.0\n5.7 0 0\n0 5.7 0\n0 0 5.7\nLi S\n1 1\nDirect\n0.25 0.25 0.25\n0 0 0\n"
BROKEN = {
    "truncated.cif": CIF[:-22],
    "no_cell.cif": CIF.replace("_cell_length_a 5.7158\n", ""),
    "nan.cif": CIF.replace("0.25 0.25 0.25", "nan 0.25 0.25"),
    "no_sites.cif": CIF[: CIF.index("loop_")],
    "unknown_element.cif": CIF.replace("Li1", "Qq1"),
    "overfull.cif": CIF.replace("0.25 1.0", "0.25 1.7"),
    "not_neutral.cif": CIF.replace("0.25 1.0", "0.25 0.5"),
    "truncated.vasp": POSCAR[:-6],
    "no_species.vasp": POSCAR.replace("Li S\n", ""),
    "mixed_counts.vasp": POSCAR.replace("1 1\n", "1 1 2\n"),
    "nan.vasp": POSCAR.replace("0.25 0.25 0.25", "0.25 nan 0.25"),
    "no_cell.vasp": POSCAR.replace("0 0 5.7\n", "0 5.7 0\n"),
    "empty.vasp": "",
}


def refuse_broken_structures() -> Row:
    """Read malformed files; each must be refused by name, without a traceback."""
    clear, unclear = 0, []
    with tempfile.TemporaryDirectory() as folder:
        for name, text in BROKEN.items():
            path = Path(folder) / name
            path.write_text(text, encoding="utf-8")
            try:
                crystals.load(path)
                unclear.append(f"{name} was taken")
            except UserError as error:
                if name in str(error):
                    clear += 1
                else:
                    unclear.append(f"{name}: {error}")
            except Exception as error:
                unclear.append(f"{name}: {type(error).__name__}: {error}")
    measured = "; ".join([f"{clear} of {len(BROKEN)} refused with a clear message", *unclear])
    return Row("malformed CIF and POSCAR: a clear error each", measured, not unclear)


CHECKS: dict[str, Callable[[], Row]] = {
    "broken structures": refuse_broken_structures,
    "two mobile ions": run_two_ions,
    "broken trajectories": lambda: Row(*check_trajectories.malformed()),
    "formats, constant cell": lambda: Row(*check_trajectories.formats(0.0)),
    "formats, changing cell": lambda: Row(*check_trajectories.formats(0.01)),
    "argyrodite trajectory": lambda: Row(*check_trajectories.argyrodite()),
    **{
        f"example {path.stem}": partial(run_example, path.stem)
        for path in sorted((ROOT / "config" / "examples").glob("*.yaml"))
        if "trajectory:" not in path.read_text(encoding="utf-8")
    },
}
"""Name to check; each is run in turn and prints its row."""


def main(words: list[str]) -> int:
    """Run the checks and print the table."""
    missed = 0
    chosen = {name: check for name, check in CHECKS.items() if not words or any(w in name for w in words)}
    if not chosen:
        print(f"no check holds one of the words {', '.join(words)}; there are: {', '.join(CHECKS)}")
        return 2
    for check in chosen.values():
        row = check()
        missed += not row.passed
        print(f"{'pass' if row.passed else 'MISS'}  {row.bar}\n      {row.measured}", flush=True)
    print("every bar met" if not missed else f"{missed} missed")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
