"""Say what would be understood of trajectory files, and what is missing, before anything runs."""

import argparse
import sys
from collections.abc import Iterator, Sequence

import numpy as np

from getsei import cells
from getsei.errors import UserError
from getsei.trajectory import own, readers
from getsei.trajectory.intake import Survey, survey

FRAMES = 1000
"""Frames read of each file, unless told otherwise."""


def describe(found: Survey, settings: dict) -> Iterator[str]:
    """Yield lines on what was understood, what is missing, and the config entry that goes with it."""
    elements, counts = np.unique(found.species, return_counts=True)
    composition = " ".join(f"{e}{n}" for e, n in zip(elements, counts, strict=True))
    for file in found.files:
        dropped = f", {file['dropped']} repeated" if file["dropped"] else ""
        yield f"file        {file['file']}: {file['format']}, {file['frames']} frames{dropped}"
    if not found.whole:
        yield f"            (the first {FRAMES} frames of each file; all with --all)"
    yield f"atoms       {len(found.species)}: {composition}"
    lengths = np.linalg.norm(found.first_cell, axis=1)
    shape = " x ".join(f"{x:.3f}" for x in lengths)
    kind = "constant" if found.constant_cell else "changes with time, used frame by frame"
    yield f"cell        {shape} Å, {cells.volume(found.first_cell):.1f} Å³, {kind}"
    timing = found.timing
    if np.isfinite(timing.interval_ps):
        total = found.n_frames * timing.interval_ps
        yield f"time        {total:g} ps, frames {timing.interval_ps:g} ps apart ({timing.origin})"
    yield f"segments    {len(timing.segments)}" + ("; one ends before" if timing.gaps else "")
    for gap in timing.gaps:
        yield f"            {gap}"
    if found.unwrapped:
        yield "positions   unwrapped in the files"
    else:
        yield (
            f"positions   unwrapped by the shortest step; the longest is {found.largest_step_A:.2f} Å, "
            f"steps up to {found.limit_A:.2f} Å can be followed"
        )
    yield f"drift       centre of mass {np.linalg.norm(found.drift_A):.3f} Å"
    for label, lines in (("note", found.notes), ("warning", found.warnings), ("missing", found.problems)):
        for line in lines:
            yield f"{label:<11} {line}"
    yield ""
    yield "systems:" if not found.problems else "systems:   # incomplete, see above"
    yield "  my_system:"
    yield "    trajectory:"
    for key, value in settings.items():
        yield f"      {key}: {value if not isinstance(value, list) else '[' + ', '.join(value) + ']'}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Inspect the files named on the command line; return 0 where nothing is missing, else 1."""
    parser = argparse.ArgumentParser(prog="make inspect FILE='…' OPTIONS='…'", description=__doc__)
    parser.add_argument("files", nargs="+", help="files in the order of time; patterns in quotes")
    parser.add_argument("--format", choices=readers.FORMATS, default="auto")
    parser.add_argument("--types", help="elements of the numeric types 1, 2, …: Li,P,S,Cl")
    parser.add_argument("--topology", help="file that names the atoms")
    parser.add_argument("--timestep-fs", type=float)
    parser.add_argument("--frame-interval-fs", type=float)
    parser.add_argument("--joins", choices=("auto", "always", "never"))
    parser.add_argument("--truncated", choices=("refuse", "drop"))
    parser.add_argument("--all", action="store_true", help="read all frames, not the first ones of each file")
    given = vars(parser.parse_args(arguments))
    whole = given.pop("all")
    settings = {key: value for key, value in given.items() if value not in (None, "auto")}
    if "types" in settings:
        settings["types"] = [name.strip() for name in settings["types"].split(",")]
    try:
        found = survey(own.sources_of(settings), own.options_of(settings), limit=None if whole else FRAMES)
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write("\n".join(describe(found, settings)) + "\n")
    return 1 if found.problems else 0


if __name__ == "__main__":
    sys.exit(main())
