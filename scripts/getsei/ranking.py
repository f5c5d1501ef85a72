"""The order of the systems, and the few numbers one wants to see first."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from getsei import comparison
from getsei.records import Estimate
from getsei.summary import headline

CRITERIA = (
    ("total_flux", "reactive flux from metal to electrolyte"),
    ("diffusion/interphase", "diffusion coefficient in the interphase"),
    ("diffusion/all", "diffusion coefficient of all ions"),
)
"""Systems are ranked by the first of these that the sampling supports in all of them.

A flux of a system whose kinetics fails a check of `comparison.FLUX_NEEDS` does not count as supported."""

RANKING = (
    "rank",
    "system",
    "status",
    "criterion",
    "value",
    "low",
    "high",
    "unit",
    "n",
    "probability_above_next",
    "note",
)
HEADLINES = (
    ("diffusion/interphase", "D in the interphase"),
    ("total_flux", "reactive flux"),
    ("mfpt", "first passage"),
    ("pathway_diversity", "pathway diversity"),
    ("sei_thickness/end", "interphase, end"),
    ("extrapolated_share", "extrapolated"),
)
"""Numbers of the first table."""


@dataclass(frozen=True)
class Place:
    """Where a system stands; `rank` is None where it cannot be ranked."""

    rank: int | None
    system: str
    number: Estimate
    above_next: float
    note: str


def criterion(summaries: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """Return the key and the name of the number that the systems are ranked by."""
    for key, name in CRITERIA:
        if summaries and all(counts(summary, key) for summary in summaries):
            return key, name
    known = [sum(counts(summary, key) for summary in summaries) for key, _ in CRITERIA]
    return CRITERIA[int(np.argmax(known))] if any(known) else CRITERIA[-1]


def counts(summary: Mapping[str, Any], key: str) -> bool:
    """Tell whether a number of a system may rank it."""
    if key == "total_flux" and comparison.failed_needs(summary):
        return False
    return headline(summary, key).supported


def rank(summaries: Sequence[Mapping[str, Any]]) -> list[Place]:
    """Return the systems from the best conductor down; those without the number come last, unranked."""
    key, _ = criterion(summaries)
    known = sorted(
        (s for s in summaries if counts(s, key)), key=lambda s: headline(s, key).value, reverse=True
    )
    places = []
    for number, summary in enumerate(known):
        own = headline(summary, key)
        after = headline(known[number + 1], key) if number + 1 < len(known) else None
        above = comparison.probability_above(own, after) if after else np.nan
        places.append(Place(number + 1, summary["system"], own, above, own.note))
    for summary in summaries:
        if summary not in known:
            own = headline(summary, key)
            places.append(Place(None, summary["system"], own, np.nan, summary.get("message") or own.note))
    return places


def rows(summaries: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield one row per system: rank, criterion, number, and how sure it is above the next."""
    status = {s["system"]: s.get("status", "finished") for s in summaries}
    _, name = criterion([s for s in summaries if s["numbers"]])
    for place in ordered(summaries):
        yield {
            **place.number.as_dict(),
            "rank": "" if place.rank is None else place.rank,
            "system": place.system,
            "status": status[place.system],
            "criterion": name,
            "probability_above_next": place.above_next if np.isfinite(place.above_next) else None,
            "note": place.note,
        }


def ordered(summaries: Sequence[Mapping[str, Any]]) -> list[Place]:
    """Return the places of all systems; those without any result come last."""
    finished = [s for s in summaries if s["numbers"]]
    nothing = Estimate(np.nan, np.nan, np.nan, "1", 0, False, "no result")
    lost = [
        Place(None, s["system"], nothing, np.nan, s.get("message", "")) for s in summaries if not s["numbers"]
    ]
    return [*rank(finished), *lost]


def terminal(summaries: Sequence[Mapping[str, Any]], folder: str) -> str:
    """Return the short table that ends a run, and where to look next."""
    by_name = {s["system"]: s for s in summaries}
    places = ordered(summaries)
    head = ["", "system", *(name for _, name in HEADLINES), "failed checks"]
    table = [head]
    for place in places:
        summary = by_name[place.system]
        if not summary["numbers"]:
            table.append(["-", place.system, f"{summary['status']}: {summary['message']}"])
            continue
        cells = [short(headline(summary, key)) for key, _ in HEADLINES]
        judged = headline(summary, "checks_failed")
        failed = f"{judged.value:.0f} of {judged.n}" if judged.supported else ""
        table.append([str(place.rank or "-"), place.system, *cells, failed])
    width = [max(len(row[c]) for row in table if len(row) == len(head)) for c in range(len(head))]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, width, strict=False)).rstrip() for row in table]
    lines.insert(1, "  ".join("-" * w for w in width))
    _, name = criterion([s for s in summaries if s["numbers"]])
    finished = [s for s in summaries if s["numbers"]]
    verdicts = [v for v in comparison.judge(finished) if v.system == comparison.OVERALL] if finished else []
    claims = [f"  {v.verdict}: {v.claim}" for v in verdicts]
    return "\n".join(
        [
            "",
            *lines,
            "",
            f"ranked by: {name}; [low, high] are 95 % intervals; - : the sampling supports no number",
            *(["claims of the study (arXiv:2603.02284), all systems together:", *claims] if claims else []),
            "",
            f"look next: {folder}/report.html, then {folder}/compare/systems.csv",
            "",
        ]
    )


def short(number: Estimate) -> str:
    """Return a number with its interval and unit in few characters."""
    if number.note.startswith("not available"):
        return "not available"
    if not number.supported or not np.isfinite(number.value):
        return "-"
    spread = f" [{number.low:.2g}, {number.high:.2g}]" if np.isfinite([number.low, number.high]).all() else ""
    unit = "" if number.unit == "1" else f" {number.unit.replace('^2', '²')}"
    return f"{number.value:.2g}{spread}{unit}"
