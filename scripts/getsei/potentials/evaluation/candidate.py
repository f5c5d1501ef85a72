"""A potential under test: student, teacher or a user's own, asked the same questions."""

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ase.calculators.calculator import Calculator

from getsei.potentials import calculators, sources, teachers
from getsei.potentials.ase_calculator import BoundPotential
from getsei.potentials.models import Evaluator

KEY = "MODEL"
"""What messages call the model that a user names on the command line."""


@dataclass(frozen=True)
class Candidate:
    """A potential under test.

    Attributes
    ----------
    name : str
        For tables and figures.
    identity : str
        What tells it from every other potential: SHA-256 of a file, or name and version.
    calculator : ase.calculators.calculator.Calculator
        For periodic cells of any composition.
    evaluator : callable
        From symbols of the atoms to an evaluator bound to them.
    settings : mapping or None
        The part `potential` of a system's settings that names it; None for a teacher.
    """

    name: str
    identity: str
    calculator: Calculator
    evaluator: Callable[[Sequence[str]], Evaluator]
    settings: Mapping[str, Any] | None = None


def from_teacher(teacher: teachers.Teacher) -> Candidate:
    """Return a teacher as a candidate."""
    calculator = teacher.calculator()

    def evaluator(species: Sequence[str]) -> Evaluator:
        known = sorted(set(species))
        return calculators.CalculatorEvaluator(calculator, species, known, teacher.name, quiet=True)

    return Candidate(teacher.name, f"{teacher.name} {teacher.version}", calculator, evaluator)


def from_settings(potential: Mapping[str, Any]) -> Candidate:
    """Return what the settings `potential` name: a file, a foundation model, CHGNet or an ASE calculator.

    Raises
    ------
    UserError
        If there is no such potential.
    """
    source = sources.parse(potential["model"])
    if source.kind == "chgnet":
        return from_teacher(teachers.load("chgnet"))
    if source.kind == "ase":
        made, version = sources.import_calculator(source.name, potential.get("arguments") or {}, KEY)
        return from_teacher(teachers.CalculatorTeacher(made, source.name, version))

    def load(species: Sequence[str]) -> Evaluator:
        return calculators.load(potential, list(species))

    return Candidate(
        name=source.name.rsplit("/", 1)[-1],
        identity=calculators.identity(potential),
        calculator=BoundPotential(load),
        evaluator=load,
        settings=potential,
    )


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Drop what a binding to new atoms tells of itself: an evaluation binds hundreds of times."""
    log = logging.getLogger("getsei.binding")
    before = log.level
    log.setLevel(logging.WARNING)
    try:
        yield
    finally:
        log.setLevel(before)
