"""Compare a potential with labelled frames of one's own: ``make evaluate MODEL=… DATA=…``.

    python -m getsei.evaluate MODEL DATA... [--teacher chgnet] [--output FOLDER]

Writes a page, a figure, tables and the numbers as JSON into one folder.
"""

import argparse
import csv
import json
import sys
import warnings
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from getsei import provenance
from getsei.errors import GuardError, UserError
from getsei.figures import potentials as figures
from getsei.figures import style
from getsei.potentials import sources, weights
from getsei.potentials.evaluation import accuracy, candidate, contacts, labelled
from getsei.potentials.evaluation.accuracy import Residuals
from getsei.potentials.evaluation.candidate import Candidate
from getsei.potentials.evaluation.labelled import Labels, Offsets
from getsei.report import potential as page

FORCE, ENERGY = "force_meV_per_A", "energy_meV_per_atom"


@dataclass(frozen=True)
class Compared:
    """A potential beside the labels.

    Attributes
    ----------
    name : str
    identity : str
    rows : list of Residuals
        Energies less their fitted offsets, in the order of the frames.
    offsets : Offsets
    report : dict
        From `accuracy.report`.
    """

    name: str
    identity: str
    rows: list[Residuals]
    offsets: Offsets
    report: dict[str, Any]


def compare(tested: Candidate, frames: Sequence[Atoms], fit: str) -> Compared:
    """Evaluate a potential on labelled frames, and take out a difference of the zeros of energy.

    Parameters
    ----------
    tested : Candidate
    frames : sequence of ase.Atoms
        From `labelled.load`.
    fit : {"auto", "always", "never"}
        Whether offsets of the elements are fitted.

    Raises
    ------
    UserError
        If the potential lacks an element.
    """
    # Frames of one list of atoms in a row: binding a potential to its atoms takes longer than a frame.
    order = sorted(range(len(frames)), key=lambda index: frames[index].get_chemical_symbols())
    found = accuracy.residuals([frames[index] for index in order], tested.calculator)
    rows = [row for _, row in sorted(zip(order, found, strict=True), key=lambda pair: pair[0])]
    sizes = np.array([len(frame) for frame in frames])
    offsets = labelled.fit_offsets(frames, np.array([row.energy for row in rows]) * sizes, fit)
    rows = [
        replace(row, energy=row.energy + offsets.of(frame) / len(frame))
        for row, frame in zip(rows, frames, strict=True)
    ]
    report = accuracy.report(rows, labelled.elements_of(frames))
    told = report if offsets.tell else accuracy.without_energies(report)
    return Compared(tested.name, tested.identity, rows, offsets, told)


def between(first: Compared, second: Compared) -> dict[str, Any]:
    """Return the summary of what the first potential says less what the second says."""
    rows = [
        replace(
            a,
            energy=a.energy - b.energy,
            forces=a.forces - b.forces,
            stress=None if a.stress is None or b.stress is None else a.stress - b.stress,
        )
        for a, b in zip(first.rows, second.rows, strict=True)
    ]
    told = first.offsets.tell and second.offsets.tell
    return accuracy.summary(rows) | ({} if told else {ENERGY: None})


def verdict(student: Compared, teacher: Compared, apart: Mapping[str, Any]) -> str:
    """Say whose error is the limit of the student's force error."""
    own, theirs, distance = (
        entry[FORCE]["rmse"]
        for entry in (
            student.report["errors_by_kind"]["all"],
            teacher.report["errors_by_kind"]["all"],
            apart,
        )
    )
    told = (
        f"Forces: {student.name} {own:.3g} meV/Å from the labels, {teacher.name} {theirs:.3g}, and "
        f"{distance:.3g} "
        "from each other (root mean square)."
    )
    if theirs > distance:
        return f"{told} The error of {teacher.name} is the limit: it is larger than what separates the two."
    return f"{told} {teacher.name} is not the limit: what separates the two is larger than its error."


