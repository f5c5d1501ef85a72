"""The Koopman operator on the states of a system, with its spectrum, its rates and its tests."""

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.linalg

from getsei import provenance
from getsei.errors import UserError
from getsei.kinetics import (
    bootstrap,
    chains,
    connected,
    counting,
    edmd,
    koopman_checks,
    lag_choice,
    residence,
    scan,
    spectrum,
    walk,
    window,
    windowed,
)
from getsei.kinetics.connected import Counts
from getsei.kinetics.inputs import Context, Settings
from getsei.records import UNASSIGNED, KoopmanModel, States
from getsei.units import PS_PER_NS

log = logging.getLogger("getsei")

FROM_GENERATOR = "minus the diagonal of the generator, log(T)/lag"
FROM_DIAGONAL = "(1 - T_ii)/lag, because log(T) is no generator; returns within the lag are missed"


def fit(states: States, cfg: Mapping[str, Any], context: Context | None = None) -> KoopmanModel:
    """Fit the Koopman operator on the states.

    On indicators, extended dynamic mode decomposition is the row-normalised count matrix
    (Williams et al. 2015, https://doi.org/10.1007/s00332-015-9258-5); it is fitted on the largest
    strongly connected set of states, and what is left out is listed.

    Parameters
    ----------
    states : States
    cfg : mapping
        The section `kinetics` of the configuration, see `Settings`.
    context : Context, optional
        Embedding, composition and positions; what is missing is not looked at.

    Raises
    ------
    UserError
        If a lag does not fit the trajectory, no pairs are left, or the dictionary needs an embedding
        that is not there.
    """
    settings, context = Settings(**cfg), context or Context()
    n_frames = states.labels.shape[1]
    resampling = bootstrap.draw(states.replica, settings.bootstrap, settings.seed, settings.time_blocks)
    lags = scan.lags_in_frames(states, settings.scan_lags_ps)
    tested = lags[len(lags) // 2]
    if settings.lag_ps != lag_choice.AUTO:
        tested = counting.lag_in_frames(
            float(settings.lag_ps), states.frame_interval_ps, states.segments, "kinetics.lag_ps"
        )
    chosen = window.choose(
        states, settings.discard_ps, tested, resampling, context.courses, context.stage_start_ps
    )
    states = window.trimmed(states, chosen.first)
    lags = [lag for lag in lags if lag < counting.longest_segment(states.segments)]
    scanned = scan.scan(states, lags, resampling, reversible=settings.reversible)
    if settings.lag_ps == lag_choice.AUTO:
        lag_ps, lag_note = lag_choice.choose(scanned.evidence)
    else:
        lag_ps, lag_note = float(settings.lag_ps), "set in the configuration"
    lag = round(lag_ps / states.frame_interval_ps)
    log.info("window: %s; lag %g ps: %s", chosen.note, lag_ps, lag_note)

    data = connected.count(states, lag, resampling)
    active = data.active
    log.info("%d pairs over %g ps, %d of %d states", data.total.sum(), lag_ps, len(active), states.n_states)
    spectra = _spectra(states, settings, context, data, lag_ps)
    operator, moments, soft = _operator(settings, data, spectra)
    drawn, share = connected.operators(data, resampling, soft, reversible=settings.reversible)
    enough = share >= bootstrap.MIN_VALID_SHARE and len(states.replica) > 1
    samples = drawn if enough else drawn[:0]

    values, left, right, residual, condition, difference = _spectrum(operator, data.total, moments)
    frames = counting.frame_counts(states.labels, states.segments, states.n_states)
    changes = counting.state_changes(states.labels, states.segments, states.n_states).sum(axis=0)
    exits = changes.sum(axis=1)[active]
    _, valid = chains.generator(operator, lag_ps)
    # One definition for value and interval: the generator's only if (nearly) every resample has one.
    _, drawn_valid = chains.generator(samples, lag_ps)
    # A row of counts tells how often its state is left even in resamples that leave states unconnected.
    by_row = not enough and soft is None and not settings.reversible and len(states.replica) > 1
    generated = np.count_nonzero(drawn_valid) >= bootstrap.MIN_VALID_SHARE * len(samples)
    from_generator = bool(valid) and generated and not by_row
    if by_row:
        drawn_rates = connected.leaving_shares(data, resampling) / lag_ps
    else:
        drawn_rates = chains.escape_rates(samples, lag_ps, from_generator=from_generator)
    escape = _escape(operator, drawn_rates, lag_ps, from_generator=from_generator)
    supported = (exits >= bootstrap.MIN_EVENTS) & np.isfinite(escape).all(axis=1)
    timescales = bootstrap.with_interval(
        chains.timescales(values, lag_ps), chains.timescales(chains.eigenvalues(samples), lag_ps)
    )
    ck = scan.chapman_kolmogorov(states, data, lags[-1], reversible=settings.reversible)
    flat = scanned.restricted(states, active, resampling, reversible=settings.reversible)
    parts = windowed.models(states, lag, active, resampling, settings.windows)
    stays = residence.survival(states.labels, states.segments, states.n_states, resampling)
    moved = _moved(states, context, lag, active, operator, resampling)
    low, high = bootstrap.interval(samples)
    mode = next((each for name, each in spectra.items() if name == settings.dictionary), None)
    own = mode is None or settings.dictionary == "indicator"
    failures = chosen.verdict.failures
    model = KoopmanModel(
        operator=operator,
        stationary=chains.stationary(operator),
        populations=frames.sum(axis=0)[active] / frames.sum(axis=0)[active].sum(),
        counts=data.pairs.sum(axis=1),
        operator_low=low,
        operator_high=high,
        eigenvalues=values,
        left_eigenvectors=left,
        right_eigenvectors=right,
        residuals=residual,
        timescales=timescales,
        scan_lags=flat.lags_ps,
        scan_timescales=flat.timescales,
        ck_steps=ck.steps,
        ck_predicted=ck.predicted,
        ck_observed=ck.observed,
        escape_rates=escape,
        residence_times=_residence(escape),
        exits=exits,
        events=connected.restricted(changes, active),
        active=active,
        soft_moments=np.zeros((2, 0, len(active), len(active))) if soft is None else soft,
        mode_eigenvalues=values if own else mode.eigenvalues,
        mode_timescales=timescales if own else mode.timescales,
        mode_residuals=residual if own else mode.residuals,
        mode_values=right if own else mode.modes.astype(np.complex128),
        survival_times=stays.times * states.frame_interval_ps,
        survival=stays.share[active],
        msd_lags=moved.steps * lag_ps,
        msd_model=moved.model,
        msd_measured=moved.measured,
        window_times=np.stack([parts.edges[:-1], parts.edges[1:]], axis=1) * states.frame_interval_ps,
        window_operators=parts.operators,
        window_populations=parts.populations,
        window_escape_rates=parts.escape,
        names=[states.names[state] for state in active],
        supported=[bool(flag) for flag in supported],
        escape_definition=FROM_GENERATOR if from_generator else FROM_DIAGONAL,
        dictionary=settings.dictionary,
        dictionaries=[each.row() for each in spectra.values()],
        lag_choice=scanned.evidence,
        lag_note=lag_note,
        first_frame=chosen.first,
        window_note=chosen.note,
        stationary_note=koopman_checks.not_stationary(failures),
        bonds=chosen.verdict.bonds,
        dropped=_dropped(states.names, frames.sum(axis=0), data),
        checks=[
            *koopman_checks.sampling(frames, data, share),
            *koopman_checks.stationary_window(states, data, chosen.verdict),
            *koopman_checks.spectral(values, residual, condition, difference, lag_ps, valid=bool(valid)),
            *koopman_checks.dictionaries(spectra),
            *koopman_checks.model(ck, flat.lags_ps, flat.timescales, lag_ps, data, settings.seed),
            *koopman_checks.displacements(moved.ratio),
        ],
        lag_ps=lag_ps,
        frame_interval_ps=states.frame_interval_ps,
        n_frames=n_frames,
        provenance={
            "settings": dict(cfg),
            "dwell_frames": states.dwell_frames,
            "estimator": _estimator(settings),
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
    if model.stationary_note:
        log.warning("%s", model.stationary_note)
    return model


def _estimator(settings: Settings) -> str:
    if settings.dictionary == "soft":
        return "EDMD on soft memberships, negative entries removed"
    return "reversible maximum likelihood" if settings.reversible else "non-reversible EDMD"


def _spectra(
    states: States, settings: Settings, context: Context, data: Counts, lag_ps: float
) -> dict[str, spectrum.Spectrum]:
    """Fit the operator on every dictionary; on the indicators alone where there is no embedding."""
    n = len(data.active)
    labels = connected.ranks(data.active, states.n_states)[np.asarray(states.labels, dtype=np.int64)]
    if context.vectors is None:
        if settings.dictionary != "indicator":
            raise UserError(
                f"kinetics.dictionary: {settings.dictionary} needs the embedding of the environments; give "
                "it, or use indicator"
            )
        return {}
    features = spectrum.principal_components(context.vectors, labels != UNASSIGNED)
    found = {}
    for name in spectrum.NAMES:
        functions = spectrum.build(name, labels, features, n, settings.seed)
        moments, means = spectrum.moments(functions, labels, features, states.segments, data.lag)
        found[name] = spectrum.fit(
            functions,
            moments,
            means,
            lag_ps,
            data.resampling,
            rank_cutoff=settings.rank_cutoff,
            ridge=settings.ridge,
            seed=settings.seed,
        )
    return found


def _operator(
    settings: Settings, data: Counts, spectra: Mapping[str, spectrum.Spectrum]
) -> tuple[np.ndarray, edmd.Moments, np.ndarray | None]:
    """Return the chain, the moments its residuals are measured with, and those of every ion if soft."""
    if settings.dictionary != "soft":
        operator = chains.transition_matrix(data.total, reversible=settings.reversible)
        return operator, edmd.moments_of_counts(data.total), None
    moments = spectra["soft"].moments
    operator, negative = edmd.chain_of(spectra["soft"].operator)
    log.info("negative mass removed from a row of the operator: at most %.2g", negative)
    return operator, moments.total(), np.stack([moments.gram, moments.cross])


def _spectrum(
    operator: np.ndarray, total: np.ndarray, moments: edmd.Moments
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, float, float]:
    """Return eigenvalues, left and right vectors, residuals, condition, |EDMD - row-normalised|."""
    values, left, right = scipy.linalg.eig(operator, left=True, right=True)
    order = np.lexsort((-values.imag, -values.real, -np.round(np.abs(values), 12)))
    values, left, right = values[order], left[:, order].conj(), right[:, order]
    largest = left[np.abs(left).argmax(axis=0), np.arange(len(values))]
    left = left / largest
    left[:, 0] /= left[:, 0].sum()
    largest = right[np.abs(right).argmax(axis=0), np.arange(len(values))]
    norm = np.sqrt(np.einsum("ik,ij,jk->k", right.conj(), moments.gram, right).real)
    right = right * (np.abs(largest) / largest / norm)
    general = edmd.fit(edmd.moments_of_counts(total))
    difference = np.abs(general.matrix - chains.transition_matrix(total)).max()
    return (
        values.astype(np.complex128),
        left.astype(np.complex128),
        right.astype(np.complex128),
        edmd.residuals(moments, values, right),
        general.condition,
        float(difference),
    )


def _escape(operator: np.ndarray, drawn: np.ndarray, lag_ps: float, *, from_generator: bool) -> np.ndarray:
    """Return the escape rates in 1/ns: value, low, high; `drawn` are those of resamples in 1/ps."""
    if len(operator) == 1:
        return np.array([[0.0, np.nan, np.nan]])
    value = chains.escape_rates(operator, lag_ps, from_generator=from_generator)
    return bootstrap.with_interval(value, drawn) * PS_PER_NS


def _residence(escape: np.ndarray) -> np.ndarray:
    """Return the mean residence times in ps, the inverse of the escape rates; NaN where there is none."""
    inverse = escape[:, [0, 2, 1]]
    return np.divide(PS_PER_NS, inverse, out=np.full(inverse.shape, np.nan), where=inverse > 0)


def _moved(
    states: States,
    context: Context,
    lag: int,
    active: np.ndarray,
    operator: np.ndarray,
    resampling: bootstrap.Resampling,
) -> walk.Displacements:
    positions = context.positions
    if positions is None:
        n = len(active)
        return walk.Displacements(np.zeros(0, int), np.zeros((0, n)), np.zeros((0, n, 3)), np.full(3, np.nan))
    return walk.compare(states.labels, positions, states.segments, lag, active, operator, resampling)


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
