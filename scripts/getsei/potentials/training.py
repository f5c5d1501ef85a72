"""Training of a small MACE model by mace-torch, in a process of its own."""

import logging
import os
import pickle
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols

from getsei.errors import UserError
from getsei.potentials import dataset, dilute, models, pairs, weights

log = logging.getLogger("getsei")


NAME = "student"
"""By which mace-torch names what it writes."""
STUDENT = f"{NAME}{weights.SUFFIX}"
"""The trained model, in the working folder of its training."""


@dataclass(frozen=True)
class Architecture:
    """Shape of the model: the class that the compiled evaluator understands.

    Attributes
    ----------
    channels : int
        Scalar features per atom.
    interactions : int
        Message-passing layers.
    max_ell : int
        Highest spherical harmonic.
    correlation : int
        Body order of a message minus one.
    cutoff_A : float
    """

    channels: int = 32
    interactions: int = 2
    max_ell: int = 2
    correlation: int = 2
    cutoff_A: float = 5.0

    @property
    def mean_neighbours(self) -> int:
        """Divisor of the messages: 30 within 5 Å. Not measured, so that it is the same in every round."""
        return round(30 * (self.cutoff_A / 5.0) ** 3)


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train.

    Attributes
    ----------
    epochs : int
        Epochs of this round.
    learning_rate, decay : float
        Rate at the start of this round and its factor per epoch.
    energy_weight, forces_weight, stress_weight : float
    huber_delta : float
        Errors below it count by their square, larger ones in proportion (P. J. Huber, Ann. Math. Stat. 35
        (1964) 73); in eV per atom, eV/Å and eV/Å3.
    batch_size : int
    """

    epochs: int
    learning_rate: float = 0.01
    decay: float = 0.95
    energy_weight: float = 1.0
    forces_weight: float = 10.0
    stress_weight: float = 10.0
    huber_delta: float = 0.01
    batch_size: int = 2


def command(
    folder: Path,
    name: str,
    architecture: Architecture,
    schedule: Schedule,
    isolated: Mapping[int, float],
    seed: int,
    device: str,
) -> list[str]:
    """Return the command line of mace-torch's trainer; `isolated` as from `energies_of_isolated_atoms`."""
    arguments = {
        "name": name,
        "work_dir": str(folder),
        "train_file": str(folder / "train.extxyz"),
        "valid_file": str(folder / "validation.extxyz"),
        "energy_key": dataset.ENERGY,
        "forces_key": dataset.FORCES,
        "stress_key": dataset.STRESS,
        "E0s": repr(dict(isolated)),
        "model": "MACE",
        "hidden_irreps": f"{architecture.channels}x0e",
        "num_interactions": architecture.interactions,
        "max_ell": architecture.max_ell,
        "correlation": architecture.correlation,
        "MLP_irreps": "16x0e",
        "num_radial_basis": 8,
        "num_cutoff_basis": pairs.ENVELOPE_POWER,
        "r_max": architecture.cutoff_A,
        "compute_avg_num_neighbors": False,
        "avg_num_neighbors": architecture.mean_neighbours,
        "loss": "universal",
        "huber_delta": schedule.huber_delta,
        "energy_weight": schedule.energy_weight,
        "forces_weight": schedule.forces_weight,
        "stress_weight": schedule.stress_weight,
        "compute_stress": True,
        "lr": schedule.learning_rate,
        "scheduler": "ExponentialLR",
        "lr_scheduler_gamma": schedule.decay,
        "batch_size": schedule.batch_size,
        "valid_batch_size": 8,
        "max_num_epochs": schedule.epochs,
        "patience": 1000,
        "eval_interval": 1,
        "clip_grad": 10,
        "ema_decay": 0.99,
        "weight_decay": 1e-8,
        "default_dtype": "float32",
        "device": device,
        "seed": seed,
        "num_workers": 0,
        "plot": False,
        "error_table": "PerAtomRMSE",
        # Nobody reads its error on what it learnt from, which costs minutes with mace-torch's own gradients.
        "skip_evaluate_heads": "train",
    }
    flags = [
        "--pair_repulsion",
        "--amsgrad",
        "--ema",
        "--restart_latest",
        # The last epoch counts, not the best on a small validation part.
        "--save_all_checkpoints",
        "--save_cpu",
    ]
    words = [f"--{key}={value}" for key, value in arguments.items()]
    return [sys.executable, "-m", "getsei.potentials.trainer", *words, *flags]


