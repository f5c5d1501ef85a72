"""The reactive flux of a system: transition path theory in physical units, with intervals and checks."""

import dataclasses
import logging
from collections.abc import Mapping
from typing import Any

import numpy as np

from getsei import provenance
from getsei.kinetics import (
    bootstrap,
    endpoints,
    flux_checks,
    flux_numbers,
    flux_pathways,
    koopman,
    regions,
    sampled_flux,
    sensitivity,
    window,
    window_flux,
)
from getsei.kinetics.endpoints import Endpoint
from getsei.kinetics.inputs import Settings
from getsei.kinetics.sampled_flux import Sampled
from getsei.records import Estimate, KoopmanModel, ReactiveFlux, States
from getsei.units import PS_PER_NS

log = logging.getLogger("getsei")

EQUILIBRIUM = ("total_flux", "events_per_cell", "flux_density", "rate", "mfpt", "flux_without_lag")
"""Numbers that mean nothing where the window is not stationary."""


def analyse(states: States, model: KoopmanModel, cfg: Mapping[str, Any]) -> ReactiveFlux:
    """Run transition path theory from source to target.

    Where the ends do not exist, overlap or are not connected, the record says so and holds no numbers.
    Where the window is not stationary, it holds models of successive windows and finite-time fluxes in
    place of equilibrium rates.

    Parameters
    ----------
    states : States
    model : KoopmanModel
        Fitted to these states; its settings are used for the resamples.
    cfg : mapping
        `source`, `target`, `path_fraction` of `tpt`.

    Raises
    ------
    UserError
        If a state or a region named in the settings does not exist.
    """
    wanted = {"source": cfg["source"], "target": cfg["target"]}
    ends = {
        name: endpoints.choose(states, end, f"tpt.{name}")
        for name, end in wanted.items()
        if not regions.asked_for(end)
    }
    if len(ends) < len(wanted):
        states, found = regions.augmented(states, wanted["source"], wanted["target"])
        model = _refitted(states, model)
        ends |= found
    source, target = ends["source"], ends["target"]
    states = window.trimmed(states, model.first_frame)
    problem = _problem(states, model, source, target)
    if problem:
        log.warning("no reactive flux: %s", problem)
        return _unsupported(states, model, source, target, cfg, problem)
    settings = Settings(**model.provenance["settings"])
    sampled = sampled_flux.sample(states, model, source, target)
    flux = sampled.flux
    per_ns = PS_PER_NS / model.lag_ps
    paths, diversity = flux_pathways.describe(model, sampled, float(cfg["path_fraction"]), per_ns)
    direct = flux_checks.count_passages(states, model, source, target)
    counted, seen, expected = flux_checks.passages_in_window(states, model, sampled)
    parts = window_flux.compute(states, model, sampled, settings.windows, sampled.resampling)
    supported, note = _support(model, paths, sampled)
    if model.stationary_note:  # the chains of the windows are put to the test, not their average
        seen, expected = int(parts.seen.sum()), parts.predicted
        p = flux_checks.passage_probability(seen, expected)
        counted = flux_checks.passage_row(p, seen, expected)
    if supported and not counted["passed"]:
        supported = False
        note = (
            f"the model predicts {expected:.1f} passages in the sampled time, {seen} were seen: the "
            "states keep a memory over the lag; use a longer kinetics.lag_ps, or sample longer"
        )
    net_low, net_high = sampled.interval("net")
    drawn_share = None if sampled.drawn is None else sampled_flux.throughput(sampled.drawn, sampled.source)
    throughput = sampled_flux.throughput(flux, sampled.source)
    estimates = flux_numbers.estimates(states, model, sampled, paths, direct, supported=supported, note=note)
    for name, value in diversity.items():
        sound = value.supported and supported
        estimates[name] = dataclasses.replace(value, supported=sound, note=note or value.note)
    compared = flux_checks.passages(estimates)
    if model.stationary_note:
        for name in EQUILIBRIUM:
            estimates[name] = dataclasses.replace(
                estimates[name], supported=False, note=note or model.stationary_note
            )
    estimates |= flux_numbers.of_windows(
        parts, model, paths[0]["events"] if paths else 0, supported=supported, note=note
    )
    lag = round(model.lag_ps / model.frame_interval_ps)
    lags = sorted({lag, *(round(lag_ps / model.frame_interval_ps) for lag_ps in model.scan_lags)})
    grid = sensitivity.grid(
        states,
        model.active,
        (sampled.source, sampled.target),
        lags,
        sampled.resampling,
        reversible=settings.reversible,
    )
    heights, profile = flux_numbers.committor_profile(states, model.active, flux.forward)
    result = ReactiveFlux(
        forward_committor=flux.forward,
        backward_committor=flux.backward,
        net_flux=flux.net * per_ns,
        net_flux_low=net_low * per_ns,
        net_flux_high=net_high * per_ns,
        gross_flux=flux.gross * per_ns,
        edge_events=sampled_flux.edge_events(model),
        throughput=bootstrap.with_interval(
            throughput, np.zeros((0, len(throughput))) if drawn_share is None else drawn_share
        ),
        active=model.active,
        operator=model.operator,
        stationary=model.stationary,
        populations=model.populations,
        profile_z=heights,
        profile_committor=profile,
        window_times=np.stack([parts.edges[:-1], parts.edges[1:]], axis=1) * model.frame_interval_ps,
        window_committors=parts.committors,
        window_flux=parts.flux,
        window_passages=parts.seen,
        sensitivity_lags=grid.lags * model.frame_interval_ps,
        sensitivity_dwells=grid.dwells,
        sensitivity=grid.flux,
        sensitivity_slowest=grid.slowest,
        source=sampled.source,
        target=sampled.target,
        source_rule=source.rule,
        target_rule=target.rule,
        names=list(model.names),
        pathways=paths,
        bottleneck=flux_pathways.bottleneck(model, sampled, paths, per_ns),
        estimates={name: estimate.as_dict() for name, estimate in estimates.items()},
        checks=[
            *flux_checks.theory(model, sampled, paths),
            *compared,
            counted,
            *sensitivity.verdicts(grid, lag, states.dwell_frames, model.frame_interval_ps),
        ],
        supported=supported,
        note="; ".join(filter(None, [note, model.stationary_note])),
        stationary_note=model.stationary_note,
        lag_ps=model.lag_ps,
        frame_interval_ps=model.frame_interval_ps,
        n_ions=len(states.labels),
        provenance=_provenance(model, cfg),
    )
    log.info("total flux %s", estimates["total_flux"])
    log.info("finite-time flux %s", estimates["finite_time_flux"])
    for check in result.checks:
        log.info(
            "%s: %.3g (limit %.3g) %s",
            check["name"],
            check["value"],
            check["limit"],
            "passed" if check["passed"] else "FAILED",
        )
    return result


