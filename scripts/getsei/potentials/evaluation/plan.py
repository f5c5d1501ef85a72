"""Which questions an evaluation asks, and of whom (standard library only: the workflow reads it).

Every question is a part with an output of its own, so that a kill loses little, and the teacher's answers
serve every later student.
"""

from collections.abc import Mapping, Sequence
from typing import Any

STUDENT, TEACHER = "student", "teacher"
CONTACTS, SOLIDS, ENERGY, SPEED = "contacts", "solids", "energy", "speed"
STABILITY, REACTIVITY, STRUCTURE, DIFFUSION = "stability", "reactivity", "structure", "diffusion"
JOINT = "-"
"""Between the question and the crystal that it is asked about."""
SHARED = (CONTACTS, SOLIDS, STRUCTURE, REACTIVITY)
"""Asked of the teacher too; it is too slow for the others."""


NEEDED = (
    "teacher",
    "elements",
    "electrolytes",
    "metal",
    "products",
    "orderings",
    "frame_weights",
    "seed",
    "evaluation",
)
"""Settings that an answer depends on; another training leaves the teacher's answers as they are."""


def parts(cfg: Mapping[str, Any]) -> list[str]:
    """Return the names of all parts for the settings `potential_training`, quick ones first."""
    electrolytes: Sequence[str] = cfg["electrolytes"]
    each = [
        f"{question}{JOINT}{name}"
        for question in (STRUCTURE, ENERGY, REACTIVITY, STABILITY)
        for name in electrolytes
    ]
    shares = [f"{DIFFUSION}{JOINT}{number}" for number in range(len(cfg["evaluation"]["diffusion"]["cases"]))]
    return [CONTACTS, SPEED, SOLIDS, *each, *shares]


def parts_of(who: str, cfg: Mapping[str, Any]) -> list[str]:
    """Return the parts that the student or the teacher is asked."""
    return [part for part in parts(cfg) if who == STUDENT or question(part)[0] in SHARED]


def question(part: str) -> tuple[str, str]:
    """Return the question and what it is asked about, empty where it is about all."""
    name, _, about = part.partition(JOINT)
    return name, about
