"""What wider models and longer cutoffs buy, and what they cost: ``potential_sizes.py FILE... [options]``.

Trains each candidate shape on the same frames of labelled extxyz files for the same number of epochs, and
prints its force error on trajectories that no training saw beside the time of the native kernel and of the
training. A candidate that is finished is read back, one that was stopped goes on from its last epoch.
"""

import argparse
import hashlib
import json
import logging
import resource
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import md_cases as cases
import md_speed
import numpy as np
from ase import Atoms
from getsei.errors import UserError
from getsei.potentials import dataset, dilute, models, training
from getsei.potentials.native import export
from getsei.provenance import file_digest

BASE = training.Architecture()
FIRST_RATE, LAST_RATE = 0.01, 0.001
"""Learning rates of the first and the last epoch."""
DENSE = ("bulk dynamics", "crystalline interface", "interface dynamics", "mixture", "open interface")
"""Kinds of frames that resemble what a run of an interface meets."""
VALIDATION_ATOMS = 1000
"""Evaluated after every epoch, for the log alone."""
MEV = 1000.0
DRAWS = 1000
TIMED_CALLS = 20
IMPORTS = "import getsei.potentials.training, mace.cli.run_train"


def candidates() -> dict[str, training.Architecture]:
    """Return the shapes to compare by name; the first is what the others are compared with."""

    def shape(channels: int, cutoff_A: float = BASE.cutoff_A, **others: int) -> training.Architecture:
        return replace(BASE, channels=channels, cutoff_A=cutoff_A, **others)

    return {
        "32": shape(32),
        "64": shape(64),
        "128": shape(128),
        "32-6A": shape(32, 6.0),
        "96": shape(96),
        "64-6A": shape(64, 6.0),
        "64-lmax3": shape(64, max_ell=3),
        "64-lmax1": shape(64, max_ell=1),
        "64-corr1": shape(64, correlation=1),
    }


def subset(frames: Sequence[Atoms], max_atoms: int, seed: int) -> list[Atoms]:
    """Return all isolated atoms, and frames drawn at random until they hold `max_atoms`."""
    chosen = [frame for frame in frames if frame.info["kind"] == dilute.ISOLATED]
    rest = [frame for frame in frames if frame.info["kind"] != dilute.ISOLATED]
    atoms = sum(map(len, chosen))
    for number in np.random.default_rng(seed).permutation(len(rest)):
        if atoms + len(rest[number]) > max_atoms:
            break
        chosen.append(rest[number])
        atoms += len(rest[number])
    return chosen


@dataclass(frozen=True)
class Errors:
    """Squared force errors summed over each trajectory, (meV/Å)^2, and numbers of components."""

    trajectories: list[str]
    sums: list[float]
    counts: list[int]

    @classmethod
    def of(cls, frames: Sequence[Atoms], forces: Sequence[np.ndarray]) -> "Errors":
        """Return the errors of forces (n_atoms, 3) in eV/Å on labelled frames."""
        sums: dict[str, float] = {}
        counts: dict[str, int] = {}
        for frame, found in zip(frames, forces, strict=True):
            name = str(frame.info["trajectory"])
            square = MEV**2 * float(((found - frame.arrays[dataset.FORCES]) ** 2).sum())
            sums[name], counts[name] = sums.get(name, 0.0) + square, counts.get(name, 0) + found.size
        return cls(list(sums), list(sums.values()), list(counts.values()))

    def rmse(self) -> float:
        """Return the root mean square error in meV/Å."""
        return float(np.sqrt(sum(self.sums) / sum(self.counts)))

    def over(self, other: "Errors") -> tuple[float, float, float]:
        """Return the ratio of this error to another of the same frames, and its 95 % interval.

        Trajectories are drawn anew for both alike, so that what is hard for both does not widen the interval.
        """
        if self.trajectories != other.trajectories:
            raise ValueError("errors of different frames")
        one, two = np.array(self.sums), np.array(other.sums)
        drawn = np.random.default_rng(1).integers(len(one), size=(DRAWS, len(one)))
        ratios = np.sqrt(one[drawn].sum(axis=1) / two[drawn].sum(axis=1))
        low, high = np.quantile(ratios, [0.025, 0.975])
        return self.rmse() / other.rmse(), float(low), float(high)


def interval(errors: Errors) -> tuple[float, float]:
    """Return the 95 % interval of the error, trajectories drawn anew."""
    sums, counts = np.array(errors.sums), np.array(errors.counts)
    drawn = np.random.default_rng(1).integers(len(sums), size=(DRAWS, len(sums)))
    low, high = np.quantile(np.sqrt(sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)), [0.025, 0.975])
    return float(low), float(high)


