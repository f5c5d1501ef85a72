"""Checks of a reactive flux: conservation, other programs, passages counted directly, other lags."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.stats import poisson

from getsei.kinetics import bootstrap, checks, connected, counting, finite_time, oracles, transition_paths
from getsei.kinetics.endpoints import Endpoint
from getsei.kinetics.inputs import Settings
from getsei.kinetics.sampled_flux import Sampled
from getsei.records import Estimate, KoopmanModel, States
from getsei.units import PS_PER_NS

ORACLE_TOLERANCE = 1e-10
DOMINANT_PROBABILITY = 0.5
PASSAGE_PROBABILITY = 0.01


def count_passages(states: States, model: KoopmanModel, source: Endpoint, target: Endpoint) -> Estimate:
    """Count passages in the trajectories, in 1/(ion ns); the interval comes from resampled ions."""
    events, frames = counting.reactive_events(
        states.labels, states.segments, list(source.states), list(target.states), states.n_states
    )
    settings = Settings(**model.provenance["settings"])
    resampling = bootstrap.draw(states.replica, settings.bootstrap, settings.seed)
    weights = resampling.ions.astype(np.float64)
    time = weights @ frames * states.frame_interval_ps / PS_PER_NS
    samples = np.divide(weights @ events, time, out=np.full(len(time), np.nan), where=time > 0)
    total = frames.sum() * states.frame_interval_ps / PS_PER_NS
    low, high = bootstrap.interval(samples)
    value = float(events.sum() / total) if total > 0 else np.nan
    enough = int(events.sum()) >= bootstrap.MIN_EVENTS and len(events) > 1
    note = "passages from source to target counted frame by frame, per ion and time; n = passages"
    return Estimate(value, float(low), float(high), "1/(ion ns)", int(events.sum()), enough, note)


def passage_probability(seen: int, expected: float) -> float:
    """Return the two-sided Poisson probability: passages of different ions are nearly independent."""
    below, above = poisson.cdf(seen, expected), poisson.sf(seen - 1, expected)
    return float(min(1.0, 2.0 * min(below, above)))


def passages_in_window(
    states: States, model: KoopmanModel, sampled: Sampled
) -> tuple[dict[str, Any], int, float]:
    """Compare the passages seen lag by lag with those the model predicts for the sampled time.

    Returns
    -------
    row : dict
        The check.
    seen : int
        Passages between frames one lag apart: what the model, which knows nothing within the lag, can see.
    expected : float
        Passages that the model predicts.
    """
    lag = round(model.lag_ps / model.frame_interval_ps)
    rank = connected.ranks(model.active, states.n_states)
    source, target = model.active[sampled.source].tolist(), model.active[sampled.target].tolist()
    seen, expected = 0, 0.0
    for begin, end in states.segments:
        piece = states.labels[:, int(begin) : int(end) : lag]
        whole = np.array([[0, piece.shape[1]]])
        seen += int(counting.reactive_events(piece, whole, source, target, states.n_states)[0].sum())
        first = rank[piece[:, 0]]
        start = np.bincount(first[first >= 0], minlength=len(model.active))
        steps = np.array([piece.shape[1] - 1])
        expected += finite_time.passages(
            model.operator[None], steps, start, sampled.source, sampled.target
        ).sum()
    return passage_row(passage_probability(seen, expected), seen, expected), seen, expected


def passage_row(probability: float, seen: int, expected: float) -> dict[str, Any]:
    """Return the check of passages seen against passages that a model predicts."""
    return checks.row(
        "passages seen against the model, Poisson p",
        probability,
        PASSAGE_PROBABILITY,
        passed=probability >= PASSAGE_PROBABILITY,
        meaning=f"{seen} passages were seen, the model predicts {expected:.1f} in the sampled time; below "
        "the limit the states keep a memory and their rates do not add up to a flux.",
    )


def theory(model: KoopmanModel, sampled: Sampled, paths: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Check conservation, agreement with other programs, and the rank of the dominant pathway."""
    flux, start, end = sampled.flux, sampled.source, sampled.target
    off = max(transition_paths.imbalance(one, start, end) for one in (flux.gross, flux.net))
    limit = transition_paths.CONSERVATION_TOLERANCE
    rows = [
        checks.row(
            "conservation of flux",
            off,
            limit,
            passed=off <= limit,
            meaning="Largest relative difference between what enters and what leaves a state on the way.",
        )
    ]
    total = oracles.deeptime_total_flux(model.operator, start, end)
    if total is not None:
        difference = abs(total / float(flux.total) - 1.0)
        rows.append(
            checks.row(
                "total flux against deeptime",
                difference,
                ORACLE_TOLERANCE,
                passed=difference <= ORACLE_TOLERANCE,
                meaning="Relative difference, from the same transition matrix.",
            )
        )
    if paths:
        first = np.nan if paths[0]["probability_first"] is None else paths[0]["probability_first"]
        rows.append(
            checks.row(
                "probability that the dominant pathway is first",
                first,
                DOMINANT_PROBABILITY,
                passed=bool(first >= DOMINANT_PROBABILITY),
                meaning="Share of the resamples in which the same path carries most; below the limit the "
                "ranking of the paths means nothing.",
            )
        )
    return rows


def passages(estimates: Mapping[str, Estimate]) -> list[dict[str, Any]]:
    """Compare the flux with passages counted in the trajectories, which assume no model."""
    total, direct = estimates["total_flux"], estimates["direct_flux"]
    ratio = total.value / direct.value if direct.value > 0 else np.nan
    # Frames lie between the lag and the continuum, and so does what is counted frame by frame.
    highest = np.fmax(total.high, estimates["flux_without_lag"].high)
    overlap = bool(total.low <= direct.high and direct.low <= highest)
    return [
        checks.row(
            "total flux over passages counted in the trajectories",
            ratio,
            1.0,
            passed=overlap,
            meaning=f"Passes where the 95 % interval of the count ({direct.n} passages, {direct.value:.3g} "
            "per ion and ns) overlaps that of the flux, from the lag to no lag. The model misses returns "
            "within the lag; counting loses passages that began before a segment did.",
        )
    ]
