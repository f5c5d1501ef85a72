"""The page of a potential: bars, figures and tables in one file."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from getsei.potentials.evaluation import accuracy, learning
from getsei.potentials.evaluation.bars import Bar

FOLDER = Path(__file__).parent
TEMPLATE, STYLE = "potential.html.j2", "page.css"


@dataclass(frozen=True)
class Sheet:
    """A table of the page."""

    name: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    text: str = ""


@dataclass(frozen=True)
class Picture:
    """A PNG figure of the page and what it shows."""

    path: Path
    caption: str
    src: str = field(init=False)

    def __post_init__(self) -> None:
        data = base64.b64encode(Path(self.path).read_bytes()).decode()
        object.__setattr__(self, "src", f"data:image/png;base64,{data}")


INTERVALS = "Root mean square; in brackets the 95 % interval of a bootstrap over trajectories."
ACCURACY_CAPTION = (
    "Errors on labelled frames. a: predicted against reference force components (a sample). b: errors of the "
    "energies by kind of frame (linear within 5 meV/atom). c: root mean square error of the stress "
    "components. d to "
    "f: root mean square force error per component. Bars are 95 % intervals from a bootstrap over "
    "trajectories, "
    "absent below three; broken lines are the limits for all frames (stress) and for every kind of frame "
    "(forces)."
)
ROUNDS_CAPTION = (
    "Active learning. a: force error on the validation part by epoch, in rounds and final trainings. "
    "b: after each round, force errors on the "
    "validation part and of the student before the round on its own dynamics, and how large its "
    "uncertainty said "
    "they would be; bars are 95 % intervals. c: labelled frames."
)
PHYSICS_CAPTION = (
    "Student beside teacher. a, b: energy of two atoms in an empty box for every pair of elements, in "
    "colour where they attract below 1.5 Å. c: relaxed cell lengths; shaded: within 1 %. d: bulk moduli. "
    "e: energies of the reactions with the metal per formula unit; shaded: within 10 %. f: mean square "
    "displacement of Li, dotted: slope of the published diffusion coefficient. Below: share of the "
    "framework bonds of the start that are broken, one line per seed, number of bonds in brackets; radial "
    "distribution functions of the bulk crystals. Full lines: student, broken lines: teacher, from the "
    "same atoms with the same velocities and random forces."
)

COMPARED_CAPTION = (
    "Above: predicted against reference force components (a sample of them, coloured by element), and "
    "errors of the "
    "energies by kind of frame (linear within 5 meV/atom), for each potential. Below: root mean square "
    "force error "
    "per component by kind of frame, by system and by element; bars are 95 % intervals from a bootstrap over "
    "trajectories, absent below three."
)


def render(
    title: str,
    said: Sequence[str],
    first: Sequence[Sheet],
    pictures: Sequence[Picture],
    sheets: Sequence[Sheet],
) -> str:
    """Return the page as HTML.

    Parameters
    ----------
    title : str
    said : sequence of str
        Paragraphs under the title.
    first, sheets : sequence of Sheet
        Tables before and after the figures.
    pictures : sequence of Picture
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=True,
        trim_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template(TEMPLATE).render(
        title=title,
        said=said,
        first=first,
        pictures=pictures,
        sheets=sheets,
        style=Markup((FOLDER / STYLE).read_text(encoding="utf-8")),
    )


def of_bars(bars: Iterable[Bar]) -> Sheet:
    """Return the table of the bars."""
    rows = [(bar.verdict, bar.name, bar.limit, bar.measured) for bar in bars]
    met = sum(row[0] == "pass" for row in rows)
    return Sheet("Bars", ("verdict", "bar", "limit", "measured"), rows, f"{met} of {len(rows)} met.")


def of_summaries(name: str, rows: Sequence[tuple[str, Mapping[str, Any]]], text: str = INTERVALS) -> Sheet:
    """Return a table with one line per summary of `accuracy.summary`."""
    columns = ("", "frames", "trajectories", "energy (meV/atom)", "force (meV/Å)", "stress (GPa)")
    lines = [
        (label, row["frames"], row["trajectories"], *(_error(row[key]) for key in accuracy.QUANTITIES))
        for label, row in rows
    ]
    return Sheet(name, columns, lines, text)


def _error(value: Mapping[str, Any] | None) -> str:
    if value is None:
        return ""
    low, high = value["interval95"] or (None, None)
    return f"{value['rmse']:.3g}" + (f" [{low:.3g}, {high:.3g}]" if low is not None else "")


