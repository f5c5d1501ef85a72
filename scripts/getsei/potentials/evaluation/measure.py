"""Answers of one candidate to one question of the plan."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from getsei.errors import GuardError
from getsei.potentials import active, dataset, sampling, starts
from getsei.potentials.evaluation import (
    accuracy,
    conduction,
    contacts,
    matched,
    plan,
    runs,
    solids,
)
from getsei.potentials.evaluation.candidate import Candidate
from getsei.potentials.teachers import Teacher, label_all
from getsei.structures import crystals

WITHOUT_KERNEL = 0.25
"""Share of the lengths of the stability runs for a potential that the native kernel cannot run."""


def mobile_of(cfg: Mapping[str, Any]) -> list[str]:
    """Return the mobile elements: those of the metal."""
    return sorted(set(dataset.cell_of(cfg["metal"], 0).get_chemical_symbols()))


def part(cfg: Mapping[str, Any], name: str, candidate: Candidate) -> dict[str, Any]:
    """Answer one part of the plan.

    Parameters
    ----------
    cfg : mapping
        The settings `potential_training`.
    name : str
        One of `plan.parts`.
    candidate : Candidate

    Returns
    -------
    dict
        JSON-ready: ``potential`` (its identity), ``found``, and ``ended_by``: why nothing was found, where
        the potential broke down on the way; empty otherwise.
    """
    question, about = plan.question(name)
    try:
        found, ended = ANSWERS[question](cfg, about, candidate), ""
    except GuardError as error:
        found, ended = None, str(error)
    return {"potential": candidate.identity, "found": found, "ended_by": ended}


def _contacts(cfg: Mapping[str, Any], about: str, candidate: Candidate) -> dict[str, Any]:
    scans = contacts.pair_scans(cfg["elements"], candidate.calculator, contacts.scan_distances())
    return {scan.pair: scan.as_dict() for scan in scans}


def _solids(cfg: Mapping[str, Any], about: str, candidate: Candidate) -> dict[str, Any]:
    chosen = dataset.materials(cfg)
    names = (*chosen.electrolytes, chosen.metal, *chosen.products)
    alone = solids.isolated_energies(set(cfg["elements"]), candidate.calculator)
    return {
        name: solids.measure(dataset.cell_of(name, 0), candidate.calculator, alone).as_dict()
        for name in names
    }


def _structure(cfg: Mapping[str, Any], about: str, candidate: Candidate) -> dict[str, Any]:
    checks = cfg["evaluation"]
    atoms = sampling.small_supercell(dataset.cell_of(about, 0), starts.MIN_BULK_ATOMS)
    return matched.structure(atoms, candidate, checks["matched"], checks["timestep_fs"], cfg["seed"])


def _reactivity(cfg: Mapping[str, Any], about: str, candidate: Candidate) -> dict[str, Any]:
    checks = cfg["evaluation"]
    rng = np.random.default_rng([cfg["seed"], 7])
    metal = dataset.cell_of(cfg["metal"], 0)
    atoms = sampling.molten_interface(
        dataset.cell_of(about, 0), metal, checks["matched"]["metal_thickness_A"], rng
    )
    seeds = [cfg["seed"] + number for number in range(checks["matched"]["seeds"])]
    return matched.reactivity(
        atoms, candidate, checks["matched"], checks["timestep_fs"], mobile_of(cfg), seeds
    )


def interface(cfg: Mapping[str, Any], electrolyte: str) -> Atoms:
    """Return the crystalline interface of an electrolyte with the metal, as the data set has it."""
    built = dict(starts.crystalline_starts(dataset.materials(cfg), cfg["seed"]))
    return built[f"{electrolyte}-crystalline"]


def _energy(cfg: Mapping[str, Any], about: str, candidate: Candidate) -> dict[str, Any]:
    checks, atoms = cfg["evaluation"], interface(cfg, about)
    return runs.energy_drift(
        atoms,
        candidate.evaluator(atoms.get_chemical_symbols()),
        temperature_K=checks["energy"]["temperature_K"],
        ps=checks["energy"]["ps"],
        timestep_fs=checks["timestep_fs"],
        seed=cfg["seed"],
    )


def _stability(cfg: Mapping[str, Any], about: str, candidate: Candidate) -> list[dict[str, Any]]:
    checks, atoms = cfg["evaluation"], interface(cfg, about)
    evaluator = candidate.evaluator(atoms.get_chemical_symbols())
    share = 1.0 if "native" in evaluator.name else WITHOUT_KERNEL
    return [
        runs.stability(
            about,
            atoms,
            evaluator,
            temperature_K=stage["temperature_K"],
            ps=share * stage["ps"],
            every_ps=checks["check_every_ps"],
            timestep_fs=checks["timestep_fs"],
            max_force_eV_per_A=checks["max_force_eV_per_A"],
            seed=cfg["seed"],
        ).as_dict()
        for stage in checks["stability"]
    ]


def _diffusion(cfg: Mapping[str, Any], about: str, candidate: Candidate) -> dict[str, Any]:
    checks = cfg["evaluation"]
    settings = {**checks["diffusion"], "mobile": mobile_of(cfg)}
    return conduction.case(
        dataset.cell_of(settings["crystal"], 0),
        candidate.evaluator,
        settings,
        int(about),
        checks["timestep_fs"],
        cfg["seed"],
    )


def _speed(cfg: Mapping[str, Any], about: str, candidate: Candidate) -> dict[str, Any]:
    atoms = interface(cfg, cfg["electrolytes"][0])
    size = None
    if candidate.settings is not None and Path(candidate.settings["model"]).is_file():
        size = Path(candidate.settings["model"]).stat().st_size
    return {"atoms": len(atoms), "us_per_atom": dict(runs.speeds(atoms, candidate)), "file_bytes": size}


ANSWERS: Mapping[str, Callable[[Mapping[str, Any], str, Candidate], Any]] = {
    plan.CONTACTS: _contacts,
    plan.SOLIDS: _solids,
    plan.STRUCTURE: _structure,
    plan.REACTIVITY: _reactivity,
    plan.ENERGY: _energy,
    plan.STABILITY: _stability,
    plan.DIFFUSION: _diffusion,
    plan.SPEED: _speed,
}


def errors(
    cfg: Mapping[str, Any], test: list[Atoms], candidate: Candidate, teacher: Teacher
) -> dict[str, Any]:
    """Return the errors on held-out frames and on frames of the candidate's own dynamics.

    Parameters
    ----------
    cfg : mapping
        The settings `potential_training`.
    test : list of ase.Atoms
        Labelled, from trajectories that no training saw.
    candidate : Candidate
        The student.
    teacher : Teacher
        Labels the frames of the student's own dynamics.
    """
    own = list(active.own_frames(cfg, candidate.calculator))
    own, dropped = dataset.usable(own, label_all(teacher, own))
    names = (*cfg["electrolytes"], cfg["metal"], *cfg["products"])
    rows = accuracy.residuals([*test, *own], candidate.calculator, accuracy.named_system(names))
    found = accuracy.report(rows, cfg["elements"])
    return {"potential": candidate.identity, "found": {**found, "own_frames_dropped": dict(dropped)}}


def formulas(cfg: Mapping[str, Any]) -> dict[str, str]:
    """Return the formula of every crystal of the settings, as its source writes it."""
    return {
        name: crystals.load(name).formula for name in (*cfg["electrolytes"], cfg["metal"], *cfg["products"])
    }
