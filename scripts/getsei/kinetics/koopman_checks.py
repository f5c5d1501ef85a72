"""Checks of a fitted Koopman model; each becomes a row of its table."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from getsei.kinetics import (
    bootstrap,
    chains,
    checks,
    counting,
    edmd,
    spectrum,
    stationarity,
    validation,
    window,
)
from getsei.kinetics.connected import Counts
from getsei.records import States

MIN_CONNECTED_SHARE = 0.95
MAX_VARIATION = 0.05
MAX_CONDITION = 1e6
MAX_EXCESS_RESIDUAL = 0.05
MIN_HELD_OUT = 0.9
MIN_CAPTURED = 0.8
MSD_TOLERANCE = 0.25
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


def stationary_window(states: States, data: Counts, verdict: window.Verdict) -> list[dict[str, Any]]:
    """Check that kinetics, populations and composition do not change over the window."""
    skew = stationarity.antisymmetry(data.total, data.lag)
    frames = counting.frame_counts(states.labels, states.segments, states.n_states)[:, data.active]
    populations = frames.sum(axis=0)
    operator = chains.transition_matrix(data.total)
    variation = stationarity.total_variation(populations / populations.sum(), operator)
    return [
        checks.row(
            HALVES,
            verdict.p,
            stationarity.P_LIMIT,
            passed=bool(verdict.p >= stationarity.P_LIMIT),
            meaning="Same kinetics in both halves; below the limit the interphase is still changing.",
        ),
        checks.row(
            DRIFT,
            verdict.drift,
            stationarity.DRIFT_LIMIT,
            passed=verdict.drift <= stationarity.DRIFT_LIMIT,
            meaning="Largest change of a population whose 95 % interval excludes zero.",
        ),
        *(
            checks.row(
                f"drift of {bond['name']} bonds",
                bond["change"],
                window.BOND_LIMIT,
                passed=bond["passed"],
                meaning=f"Relative change of {bond['before']:.3g} bonds per atom, from the first quarter of "
                "the window to its second half, 95 % interval "
                f"[{bond['low']:.2g}, {bond['high']:.2g}]; a failure means that the electrolyte reacts.",
            )
            for bond in verdict.bonds
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


def dictionaries(spectra: Mapping[str, spectrum.Spectrum]) -> list[dict[str, Any]]:
    """Check that the states see the slow dynamics that the embedding holds, and that nothing is spurious."""
    if not spectra:
        return []
    rows = []
    best = max(spectra.values(), key=lambda each: np.nan_to_num(each.held_out))
    states = spectra["indicator"]
    ratio = (states.held_out - 1.0) / (best.held_out - 1.0) if best.held_out > 1.0 else np.nan
    rows.append(
        checks.row(
            "VAMP-2 of the states over that of the best dictionary, less one",
            ratio,
            MIN_CAPTURED,
            passed=bool(ratio >= MIN_CAPTURED),
            meaning=f"On ions left out; the best is {best.name} with {best.held_out:.3f}, the states have "
            f"{states.held_out:.3f}. Below the limit the embedding holds slow motion that the states miss.",
        )
    )
    for name in ("soft", "features", "radial"):
        flagged = spectra[name].row()["spurious_modes"]
        total = len(spectra[name].eigenvalues)
        rows.append(
            checks.row(
                f"spurious modes of the {name} dictionary",
                float(len(flagged)),
                0.0,
                passed=not flagged,
                meaning=f"Of {total} modes, those whose ResDMD residual exceeds that of a true mode by more "
                f"than {spectrum.MAX_EXCESS_RESIDUAL:g}.",
            )
        )
    return rows


def displacements(ratio: np.ndarray) -> list[dict[str, Any]]:
    """Check the displacement that the model predicts against the one measured."""
    value, low, high = (float(number) for number in ratio)
    if not np.isfinite(value):
        return []
    passed = low <= 1.0 <= high or abs(value - 1.0) <= MSD_TOLERANCE
    return [
        checks.row(
            "MSD measured over MSD predicted by the model",
            value,
            1.0,
            passed=bool(passed),
            meaning=f"At the longest time looked at, 95 % interval [{low:.3g}, {high:.3g}]; passes where it "
            f"holds one, or within {MSD_TOLERANCE:.0%}. Below one, ions go back more than a walk over the "
            "states does; above, they keep a direction or a mobility of their own.",
        )
    ]


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
            meaning=f"Share of staying probabilities over up to {ck.steps.max(initial=1) * lag_ps:g} ps that "
            f"the model predicts within their 95 % interval, or with {validation.CK_TOLERANCE:.0%} of the "
            "probability to have left; below the limit the states keep a memory over the lag.",
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


def not_stationary(failures: Sequence[str]) -> str:
    """Return a sentence that says that the window is not stationary, and why; "" without failures."""
    if not failures:
        return ""
    return (
        f"the window is not stationary ({'; '.join(failures)}): the interphase still changes, so there are "
        "models of successive windows instead of equilibrium rates and fluxes"
    )
