"""Put the page together: summary, comparison, systems stage by stage, provenance."""

import base64
import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import yaml
from ase import data
from markupsafe import Markup

from getsei import captions, comparison, extrapolation
from getsei.provenance import file_digest, versions
from getsei.records import ReactiveFlux, States, Trajectory
from getsei.report import graphml, numbers, scene
from getsei.report.numbers import Table

FOLDER = Path(__file__).parent
TEMPLATE, STYLE, SCRIPT = "page.html.j2", "page.css", "page.js"
MAX_EMBEDDED_BYTES = 13_000_000
"""Figures beyond this stay beside the page, so that it remains under 20 MB however many systems there are."""
KINDS = {comparison.SUPPORTED: "good", comparison.REFUTED: "bad", comparison.OPEN: "open"}
PACKAGES = ("numpy", "scipy", "h5py", "ase", "matplotlib", "jinja2")


@dataclass(frozen=True)
class Picture:
    """A figure of the page; `src` is empty where it was not made."""

    title: str
    file: str
    src: str
    width: int = 0
    height: int = 0


@dataclass(frozen=True)
class File:
    """Something to download, inside the page or beside it."""

    name: str
    href: str
    embedded: bool


class Shelf:
    """Embeds files as long as there is room, and links to them afterwards.

    `sampled_by` tells whose run a system analyses, where that is not its own.
    """

    def __init__(self, results: Path, sampled_by: Mapping[str, str]) -> None:
        self.results, self.left, self.sampled_by = results, MAX_EMBEDDED_BYTES, sampled_by

    def picture(self, panel: captions.Panel, path: Path) -> Picture:
        """Return a PNG figure, inside the page while there is room."""
        file = path.relative_to(self.results).with_suffix("").as_posix().replace("/", "_")
        if not path.is_file():
            return Picture(panel.title, file, "")
        content = path.read_bytes()
        width, height = struct.unpack(">II", content[16:24])
        source = path.relative_to(self.results).as_posix()
        if len(content) <= self.left:
            self.left -= len(content)
            source = data_url("image/png", content)
        return Picture(panel.title, file, source, width, height)

    def file(self, path: Path, kind: str = "text/csv") -> File:
        """Return a small file inside the page."""
        name = path.relative_to(self.results).as_posix().replace("/", "_")
        return File(name, data_url(kind, path.read_bytes()), True)

    def beside(self, path: Path) -> File:
        """Return a link to a large file that stays where it is."""
        name = path.relative_to(self.results).as_posix()
        return File(name, name, False)


def data_url(kind: str, content: bytes) -> str:
    """Return content as a data URL."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def build(
    results: str | Path,
    summaries: Sequence[Mapping[str, Any]],
    settings: Mapping[str, Mapping[str, Any]],
) -> str:
    """Return the page.

    Parameters
    ----------
    results : path
        Folder of all outputs; `compare/` and one folder per finished system are read from it.
    summaries : sequence of mappings
        Contents of the summary.json of each system, or stubs of those that failed.
    settings : mapping
        Complete settings of each system.

    Returns
    -------
    str
        HTML that needs no other file but the ones it says lie beside it.
    """
    folder = Path(results)
    table = Table.load(folder / "compare/systems.csv")
    ranks = {row["system"]: row for row in numbers.read(folder / "compare/ranking.csv")}
    shared = {name: one["sampled_by"] for name, one in settings.items() if "sampled_by" in one}
    shelf = Shelf(folder, shared)
    by_name = {summary["system"]: summary for summary in summaries}
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    order = [by_name[name] for name in ranks]
    claims = numbers.read(folder / "compare/claims.csv")
    return environment.get_template(TEMPLATE).render(
        style=Markup((FOLDER / STYLE).read_text(encoding="utf-8")),
        script=Markup((FOLDER / SCRIPT).read_text(encoding="utf-8")),
        moving=moving(settings),
        lead=lead(list(ranks.values())),
        criterion=next((row["criterion"] for row in ranks.values()), ""),
        comparison=[
            (
                shelf.picture(panel, folder / f"compare/panels/{panel.name}.png"),
                panel.reading,
                f"compare/panels/{panel.name}",
            )
            for panel in captions.COMPARISON
        ],
        comparison_files=[shelf.file(path) for path in sorted((folder / "compare").glob("*.csv"))],
        systems=[system(s, ranks[s["system"]], table, shelf) for s in order],
        claim_columns=[*(s["system"] for s in order), comparison.OVERALL],
        claims=verdicts(claims, [*(s["system"] for s in order), comparison.OVERALL]),
        failed=checks(numbers.read(folder / "compare/checks.csv"), order),
        provenance=provenance(folder, order, settings),
    )


def moving(settings: Mapping[str, Mapping[str, Any]]) -> str:
    """Return what moves: the metal's name where all systems have the same mobile ion."""
    mobile = {element for found in settings.values() for element in found["mobile"]}
    return data.atomic_names[data.atomic_numbers[mobile.pop()]].lower() if len(mobile) == 1 else "ions"


