"""Fine-tune an existing MACE model on labelled frames of one's own, DFT for instance.

All weights are trained further on the new labels (naive fine-tuning); or, with frames to replay, under two
heads that share everything but the readouts: one goes on with what the model knew, so that it does not
forget it, the other learns the new labels and is what remains (multi-head replay: I. Batatia et al.,
arXiv:2401.00096).
"""

import hashlib
import logging
import shutil
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from ase import Atoms
from ase.data import chemical_symbols

from getsei import provenance
from getsei.errors import UserError
from getsei.potentials import calculators, calibration, dataset, models, sources, training, weights
from getsei.potentials.ase_calculator import MACEPotential
from getsei.potentials.evaluation import accuracy, labelled

log = logging.getLogger("getsei")

HEAD = "Default"
"""Name that mace-torch gives the head of the new labels."""
MIN_TRAJECTORIES = 3
"""One to train on, one to validate on, one to test on."""
SCHEDULE = training.Schedule(
    epochs=20, learning_rate=0.001, decay=0.85, energy_weight=5.0, stress_weight=50.0
)
"""A tenth of the rate of a training from nothing."""


@dataclass(frozen=True)
class Start:
    """The model to start from.

    Attributes
    ----------
    path : Path
    module : torch.nn.Module
        In float64.
    """

    path: Path
    module: Any

    @classmethod
    def load(cls, model: str, sha256: str | None = None, *, trust: bool = False) -> "Start":
        """Read a model file, or a foundation model ``mace:NAME``.

        Raises
        ------
        UserError
            If it is neither, or a pickle that nobody vouches for.
        """
        source = sources.parse(model)
        if source.kind not in ("file", "mace"):
            raise UserError(f"{model}: only a MACE model can be fine-tuned; give a file or mace:NAME")
        path = calculators.foundation_file(source.name) if source.kind == "mace" else Path(source.name)
        return cls(path, models.read_mace(path, sha256=sha256, trust=trust))


def split(frames: Sequence[Atoms]) -> dict[str, list[Atoms]]:
    """Return ``train``, ``validation`` and ``test``, by whole trajectories; none of them is empty.

    By the hash of the trajectory's name, as all data here; where few trajectories leave a part empty, it gets
    one of those for training.

    Raises
    ------
    UserError
        If there are fewer than three trajectories.
    """
    parts = dataset.split(frames)
    for name in ("test", "validation"):
        names = sorted({str(frame.info["trajectory"]) for frame in parts["train"]})
        if parts[name]:
            continue
        if len(names) < MIN_TRAJECTORIES - (name == "validation"):
            raise UserError(
                f"the data hold {len({f.info['trajectory'] for f in frames})} trajectories; at least "
                f"{MIN_TRAJECTORIES} are needed: one each to train, validate and test on. Frames that name "
                "no trajectory count as one each"
            )
        parts[name] = [frame for frame in parts["train"] if frame.info["trajectory"] == names[-1]]
        parts["train"] = [frame for frame in parts["train"] if frame.info["trajectory"] != names[-1]]
    return parts


def energies_of_elements(start: Start, frames: Sequence[Atoms]) -> tuple[dict[int, float], str]:
    """Return the energy in eV of every element, moved to the zero of the labels, and what was done.

    What the elements of the frames lack is fitted (`labelled.fit_offsets`); the others keep theirs.

    Raises
    ------
    UserError
        If the model lacks an element of the frames.
    """
    known = models.known_elements(start.module)
    missing = sorted({symbol for frame in frames for symbol in frame.get_chemical_symbols()} - set(known))
    if missing:
        raise UserError(
            f"{start.path}: the model knows {', '.join(known)} but not {', '.join(missing)}; fine-tuning "
            "adds no element. Start from a model that knows them"
        )
    judge = MACEPotential(start.path, trust=True)
    errors = []
    for frame in frames:
        atoms = Atoms(frame.numbers, positions=frame.positions, cell=frame.cell, pbc=True)
        atoms.calc = judge
        errors.append(atoms.get_potential_energy() - frame.info[dataset.ENERGY])
    offsets = labelled.fit_offsets(frames, np.array(errors))
    own = start.module.atomic_energies_fn.atomic_energies.detach().cpu().numpy().ravel()
    return {
        int(number): float(energy) + offsets.per_element_eV.get(chemical_symbols[int(number)], 0.0)
        for number, energy in zip(start.module.atomic_numbers, own[: len(known)], strict=True)
    }, offsets.said


def command(
    folder: Path,
    start: Start,
    schedule: training.Schedule,
    energies: Mapping[int, float],
    seed: int,
    device: str,
    *,
    replay: bool,
) -> list[str]:
    """Return the command line of mace-torch's trainer, which takes the shape from the model itself."""
    shape = training.Architecture(cutoff_A=float(start.module.r_max))
    words = training.command(folder, training.NAME, shape, schedule, energies, seed, device)
    extra = {
        "foundation_model": folder / "start.model",
        "foundation_model_elements": True,
        "multiheads_finetuning": replay,
        # mace-torch would otherwise choose a rate of its own, and an average over more steps than there are.
        "force_mh_ft_lr": True,
    }
    if replay:
        extra |= {
            "pt_train_file": folder / "replay.extxyz",
            "pt_valid_file": folder / "replay_validation.extxyz",
        }
    return [*words, *(f"--{key}={value}" for key, value in extra.items())]


