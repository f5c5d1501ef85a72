"""Checks of a fitted Koopman model; each becomes a row of its table."""

from typing import Any

import numpy as np

from getsei.kinetics import bootstrap, chains, checks, counting, edmd, stationarity, validation
from getsei.kinetics.connected import Counts
from getsei.records import States

MIN_CONNECTED_SHARE = 0.95
MAX_VARIATION = 0.05
MAX_CONDITION = 1e6
MAX_EXCESS_RESIDUAL = 0.05
MIN_HELD_OUT = 0.9
INDICATOR_TOLERANCE = 1e-12
HALVES = "half against half, chi-square p"
DRIFT = "drift of populations between halves"


def sampling(frames: np.ndarray, data: Counts, share: float) -> list[dict[str, Any]]:
    """Check that the states hang together, also when ions are resampled."""
    kept = float(frames[:, data.active].sum() / max(frames.sum(), 1))
    return [
        checks.row(
            "population of the connected states",
            kept,
            MIN_CONNECTED_SHARE,
            passed=kept >= MIN_CONNECTED_SHARE,
            meaning="Share of environments in states that exchange ions both ways; the rest is left out.",
        ),
        checks.row(
            "resamples that keep all states connected",
            share,
            bootstrap.MIN_VALID_SHARE,
            passed=share >= bootstrap.MIN_VALID_SHARE,
            meaning="Below the limit a state hangs on a few ions and no interval is given.",
        ),
    ]


def stationary_window(states: States, data: Counts, operator: np.ndarray) -> list[dict[str, Any]]:
    """Check that kinetics and populations do not change over the window."""
    halves = counting.pair_counts(states.labels, states.segments, data.lag, states.n_states, 2).sum(axis=0)
    test = stationarity.half_against_half(halves[0], halves[1], data.lag)
    first, second = (
        counting.frame_counts(states.labels, part, states.n_states)[:, data.active]
        for part in _halved(states.segments, states.labels.shape[1])
    )
    change, low, high = stationarity.population_drift(first, second, data.resampling)
    significant = np.abs(np.where((low > 0) | (high < 0), change, 0.0)).max(initial=0.0)
    skew = stationarity.antisymmetry(data.total, data.lag)
    populations = (first + second).sum(axis=0)
    variation = stationarity.total_variation(populations / populations.sum(), operator)
    return [
        checks.row(
            HALVES,
            test.p,
            stationarity.P_LIMIT,
            passed=bool(test.p >= stationarity.P_LIMIT),
            meaning=f"Same kinetics in both halves (chi2 {test.statistic:.1f}, {test.degrees} degrees of "
            "freedom); below the limit the interphase is still changing.",
        ),
        checks.row(
            DRIFT,
            significant,
            stationarity.DRIFT_LIMIT,
            passed=significant <= stationarity.DRIFT_LIMIT,
            meaning="Largest change of a population whose 95 % interval excludes zero.",
        ),
        checks.row(
            "antisymmetric counts, sigma",
            skew,
            stationarity.ANTISYMMETRY_SIGMA,
            passed=skew <= stationarity.ANTISYMMETRY_SIGMA,
            meaning="Largest net exchange between two states; at equilibrium it is noise.",
        ),
        checks.row(
            "population against stationary distribution",
            variation,
            MAX_VARIATION,
            passed=variation <= MAX_VARIATION,
            meaning="Total variation distance; large while the populations are still relaxing.",
        ),
    ]


def _halved(segments: np.ndarray, n_frames: int) -> tuple[np.ndarray, np.ndarray]:
    segments, middle = np.asarray(segments).reshape(-1, 2), n_frames // 2
    early, late = np.minimum(segments, middle), np.maximum(segments, middle)
    return early[early[:, 1] > early[:, 0]], late[late[:, 1] > late[:, 0]]


def spectral(
    values: np.ndarray,
    residual: np.ndarray,
    condition: float,
    difference: float,
    lag_ps: float,
    *,
    valid: bool,
) -> list[dict[str, Any]]:
    """Check the operator and its spectrum."""
    excess = float(np.abs(edmd.excess_residuals(values, residual)).max())
    fastest = float(chains.timescales(values, lag_ps).min(initial=np.inf))
    ratio = lag_ps / fastest if fastest > 0 else np.inf
    return [
        checks.row(
            "EDMD against row-normalised counts",
            difference,
            INDICATOR_TOLERANCE,
            passed=difference <= INDICATOR_TOLERANCE,
            meaning="Largest difference between two computations of the operator.",
        ),
        checks.row(
            "condition number of the Gram matrix",
            condition,
            MAX_CONDITION,
            passed=condition <= MAX_CONDITION,
            meaning="Ratio of the largest to the smallest population used.",
        ),
        checks.row(
            "excess ResDMD residual",
            excess,
            MAX_EXCESS_RESIDUAL,
            passed=excess <= MAX_EXCESS_RESIDUAL,
            meaning="Residual above sqrt(1 - |lambda|^2), that of a mode of a stationary chain; large for "
            "spurious modes and for moving populations.",
        ),
        checks.row(
            "logarithm of the operator is a generator",
            float(valid),
            1.0,
            passed=valid,
            meaning="If not, escape rates are (1 - T_ii)/lag and read low for short-lived states.",
        ),
        checks.row(
            "lag over fastest timescale",
            ratio,
            0.5,
            passed=ratio <= 0.5,
            meaning="Above the limit, returns within the lag are missed and fluxes read low.",
        ),
    ]


def model(
    ck: validation.ChapmanKolmogorov,
    scan_lags: np.ndarray,
    scan: np.ndarray,
    lag_ps: float,
    data: Counts,
    seed: int,
) -> list[dict[str, Any]]:
    """Check that the chain is a model of the dynamics."""
    first = validation.flat_from(scan)
    flat_ps = np.nan if first is None else float(scan_lags[first])
    score, held_out, error = validation.cross_validated_vamp2(data.pairs.sum(axis=1), seed)
    return [
        checks.row(
            "Chapman-Kolmogorov agreement",
            ck.agreement,
            validation.CK_SHARE,
            passed=bool(ck.agreement >= validation.CK_SHARE),
            meaning="Share of staying probabilities at 2 to 5 lags that the model predicts within their 95 % "
            "interval; below the limit the states keep a memory over the lag.",
        ),
        checks.row(
            "lag from which the slowest timescale is flat, ps",
            flat_ps,
            lag_ps,
            passed=bool(flat_ps <= lag_ps),
            meaning="Missing where it never levels off within the scan, or cannot be told from the sampling; "
            "rates then depend on the lag.",
        ),
        checks.row(
            "VAMP-2 on ions left out over VAMP-2",
            held_out / score,
            MIN_HELD_OUT,
            passed=bool(held_out / score >= MIN_HELD_OUT),
            meaning=f"VAMP-2 {score:.3f} on all ions, {held_out:.3f} ± {error:.3f} on those left out of "
            f"{validation.VAMP_FOLDS} fits.",
        ),
    ]


def not_stationary(rows: list[dict[str, Any]]) -> str:
    """Return a sentence that says that the window is not stationary; "" if no check says so."""
    failed = [row["name"] for row in rows if row["name"] in (HALVES, DRIFT) and not row["passed"]]
    if not failed:
        return ""
    return (
        f"the window is not stationary ({'; '.join(failed)}): rates and fluxes are averages over an "
        "interphase that still changes, not equilibrium values"
    )