def lead(ranks: Sequence[Mapping[str, str]]) -> Markup:
    """Return the first sentences: which system is first, by what, and how sure that is."""
    known = [row for row in ranks if row["rank"]]
    lost = [row["system"] for row in ranks if row["status"] != "finished"]
    text = Markup("The sampling supports no ranking of the systems.")
    if known:
        first = known[0]
        text = Markup("<strong>{}</strong> comes first of {} by its {}: {}.").format(
            first["system"], len(ranks), first["criterion"], place(first)
        )
        if len(known) > 1 and first["probability_above_next"]:
            text += Markup(" It stands above {} with a probability of {}.").format(
                known[1]["system"],
                numbers.tag(
                    first["probability_above_next"], rank=first["system"], part="probability_above_next"
                ),
            )
    if lost:
        text += Markup(" <strong>Without results: {}.</strong>").format(", ".join(lost))
    return text


def place(row: Mapping[str, str]) -> Markup:
    """Return the number that ranks a system."""
    shown = {
        part: numbers.tag(row[part], rank=row["system"], part=part) for part in ("value", "low", "high", "n")
    }
    return Markup('{} <span class="interval">[{}, {}]</span> {} (<em>n</em> = {})').format(
        shown["value"], shown["low"], shown["high"], numbers.unit(row["unit"]), shown["n"]
    )


def system(summary: Mapping[str, Any], rank: Mapping[str, str], table: Table, shelf: Shelf) -> dict[str, Any]:
    """Return the card and the stages of one system."""
    name = summary["system"]
    if not summary["numbers"]:
        message = summary["message"]
        return {
            "name": name,
            "ok": False,
            "status": summary["status"],
            "message": message,
            "rank": "",
            "scene": "",
            "stages": [],
        }
    folder = shelf.results / name
    states = States.load(folder / "states/states.h5")
    run = Trajectory.load(shelf.results / shelf.sampled_by.get(name, name) / "r1/trajectory/trajectory.h5")
    extra = {
        "pathways": [
            ("flux.graphml", "application/xml", graphml.write(ReactiveFlux.load(folder / "kinetics/flux.h5")))
        ],
        "states": [("last_frame_states.extxyz", "chemical/x-xyz", scene.extxyz(run, states))],
    }
    return {
        "name": name,
        "ok": True,
        "rank": rank["rank"],
        "facts": facts(summary, table, folder),
        "scene": Markup(json.dumps(scene.make(run, states)).replace("<", "\\u003c")),
        "stages": [stage(one, name, shelf, extra.get(one.name, [])) for one in captions.STAGES],
        "definitions": sorted(summary["definitions"].items()),
    }


