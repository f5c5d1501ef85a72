"""The rows of `make check-inputs` about trajectories: formats, broken files, and DFT dynamics.

The argyrodite needs its XDATCAR pieces (config/examples/argyrodite_dft.yaml says where they come from) in
data/argyrodite, or in the folder that the environment variable ARGYRODITE names; without them its row is a
miss.
"""

import dataclasses
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests")]

import numpy as np
import trajectory_files as make
from getsei import environments, records, settings
from getsei.contrastive import training
from getsei.states import assignment
from getsei.trajectory import own

CUTOFF_A = 4.0037
"""Between the distances of the grid the positions lie on."""
MAX_RUN_S = 300.0
DIFFUSION_CM2_PER_S = (3e-6, 5e-6)
Measured = tuple[str, str, bool]
"""A bar, what was measured, and whether it was met."""
KNOWN = {"frame_interval_fs": 1000 * make.FRAME_PS}
TYPED = {"types": list(make.ELEMENTS), "timestep_fs": make.TIMESTEP_FS}


def written(folder: Path, made: make.Made) -> Iterator[tuple[str, list[Path], dict]]:
    """Write a trajectory in every format and convention; yield name, files and what must be told."""
    for columns in ("x", "xs", "xu", "xsu", "x+i", "xs+i"):
        yield f"lammps {columns}", [make.lammps(folder / f"{columns}.dump", made, columns)], TYPED
    parts = [(0, 17), (17, 30), (28, len(made.positions))]
    pieces = [
        make.lammps(folder / f"piece{i}.dump", made.frames(slice(*part)), first=part[0], shuffle=True)
        for i, part in enumerate(parts, start=1)
    ]
    data = {"topology": str(make.data_file(folder / "start.data", made)), "timestep_fs": make.TIMESTEP_FS}
    yield "lammps pieces, data file", pieces, data
    yield "extxyz", [make.extxyz(folder / "a.extxyz", made)], KNOWN
    yield "ase", [make.ase_traj(folder / "a.traj", made)], KNOWN
    changing = bool(np.ptp(made.cells, axis=0).any())
    yield "xdatcar", [make.xdatcar(folder / "XDATCAR", made, variable=changing)], KNOWN
    yield "vasprun", [make.vasprun(folder / "vasprun.xml", made)], {}
    topology = {"topology": str(make.extxyz(folder / "top.extxyz", made.frames(slice(1))))}
    yield "dcd", [make.dcd(folder / "a.dcd", made)], KNOWN | topology
    yield "xtc", [make.xtc(folder / "a.xtc", made)], topology
    yield "h5md", [make.h5md(folder / "a.h5md", made)], {}
    yield "h5md images", [make.h5md(folder / "b.h5md", made, images=True)], {}
    yield "getsei", [make.store(folder / "a.h5", made)], {}


def same_environments(a: records.Environments, b: records.Environments) -> tuple[bool, float]:
    """Tell whether two sets of environments have the same neighbours; return the largest difference in Å."""
    if not (np.array_equal(a.offsets, b.offsets) and np.array_equal(a.atoms, b.atoms)):
        return False, np.inf
    which = np.repeat(np.arange(len(a.offsets) - 1), np.diff(a.offsets))
    found = []
    for item in (a, b):
        # Neighbours at one distance may come in either order.
        vectors = item.vectors.astype(np.float32)
        order = np.lexsort((*np.round(vectors, 1).T[::-1], item.species, which))
        found.append((item.species[order], vectors[order]))
    (kinds, first), (others, second) = found
    return bool(np.array_equal(kinds, others)), float(np.abs(first - second).max())


