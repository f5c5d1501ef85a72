"""Numbers as they stand in the CSV files, and as a reader sees them."""

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup, escape

SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
UNITS = {
    "1": "",
    "cm^2/s": "cm²/s",
    "A2": "Å²",
    "A": "Å",
    "nm^-3": "nm⁻³",
    "1/(ion ns)": "per ion and ns",
    "1/ns": "ns⁻¹",
    "ions/(ns nm^2)": "ions/(ns nm²)",
}


def read(path: str | Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file as text."""
    with Path(path).open(newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


def short(text: str) -> str:
    """Return a number of a CSV file to three digits; anything else as it is."""
    try:
        value = float(text)
    except ValueError:
        return text
    if not math.isfinite(value):
        return text
    if value == int(value) and abs(value) < 1e6 and "e" not in text.lower():
        return str(int(value))
    plain = f"{value:.3g}"
    if "e" in plain:
        mantissa, exponent = plain.split("e")
        return f"{mantissa}\u202f×\u202f10{str(int(exponent)).translate(SUPERSCRIPT)}"
    return plain


def unit(text: str) -> str:
    """Return a unit as it is printed."""
    return UNITS.get(text, text)


def tag(text: str, **where: str) -> Markup:
    """Return a number as HTML that carries its full value and the cell it comes from."""
    found = "".join(f' data-{key}="{escape(value)}"' for key, value in where.items() if value != "")
    return Markup('<data value="{}"{}>{}</data>').format(text, Markup(found), short(text))


@dataclass(frozen=True)
class Table:
    """`systems.csv`, to be looked up by system, quantity and state."""

    rows: Mapping[tuple[str, str, str], Mapping[str, str]]

    @classmethod
    def load(cls, path: str | Path) -> "Table":
        """Read the table."""
        return cls({(r["system"], r["quantity"], r["state"]): r for r in read(path)})

    def row(self, system: str, quantity: str, state: str | int = "") -> Mapping[str, str]:
        """Return the row of a number, empty where there is none."""
        return self.rows.get((system, quantity, str(state)), {})

    def known(self, system: str, quantity: str, state: str | int = "") -> bool:
        """Tell whether the sampling supports a number."""
        row = self.row(system, quantity, state)
        return row.get("supported") == "true" and row.get("value", "") != ""

    def show(self, system: str, quantity: str, state: str | int = "", *, n: bool = True) -> Markup:
        """Return value, interval, unit and n of a number as HTML, or why there is none."""
        row = self.row(system, quantity, state)
        if not row:
            return Markup('<span class="none">not made</span>')
        where = {"system": system, "quantity": quantity, "state": str(state)}
        size = Markup(" <small>n = {}</small>").format(tag(row["n"], part="n", **where)) if n else ""
        if not self.known(system, quantity, state):
            return Markup('<span class="none" title="{}">not supported</span>{}').format(row["note"], size)
        spread: Markup | str = ""
        if row["low"] and row["high"]:
            ends = (tag(row[part], part=part, **where) for part in ("low", "high"))
            spread = Markup(' <span class="interval">[{}, {}]</span>').format(*ends)
        return Markup('<span class="number">{}{} {}</span>{}').format(
            tag(row["value"], part="value", **where), spread, unit(row["unit"]), size
        )


@dataclass(frozen=True)
class Sheet:
    """A CSV file as a table of the page."""

    name: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Markup]]


def sheet(path: str | Path, name: str, system: str) -> Sheet:
    """Return a CSV file as HTML cells; each carries its full value and its place."""
    found = read(path)
    columns = list(found[0]) if found else []
    rows = [
        [tag(row[column], table=f"{system}/{name}", row=str(i), column=column) for column in columns]
        for i, row in enumerate(found)
    ]
    return Sheet(name, columns, rows)