def facts(summary: Mapping[str, Any], table: Table, folder: Path) -> list[tuple[str, Markup]]:
    """Return what the card of a system says: how fast, by which way, where it jams, how far to trust it."""
    name = summary["system"]
    rows = [
        ("diffusion in the interphase", table.show(name, "diffusion/interphase")),
        ("reactive flux, metal to electrolyte", table.show(name, "total_flux")),
        ("interphase, start → end", _from_to(table, name, "sei_thickness")),
    ]
    rows = [row for row in rows if "not made" not in row[1]]
    paths = numbers.read(folder / "kinetics/pathways.csv")
    if paths and paths[0]["share"]:
        first = paths[0]
        where = {"table": f"{name}/kinetics/pathways.csv", "row": "0"}
        known = table.known(name, "bottleneck_flux")
        strength = Markup(": {}").format(table.show(name, "bottleneck_flux", n=False)) if known else ""
        trust = "" if summary["flux_supported"] else " (flux not supported)"
        rows.append(
            (
                f"by the way of{trust}",
                Markup("{} <small>share {} of the flux</small>").format(
                    first["path"].replace(" > ", " → "), numbers.tag(first["share"], column="share", **where)
                ),
            )
        )
        rows.append(
            (
                f"jams at{trust}",
                Markup("{}{} <small>seen {} times</small>").format(
                    first["weakest_edge"].replace(" > ", " → "),
                    strength,
                    numbers.tag(first["events"], column="events", **where),
                ),
            )
        )
    rows.append(("environments where the potential extrapolates", _extrapolated(summary, table)))
    slowest = trap(summary, table)
    if slowest is not None:
        state = next(s["name"] for s in summary["states"] if s["state"] == slowest)
        rows.append(
            ("stays longest in", Markup("{}: {}").format(state, table.show(name, "residence_time", slowest)))
        )
    rows.append(
        (
            "checks failed",
            Markup("{} <small>of {}</small>").format(
                *(
                    numbers.tag(
                        table.row(name, "checks_failed")[part],
                        system=name,
                        quantity="checks_failed",
                        part=part,
                    )
                    for part in ("value", "n")
                )
            ),
        )
    )
    return rows


def _from_to(table: Table, name: str, key: str) -> Markup:
    ends = [table.show(name, f"{key}/{when}", n=False) for when in ("start", "end")]
    return Markup("{} → {}").format(*ends)


def _extrapolated(summary: Mapping[str, Any], table: Table) -> Markup:
    """Return the share of environments beyond the training of the potential, and whose atoms are most."""
    name, key = summary["system"], extrapolation.QUANTITY
    if not table.known(name, key):
        return Markup("not available <small>{}</small>").format(
            table.row(name, key).get("note", "").removeprefix("not available: ")
        )
    shares = {
        element: float(table.row(name, f"{key}/{element}")["value"])
        for element in summary["elements"]
        if table.known(name, f"{key}/{element}")
    }
    worst = max(shares, key=lambda element: shares[element])
    text = table.show(name, key)
    if shares[worst] > 0:
        text += Markup(" <small>most of {}: {}</small>").format(
            worst, table.show(name, f"{key}/{worst}", n=False)
        )
    return text


def trap(summary: Mapping[str, Any], table: Table) -> int | None:
    """Return the state whose ions stay longest, where the sampling supports it."""
    name = summary["system"]
    known = [s["state"] for s in summary["states"] if table.known(name, "residence_time", s["state"])]
    times = {s: float(table.row(name, "residence_time", s)["value"]) for s in known}
    return max(times, key=lambda s: times[s]) if times else None


def stage(
    one: captions.Stage, name: str, shelf: Shelf, extra: Sequence[tuple[str, str, str]]
) -> dict[str, Any]:
    """Return figures, tables and downloads of one stage of a system."""
    folder = shelf.results / name
    there = [path for path in one.tables if (folder / path).is_file()]
    files = [shelf.file(folder / path) for path in there]
    files += [File(f"{name}_{file}", data_url(kind, text.encode()), True) for file, kind, text in extra]
    exports = {"run": "r*/trajectory/trajectory.extxyz", "states": "r*/states/states.extxyz"}
    if one.name in exports:
        files += [shelf.beside(path) for path in sorted(folder.glob(exports[one.name]))]
    return {
        "name": one.name,
        "title": one.title,
        "done": one.done,
        "figures": [
            (
                shelf.picture(panel, folder / f"figures/panels/{panel.name}.png"),
                panel.reading,
                f"{name}/figures/panels/{panel.name}",
            )
            for panel in one.panels
        ],
        "sheets": [
            numbers.sheet(folder / path, path, name) for path in there if path != "interphase/interphase.csv"
        ],
        "files": files,
    }


