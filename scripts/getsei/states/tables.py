"""The states and their gates as tables for people."""

import csv
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from getsei.records import States

DRAWS = 500


def state_rows(states: States, seed: int = 1) -> list[dict[str, Any]]:
    """Return one row per state; units are in the keys, intervals come from resampled ions.

    Parameters
    ----------
    states : States
        What to tabulate.
    seed : int
        Seed of the resampling.

    Returns
    -------
    list of dict
        The 95 % intervals of the populations resample ions, for frames of one ion are not independent;
        coordination numbers carry the standard deviation over environments.
    """
    counts = np.stack([(states.labels == state).sum(1) for state in range(states.n_states)], axis=1)
    rng = np.random.default_rng(seed)
    drawn = rng.integers(len(counts), size=(DRAWS, len(counts)))
    totals = counts[drawn].sum(1).astype(float)
    shares = totals / np.maximum(totals.sum(1, keepdims=True), 1.0)
    low, high = np.quantile(shares, (0.025, 0.975), axis=0)
    middle = 0.5 * (states.z_edges[1:] + states.z_edges[:-1])
    rows = []
    for state, name in enumerate(states.names):
        profile = states.z_profile[state]
        rows.append(
            {
                "state": state,
                "name": name,
                "n_environments": int(counts[:, state].sum()),
                "n_ions": int((counts[:, state] > 0).sum()),
                "population": float(states.population[state]),
                "population_low": float(low[state]),
                "population_high": float(high[state]),
                "mobile_density_per_nm3": float(states.density[state]),
                "most_frequent_z_A": float(middle[int(np.argmax(profile))]),
                "seed_agreement": float(states.seed_agreement[state]),
            }
        )
        for column, element in enumerate(states.elements):
            rows[-1][f"coordination_{element}"] = float(states.coordination[state, column])
            rows[-1][f"coordination_{element}_sd"] = float(states.coordination_sd[state, column])
    return rows


def write_csv(rows: Sequence[Mapping[str, Any]], path: str | Path) -> None:
    """Write rows of equal keys, whole or not at all; numbers to six significant digits."""
    path = Path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with partial.open("w", newline="", encoding="utf-8") as handle:
            writer = csv.writer(handle, lineterminator="\n")
            writer.writerow(rows[0])
            writer.writerows(_plain(row.values()) for row in rows)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _plain(values: Iterable[Any]) -> list[Any]:
    return [f"{value:.6g}" if isinstance(value, float) else value for value in values]