def children_s() -> float:
    """Return the CPU time of the processes that were started and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def imports_s() -> float:
    """Return the CPU time that starting the trainer takes before the first epoch."""
    before = children_s()
    scripts = {"PYTHONPATH": str(cases.ROOT / "scripts"), "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", IMPORTS], check=True, capture_output=True, env=scripts)
    return children_s() - before


def run(
    folder: Path,
    architecture: training.Architecture,
    schedule: training.Schedule,
    parts: dict[str, list[Atoms]],
    seed: int,
) -> dict[str, Any]:
    """Train and measure one candidate, or read what was measured before."""
    note = folder / "measured.json"
    if note.is_file():
        return json.loads(note.read_text(encoding="utf-8"))
    done = len(training.checkpoints_of(folder / "training"))
    start, before = imports_s(), children_s()
    model = training.train(
        parts,
        folder / "training",
        folder / "student.safetensors",
        architecture=architecture,
        schedule=schedule,
        seed=seed,
    )
    seconds = (children_s() - before - start) / max(1, schedule.epochs - done)
    module = models.read_mace(model)
    case = cases.crystal(md_speed.CRYSTAL, md_speed.REPEATS[1])
    tables = export.export(module)
    kernel_us = md_speed.alone(cases.native(tables, case), case, TIMED_CALLS)

    def errors(frames: Sequence[Atoms]) -> dict[str, Any]:
        forces = []
        for frame in frames:
            atoms = cases.Case("", frame.positions, frame.cell[:], frame.get_chemical_symbols())
            forces.append(cases.torch(module, atoms)(atoms.positions, atoms.cell).forces)
        return asdict(Errors.of(frames, forces))

    found = {
        "train": errors(parts["train"]),
        "test": errors(parts["test"]),
        "dense": errors([frame for frame in parts["test"] if frame.info["kind"] in DENSE]),
        "kernel_us": kernel_us,
        "epoch_s": seconds,
        "parameters": sum(weight.numel() for weight in module.parameters()),
    }
    folder.mkdir(parents=True, exist_ok=True)
    note.write_text(json.dumps(found, indent=1), encoding="utf-8")
    return found


def row(name: str, found: dict[str, Any], base: dict[str, Any]) -> str:
    """Return one line of the table."""
    test, dense = Errors(**found["test"]), Errors(**found["dense"])
    low, high = interval(test)
    cells = [
        f"{name:>9} {found['parameters']:8d} {Errors(**found['train']).rmse():7.0f}",
        f"{test.rmse():7.0f} ({low:3.0f} to {high:3.0f})",
    ]
    for errors, other in ((test, base["test"]), (dense, base["dense"])):
        ratio, low, high = errors.over(Errors(**other))
        cells.append(f"{errors.rmse():5.0f} {ratio:5.2f} ({low:.2f} to {high:.2f})")
    cells.append(f"{found['kernel_us']:6.1f} {found['kernel_us'] / base['kernel_us']:5.2f}")
    cells.append(f"{found['epoch_s']:7.1f} {found['epoch_s'] / base['epoch_s']:5.2f}")
    return "  ".join(cells)


def main(arguments: Sequence[str]) -> int:
    """Run the candidates and print the table after each."""
    shapes = candidates()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path, help="labelled extxyz, such as */labelled.extxyz")
    parser.add_argument("--only", nargs="+", choices=list(shapes), default=list(shapes), metavar="NAME")
    parser.add_argument("--atoms", type=int, default=12_000, help="atoms to train on (default 12000)")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=cases.ROOT / "results/benchmarks/sizes")
    chosen = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        parts = dataset.split([frame for path in chosen.files for frame in dataset.load(path)])
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    parts["train"] = subset(parts["train"], chosen.atoms, chosen.seed)
    parts["validation"] = subset(parts["validation"], VALIDATION_ATOMS, chosen.seed)
    decay = (LAST_RATE / FIRST_RATE) ** (1 / max(1, chosen.epochs - 1))
    schedule = training.Schedule(chosen.epochs, FIRST_RATE, decay)
    digests = [file_digest(path) for path in chosen.files]
    for part, frames in parts.items():
        trajectories = len({frame.info["trajectory"] for frame in frames})
        print(f"{part}: {len(frames)} frames of {trajectories} trajectories, {sum(map(len, frames))} atoms")
    print(f"{chosen.epochs} epochs, learning rate {FIRST_RATE:g} to {LAST_RATE:g}, batches of 2, one thread")
    print(
        "forces: root mean square error in meV/Å, 95 % interval over trajectories; ratios to the first row\n"
        f"dense: {', '.join(DENSE)}\n"
        "kernel: µs per atom and call, float32, one thread; training: CPU s per epoch"
    )
    heads = f"{'':>9} {'weights':>8} {'train F':>7}  {'test F':>20}  {'test':>5} {'ratio':>20}"
    print(f"{heads}  {'dense':>5} {'ratio':>20}  {'kernel':>6} ratio  {'s/epoch':>7} ratio", flush=True)
    base = None
    for name in [next(iter(shapes)), *(n for n in shapes if n in chosen.only and n != next(iter(shapes)))]:
        facts = [asdict(shapes[name]), asdict(schedule), chosen.atoms, chosen.seed, digests]
        key = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:8]
        found = run(chosen.folder / f"{name}-{key}", shapes[name], schedule, parts, chosen.seed)
        base = base or found
        print(row(name, found, base), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
