"""Several systems side by side: one tidy table, and what they say about the claims of the study.

The claims are those of Q. Guan and Y. Cai, arXiv:2603.02284. Its settings are not public, so claims are
tested, not digits. Each verdict follows from a rule that is written beside it.
"""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from getsei.records import Estimate
from getsei.states.choice import SAME_EXCESS
from getsei.summary import headline

SUPPORTED, REFUTED, OPEN = "supported", "not supported", "not decidable with this sampling"
CONFIDENCE = 0.95
SILHOUETTE = 0.29
MIN_EXCESS = 0.1
"""Least excess of the silhouette over that of structureless data: a collapsed encoder reaches a high
silhouette, but its excess stays below this."""
CLAIMED_STATES = 6
MIN_POPULATION = 0.01
MIN_CORRELATION = 0.1
"""Least size of a correlation that means anything: a small effect in J. Cohen, Statistical Power Analysis for
the Behavioral Sciences (1988)."""
OVERALL = "all systems"

TIDY = ("system", "quantity", "state", "state_name", "value", "low", "high", "unit", "n", "supported", "note")
CHECKS = ("system", "stage", "name", "value", "limit", "passed", "meaning")
CLAIMS = ("claim", "system", "verdict", "quantity", "value", "low", "high", "unit", "n", "rule", "note")


@dataclass(frozen=True)
class Verdict:
    """What one system, or all of them, say about a claim, and the number that says so."""

    claim: str
    system: str
    verdict: str
    quantity: str
    number: Estimate
    rule: str
    note: str