def formats(breathing: float) -> Measured:
    """Read one trajectory in every format; compare positions, environments and labels."""
    made = make.make(n_frames=36, breathing=breathing, step_A=0.15)
    cfg = settings.of_system(gcl={"steps": 5}, states={"sample": 100, "n_states": 3})
    reference: dict[bool, tuple] = {}
    worst_A, worst_vector_A, wrong, names = 0.0, 0.0, [], []
    with tempfile.TemporaryDirectory() as scratch:
        for name, paths, told in written(Path(scratch), made):
            names.append(name)
            trajectory = own.read(paths, **told)
            # VASP groups atoms by element; put them back.
            order = make.grouped(made)[2] if name in ("xdatcar", "vasprun") else np.arange(len(made.species))
            back = np.argsort(order)
            positions = trajectory.positions[:, back].astype(float)
            moved = positions - made.positions
            worst_A = max(worst_A, float(np.abs(moved - moved[0]).max()))
            found = environments.extract(
                dataclasses.replace(
                    trajectory,
                    positions=trajectory.positions[:, back],
                    species=trajectory.species[back],
                    offsets=trajectory.offsets[:, back]
                    if trajectory.offsets.shape[1] > 1
                    else trajectory.offsets,
                ),
                ["Li"],
                CUTOFF_A,
            )
            embedding, _ = training.train([found], training.TrainingSettings(**cfg["gcl"]))
            labels = assignment.assign(embedding, [found], assignment.StateSettings(**cfg["states"])).labels
            if not reference:
                reference[True] = (found, labels)
            same, difference = same_environments(reference[True][0], found)
            worst_vector_A = max(worst_vector_A, difference)
            if not same:
                wrong.append(f"{name} (neighbours)")
            if not np.array_equal(labels, reference[True][1]):
                share = np.mean(labels != reference[True][1])
                wrong.append(f"{name} ({share:.2%} of the labels)")
    kind = "changing" if breathing else "constant"
    # Half a unit of float16 at the cutoff is what the store rounds vectors to.
    passed = not wrong and worst_A < 4e-6 and worst_vector_A <= 2**-8
    measured = f"{len(names)} files: positions within {worst_A:.1e} Å, vectors within {worst_vector_A:.1e} Å"
    measured += f"; differ: {', '.join(wrong)}" if wrong else "; neighbours and labels identical"
    return (f"every format alike, {kind} triclinic cell", measured, passed)


def malformed() -> Measured:
    """Run the tests of malformed files."""
    tests = ["tests/unit/test_trajectory_damage.py", "-k", "malformed"]
    command = [sys.executable, "-m", "pytest", "-q", "-rA", *tests]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    bad = re.findall(r"(?m)^(?:FAILED|ERROR).*$", done.stdout)
    good = len(re.findall(r"(?m)^PASSED", done.stdout))
    text = "; ".join([f"{good} of {good + len(bad)} refused with a clear message", *bad])
    return "malformed trajectories: a clear error each", text, done.returncode == 0


def argyrodite() -> Measured:
    """Run the worked example from its XDATCAR pieces to the report."""
    low, high = DIFFUSION_CM2_PER_S
    bar = (
        f"the DFT argyrodite runs from XDATCAR pieces to a report in under {MAX_RUN_S / 60:g} minutes on 2 "
        f"cores, with an apparent D(Li) at 500 K of {low:g} to {high:g} cm2/s"
    )
    data = Path(os.environ.get("ARGYRODITE", ROOT / "data/argyrodite"))
    if not list(data.glob("*XDATCAR*")):
        return bar, "no data: config/examples/argyrodite_dft.yaml says where to fetch them", False
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for part in ("Snakefile", "workflow", "config", "envs", "scripts", "profiles"):
            (shutil.copytree if (ROOT / part).is_dir() else shutil.copy)(ROOT / part, folder / part)
        (folder / "data").mkdir()
        (folder / "data/argyrodite").symlink_to(data.resolve())
        run = [sys.executable, "-m", "snakemake", "--cores", "2"]
        run += ["--configfile", "config/examples/argyrodite_dft.yaml"]
        clean = {k: v for k, v in os.environ.items() if not k.startswith("SNAKEMAKE")}
        started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        for extra in ([], ["--report", "report.html"]):
            done = subprocess.run(
                [*run, *extra], cwd=folder, env=clean, capture_output=True, text=True, check=False
            )
            if done.returncode:
                return bar, f"failed: {' '.join(done.stderr.strip().splitlines()[-3:])}", False
        wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
        size = (folder / "report.html").stat().st_size
        results = folder / "results/examples/argyrodite_dft/argyrodite_dft"
        numbers = json.loads((results / "summary.json").read_text(encoding="utf-8"))["numbers"]
    busy = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    found, strict = numbers["apparent_diffusion/all"], numbers["diffusion/all"]
    told = [
        f"{wall:.0f} s by the clock, {busy:.0f} s of CPU, report {size / 1e6:.1f} MB",
        f"apparent D {found['value']:.2e} [{found['low']:.2e}, {found['high']:.2e}] cm2/s, "
        f"n = {found['n']} ions",
        f"MSD grows as t^{numbers['exponent/all']['value']:.2f}, so `diffusion` is "
        + (f"{strict['value']:.2e}" if strict["supported"] else "not supported"),
    ]
    return bar, "; ".join(told), wall < MAX_RUN_S and low <= found["value"] <= high
