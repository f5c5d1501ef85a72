"""Makes a committee and calibrates it: what its disagreement says about the actual error.

Members have three origins. Draws of the readouts cost no training: the last, linear layers of the model are
drawn from the posterior that the forces of training frames leave them (after F. Bigi, S. Chong, M. Ceriotti,
F. Grasselli, Mach. Learn.: Sci. Technol. 5 (2024) 045018, 10.1088/2632-2153/ad805f, who give the variance
in closed form). Students of earlier rounds of active learning are there anyway. Trained members are models of
their own, each trained on a bootstrap resample.

    python -m getsei.potentials.calibration model.safetensors labelled.extxyz [--earlier older.safetensors]
"""

import argparse
import itertools
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols
from scipy.stats import spearmanr

from getsei import provenance
from getsei.errors import UserError
from getsei.potentials import dataset, models, starts
from getsei.potentials.uncertainty import (
    Ensemble,
    Group,
    Overlay,
    Uncertainty,
    by_group,
    in_quick_order,
)

log = logging.getLogger("getsei")

MEMBERS = 8
"""Draws of the readouts: the rank correlation with the error is 0.688, with the exact variance 0.701."""
POSTERIOR_FRAMES = 150
"""Training frames whose forces make the posterior: thousands of forces for some fifty weights."""
LARGEST_FRAME = 150
"""Atoms; larger frames cost more and tell the same."""
RIDGE = 1e-8
"""Of the mean eigenvalue; keeps directions that no force depends on from diverging."""
MIN_RUN_FRAMES = 20
"""With fewer validation or test frames of a student's own dynamics, all frames are used."""
LARGE = 3.0
"""An error is large beyond this multiple of what is usual for the element, its root mean square on the
validation frames; and an atom of which such an error is expected is extrapolated. At 2 it is 3 % of the atoms
of any run, hardly one of which stands out; at 3 it is 0.1 to 1.3 %, and 18 % of a random mixture's, most of
them rightly."""
MIN_ATOMS = 30
"""An element with fewer atoms in the validation frames takes the numbers of all elements together."""
BINS = (0.0, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0)
"""Quantiles of the expected error between which it is compared with the actual one."""


def last_layers(module: Any) -> dict[str, np.ndarray]:
    """Return the weights on which the energy of a MACE model depends linearly, by name.

    Raises
    ------
    UserError
        If a readout is of another kind.
    """
    state, found = module.state_dict(), {}
    for number in range(len(module.readouts)):
        names = [f"readouts.{number}.{layer}.weight" for layer in ("linear_2", "linear")]
        name = next((name for name in names if name in state), None)
        if name is None:
            raise UserError(f"readout {number} of the model has no last linear layer; train a committee")
        found[name] = state[name].detach().cpu().numpy().copy()
    return found


def draw_readouts(module: Any, frames: Sequence[Atoms], members: int, seed: int) -> list[dict[str, Any]]:
    """Draw members whose readouts follow the posterior of a linear fit to forces, up to a common factor.

    The forces F = sum_k w_k f_k are linear in the readouts w. With the sum C of f f^T over the training
    forces, the posterior of w is normal around the trained weights with a covariance proportional to the
    inverse of C.

    Parameters
    ----------
    module : torch.nn.Module
        The model in float64.
    frames : sequence of ase.Atoms
        Training frames; `POSTERIOR_FRAMES` of them, drawn at random, are used.
    members, seed : int

    Returns
    -------
    list of dict
        Overlays.
    """
    rng = np.random.default_rng([seed, 9])
    trained = last_layers(module)
    flat = np.concatenate([value.ravel() for value in trained.values()])
    small = [f for f in frames if len(f) <= LARGEST_FRAME and f.info["kind"] not in dataset.FIXED]
    if not small:
        raise UserError("no training frame of a size for the posterior of the readouts")
    chosen = [small[row] for row in rng.permutation(len(small))[:POSTERIOR_FRAMES]]
    # The first variant has no readouts: what is left is the repulsion, on which they have no bearing.
    units = [np.zeros(flat.size), *np.eye(flat.size)]
    basis = Ensemble(module, [_unravel(unit, trained) for unit in units])
    products = np.zeros((flat.size, flat.size))
    for frame in (chosen[row] for row in in_quick_order(chosen)):
        forces = basis.forces(frame.get_chemical_symbols(), frame.positions, frame.cell[:])
        features = (forces[1:] - forces[0]).reshape(flat.size, -1)
        products += features @ features.T
    values, vectors = np.linalg.eigh(products)
    widths = 1.0 / np.sqrt(np.maximum(values, 0.0) + RIDGE * values.mean())
    drawn = flat + (rng.standard_normal((members, flat.size)) * widths) @ vectors.T
    return [_unravel(weights, trained) for weights in drawn]