def finetune(
    start: Start,
    data: Sequence[Path],
    output: Path,
    *,
    replay: Sequence[Path] = (),
    schedule: training.Schedule = SCHEDULE,
    seed: int = 1,
    device: str = "cpu",
) -> dict[str, Any]:
    """Fine-tune a model; a killed run goes on from its last epoch when it is started again.

    Parameters
    ----------
    start : Start
    data : sequence of Path
        Labelled frames, in any form that `labelled.load` reads.
    output : Path
        The tuned model, ``.safetensors``; its card and its uncertainty lie beside it.
    replay : sequence of Path
        Labelled frames of what the model knew; with them the tuning has two heads.
    schedule, seed, device
        As for `training.train`.

    Returns
    -------
    dict
        The card.

    Raises
    ------
    UserError
        If a file cannot be used, or the training fails.
    """
    import torch

    if output.suffix != weights.SUFFIX:
        raise UserError(f"{output}: the name of the tuned model must end in {weights.SUFFIX}")
    found = labelled.load(data)
    for note in found.notes:
        log.info("%s", note)
    parts = split(found.frames)
    energies, said = energies_of_elements(start, parts["train"])
    log.info("%s", said)
    inputs = [*map(Path, data), *map(Path, replay)]
    digests = {path.name: provenance.file_digest(path) for path in inputs}
    origin = provenance.file_digest(start.path)
    mark = hashlib.sha256(repr([sorted(digests.items()), origin, schedule, seed]).encode()).hexdigest()[:12]
    folder = output.with_name(f".{output.stem}-{mark}")
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("train", "validation"):
        dataset.save(folder / f"{name}.extxyz", parts[name])
    if replay:
        old = split(labelled.load(replay).frames)
        dataset.save(folder / "replay.extxyz", [*old["train"], *old["test"]])
        dataset.save(folder / "replay_validation.extxyz", old["validation"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.save(start.module.float(), folder / "start.model")
    start.module.double()
    training.run(
        command(folder, start, schedule, energies, seed, device, replay=bool(replay)),
        folder / "training.log",
    )
    module = single(models.read_pickle(folder / f"{training.NAME}.model"))
    output.parent.mkdir(parents=True, exist_ok=True)
    weights.save(module, output)
    card = _card(start, output, parts, said, digests, origin, schedule, replay=bool(replay))
    output.with_suffix(".yaml").write_text(
        yaml.safe_dump(card, sort_keys=False, allow_unicode=True, width=110), encoding="utf-8"
    )
    try:
        calibration.calibrate(output, parts, seed=seed).save(output)
    except UserError as error:
        log.info("no uncertainty for the tuned model: %s", error)
    shutil.rmtree(folder)
    return card


def single(module: Any) -> Any:
    """Return a model with the head of the new labels alone."""
    from mace.tools.scripts_utils import remove_pt_head

    if len(module.heads) < 2:
        return module
    with warnings.catch_warnings(), weights.default_dtype(next(module.parameters()).dtype):
        warnings.simplefilter("ignore")
        return remove_pt_head(module, HEAD)


def _card(
    start: Start,
    output: Path,
    parts: Mapping[str, Sequence[Atoms]],
    said: str,
    digests: Mapping[str, str],
    origin: str,
    schedule: training.Schedule,
    *,
    replay: bool,
) -> dict[str, Any]:
    """Return the card: origin, data, and errors before and after on frames that were held out."""
    errors = {}
    for when, model in (("before", start.path), ("after", output)):
        rows = accuracy.residuals(parts["test"], MACEPotential(model, trust=True))
        found = accuracy.summary(rows)
        errors[when] = {
            "force_rmse_meV_per_A": round(found["force_meV_per_A"]["rmse"], 2),
            "force_interval95": found["force_meV_per_A"]["interval95"],
        }
        if when == "after":
            errors[when]["energy_rmse_meV_per_atom"] = round(found["energy_meV_per_atom"]["rmse"], 3)
    return {
        "name": output.stem,
        "sha256": provenance.file_digest(output),
        "elements": list(models.known_elements(start.module)),
        "cutoff_A": float(start.module.r_max),
        "fine_tuned_from": {"file": start.path.name, "sha256": origin},
        "heads": "two, with replay" if replay else "one",
        "data": {
            "files": dict(digests),
            **{name: {"frames": len(f), "atoms": sum(map(len, f))} for name, f in parts.items()},
        },
        "energies": said,
        "errors_on_test_frames": errors,
        "schedule": {key: getattr(schedule, key) for key in ("epochs", "learning_rate", "decay")},
        "versions": provenance.versions("mace-torch", "torch", "ase", "numpy"),
    }