def of_errors(found: Mapping[str, Any], who: str = "the student") -> list[Sheet]:
    """Return the tables of the errors on labelled frames."""
    sheets = [
        of_summaries(f"Errors of {who} by {label}", list(found[group].items()))
        for group, label in accuracy.GROUPS.items()
    ]
    elements = [
        (name, row["atoms"], _error({"rmse": row["force_rmse_meV_per_A"], "interval95": row["interval95"]}))
        for name, row in found["errors_by_element"].items()
    ]
    return [*sheets, Sheet(f"Force errors of {who} by element", ("", "atoms", "force (meV/Å)"), elements)]


def _number(value: Any, digits: int = 4) -> str:
    return "" if value is None else f"{value:.{digits}g}" if isinstance(value, float) else str(value)


def of_measured(found: Mapping[str, Any]) -> list[Sheet]:
    """Return the tables of what was measured without labels, from `digest.digest`."""
    solids = []
    for name, both in found["solids"].items():
        for who in ("student", "teacher"):
            own = both[who]
            if own:
                lengths = " ".join(f"{length:.3f}" for length in own["lengths_A"])
                keys = ("density_g_per_cm3", "cohesive_eV", "bulk_modulus_GPa")
                solids.append((name, who, lengths, *(_number(own[key]) for key in keys)))
    reactions = [
        (
            entry["electrolyte"],
            entry["equation"],
            f"{entry['student_eV']:.2f}",
            _number(entry["teacher_eV"], 3),
            "" if entry["relative_error"] is None else f"{100 * entry['relative_error']:.1f} %",
        )
        for entry in found["reactions"]
    ]
    broken = [
        (system, pair, entry["bonds"], *(_shares(entry[who]) for who in ("student", "teacher")))
        for system, pairs in found["broken_bonds"].items()
        for pair, entry in pairs.items()
    ]
    differences = [
        (system, ", ".join(f"{pair} {value:.2f}" for pair, value in pairs.items()))
        for system, pairs in found["radial_distributions"].items()
    ]
    return [
        Sheet(
            "Crystals",
            ("", "", "cell lengths (Å)", "density (g/cm³)", "cohesion (eV/atom)", "bulk modulus (GPa)"),
            solids,
            "Cell and positions relaxed. Bulk modulus: parabola through energies of cells strained by up to "
            "1.5 %, atoms settled.",
        ),
        Sheet(
            "Reactions",
            ("electrolyte", "reaction", "student (eV)", "teacher (eV)", "difference"),
            reactions,
            "Energy per formula unit of the electrolyte, of relaxed crystals, without temperature.",
        ),
        Sheet(
            "Bonds broken at the end of the matched runs",
            ("", "bond", "bonds", "student, by seed", "teacher, by seed"),
            broken,
        ),
        Sheet(
            "Radial distributions",
            ("", "norm of the difference over norm of the teacher's"),
            differences,
        ),
    ]


def _shares(values: Sequence[float] | None) -> str:
    return ", ".join(f"{value:.2f}" for value in values) if values else ""


def write(
    path: str | Path,
    name: str,
    bars: Sequence[Bar],
    errors: Mapping[str, Any],
    measured: Mapping[str, Any],
    rounds: Sequence[Mapping[str, Any]],
    figures: Sequence[str | Path],
) -> None:
    """Write the page of the rule evaluate_potential.

    Parameters
    ----------
    path : path
    name : str
        Of the model.
    bars : sequence of Bar
    errors : mapping
        From `accuracy.report`.
    measured : mapping
        From `digest.digest`.
    rounds : sequence of mapping
        From `learning.rounds`; may be empty.
    figures : sequence of path
        PNG of the figures `accuracy`, `physics` and, where there are rounds, `rounds`.
    """
    captions = (ACCURACY_CAPTION, PHYSICS_CAPTION, ROUNDS_CAPTION)
    pictures = [Picture(Path(figure), text) for figure, text in zip(figures, captions, strict=False)]
    said = [
        "Errors are those of the student against its teacher, on whole trajectories that no training saw."
    ]
    sheets = [*of_errors(errors), *of_measured(measured)]
    if rounds:
        columns = [column.replace("_", " ") for column in learning.COLUMNS]
        lines = [[_number(value, 3) for value in row] for row in learning.table(rounds)]
        sheets.append(Sheet("Rounds of active learning", columns, lines))
    text = render(f"{name}: what the potential is worth", said, [of_bars(bars)], pictures, sheets)
    Path(path).write_text(text, encoding="utf-8")
