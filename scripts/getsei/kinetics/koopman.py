"""The Koopman operator on the states of a system, with its spectrum, its rates and its tests."""

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.linalg

from getsei import provenance
from getsei.kinetics import bootstrap, chains, connected, counting, edmd, koopman_checks, validation
from getsei.kinetics.connected import Counts
from getsei.records import KoopmanModel, States
from getsei.units import PS_PER_NS

log = logging.getLogger("getsei")

FROM_GENERATOR = "minus the diagonal of the generator, log(T)/lag"
FROM_DIAGONAL = "(1 - T_ii)/lag, because log(T) is no generator; returns within the lag are missed"


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
    data = connected.count(states, cfg)
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
    # One definition for value and interval: the generator's only if (nearly) every resample has one.
    _, drawn_valid = chains.generator(samples, lag_ps)
    enough = np.count_nonzero(drawn_valid) >= bootstrap.MIN_VALID_SHARE * len(samples)
    from_generator = bool(valid) and enough
    escape = _escape(operator, samples, lag_ps, from_generator=from_generator)
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
        events=connected.restricted(changes, active),
        active=active,
        names=[states.names[state] for state in active],
        supported=[bool(flag) for flag in supported],
        escape_definition=FROM_GENERATOR if from_generator else FROM_DIAGONAL,
        dropped=_dropped(states.names, frames.sum(axis=0), data),
        checks=[
            *koopman_checks.sampling(frames, data, share),
            *koopman_checks.stationary_window(states, data, operator),
            *koopman_checks.spectral(values, residual, condition, difference, lag_ps, valid=bool(valid)),
            *koopman_checks.model(ck, scan_lags, scan, lag_ps, data, int(cfg["seed"])),
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
    moving = koopman_checks.not_stationary(model.checks)
    if moving:
        log.warning("%s", moving)
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
    return connected.restricted(pairs, data.active)


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