def checkpoints_of(folder: Path) -> list[Path]:
    """Return the checkpoints of a training, oldest first."""
    found = (folder / "checkpoints").glob("*_epoch-*.pt")
    return sorted(found, key=lambda path: int(path.stem.rsplit("-", 1)[1].split("_")[0]))


def drop_damaged(folder: Path) -> None:
    """Delete checkpoints, newest first, until one can be read.

    A kill while one is written leaves half a file. mace-torch would not go on from it, but start from random
    weights, and say nothing.
    """
    import torch

    for path in reversed(checkpoints_of(folder)):
        try:
            torch.load(path, map_location="cpu", weights_only=True)
        except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
            log.warning("%s: damaged (%s); going on from the one before", path, type(error).__name__)
            path.unlink()
        else:
            return


def energies_of_isolated_atoms(frames: Sequence[Atoms]) -> dict[int, float]:
    """Return the energy in eV of the isolated atom of every element in the frames, by atomic number.

    They are the zero of the model's energies, so that what it learns vanishes with the last neighbour. Mean
    energies of a data set are no such zero: they lie far below an atom's, and nothing then holds atoms
    together where no training frame says so.

    Raises
    ------
    UserError
        If an element has no frame of its isolated atom.
    """
    found = {
        int(frame.numbers[0]): float(frame.info[dataset.ENERGY])
        for frame in frames
        if frame.info["kind"] == dilute.ISOLATED
    }
    missing = sorted({int(number) for frame in frames for number in set(frame.numbers)} - set(found))
    if missing:
        names = ", ".join(chemical_symbols[number] for number in missing)
        raise UserError(
            f"the data set has no isolated atom of {names}, whose energy is the zero of the model's; add the "
            "element to potential_training.elements and sample round 0 again"
        )
    return dict(sorted(found.items()))


def rms_force(frames: Sequence[Atoms]) -> float:
    """Return the root mean square force component in eV/Å, by which the outputs of a new model are scaled.

    Without the frames of `dataset.FIXED` kinds: among forces of thousands of eV/Å between pairs, the scale
    would be forty times that of all other frames, and every step of the training as much too long.
    """
    forces = [f.arrays[dataset.FORCES].ravel() for f in frames if f.info["kind"] not in dataset.FIXED]
    return float(np.sqrt(np.mean(np.square(np.concatenate(forces))))) if forces else 1.0


def member_seed(seed: int, member: int) -> int:
    """Return the seed of a member of a committee: never that of the student or of another member."""
    return seed + 1000 * member


def resampled(frames: Sequence[Atoms], seed: int) -> list[Atoms]:
    """Return a bootstrap resample of whole trajectories, as many as there are; fixed kinds all stay.

    Members of a committee that see different data disagree where data are few (L. Breiman, Mach. Learn. 24
    (1996) 123).
    """
    by_name: dict[str, list[Atoms]] = {}
    fixed = [frame for frame in frames if frame.info["kind"] in dataset.FIXED]
    for frame in frames:
        if frame.info["kind"] not in dataset.FIXED:
            by_name.setdefault(str(frame.info["trajectory"]), []).append(frame)
    names = sorted(by_name)
    rng = np.random.default_rng([seed, 7])
    drawn = rng.integers(len(names), size=len(names)) if names else []
    return [*fixed, *(frame for number in drawn for frame in by_name[names[number]])]