def write(
    folder: Path, labels: Labels, found: Sequence[Compared], scans: Sequence[Any], data: Sequence[str]
) -> Path:
    """Write page, figure, tables and numbers; return the page.

    Parameters
    ----------
    folder : Path
    labels : Labels
    found : sequence of Compared
        The model, and its teacher where there is one.
    scans : sequence of contacts.PairScan
        Of the model.
    data : sequence of str
        Files the labels come from.
    """
    folder.mkdir(parents=True, exist_ok=True)
    apart = between(*found) if len(found) == 2 else None
    model = found[0]
    for number, one in enumerate(found):
        accuracy.write_table(one.report, folder / ("errors.csv" if number == 0 else "errors_teacher.csv"))
    write_frames(folder / "frames.csv", labels.frames, found)
    style.save(
        figures.compared({one.name: one.report for one in found}),
        folder / "parity.png",
        folder / "parity.svg",
    )
    said = list(told(labels, found, data))
    if apart:
        said.append(verdict(*found, apart))
    numbers = {
        "data": {path: provenance.file_digest(path) for path in data},
        "keys": labels.keys,
        "dropped": dict(labels.dropped),
        "said": said,
        "potentials": [
            {
                "name": one.name,
                "identity": one.identity,
                "offsets_eV": one.offsets.per_element_eV if one.offsets.applied else None,
                "undetermined": list(one.offsets.undetermined),
                **one.report,
            }
            for one in found
        ],
        "between": apart,
        "pair_scans": {scan.pair: scan.as_dict() for scan in scans},
        "versions": provenance.versions("getsei", "mace-torch", "chgnet", "torch", "ase", "numpy"),
    }
    text = json.dumps(numbers, indent=1, ensure_ascii=False) + "\n"
    (folder / "evaluation.json").write_text(text, encoding="utf-8")
    sheets = [sheet for one in found for sheet in page.of_errors(one.report, one.name)]
    if any(one.offsets.applied for one in found):
        sheets.append(of_offsets(found))
    sheets.append(of_scans(scans))
    result = folder / "index.html"
    result.write_text(
        page.render(
            f"{model.name} beside {len(labels.frames)} labelled frames",
            said,
            [of_both(found, apart)],
            [page.Picture(folder / "parity.png", page.COMPARED_CAPTION)],
            sheets,
        ),
        encoding="utf-8",
    )
    return result


def told(labels: Labels, found: Sequence[Compared], data: Sequence[str]) -> Sequence[str]:
    """Return what a reader must know of the data before reading the numbers."""
    frames = labels.frames
    keys = ", ".join(f"{what} from {key}" for what, key in labels.keys.items())
    lines = [
        f"{len(frames)} frames, {sum(map(len, frames))} atoms ({', '.join(labelled.elements_of(frames))}) of "
        f"{', '.join(data)}; {keys}."
    ]
    if "stress" not in labels.keys:
        lines.append("The frames carry no stress.")
    lines += [f"Left out: {count} frames {reason}." for reason, count in labels.dropped.items()]
    lines += labels.notes
    lines += [f"{one.name}: {one.offsets.said}" for one in found]
    if not all(frame.info["named"] for frame in frames):
        lines.append(
            "Frames that name no trajectory (key trajectory) count as independent: where they come from "
            "one run, the "
            "intervals are too narrow."
        )
    return lines


def of_both(found: Sequence[Compared], apart: Mapping[str, Any] | None) -> page.Sheet:
    """Return the table of overall errors."""
    rows = [(f"{one.name} - labels", one.report["errors_by_kind"]["all"]) for one in found]
    if apart:
        rows.append((f"{found[0].name} - {found[1].name}", apart))
    return page.of_summaries("Errors", rows)


def of_offsets(found: Sequence[Compared]) -> page.Sheet:
    """Return the table of the fitted constants."""
    fitted = [one for one in found if one.offsets.applied]
    elements = list(fitted[0].offsets.per_element_eV)
    return page.Sheet(
        "Constants added to the energies (eV per atom of the element)",
        ("", *elements),
        [
            (one.name, *(f"{one.offsets.per_element_eV[element]:.4f}" for element in elements))
            for one in fitted
        ],
    )


def of_scans(scans: Sequence[Any]) -> page.Sheet:
    """Return the table of the pair scans."""
    rows = [
        (
            scan.pair,
            f"{scan.wall_A:.2f}",
            f"{scan.well_A:.2f}",
            f"{scan.attractive_A:.2f}" if scan.attractive_A else "no",
        )
        for scan in scans
    ]
    return page.Sheet(
        "Pairs of atoms in an empty box, 0.5 to 5 Å",
        ("pair", "wall of 5 eV at (Å)", "lowest energy at (Å)", "attracts below 1.5 Å, at (Å)"),
        rows,
        "A wall at 0.00 is none.",
    )