def tidy_rows(summaries: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield one row per number: system, quantity, state, value, low, high, unit, n, supported, note.

    The first row of each system says whether it finished, and why not.
    """
    for summary in summaries:
        status = summary.get("status", "finished")
        said = f"{status}: {summary['message']}" if summary.get("message") else status
        yield {
            "system": summary["system"],
            "quantity": "status",
            **Estimate(np.nan, np.nan, np.nan, "1", 0, status == "finished", said).as_dict(),
        }
        names = {str(row["state"]): row["name"] for row in summary["states"]}
        for key, number in summary["numbers"].items():
            quantity, _, last = key.rpartition("/")
            by_state = bool(quantity) and last in names
            yield {
                "system": summary["system"],
                "quantity": quantity if by_state else key,
                "state": last if by_state else "",
                "state_name": names[last] if by_state else "",
                **number,
            }


def write_rows(rows: Iterator[Mapping[str, Any]], columns: Sequence[str], path: str | Path) -> None:
    """Write rows as CSV; missing numbers are empty."""
    with Path(path).open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, columns, lineterminator="\n", extrasaction="ignore")
        writer.writeheader()
        for row in rows:
            writer.writerow({key: _cell(value) for key, value in row.items()})


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    return f"{value:.6g}" if isinstance(value, float) else value


def checks_rows(summaries: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield one row per check of each system."""
    for summary in summaries:
        for check in summary["checks"]:
            name = check.get("name", check.get("gate", "check"))
            yield {"system": summary["system"], **{key: check.get(key) for key in CHECKS[1:]}, "name": name}


def claims_rows(summaries: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield one row per verdict."""
    for verdict in judge(summaries):
        number = verdict.number.as_dict()
        yield {
            "claim": verdict.claim,
            "system": verdict.system,
            "verdict": verdict.verdict,
            "quantity": verdict.quantity,
            **number,
            "rule": verdict.rule,
            "note": verdict.note or number["note"],
        }


def judge(summaries: Sequence[Mapping[str, Any]]) -> list[Verdict]:
    """Return the verdict of each system, and of all together, on each claim."""
    verdicts: list[Verdict] = []
    for rule in (six_states, silhouette, follows_density, follows_coordination):
        each = [rule(summary) for summary in summaries]
        verdicts += [*each, _together(each)]
    return [*verdicts, most_diverse(summaries), trapping(summaries)]


def _together(each: Sequence[Verdict]) -> Verdict:
    """Combine the systems: all for it, one against it, or neither."""
    counts = {kind: sum(v.verdict == kind for v in each) for kind in (SUPPORTED, REFUTED, OPEN)}
    kind = REFUTED if counts[REFUTED] else OPEN if counts[OPEN] or not each else SUPPORTED
    share = counts[SUPPORTED] / len(each) if each else np.nan
    number = Estimate(share, np.nan, np.nan, "1", len(each))
    note = "; ".join(f"{v.system}: {v.verdict}" for v in each)
    claim = each[0].claim if each else ""
    rule = "supported where every system supports it; not supported where one system contradicts it"
    return Verdict(claim, OVERALL, kind, "share of systems that support it", number, rule, note)


def six_states(summary: Mapping[str, Any]) -> Verdict:
    """Judge whether six is the number of states that the data choose."""
    rule = (
        f"supported where, of the numbers of states tried, {CLAIMED_STATES} has the largest silhouette (of "
        f"held-out ions) above its null, by more than {SAME_EXCESS}, which is what samples scatter by, and "
        f"every state holds at least {MIN_POPULATION:.0%} of the environments; not supported where another "
        "number does better by more than that; otherwise not decidable"
    )
    claim = "six distinct states"
    scan = {}
    for row in summary["choice_of_states"]:
        if row.get("excess") is not None:
            scan[int(row["n_states"])] = float(row["excess"])
    if CLAIMED_STATES not in scan or len(scan) < 3:
        nothing = Estimate(
            np.nan, np.nan, np.nan, "1", len(scan), False, "too few numbers of states were tried"
        )
        return Verdict(claim, summary["system"], OPEN, "best number of states", nothing, rule, "")
    best = max(scan, key=lambda k: scan[k])
    number = Estimate(best, np.nan, np.nan, "1", len(scan), True, "n = numbers of states tried")
    populations = [v["value"] for k, v in summary["numbers"].items() if k.startswith("population/")]
    small = min((p for p in populations if p is not None), default=0.0)
    others = {k: excess for k, excess in scan.items() if k != CLAIMED_STATES}
    rival = max(others, key=lambda k: others[k])
    lead = scan[CLAIMED_STATES] - others[rival]
    alike = [k for k in sorted(scan) if scan[k] >= scan[best] - SAME_EXCESS]
    note = (
        f"excess {scan[CLAIMED_STATES]:.3f} at {CLAIMED_STATES}, {others[rival]:.3f} at {rival}; "
        f"as good as the best: {', '.join(map(str, alike))}"
    )
    if best == CLAIMED_STATES and len(populations) == CLAIMED_STATES and small < MIN_POPULATION:
        return Verdict(
            claim, summary["system"], REFUTED, "smallest population", headline_min(summary), rule, note
        )
    verdict = SUPPORTED if lead > SAME_EXCESS else REFUTED if lead < -SAME_EXCESS else OPEN
    return Verdict(claim, summary["system"], verdict, "best number of states", number, rule, note)


def headline_min(summary: Mapping[str, Any]) -> Estimate:
    """Return the population of the rarest state."""
    keys = [key for key in summary["numbers"] if key.startswith("population/")]
    return min((headline(summary, key) for key in keys), key=lambda e: e.value)


def silhouette(summary: Mapping[str, Any]) -> Verdict:
    """Judge whether the silhouette exceeds the claimed value and that of structureless data."""
    claim, rule = (
        f"silhouette above {SILHOUETTE}",
        f"supported where the silhouette exceeds {SILHOUETTE} and its null by at least {MIN_EXCESS}; "
        f"not supported where it is at most {SILHOUETTE}; otherwise not decidable",
    )
    score, null = headline(summary, "silhouette"), headline(summary, "silhouette_null")
    if not score.supported:
        return Verdict(claim, summary["system"], OPEN, "silhouette", score, rule, "")
    bound = score.low if np.isfinite(score.low) else score.value
    top = score.high if np.isfinite(score.high) else score.value
    note = f"null {null.value:.3f}" if null.supported else "null not known"
    if top <= SILHOUETTE:
        return Verdict(claim, summary["system"], REFUTED, "silhouette", score, rule, note)
    good = bound > SILHOUETTE and null.supported and score.value - null.value >= MIN_EXCESS
    return Verdict(claim, summary["system"], SUPPORTED if good else OPEN, "silhouette", score, rule, note)


def _follows(summary: Mapping[str, Any], claim: str, descriptor: str, other: str) -> Verdict:
    rule = (
        "supported where the partial Spearman correlation over ions, controlling for the other descriptor, "
        "has the sign of the correlation without control and a 95 % interval beyond "
        f"{MIN_CORRELATION} in size; not supported where the interval ends below {MIN_CORRELATION} in that "
        "direction: then the other descriptor explains what is seen; otherwise, and where the interval "
        "without control holds zero and so has no sign, not decidable"
    )
    key = f"correlation/all/{descriptor} given {other}"
    number = headline(summary, key)
    plain = headline(summary, f"correlation/all/{descriptor}")
    note = f"without control {plain}"
    verdict = OPEN
    known = number.supported and plain.supported and np.isfinite([number.low, number.high]).all()
    if known and not plain.low <= 0.0 <= plain.high:
        low, high = sorted(np.sign(plain.value) * np.array([number.low, number.high]))
        verdict = SUPPORTED if low > MIN_CORRELATION else REFUTED if high < MIN_CORRELATION else OPEN
    return Verdict(claim, summary["system"], verdict, key.removeprefix("correlation/"), number, rule, note)


def follows_density(summary: Mapping[str, Any]) -> Verdict:
    """Judge whether ion mobility follows the density of mobile ions."""
    return _follows(summary, "mobility follows ion density", "density", "anion_coordination")


def follows_coordination(summary: Mapping[str, Any]) -> Verdict:
    """Judge whether ion mobility follows anion coordination."""
    return _follows(summary, "mobility follows anion coordination", "anion_coordination", "density")


def _find(summaries: Sequence[Mapping[str, Any]], elements: set[str]) -> Mapping[str, Any] | None:
    found = [s for s in summaries if elements <= set(s["elements"])]
    return found[0] if len(found) == 1 else None


def probability_above(first: Estimate, second: Estimate) -> float:
    """Return the probability that the first number is the larger one.

    Both are taken as log-normal with the width of their 95 % intervals (positive numbers).
    """
    numbers = np.array([[e.value, e.low, e.high] for e in (first, second)])
    if not (np.isfinite(numbers).all() and (numbers > 0).all()):
        return np.nan
    width = np.log(numbers[:, 2] / numbers[:, 1]) / (2 * stats.norm.ppf(0.975))
    difference = np.log(numbers[0, 0] / numbers[1, 0])
    return float(stats.norm.cdf(difference / max(float(np.hypot(*width)), 1e-12)))


FLUX_NEEDS = (
    "half against half, chi-square p",
    "drift of populations between halves",
    "Chapman-Kolmogorov agreement",
)
"""Checks without which a flux describes its window and cannot rank systems."""


def failed_needs(summary: Mapping[str, Any]) -> list[str]:
    """Return the checks of `FLUX_NEEDS` that a system fails."""
    return [
        check["name"]
        for check in summary["checks"]
        if check.get("name") in FLUX_NEEDS and not check["passed"]
    ]


def most_diverse(summaries: Sequence[Mapping[str, Any]]) -> Verdict:
    """Judge whether the system with Li, Ge, P and S has the highest pathway diversity."""
    claim = "Li10GeP2S12|Li has the most diverse pathways"
    rule = (
        f"supported where its pathway diversity exceeds that of each other system with probability "
        f"{CONFIDENCE} or more (log-normal intervals, same number of states); not supported where it lies "
        f"below one of them with that probability; otherwise, where a system is missing, or where the "
        f"kinetics of one fails a check ({'; '.join(FLUX_NEEDS)}), not decidable"
    )
    key = "pathway_diversity"
    own = _find(summaries, {"Li", "Ge", "P", "S"})
    others = [s for s in summaries if s is not own]
    number = headline(own, key) if own else Estimate(np.nan, np.nan, np.nan, "1", 0, False, "no such system")
    lacking = [s["system"] for s in summaries if not headline(s, key).supported]
    if own is None or len(others) < 2 or lacking:
        note = f"not supported by the sampling in {', '.join(lacking)}" if lacking else "a system is missing"
        return Verdict(claim, OVERALL, OPEN, key, number, rule, note)
    if len({len(s["states"]) for s in summaries}) > 1:
        return Verdict(
            claim, OVERALL, OPEN, key, number, rule, "the systems have different numbers of states"
        )
    unsound = {s["system"]: failed_needs(s) for s in summaries if failed_needs(s)}
    if unsound:
        note = "; ".join(f"{name} fails {', '.join(checks)}" for name, checks in unsound.items())
        return Verdict(claim, OVERALL, OPEN, key, number, rule, note)
    above = {s["system"]: probability_above(number, headline(s, key)) for s in others}
    note = "; ".join(f"P(above {name}) = {p:.3f}" for name, p in above.items())
    lowest = min(above.values())
    if not np.isfinite(list(above.values())).all():
        verdict = OPEN
    elif lowest >= CONFIDENCE:
        verdict = SUPPORTED
    else:
        verdict = REFUTED if lowest <= 1 - CONFIDENCE else OPEN
    return Verdict(claim, OVERALL, verdict, key, number, rule, note)


def trapping(summaries: Sequence[Mapping[str, Any]]) -> Verdict:
    """Judge whether oxygen-rich states hold ions longest in the system with La, Zr and O."""
    claim = "Li7La3Zr2O12|Li is trapped by oxygen-rich states"
    rule = (
        "oxygen-rich: more O neighbours than the mean over environments. Supported where the state with the "
        "longest residence is oxygen-rich and the lower bound of its residence time exceeds the upper bound "
        "of every other state; not supported where another state outlasts every oxygen-rich one in the same "
        "sense; otherwise not decidable"
    )
    key = "residence_time"
    own = _find(summaries, {"Li", "La", "Zr", "O"})
    if own is None:
        nothing = Estimate(np.nan, np.nan, np.nan, "ps", 0, False, "no such system")
        return Verdict(claim, OVERALL, OPEN, key, nothing, rule, "")
    rows = [(row["state"], row["name"]) for row in own["states"]]
    oxygen = np.array([headline(own, f"coordination_O/{s}").value for s, _ in rows])
    share = np.array([headline(own, f"population/{s}").value for s, _ in rows])
    rich = oxygen > np.nansum(oxygen * share) / np.nansum(share)
    times = [headline(own, f"{key}/{s}") for s, _ in rows]
    groups = [[t for t, r in zip(times, rich, strict=True) if bool(r) is kind] for kind in (True, False)]
    kept = [[t for t in group if t.supported] for group in groups]
    unknown = [name for (_, name), t in zip(rows, times, strict=True) if not t.supported]
    if not all(kept):
        nothing = Estimate(np.nan, np.nan, np.nan, "ps", 0, False, "too few exits")
        return Verdict(claim, own["system"], OPEN, key, nothing, rule, f"unsupported: {', '.join(unknown)}")
    longest = [max(group, key=lambda t: t.value) for group in kept]
    number = longest[0]
    note = f"longest residence of a state that is not oxygen-rich: {longest[1]}"
    if unknown:
        # A state with hardly any exit may be the deepest trap of all; nothing can be said without it.
        return Verdict(
            claim, own["system"], OPEN, key, number, rule, f"{note}; unsupported: {', '.join(unknown)}"
        )
    verdict = SUPPORTED if longest[0].low > longest[1].high else OPEN
    if longest[1].low > longest[0].high:
        verdict = REFUTED
    return Verdict(claim, own["system"], verdict, key, number, rule, note)