def hand_over(start: Path, folder: Path, schedule: Schedule, seed: int) -> None:
    """Make the last checkpoint of one training the first of another, with the schedule of the latter.

    Weights are kept. The learning rate begins anew and the stored decay is replaced: mace-torch would
    otherwise go on with those of the checkpoint. The moments of the optimiser begin anew too, because they
    measure the gradients of another loss on other frames, and AMSGrad's largest, those of random weights,
    never fall.

    Parameters
    ----------
    start, folder : Path
        Working folders of the earlier and of the new training.
    schedule : Schedule
    seed : int
        Of the new training, by which mace-torch names its checkpoints.

    Raises
    ------
    UserError
        If the earlier training left no checkpoint.
    """
    import torch

    found = checkpoints_of(start)
    if not found:
        raise UserError(f"{start}: no checkpoint to go on from; train the round before again")
    state = torch.load(found[-1], map_location="cpu", weights_only=True)
    for group in state["optimizer"]["param_groups"]:
        group["lr"] = group["initial_lr"] = schedule.learning_rate
    groups = len(state["optimizer"]["param_groups"])
    state["optimizer"]["state"] = {}
    state["lr_scheduler"].update(
        gamma=schedule.decay,
        base_lrs=[schedule.learning_rate] * groups,
        _last_lr=[schedule.learning_rate] * groups,
        last_epoch=0,
    )
    target = folder / "checkpoints"
    target.mkdir(parents=True, exist_ok=True)
    partial = target / ".first.part"
    torch.save(state, partial)
    partial.replace(target / f"{NAME}_run-{seed}_epoch-0.pt")


def run(words: Sequence[str], journal: Path) -> None:
    """Run mace-torch's trainer in the folder of a journal, add what it says to that, and log every epoch.

    Raises
    ------
    UserError
        If it fails; the message names the journal.
    """
    drop_damaged(journal.parent)
    scripts = str(Path(__file__).resolve().parents[2])
    environment = {**os.environ, "PYTHONPATH": scripts, "PYTHONUNBUFFERED": "1"}
    with (
        journal.open("a", encoding="utf-8", buffering=1) as handle,  # a kill loses no line
        subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
        ) as process,
    ):
        for line in process.stdout or ():
            handle.write(line)
            if "Epoch" in line:
                log.info("%s", re.sub(r"^.*INFO: ", "", line.strip()))
    if process.returncode != 0:
        raise UserError(f"the training of the potential failed; its log is {journal}")


def train(
    frames: dict[str, Sequence[Atoms]],
    folder: Path,
    output: Path,
    *,
    architecture: Architecture,
    schedule: Schedule,
    seed: int,
    device: str = "cpu",
    start: Path | None = None,
) -> Path:
    """Train, resuming from the last checkpoint in `folder` if there is one.

    Parameters
    ----------
    frames : dict
        Labelled frames of the parts ``train`` and ``validation``.
    folder : Path
        Working folder; kept between attempts, so that a killed training goes on.
    output : Path
        Where the trained model goes.
    architecture : Architecture
    schedule : Schedule
    seed : int
    device : str
    start : Path, optional
        Working folder of an earlier training of the same architecture and elements, from whose last
        checkpoint this one goes on.

    Returns
    -------
    Path
        The trained model.

    Raises
    ------
    UserError
        If a part is empty, an element lacks its isolated atom, or the training fails, whose log is named.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("train", "validation"):
        if not frames[name]:
            raise UserError(f"the {name} part of the data set is empty; sample more trajectories")
        dataset.save(folder / f"{name}.extxyz", frames[name])
    drop_damaged(folder)  # the first one may be half written over, and is handed over again
    if start is not None and not checkpoints_of(folder):
        hand_over(start, folder, schedule, seed)
    isolated = energies_of_isolated_atoms([*frames["train"], *frames["validation"]])
    words = command(folder, NAME, architecture, schedule, isolated, seed, device)
    words += ["--mean=0.0", f"--std={rms_force(frames['train'])}"]
    run(words, folder / "training.log")
    # Written by our own trainer a moment ago; what is kept and handed on is data only.
    weights.save(models.read_pickle(folder / f"{NAME}.model"), folder / STUDENT)
    for pickled in folder.glob("*.model"):
        pickled.unlink()
    output.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(folder / STUDENT, output)
    return output