def _unravel(flat: np.ndarray, like: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    cuts = np.cumsum([value.size for value in like.values()])[:-1]
    return {
        name: part.reshape(value.shape)
        for (name, value), part in zip(like.items(), np.split(flat, cuts), strict=True)
    }


def trained_members(module: Any, paths: Sequence[Path]) -> list[dict[str, Any]]:
    """Return what differs in models trained from the same shape.

    Raises
    ------
    UserError
        If a member is of another shape or of other elements.
    """
    own = {name: value.cpu().numpy() for name, value in module.state_dict().items()}
    members = []
    for path in paths:
        other = {name: value.cpu().numpy() for name, value in models.read_mace(path).state_dict().items()}
        if any(name not in own or own[name].shape != value.shape for name, value in other.items()):
            raise UserError(f"{path}: a member of a committee must have the shape of its model")
        differing = {name: value for name, value in other.items() if not np.array_equal(value, own[name])}
        members.append({name: value.astype(np.float32) for name, value in differing.items()})
    return members


def _stretched(members: Sequence[Overlay], module: Any, factor: float) -> list[dict[str, np.ndarray]]:
    """Return members whose readouts lie `factor` times as far from the model's."""
    own = last_layers(module)
    return [
        {name: own[name] + factor * (value - own[name]) for name, value in member.items()}
        for member in members
    ]


def compare(module: Any, groups: Sequence[Group], frames: Sequence[Atoms]) -> dict[str, np.ndarray]:
    """Return for every atom of labelled frames the disagreements and the actual error of its force.

    Returns
    -------
    dict
        ``disagreement`` (n_groups, n) and ``error`` (n,) in eV/Å, ``numbers`` (atomic numbers) and ``frame``
        (index), (n,); n is the number of atoms of all frames.
    """
    ensemble = Ensemble(module, [{}, *(member for group in groups for member in group.members)])
    sizes = [len(group.members) for group in groups]
    rows: dict[str, list[np.ndarray]] = {"disagreement": [], "error": [], "numbers": [], "frame": []}
    for number in in_quick_order(frames):
        frame = frames[number]
        forces = ensemble.forces(frame.get_chemical_symbols(), frame.positions, frame.cell[:])
        rows["disagreement"].append(by_group(forces, sizes))
        rows["error"].append(np.linalg.norm(forces[0] - frame.arrays[dataset.FORCES], axis=1))
        rows["numbers"].append(frame.numbers)
        rows["frame"].append(np.full(len(frame), number))
    return {name: np.concatenate(values, axis=-1) for name, values in rows.items()}


def fit_scales(
    spread: np.ndarray, error: np.ndarray, numbers: np.ndarray, elements: Mapping[str, int]
) -> dict[str, float]:
    """Return for each element the factor that makes a disagreement match the actual error, in rms.

    Parameters
    ----------
    spread, error : (n,) array
        Disagreement of a group and actual error, eV/Å.
    numbers : (n,) array
        Atomic numbers.
    elements : mapping
        Symbol to atomic number.
    """
    widths, errors = (root_mean_squares(values, numbers, elements) for values in (spread, error))
    return {symbol: errors[symbol] / max(widths[symbol], 1e-12) for symbol in elements}


def root_mean_squares(
    values: np.ndarray, numbers: np.ndarray, elements: Mapping[str, int]
) -> dict[str, float]:
    """Return the root mean square for each element; for one with fewer than `MIN_ATOMS` that of all atoms."""
    found = {}
    for symbol, number in elements.items():
        mine = numbers == number
        found[symbol] = float(np.sqrt((values[mine if mine.sum() >= MIN_ATOMS else ...] ** 2).mean()))
    return found


def of_atoms(values: Mapping[str, float], numbers: np.ndarray) -> np.ndarray:
    """Return for atoms of these atomic numbers, (n,), the value of their element."""
    return np.array([values[chemical_symbols[number]] for number in numbers])


def of_runs(frames: Sequence[Atoms]) -> list[Atoms]:
    """Return the frames of a student's own dynamics (`starts.RUNS`), or all where they are too few.

    An uncertainty judges runs. Fitted to random mixtures and close contacts, whose few enormous errors make
    the factors, it expected 1.2 to 1.6 times the errors of runs at 300 K, and marked the wrong atoms.
    """
    chosen = [frame for frame in frames if frame.info["kind"] in starts.RUNS]
    return chosen if len(chosen) >= MIN_RUN_FRAMES else list(frames)


def expected_errors(rows: Mapping[str, np.ndarray], groups: Sequence[Group]) -> np.ndarray:
    """Return the expected error of every atom, (n,) in eV/Å: root mean square over the groups' estimates."""
    factors = np.array([of_atoms(group.scales, rows["numbers"]) for group in groups])
    return np.sqrt(((factors * rows["disagreement"]) ** 2).mean(axis=0))


def scores_of(marked: np.ndarray, large: np.ndarray) -> dict[str, float]:
    """Return share of marked atoms, precision, recall and F1 of finding the large errors."""
    hits = float((marked & large).sum())
    precision, recall = hits / max(float(marked.sum()), 1.0), hits / max(float(large.sum()), 1.0)
    return {
        "marked": float(marked.mean()),
        "precision": precision,
        "recall": recall,
        "f1": 2 * precision * recall / max(precision + recall, 1e-12),
    }


def assess(expected: np.ndarray, rows: Mapping[str, np.ndarray], limits: np.ndarray) -> dict[str, Any]:
    """Return how well expected errors tell the actual ones.

    Parameters
    ----------
    expected : (n,) array
        eV/Å.
    rows : mapping
        From `compare`.
    limits : (n,) array
        Expected errors beyond them mark an atom, and actual ones beyond them are what it is marked for; eV/Å.

    Returns
    -------
    dict
        Rank correlation (Spearman) over atoms and over frames (root mean squares), the ratio of actual to
        expected root mean square error in bins of the latter, and how well the marks find large errors.
    """
    error, frame = rows["error"], rows["frame"]
    by_frame = np.array(
        [
            [np.sqrt((values[frame == one] ** 2).mean()) for values in (expected, error)]
            for one in np.unique(frame)
        ]
    )
    order = np.argsort(expected, kind="stable")
    edges = np.round(np.array(BINS) * len(order)).astype(int)
    parts = [order[low:high] for low, high in itertools.pairwise(edges) if high > low]
    ratios = [float(np.sqrt((error[p] ** 2).mean() / (expected[p] ** 2).mean())) for p in parts]
    return {
        "atoms": len(error),
        "frames": len(by_frame),
        "spearman_atoms": float(spearmanr(expected, error).statistic),
        "spearman_frames": float(spearmanr(*by_frame.T).statistic) if len(by_frame) > 2 else None,
        "rms_error_eV_per_A": float(np.sqrt((error**2).mean())),
        "error_over_expected": float(np.sqrt((error**2).mean() / (expected**2).mean())),
        "error_over_expected_by_quantile": dict(zip(map(str, BINS[1:]), ratios, strict=False)),
        **scores_of(expected > limits, error > limits),
    }


def calibrate(
    model: Path,
    parts: Mapping[str, Sequence[Atoms]],
    *,
    draws: int = MEMBERS,
    earlier: Sequence[Path] = (),
    trained: Sequence[Path] = (),
    seed: int = 1,
) -> Uncertainty:
    """Make the uncertainty of a model: factors and limits from validation frames, checked on test frames.

    Parameters
    ----------
    model : Path
        ``.safetensors``.
    parts : mapping
        Labelled frames of ``train``, ``validation`` and ``test``.
    draws : int
        Draws of the readouts.
    earlier : sequence of Path
        Students of earlier rounds; each is a group of its own.
    trained : sequence of Path
        Members trained on resamples.
    seed : int

    Raises
    ------
    UserError
        If a part is empty, or there is no member.
    """
    dense = {
        name: [frame for frame in frames if frame.info["kind"] not in dataset.FIXED]
        for name, frames in parts.items()
    }
    for name in ("train", "validation", "test"):
        if not dense.get(name):
            raise UserError(f"the {name} part of the data set is empty; label more trajectories")
    module = models.read_mace(model)
    groups = [Group("student", trained_members(module, [path])) for path in earlier]
    if trained:
        groups.append(Group("trained", trained_members(module, trained)))
    if draws:
        groups.insert(0, _drawn(module, dense, draws, seed))
    if not groups:
        raise UserError("no members: draw readouts, or name earlier students or trained members")
    return fitted(model, module, groups, dense)


def fitted(
    model: Path, module: Any, groups: Sequence[Group], parts: Mapping[str, Sequence[Atoms]]
) -> Uncertainty:
    """Fit factors and thresholds to validation frames, and check them on test frames.

    Both are frames of a student's own dynamics, where there are enough (`of_runs`); how it does on all other
    test frames is reported as ``elsewhere``.

    Parameters
    ----------
    model : Path
    module : torch.nn.Module
        The model in float64.
    groups : sequence of Group
    parts : mapping
        Labelled frames of ``validation`` and ``test``.
    """
    elements = dict(
        zip(models.known_elements(module), (int(number) for number in module.atomic_numbers), strict=True)
    )
    asked = {name: of_runs(parts[name]) for name in ("validation", "test")}
    used = set(map(id, asked["test"]))
    if other := [frame for frame in parts["test"] if id(frame) not in used]:
        asked["elsewhere"] = other
    checked = {name: compare(module, groups, frames) for name, frames in asked.items()}
    truth = checked["validation"]
    groups = [
        replace(group, scales=fit_scales(spread, truth["error"], truth["numbers"], elements))
        for group, spread in zip(groups, truth["disagreement"], strict=True)
    ]
    usual = root_mean_squares(truth["error"], truth["numbers"], elements)
    thresholds = {symbol: LARGE * value for symbol, value in usual.items()}
    report = {
        name: assess(expected_errors(rows, groups), rows, of_atoms(thresholds, rows["numbers"]))
        for name, rows in checked.items()
    }
    for name, found in report.items():
        log.info(
            "%s: rank correlation %.3f over %d atoms, error over expected error %.2f, marked %.1f %%",
            name,
            found["spearman_atoms"],
            found["atoms"],
            found["error_over_expected"],
            100 * found["marked"],
        )
    return Uncertainty(groups, thresholds, provenance.file_digest(model), report)


def _drawn(module: Any, dense: Mapping[str, Sequence[Atoms]], draws: int, seed: int) -> Group:
    """Return draws of the readouts, as far from the model's as the errors on validation frames ask for."""
    members = draw_readouts(module, dense["train"], draws, seed)
    rows = compare(module, [Group("readouts", members)], of_runs(dense["validation"]))
    common = np.sqrt((rows["error"] ** 2).sum() / max((rows["disagreement"] ** 2).sum(), 1e-300))
    return Group("readouts", _stretched(members, module, float(common)))


def main(words: list[str] | None = None) -> int:
    """Make the uncertainty of a model from labelled frames; it lies beside the model."""
    parser = argparse.ArgumentParser(prog="python -m getsei.potentials.calibration", description=main.__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path, nargs="+", help="labelled frames (extxyz of label_frames)")
    parser.add_argument("--earlier", type=Path, nargs="*", default=[], help="students of earlier rounds")
    parser.add_argument("--trained", type=Path, nargs="*", default=[], help="members trained on resamples")
    parser.add_argument("--draws", type=int, default=MEMBERS, help="draws of the readouts")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args(words)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    try:
        parts = dataset.split([frame for path in chosen.data for frame in dataset.load(path)])
        found = calibrate(
            chosen.model,
            parts,
            draws=chosen.draws,
            earlier=chosen.earlier,
            trained=chosen.trained,
            seed=chosen.seed,
        )
        limits = ", ".join(f"{symbol} {value:.3f}" for symbol, value in found.thresholds.items())
        print(f"{found.save(chosen.model)}: thresholds in eV/Å: {limits}")
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