def write_frames(path: Path, frames: Sequence[Atoms], found: Sequence[Compared]) -> None:
    """Write one line per frame and potential: errors of energy, forces and stress."""
    with path.open("w", newline="", encoding="utf-8") as handle:
        table = csv.writer(handle)
        table.writerow(
            [
                "frame",
                "potential",
                "kind",
                "trajectory",
                "formula",
                "atoms",
                "reference_energy_eV_per_atom",
                "energy_error_meV_per_atom",
                "force_rmse_meV_per_A",
                "stress_rmse_GPa",
            ]
        )
        for number, frame in enumerate(frames):
            for one in found:
                row = one.rows[number]
                stress = "" if row.stress is None else f"{np.sqrt((row.stress**2).mean()):.5g}"
                table.writerow(
                    [
                        number,
                        one.name,
                        row.kind,
                        row.trajectory,
                        frame.get_chemical_formula(),
                        len(frame),
                        f"{row.reference_energy:.6f}",
                        f"{1000 * row.energy:.5g}" if one.offsets.tell else "",
                        f"{1000 * np.sqrt((row.forces**2).mean()):.5g}",
                        stress,
                    ]
                )


def potential_of(model: str, options: argparse.Namespace) -> dict[str, Any]:
    """Return the settings of the potential that a user names.

    Raises
    ------
    UserError
        If it is a pickled file that nobody vouches for, or the arguments are no JSON mapping.
    """
    source = sources.parse(model)
    if source.kind == "file":
        path = Path(source.name)
        if not path.is_file():
            raise UserError(f"MODEL: {model}: no such file; give {sources.FORMS}")
        if path.suffix != weights.SUFFIX and not (options.sha256 or options.trust):
            raise UserError(
                f"MODEL: {model} is a pickled model, and reading one runs whatever code it holds. If you "
                "trust its "
                f"origin, say so with OPTIONS='--sha256 {provenance.file_digest(path)}' (or --trust)"
            )
    try:
        arguments = json.loads(options.arguments)
        if not isinstance(arguments, dict):
            raise ValueError("expected a mapping")
    except ValueError as error:
        raise UserError(f"--arguments {options.arguments!r}: not a JSON mapping ({error})") from error
    return {
        "model": model,
        "sha256": options.sha256,
        "trust": options.trust,
        "engine": options.engine,
        "dtype": options.dtype,
        "device": options.device,
        "arguments": arguments,
    }


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    words = argparse.ArgumentParser(prog="python -m getsei.evaluate", description=__doc__.splitlines()[0])
    words.add_argument("model", help=f"potential: {sources.FORMS}")
    words.add_argument(
        "data", nargs="+", help="labelled frames: extxyz with energy and forces, stress if there"
    )
    words.add_argument("--teacher", help="a second potential beside it, such as chgnet; same forms")
    words.add_argument("--output", type=Path, help="folder of the results (default results/evaluate/NAME)")
    words.add_argument("--offsets", choices=("auto", "always", "never"), default="auto")
    words.add_argument("--energy-key")
    words.add_argument("--forces-key")
    words.add_argument("--stress-key")
    words.add_argument("--sha256", help="what a pickled model must hash to")
    words.add_argument("--trust", action="store_true", help="read a pickled model without that")
    words.add_argument("--engine", choices=("auto", "native", "torch"), default="auto")
    words.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    words.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    words.add_argument("--arguments", default="{}", help="JSON, of an ASE calculator")
    return words


def load(model: str, options: argparse.Namespace) -> Candidate:
    """Return a potential by its name, without what its package prints."""
    with redirect_stdout(StringIO()):
        return candidate.from_settings(potential_of(model, options))


def run(options: argparse.Namespace) -> list[str]:
    """Evaluate, write the folder, and return what to tell."""
    labels = labelled.load(options.data, options.energy_key, options.forces_key, options.stress_key)
    model = load(options.model, options)
    tested = [model]
    if options.teacher:
        plain = argparse.Namespace(**{**vars(options), "sha256": None, "arguments": "{}"})
        tested.append(load(options.teacher, plain))
    found = []
    for one in tested:
        print(f"{one.name}: {len(labels.frames)} frames …", flush=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the potential's own package
            found.append(compare(one, labels.frames, options.offsets))
    elements = labelled.elements_of(labels.frames)
    scans = contacts.pair_scans(elements, model.calculator, contacts.scan_distances())
    folder = options.output or Path("results/evaluate") / Path(model.name).stem
    result = write(folder, labels, found, scans, options.data)
    lines = [*json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))["said"], ""]
    for one in found:
        entry = one.report["errors_by_kind"]["all"]
        told = [
            f"{key.split('_')[0]} {entry[key]['rmse']:.3g} {unit}"
            for key, unit in accuracy.QUANTITIES.items()
            if entry[key]
        ]
        lines.append(f"{one.name}: {', '.join(told)} (root mean square)")
    return [*lines, f"{result}: page; errors.csv, frames.csv, parity.svg and evaluation.json lie beside it"]


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line; a mistake of the user ends it with one message."""
    options = parser().parse_args(words)
    try:
        with candidate.quiet():
            print("\n".join(run(options)))
    except (UserError, GuardError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
