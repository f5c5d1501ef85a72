"""The Koopman operator on the states of a system, with its spectrum, its rates and its tests."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg

from getsei import provenance
from getsei.errors import UserError
from getsei.kinetics import bootstrap, chains, checks, counting, edmd, stationarity, validation
from getsei.records import KoopmanModel, States
from getsei.units import PS_PER_NS

log = logging.getLogger("getsei")

FROM_GENERATOR = "minus the diagonal of the generator, log(T)/lag"
FROM_DIAGONAL = "(1 - T_ii)/lag, because log(T) is no generator; returns within the lag are missed"
MIN_CONNECTED_SHARE = 0.95
MAX_VARIATION = 0.05
MAX_CONDITION = 1e6
MAX_EXCESS_RESIDUAL = 0.05
MIN_HELD_OUT = 0.9
INDICATOR_TOLERANCE = 1e-12


@dataclass(frozen=True)
class Counts:
    """Pairs over the lag, restricted to the connected states.

    Attributes
    ----------
    lag : int
        Lag in frames.
    active : (n_active,) int array
        Connected states.
    everywhere : (n_states, n_states) int array
        Pairs among all states.
    pairs : (n_ions, n_blocks, n_active, n_active) int array
        Pairs of each ion and block of time among the connected states.
    resampling : Resampling
        Draws of ions, replicas and blocks.
    """

    lag: int
    active: np.ndarray
    everywhere: np.ndarray
    pairs: np.ndarray
    resampling: bootstrap.Resampling

    @property
    def total(self) -> np.ndarray:
        """Pairs of all ions among the connected states."""
        return self.pairs.sum(axis=(0, 1))


def restricted(counts: np.ndarray, active: np.ndarray) -> np.ndarray:
    """Return the rows and columns of the active states of (..., n, n) counts."""
    return counts[..., active[:, None], active]


def count(states: States, cfg: Mapping[str, Any]) -> Counts:
    """Count the pairs of a system at the lag of the settings.

    Raises
    ------
    UserError
        If the lag does not fit the trajectory, or no pairs are left.
    """
    lag = counting.lag_in_frames(cfg["lag_ps"], states.frame_interval_ps, states.segments, "kinetics.lag_ps")
    n_blocks = int(cfg.get("time_blocks", 1))
    pairs = counting.pair_counts(states.labels, states.segments, lag, states.n_states, n_blocks)
    everywhere = pairs.sum(axis=(0, 1))
    active = chains.largest_connected_set(everywhere, everywhere.sum(axis=1))
    pairs = restricted(pairs, active)
    if pairs.sum() == 0:
        raise UserError(
            f"kinetics.lag_ps: no ion keeps a state for {cfg['lag_ps']:g} ps within one segment "
            f"({everywhere.sum()} pairs, none within a connected set of states); shorten the lag, "
            "sample longer, or look at the label cleaning (states.dwell_frames)"
        )
    resampling = bootstrap.draw(states.replica, int(cfg["bootstrap"]), int(cfg["seed"]), n_blocks)
    return Counts(lag=lag, active=active, everywhere=everywhere, pairs=pairs, resampling=resampling)


def fit(states: States, cfg: Mapping[str, Any]) -> KoopmanModel:
    """Fit the Koopman operator of the indicator dictionary of the states.

    On indicators, extended dynamic mode decomposition is the row-normalised count matrix
    (Williams et al. 2015, https://doi.org/10.1007/s00332-015-9258-5); it is fitted on the largest
    strongly connected set of states, and what is left out is listed.

    Parameters
    ----------
    states : States
    cfg : mapping
        `lag_ps`, `scan_lags_ps`, `bootstrap`, `reversible`, `seed` of `kinetics`; `time_blocks` if blocks
        of time are to be resampled too.

    Raises
    ------
    UserError
        If a lag does not fit the trajectory, or no pairs are left.
    """
    data = count(states, cfg)
    active, reversible = data.active, bool(cfg["reversible"])
    lag_ps = data.lag * states.frame_interval_ps
    operator = chains.transition_matrix(data.total, reversible=reversible)
    log.info("%d pairs over %g ps, %d of %d states", data.total.sum(), lag_ps, len(active), states.n_states)
    drawn, share = bootstrap.operators(data.resampling.counts(data.pairs), reversible=reversible)
    enough = share >= bootstrap.MIN_VALID_SHARE and len(states.replica) > 1
    samples = drawn if enough else drawn[:0]

    values, left, residual, condition, difference = _spectrum(operator, data.total)
    frames = counting.frame_counts(states.labels, states.segments, states.n_states)
    changes = counting.state_changes(states.labels, states.segments, states.n_states).sum(axis=0)
    exits = changes.sum(axis=1)[active]
    _, valid = chains.generator(operator, lag_ps)
    escape = _escape(operator, samples, lag_ps, from_generator=bool(valid))
    supported = (exits >= bootstrap.MIN_EVENTS) & np.isfinite(escape).all(axis=1)
    scan_lags, scan = _scan(states, cfg, data, reversible=reversible)
    ck = _chapman_kolmogorov(states, data, reversible=reversible)
    low, high = bootstrap.interval(samples)
    model = KoopmanModel(
        operator=operator,
        stationary=chains.stationary(operator),
        populations=frames.sum(axis=0)[active] / frames.sum(axis=0)[active].sum(),
        counts=data.pairs.sum(axis=1),
        operator_low=low,
        operator_high=high,
        eigenvalues=values,
        left_eigenvectors=left,
        residuals=residual,
        timescales=bootstrap.with_interval(
            chains.timescales(values, lag_ps), chains.timescales(chains.eigenvalues(samples), lag_ps)
        ),
        scan_lags=scan_lags,
        scan_timescales=scan,
        ck_steps=ck.steps,
        ck_predicted=ck.predicted,
        ck_observed=ck.observed,
        escape_rates=escape,
        residence_times=_residence(escape),
        exits=exits,
        events=restricted(changes, active),
        active=active,
        names=[states.names[state] for state in active],
        supported=[bool(flag) for flag in supported],
        escape_definition=FROM_GENERATOR if valid else FROM_DIAGONAL,
        dropped=_dropped(states.names, frames.sum(axis=0), data),
        checks=[
            *_sampling_checks(frames, data, share),
            *_stationarity_checks(states, data, operator),
            *_spectral_checks(values, residual, condition, difference, lag_ps, valid=bool(valid)),
            *_model_checks(ck, scan_lags, scan, lag_ps, data, int(cfg["seed"])),
        ],
        lag_ps=lag_ps,
        frame_interval_ps=states.frame_interval_ps,
        n_frames=states.labels.shape[1],
        provenance={
            "settings": dict(cfg),
            "dwell_frames": states.dwell_frames,
            "estimator": "reversible maximum likelihood" if reversible else "non-reversible EDMD",
            "versions": provenance.versions("numpy", "scipy"),
            "states": states.provenance,
        },
    )
    for check in model.checks:
        log.info(
            "%s: %.3g (limit %.3g) %s",
            check["name"],
            check["value"],
            check["limit"],
            "passed" if check["passed"] else "FAILED",
        )
    return model


def _spectrum(
    operator: np.ndarray, total: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float, float]:
    """Return eigenvalues, left vectors, residuals, condition of the Gram matrix, |EDMD - row-normalised|."""
    data = edmd.moments_of_counts(total)
    values, left, right = scipy.linalg.eig(operator, left=True, right=True)
    order = np.lexsort((-values.imag, -values.real, -np.round(np.abs(values), 12)))
    values, left, right = values[order], left[:, order].conj(), right[:, order]
    largest = left[np.abs(left).argmax(axis=0), np.arange(len(values))]
    left = left / largest
    left[:, 0] /= left[:, 0].sum()
    general = edmd.fit(data)
    difference = np.abs(general.matrix - chains.transition_matrix(total)).max()
    return (
        values.astype(np.complex128),
        left.astype(np.complex128),
        edmd.residuals(data, values, right),
        general.condition,
        float(difference),
    )


def _escape(operator: np.ndarray, samples: np.ndarray, lag_ps: float, *, from_generator: bool) -> np.ndarray:
    """Return the escape rates in 1/ns: value, low, high."""
    if len(operator) == 1:
        return np.array([[0.0, np.nan, np.nan]])
    value = chains.escape_rates(operator, lag_ps, from_generator=from_generator)
    drawn = chains.escape_rates(samples, lag_ps, from_generator=from_generator)
    return bootstrap.with_interval(value, drawn) * PS_PER_NS


def _residence(escape: np.ndarray) -> np.ndarray:
    """Return the mean residence times in ps, the inverse of the escape rates; NaN where there is none."""
    inverse = escape[:, [0, 2, 1]]
    return np.divide(PS_PER_NS, inverse, out=np.full(inverse.shape, np.nan), where=inverse > 0)


def _scan(
    states: States, cfg: Mapping[str, Any], data: Counts, *, reversible: bool
) -> tuple[np.ndarray, np.ndarray]:
    longest = counting.longest_segment(states.segments)
    lags = []
    for lag_ps in sorted(cfg["scan_lags_ps"]):
        ratio = lag_ps / states.frame_interval_ps
        if round(ratio) >= longest:
            log.warning("kinetics.scan_lags_ps: %g ps left out, no segment is that long", lag_ps)
            continue
        lags.append(
            counting.lag_in_frames(lag_ps, states.frame_interval_ps, states.segments, "kinetics.scan_lags_ps")
        )
    counts = [_counts_at(states, data, lag) for lag in lags]
    lags_ps = np.array(lags) * states.frame_interval_ps
    return lags_ps, validation.scan_timescales(
        counts, lags_ps, data.resampling, reversible=reversible
    ).reshape(len(lags), len(data.active) - 1, 3)


def _counts_at(states: States, data: Counts, lag: int) -> np.ndarray:
    blocks = data.resampling.n_blocks
    pairs = counting.pair_counts(states.labels, states.segments, lag, states.n_states, blocks)
    return restricted(pairs, data.active)


def _chapman_kolmogorov(states: States, data: Counts, *, reversible: bool) -> validation.ChapmanKolmogorov:
    reach = counting.longest_segment(states.segments) // 2
    counts = [data.pairs]
    for step in range(2, validation.CK_STEPS + 1):
        if step * data.lag > reach:
            break
        counts.append(_counts_at(states, data, step * data.lag))
    return validation.chapman_kolmogorov(counts, data.resampling, reversible=reversible)


def _dropped(names: list[str], frames: np.ndarray, data: Counts) -> list[dict[str, Any]]:
    """List the states outside the connected set, with what is known of them."""
    everywhere = data.everywhere
    found = []
    for state in np.setdiff1d(np.arange(len(names)), data.active):
        incoming = int(everywhere[data.active, state].sum())
        outgoing = int(everywhere[state, data.active].sum())
        reason = (
            "no environments"
            if not frames[state]
            else (
                "not connected with the other states"
                if not incoming + outgoing
                else "entered but never left"
                if not outgoing
                else "left but never entered"
                if not incoming
                else "no pairs of its own"
            )
        )
        population = float(frames[state] / max(frames.sum(), 1))
        found.append(
            {
                "state": int(state),
                "name": names[state],
                "population": population,
                "reason": reason,
                "pairs_in": incoming,
                "pairs_out": outgoing,
            }
        )
        log.warning("state %s (population %.3g) is left out: %s", names[state], population, reason)
    return found


def _sampling_checks(frames: np.ndarray, data: Counts, share: float) -> list[dict[str, Any]]:
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


def _stationarity_checks(states: States, data: Counts, operator: np.ndarray) -> list[dict[str, Any]]:
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
            "half against half, chi-square p",
            test.p,
            stationarity.P_LIMIT,
            passed=bool(test.p >= stationarity.P_LIMIT),
            meaning=f"Same kinetics in both halves (chi2 {test.statistic:.1f}, {test.degrees} degrees of "
            "freedom); below the limit the interphase is still changing.",
        ),
        checks.row(
            "drift of populations between halves",
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


def _spectral_checks(
    values: np.ndarray,
    residual: np.ndarray,
    condition: float,
    difference: float,
    lag_ps: float,
    *,
    valid: bool,
) -> list[dict[str, Any]]:
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


def _model_checks(
    ck: validation.ChapmanKolmogorov,
    scan_lags: np.ndarray,
    scan: np.ndarray,
    lag_ps: float,
    data: Counts,
    seed: int,
) -> list[dict[str, Any]]:
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
