"""Tables of the kinetics as CSV: long, one number per row, with unit, interval, sample size and lag."""

import csv
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from getsei.kinetics import bootstrap
from getsei.records import Estimate, KoopmanModel, ReactiveFlux

CONDITIONS = ("lag_ps", "frame_interval_ps", "dwell_ps")
KOOPMAN_COLUMNS = ("quantity", "state", "value", "low", "high", "unit", "n", "supported", "note", *CONDITIONS)
FLUX_COLUMNS = (
    "quantity",
    "source",
    "target",
    "value",
    "low",
    "high",
    "unit",
    "n",
    "supported",
    "note",
    *CONDITIONS,
)
PATHWAY_NUMBERS = (
    "rank",
    "share",
    "low",
    "high",
    "flux",
    "unit",
    "probability",
    "probability_first",
    "events",
    "supported",
)
PATHWAY_COLUMNS = ("path", *PATHWAY_NUMBERS, "weakest_edge", *CONDITIONS)


def write(path: str | Path, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a table, whole or not at all. Numbers keep six digits; what is not a number is left empty."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with partial.open("w", newline="", encoding="utf-8") as handle:
            writer = csv.DictWriter(handle, columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows({column: _cell(row.get(column, "")) for column in columns} for row in rows)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _cell(value: Any) -> Any:
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, float | np.floating):
        return f"{value:.6g}" if np.isfinite(value) else ""
    return value


def _number(estimate: Estimate) -> dict[str, Any]:
    """Return the columns of an estimate; its numbers only where they are supported."""
    plain = estimate.as_dict()
    return {key: np.nan if plain[key] is None else plain[key] for key in ("value", "low", "high")} | {
        key: plain[key] for key in ("unit", "n", "supported", "note")
    }


def _conditions(record: KoopmanModel | ReactiveFlux) -> dict[str, float]:
    return {
        "lag_ps": record.lag_ps,
        "frame_interval_ps": record.frame_interval_ps,
        "dwell_ps": record.provenance["dwell_frames"] * record.frame_interval_ps,
    }


def koopman_rows(model: KoopmanModel) -> list[dict[str, Any]]:
    """Return the rows of `koopman.csv`: rates, times, probabilities, spectrum, dropped states, checks."""
    conditions = _conditions(model)
    return [row | conditions for row in (*_head(model), *_koopman_rows(model))]


def _head(model: KoopmanModel) -> Iterator[dict[str, Any]]:
    """Say first what the numbers rest on: whether the window is stationary, which it is, and the lag."""
    steady = not model.stationary_note
    note = model.stationary_note or "kinetics, populations and bonds agree in both halves"
    yield {"quantity": "stationary window", "supported": steady, "note": note}
    start = model.first_frame * model.frame_interval_ps
    window = Estimate(start, np.nan, np.nan, "ps", model.n_frames, True, model.window_note)
    yield {"quantity": "start of the window"} | _number(window)
    lag = Estimate(model.lag_ps, np.nan, np.nan, "ps", int(model.counts.sum()), True, model.lag_note)
    yield {"quantity": "lag"} | _number(lag)


def _koopman_rows(model: KoopmanModel) -> Iterator[dict[str, Any]]:
    few = f"fewer than {bootstrap.MIN_EVENTS} exits, or no interval"
    pairs = model.counts.sum(axis=0)
    for index, name in enumerate(model.names):
        supported, n = model.supported[index], int(model.exits[index])
        for quantity, values, unit, definition in (
            ("escape rate", model.escape_rates, "1/ns", model.escape_definition),
            ("residence time", model.residence_times, "ps", "inverse of the escape rate"),
        ):
            note = definition if supported else few
            estimate = Estimate(*map(float, values[index]), unit, n, supported, note)
            yield {"quantity": quantity, "state": name} | _number(estimate)
        for quantity, value, note in (
            ("population", model.populations[index], "observed share among the connected states; n = pairs"),
            ("stationary probability", model.stationary[index], "of the chain; n = pairs"),
        ):
            estimate = Estimate(float(value), np.nan, np.nan, "1", int(pairs[index].sum()), True, note)
            yield {"quantity": quantity, "state": name} | _number(estimate)
    for i, j in np.ndindex(*model.operator.shape):
        low, high = float(model.operator_low[i, j]), float(model.operator_high[i, j])
        supported = bool(i == j or model.events[i, j] >= bootstrap.MIN_EVENTS) and bool(np.isfinite(low))
        n = int(pairs[i, j]) if i == j else int(model.events[i, j])
        note = "n = pairs over the lag" if i == j else "n = changes of state, frame by frame"
        estimate = Estimate(float(model.operator[i, j]), low, high, "1", n, supported, note)
        yield {
            "quantity": "transition probability over the lag",
            "state": f"{model.names[i]} to {model.names[j]}",
        } | _number(estimate)
    total = int(pairs.sum())
    for mode, (value, low, high) in enumerate(model.timescales.tolist(), start=2):
        supported = bool(np.isfinite([value, low, high]).all())
        note = (
            f"eigenvalue {model.eigenvalues[mode - 1]:.4g}, ResDMD residual {model.residuals[mode - 1]:.3g}"
        )
        yield {"quantity": f"implied timescale {mode}", "state": ""} | _number(
            Estimate(value, low, high, "ps", total, supported, note)
        )
    for lag, row in zip(model.scan_lags, model.scan_timescales, strict=True):
        for mode, (value, low, high) in enumerate(row.tolist(), start=2):
            supported = bool(np.isfinite([value, low, high]).all())
            yield {"quantity": f"implied timescale {mode} at a lag of {lag:g} ps", "state": ""} | _number(
                Estimate(value, low, high, "ps", total, supported)
            )
    for state in model.dropped:
        note = f"left out: {state['reason']}; {state['pairs_in']} pairs in, {state['pairs_out']} out"
        yield {"quantity": "population of a dropped state", "state": state["name"]} | _number(
            Estimate(state["population"], np.nan, np.nan, "1", state["pairs_in"], True, note)
        )
    yield from _check_rows(model.checks)


def _check_rows(checks: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for check in checks:
        verdict = "passed" if check["passed"] else "failed"
        yield {
            "quantity": f"check: {check['name']}",
            "value": check["value"],
            "unit": "1",
            "supported": check["passed"],
            "note": f"{verdict}, limit {check['limit']:.3g}. {check['meaning']}",
        }


def flux_rows(flux: ReactiveFlux) -> list[dict[str, Any]]:
    """Return the rows of `flux.csv`: totals, committors, edges, checks; the reason where there are none."""
    conditions = _conditions(flux)
    return [row | conditions for row in _flux_rows(flux)]


def _flux_rows(flux: ReactiveFlux) -> Iterator[dict[str, Any]]:
    ends = {
        "source": " + ".join(flux.names[state] for state in flux.source),
        "target": " + ".join(flux.names[state] for state in flux.target),
    }
    if flux.stationary_note:
        yield {"quantity": "stationary window", "supported": False, "note": flux.stationary_note}
    for name, estimate in flux.estimates.items():
        yield (
            {"quantity": name} | ends | {key: "" if cell is None else cell for key, cell in estimate.items()}
        )
    yield {"quantity": "source rule", "supported": bool(flux.source), "note": flux.source_rule}
    yield {"quantity": "target rule", "supported": bool(flux.target), "note": flux.target_rule}
    if np.isfinite(flux.forward_committor).all():
        for quantity, values in (
            ("forward committor", flux.forward_committor),
            ("backward committor", flux.backward_committor),
        ):
            for name, value in zip(flux.names, values, strict=True):
                estimate = Estimate(float(value), np.nan, np.nan, "1", 0, flux.supported, flux.note)
                yield {"quantity": quantity, "source": name} | _number(estimate) | {"n": ""}
        for name, (value, low, high) in zip(flux.names, flux.throughput.tolist(), strict=True):
            supported = flux.supported and bool(np.isfinite(low))
            estimate = Estimate(value, low, high, "1", 0, supported, "share of the flux through the state")
            yield {"quantity": "throughput", "source": name} | _number(estimate) | {"n": ""}
        for i, j in zip(*np.nonzero(flux.gross_flux > 0), strict=True):
            n = int(flux.edge_events[i, j])
            low, high = float(flux.net_flux_low[i, j]), float(flux.net_flux_high[i, j])
            enough = n >= bootstrap.MIN_EVENTS and bool(np.isfinite(low))
            note = (
                "n = changes of state, directly or within the lag"
                if enough
                else f"fewer than {bootstrap.MIN_EVENTS} events"
            )
            for quantity, value, bounds in (
                ("net flux", flux.net_flux[i, j], (low, high)),
                ("gross flux", flux.gross_flux[i, j], (np.nan, np.nan)),
            ):
                estimate = Estimate(float(value), *bounds, "1/(ion ns)", n, enough, note)
                yield {
                    "quantity": quantity,
                    "source": flux.names[i],
                    "target": flux.names[j],
                } | _number(estimate)
    yield from _check_rows(flux.checks)


def pathway_rows(flux: ReactiveFlux) -> list[dict[str, Any]]:
    """Return the rows of `pathways.csv`; none where there is no flux."""
    rows = []
    for path in flux.pathways:
        shown = (
            path if path["supported"] else {**path, "share": None, "low": None, "high": None, "flux": None}
        )
        numbers = {column: "" if shown[column] is None else shown[column] for column in PATHWAY_NUMBERS}
        names = {
            "path": " > ".join(path["names"]),
            "weakest_edge": " > ".join(flux.names[state] for state in path["weakest_edge"]),
        }
        rows.append(numbers | names | _conditions(flux))
    return rows