def _refitted(states: States, model: KoopmanModel) -> KoopmanModel:
    """Fit the chain of states that include regions, at the lag and over the window of the model."""
    begin = int(np.asarray(states.segments).reshape(-1, 2)[:, 0].min())
    fixed = {
        "lag_ps": model.lag_ps,
        "discard_ps": (model.first_frame - begin) * model.frame_interval_ps,
        "dictionary": "indicator",
    }
    fitted = koopman.fit(states, model.provenance["settings"] | fixed)
    return dataclasses.replace(fitted, stationary_note=fitted.stationary_note or model.stationary_note)


def _problem(states: States, model: KoopmanModel, source: Endpoint, target: Endpoint) -> str:
    """Return why there is no flux to speak of; "" if there is one."""
    for name, end in (("source", source), ("target", target)):
        if end.problem:
            return f"{name}: {end.problem}"
    shared = sorted(set(source.states) & set(target.states))
    if shared:
        return f"source and target share {', '.join(states.names[state] for state in shared)}"
    exchanging = set(model.active.tolist())
    for name, end in (("source", source), ("target", target)):
        lost = [states.names[state] for state in end.states if state not in exchanging]
        if lost:
            return f"{name}: {', '.join(lost)} does not exchange ions both ways with the other states"
    return ""


def _support(model: KoopmanModel, paths: list[dict[str, Any]], sampled: Sampled) -> tuple[bool, str]:
    if sampled.drawn is None:
        return False, "too few ions keep the states connected when they are resampled; sample longer"
    if not paths:
        return False, "no net flux between source and target"
    if paths[0]["events"] < bootstrap.MIN_EVENTS:
        return False, (
            f"an edge of the widest pathway ({' to '.join(paths[0]['names'])}) was seen {paths[0]['events']} "
            f"times; {bootstrap.MIN_EVENTS} are needed"
        )
    return True, ""


def _unsupported(
    states: States,
    model: KoopmanModel,
    source: Endpoint,
    target: Endpoint,
    cfg: Mapping[str, Any],
    problem: str,
) -> ReactiveFlux:
    n = len(model.active)
    nothing = np.full((n, n), np.nan)
    return ReactiveFlux(
        forward_committor=np.full(n, np.nan),
        backward_committor=np.full(n, np.nan),
        net_flux=nothing,
        net_flux_low=nothing,
        net_flux_high=nothing,
        gross_flux=nothing,
        edge_events=sampled_flux.edge_events(model),
        throughput=np.full((n, 3), np.nan),
        active=model.active,
        operator=model.operator,
        stationary=model.stationary,
        populations=model.populations,
        profile_z=np.zeros(0),
        profile_committor=np.zeros(0),
        window_times=np.zeros((0, 2)),
        window_committors=np.zeros((0, n)),
        window_flux=np.zeros((0, 3)),
        window_passages=np.zeros(0, dtype=np.int64),
        sensitivity_lags=np.zeros(0),
        sensitivity_dwells=np.zeros(0, dtype=np.int64),
        sensitivity=np.zeros((0, 0, 3)),
        sensitivity_slowest=np.zeros((0, 0)),
        source=sampled_flux.among_active(model, source),
        target=sampled_flux.among_active(model, target),
        source_rule=source.rule,
        target_rule=target.rule,
        names=list(model.names),
        pathways=[],
        bottleneck={},
        estimates={
            name: Estimate(np.nan, np.nan, np.nan, unit, 0, False, problem).as_dict()
            for name, unit in flux_numbers.UNITS.items()
        },
        checks=[],
        supported=False,
        note=problem,
        stationary_note=model.stationary_note,
        lag_ps=model.lag_ps,
        frame_interval_ps=model.frame_interval_ps,
        n_ions=len(states.labels),
        provenance=_provenance(model, cfg),
    )


def _provenance(model: KoopmanModel, cfg: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "settings": dict(cfg),
        "kinetics": model.provenance["settings"],
        "dwell_frames": model.provenance["dwell_frames"],
        "versions": provenance.versions("numpy", "deeptime"),
    }