def verdicts(rows: Sequence[Mapping[str, str]], columns: Sequence[str]) -> list[dict[str, Any]]:
    """Return one row per claim, with a cell for each system and for all together."""
    found = []
    for claim in dict.fromkeys(row["claim"] for row in rows):
        mine = {row["system"]: row for row in rows if row["claim"] == claim}
        found.append(
            {
                "text": claim,
                "rule": ". All together: ".join(dict.fromkeys(row["rule"] for row in mine.values())),
                "cells": [_cell(mine.get(column)) for column in columns],
            }
        )
    return found


def _cell(row: Mapping[str, str] | None) -> dict[str, Any]:
    if row is None:
        return {"kind": "", "verdict": "", "number": "", "note": ""}
    where = {"claim": row["claim"], "system": row["system"]}
    number: Markup | str = ""
    if row["value"]:
        number = Markup("<small>{}</small> {}").format(
            row["quantity"].replace("_", " "), numbers.tag(row["value"], part="value", **where)
        )
        if row["low"] and row["high"]:
            ends = (numbers.tag(row[part], part=part, **where) for part in ("low", "high"))
            number += Markup(' <span class="interval">[{}, {}]</span>').format(*ends)
        number += Markup(" {}").format(numbers.unit(row["unit"]))
    return {"kind": KINDS[row["verdict"]], "verdict": row["verdict"], "number": number, "note": row["note"]}


def checks(rows: Sequence[Mapping[str, str]], order: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the failed checks of each system."""
    groups = []
    for summary in order:
        name = summary["system"]
        mine = [(str(i), row) for i, row in enumerate(rows) if row["system"] == name]
        failed = [(i, row) for i, row in mine if row["passed"] == "false"]
        if not failed:
            continue
        groups.append(
            {
                "system": name,
                "count": f"{len(failed)} of {len(mine)}",
                "rows": [
                    {
                        **row,
                        "value": numbers.tag(row["value"], table="compare/checks.csv", row=i, column="value"),
                        "limit": numbers.tag(row["limit"], table="compare/checks.csv", row=i, column="limit"),
                    }
                    for i, row in failed
                ],
            }
        )
    return groups


def provenance(
    folder: Path, order: Sequence[Mapping[str, Any]], settings: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, str]]:
    """Return configuration, versions, checksums, seeds and run times as blocks of text."""
    blocks = [
        {"title": f"Configuration of {name}", "text": yaml.safe_dump(dict(found), sort_keys=False)}
        for name, found in settings.items()
    ]
    blocks += [
        {
            "title": f"How {s['system']} was made: potential, seeds, versions",
            "text": yaml.safe_dump(s["provenance"], sort_keys=False, allow_unicode=True),
        }
        for s in order
        if s.get("provenance")
    ]
    blocks.append(
        {"title": "Versions that made this page", "text": yaml.safe_dump(versions("getsei", *PACKAGES))}
    )
    files = sorted(folder.glob("compare/*.csv"))
    for summary in order:
        if summary["numbers"]:
            own = folder / summary["system"]
            files += sorted(
                [*own.glob("*/*.csv"), *own.glob("r*/trajectory/trajectory.h5"), own / "summary.json"]
            )
    text = "\n".join(f"{file_digest(f)}  {f.relative_to(folder).as_posix()}" for f in files if f.is_file())
    blocks.append({"title": "SHA-256 of the results", "text": text})
    times = run_times(folder / "benchmarks")
    blocks.append({"title": "Run times", "text": times or "none recorded"})
    return blocks


def run_times(folder: Path) -> str:
    """Return wall time (s), CPU time (s) and memory (MB) of each job, as Snakemake measured them."""
    lines = [f"{'wall s':>10} {'cpu s':>10} {'max MB':>8}  job"]
    for path in sorted(folder.rglob("*.tsv")):
        rows = path.read_text(encoding="utf-8").splitlines()
        if len(rows) < 2:
            continue
        row = dict(zip(rows[0].split("\t"), rows[-1].split("\t"), strict=False))
        job = path.relative_to(folder).with_suffix("").as_posix()
        lines.append(
            f"{row.get('s', ''):>10} {row.get('cpu_time', ''):>10} {row.get('max_rss', ''):>8}  {job}"
        )
    return "\n".join(lines) if len(lines) > 1 else ""
