"""Student beside teacher, in numbers: what the card and the page say, from the answers to the plan."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from getsei.potentials.evaluation import matched, plan, reactions

Answers = Mapping[str, Any]
"""Part of the plan to what was found; a part that was not asked is absent."""
END_SHARE = 0.1
"""Last part of a matched run over which broken bonds are averaged."""


def of_contacts(student: Answers, teacher: Answers) -> dict[str, Any]:
    """Return what keeps each pair of elements apart, student and teacher."""
    return {
        pair: {
            "wall_A": scan["wall_A"],
            "well_A": scan["well_A"],
            "holds": scan["holds"],
            "attracts_below_1.5_A_at": scan["attractive_below_close_A"],
            "teacher_attracts_below_1.5_A_at": teacher.get(plan.CONTACTS, {})
            .get(pair, {})
            .get("attractive_below_close_A"),
        }
        for pair, scan in student.get(plan.CONTACTS, {}).items()
    }


def of_solids(student: Answers, teacher: Answers) -> dict[str, Any]:
    """Return the crystals as both relax them, and the largest relative difference of a cell length."""
    found = {}
    for name, own in student.get(plan.SOLIDS, {}).items():
        other = teacher.get(plan.SOLIDS, {}).get(name)
        found[name] = {"student": own, "teacher": other, "lattice_error": None}
        if other:
            lengths = np.array(own["lengths_A"]) / np.array(other["lengths_A"])
            found[name]["lattice_error"] = float(np.abs(lengths - 1.0).max())
    return found


def of_reactions(
    student: Answers, teacher: Answers, formulas: Mapping[str, str], cfg: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Return the energies of all reactions of electrolytes with the metal, in eV per formula unit.

    Crystals of one formula (an ordered and a disordered electrolyte) each have their own.
    """
    own = {name: solid["energy_eV"] for name, solid in student.get(plan.SOLIDS, {}).items()}
    other = {name: solid["energy_eV"] for name, solid in teacher.get(plan.SOLIDS, {}).items()}
    found = []
    for electrolyte in cfg["electrolytes"] if own else ():
        for reaction in reactions.balanced(electrolyte, cfg["metal"], cfg["products"], formulas):
            mine, theirs = reaction.energy(own), reaction.energy(other) if other else None
            found.append(
                {
                    "electrolyte": electrolyte,
                    "equation": str(reaction),
                    "student_eV": mine,
                    "teacher_eV": theirs,
                    "difference_meV_per_atom": None
                    if theirs is None
                    else 1000.0 * (mine - theirs) / reaction.atoms,
                    "relative_error": abs(mine - theirs) / abs(theirs) if theirs else None,
                }
            )
    return found


def of_structure(student: Answers, teacher: Answers) -> dict[str, dict[str, float]]:
    """Return how far the radial distributions of both are apart, by electrolyte and pair of elements."""
    return {
        about: matched.difference(found, teacher[part])
        for part, about, found in _asked(student, plan.STRUCTURE)
        if part in teacher
    }


def of_reactivity(student: Answers, teacher: Answers) -> dict[str, Any]:
    """Return the share of framework bonds broken at the end of the matched runs, one number per seed."""
    found: dict[str, Any] = {}
    for part, about, mine in _asked(student, plan.REACTIVITY):
        theirs = teacher.get(part)
        found[about] = {
            pair: {
                "bonds": mine["bonds"][pair],
                "ps": mine["times_ps"][-1],
                "student": [_end(series) for series in mine["broken"][pair]],
                "teacher": [_end(series) for series in theirs["broken"][pair]] if theirs else None,
            }
            for pair in mine["broken"]
        }
    return found


def _end(series: Sequence[float]) -> float:
    return round(float(np.mean(series[-max(1, round(END_SHARE * len(series))) :])), 4)


def _asked(answers: Answers, question: str) -> list[tuple[str, str, Any]]:
    """Return part, what it is about and answer of every part of one question."""
    return [
        (part, plan.question(part)[1], found)
        for part, found in answers.items()
        if plan.question(part)[0] == question
    ]


def of_diffusion(student: Answers) -> list[dict[str, Any]]:
    """Return diffusion coefficients beside published ones, without the curves."""
    return [
        {key: value for key, value in found.items() if key not in ("lags_ps", "msd_A2")}
        for _, _, found in _asked(student, plan.DIFFUSION)
    ]


def answers_of(parts: Mapping[str, Mapping[str, Any]]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the answers, and why the others are missing, from what `measure.part` gave for each part."""
    answers = {part: answer["found"] for part, answer in parts.items() if answer["found"] is not None}
    return answers, {part: answer["ended_by"] for part, answer in parts.items() if answer["found"] is None}


def digest(
    cfg: Mapping[str, Any],
    student: Answers,
    teacher: Answers,
    formulas: Mapping[str, str],
    failed: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return everything that was measured without held-out data, as one JSON-ready dictionary.

    Parameters
    ----------
    cfg : mapping
        The settings `potential_training`.
    student, teacher : mapping
        Answers by part of the plan; parts may be missing.
    formulas : mapping
        Name of each crystal to its formula.
    failed : mapping, optional
        Part to why the student broke down in it.
    """
    return {
        "failed": dict(failed or {}),
        "pair_scans": of_contacts(student, teacher),
        "solids": of_solids(student, teacher),
        "reactions": of_reactions(student, teacher, formulas, cfg),
        "radial_distributions": of_structure(student, teacher),
        "broken_bonds": of_reactivity(student, teacher),
        "energy_conservation": {about: found for _, about, found in _asked(student, plan.ENERGY)},
        "stability": [run for _, _, found in _asked(student, plan.STABILITY) for run in found],
        "diffusion": of_diffusion(student),
        "speed": student.get(plan.SPEED),
    }
