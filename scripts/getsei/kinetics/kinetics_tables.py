"""Further tables of the kinetics: evidence for the lag, dictionaries, residence, windows, sensitivity."""

from collections.abc import Callable
from typing import Any

import numpy as np

from getsei.records import KoopmanModel, ReactiveFlux
from getsei.units import PS_PER_NS

LAG_COLUMNS = (
    "lag_ps",
    "slowest_timescale_ps",
    "low",
    "high",
    "flat",
    "chapman_kolmogorov_agreement",
    "markovian",
    "resolved",
    "qualifies",
    "chosen",
)
DICTIONARY_COLUMNS = (
    "dictionary",
    "functions",
    "rank",
    "condition",
    "vamp2",
    "vamp2_held_out",
    "vamp2_error",
    "slowest_ps",
    "low",
    "high",
    "spurious_modes",
    "negative_mass",
    "lag_ps",
)
RESIDENCE_COLUMNS = ("state", "time_ps", "share_longer", "low", "high", "exponential", "supported")
WINDOW_COLUMNS = (
    "window",
    "start_ps",
    "stop_ps",
    "quantity",
    "state",
    "to",
    "value",
    "low",
    "high",
    "unit",
    "supported",
    "lag_ps",
)
SENSITIVITY_COLUMNS = (
    "dwell_frames",
    "dwell_ps",
    "lag_ps",
    "total_flux_per_ion_ns",
    "low",
    "high",
    "slowest_timescale_ps",
    "used",
)


def lag_rows(model: KoopmanModel) -> list[dict[str, Any]]:
    """Return the evidence for every lag of the scan."""
    return [
        {
            "lag_ps": row["lag_ps"],
            "slowest_timescale_ps": _cell(row["slowest_ps"]),
            "low": _cell(row["low"]),
            "high": _cell(row["high"]),
            "flat": row["flat"],
            "chapman_kolmogorov_agreement": _cell(row["agreement"]),
            "markovian": row["markovian"],
            "resolved": row["resolved"],
            "qualifies": row["qualifies"],
            "chosen": bool(np.isclose(row["lag_ps"], model.lag_ps)),
        }
        for row in model.lag_choice
    ]


def _cell(value: float | None) -> Any:
    return "" if value is None else value


def dictionary_rows(model: KoopmanModel) -> list[dict[str, Any]]:
    """Return what each dictionary sees."""
    return [
        {key: _cell(value) for key, value in row.items()}
        | {"spurious_modes": " ".join(map(str, row["spurious_modes"])), "lag_ps": model.lag_ps}
        for row in model.dictionaries
    ]


def residence_rows(model: KoopmanModel) -> list[dict[str, Any]]:
    """Return the survival of visits, and the exponential of the escape rate beside it."""
    rate = model.escape_rates[:, 0] / PS_PER_NS
    return [
        {
            "state": name,
            "time_ps": float(time),
            "share_longer": float(value),
            "low": float(low),
            "high": float(high),
            "exponential": float(np.exp(-rate[row] * time)) if model.supported[row] else np.nan,
            "supported": bool(model.supported[row] and np.isfinite([value, low, high]).all()),
        }
        for row, name in enumerate(model.names)
        for time, (value, low, high) in zip(model.survival_times, model.survival[row], strict=True)
    ]


def window_rows(model: KoopmanModel) -> list[dict[str, Any]]:
    """Return populations, escape rates and transition probabilities of every window."""
    rows = []
    for window, (start, stop) in enumerate(model.window_times):
        head = {
            "window": window + 1,
            "start_ps": float(start),
            "stop_ps": float(stop),
            "lag_ps": model.lag_ps,
        }
        for row, name in enumerate(model.names):
            for quantity, values, unit in (
                ("population", model.window_populations, "1"),
                ("escape rate, (1 - T_ii)/lag", model.window_escape_rates, "1/ns"),
            ):
                value, low, high = (float(x) for x in values[window, row])
                rows.append(
                    head
                    | {"quantity": quantity, "state": name, "unit": unit}
                    | {"value": value, "low": low, "high": high}
                    | {"supported": bool(np.isfinite([value, low, high]).all())}
                )
            for column, other in enumerate(model.names):
                value = float(model.window_operators[window, row, column])
                rows.append(
                    head
                    | {"quantity": "transition probability over the lag", "state": name, "to": other}
                    | {"value": value, "unit": "1", "supported": bool(np.isfinite(value))}
                )
    return rows


TABLES: dict[str, tuple[tuple[str, ...], Callable[[KoopmanModel], list[dict[str, Any]]]]] = {
    "lags": (LAG_COLUMNS, lag_rows),
    "dictionaries": (DICTIONARY_COLUMNS, dictionary_rows),
    "residence": (RESIDENCE_COLUMNS, residence_rows),
    "windows": (WINDOW_COLUMNS, window_rows),
}
"""Name of the file, columns, and the rows of a model."""


def sensitivity_rows(flux: ReactiveFlux) -> list[dict[str, Any]]:
    """Return the total flux at every dwell and lag; none where there is no flux."""
    dwell_used = flux.provenance["dwell_frames"]
    return [
        {
            "dwell_frames": int(dwell),
            "dwell_ps": float(dwell * flux.frame_interval_ps),
            "lag_ps": float(lag),
            "total_flux_per_ion_ns": float(flux.sensitivity[row, column, 0]),
            "low": float(flux.sensitivity[row, column, 1]),
            "high": float(flux.sensitivity[row, column, 2]),
            "slowest_timescale_ps": float(flux.sensitivity_slowest[row, column]),
            "used": bool(dwell == dwell_used and np.isclose(lag, flux.lag_ps)),
        }
        for row, dwell in enumerate(flux.sensitivity_dwells)
        for column, lag in enumerate(flux.sensitivity_lags)
    ]
