"""The reactive flux of a system: transition path theory in physical units, with intervals and checks."""

import dataclasses
import logging
from collections.abc import Mapping
from typing import Any

import numpy as np

from getsei import provenance
from getsei.kinetics import bootstrap, endpoints, flux_checks, flux_pathways, koopman_checks, sampled_flux
from getsei.kinetics.endpoints import Endpoint
from getsei.kinetics.sampled_flux import Sampled
from getsei.records import Estimate, KoopmanModel, ReactiveFlux, States
from getsei.units import A2_PER_NM2, PS_PER_NS

log = logging.getLogger("getsei")

INTERFACES_PER_CELL = 2
"""A cell that repeats along z holds the interface twice."""


def analyse(states: States, model: KoopmanModel, cfg: Mapping[str, Any]) -> ReactiveFlux:
    """Run transition path theory from source to target.

    Where the ends do not exist, overlap or are not connected, the record says so and holds no numbers.

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
        If a state named in the settings does not exist.
    """
    source = endpoints.choose(states, cfg["source"], "tpt.source")
    target = endpoints.choose(states, cfg["target"], "tpt.target")
    problem = _problem(states, model, source, target)
    if problem:
        log.warning("no reactive flux: %s", problem)
        return _unsupported(states, model, source, target, cfg, problem)
    sampled = sampled_flux.sample(states, model, source, target)
    flux = sampled.flux
    per_ns = PS_PER_NS / model.lag_ps
    paths, diversity = flux_pathways.describe(model, sampled, float(cfg["path_fraction"]), per_ns)
    direct = flux_checks.count_passages(states, model, source, target)
    counted, seen, expected = flux_checks.passages_in_window(states, model, sampled)
    supported, note = _support(model, paths, sampled)
    if supported and not counted["passed"]:
        supported = False
        note = (
            f"the model predicts {expected:.1f} passages in the sampled time, {seen} were seen: the "
            "states keep a memory over the lag; use a longer kinetics.lag_ps, or sample longer"
        )
    net_low, net_high = sampled.interval("net")
    drawn_share = None if sampled.drawn is None else sampled_flux.throughput(sampled.drawn, sampled.source)
    throughput = sampled_flux.throughput(flux, sampled.source)
    estimates = _estimates(states, model, sampled, paths, direct, supported=supported, note=note)
    for name, value in diversity.items():
        sound = value.supported and supported
        estimates[name] = dataclasses.replace(value, supported=sound, note=note or value.note)
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
        populations=model.populations,
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
            *flux_checks.passages(estimates),
            counted,
            *flux_checks.other_lags(states, model, sampled),
            *flux_checks.other_dwells(states, model, sampled),
        ],
        supported=supported,
        note="; ".join(filter(None, [note, koopman_checks.not_stationary(model.checks)])),
        lag_ps=model.lag_ps,
        frame_interval_ps=model.frame_interval_ps,
        n_ions=len(states.labels),
        provenance=_provenance(model, cfg),
    )
    log.info("total flux %s", estimates["total_flux"])
    for check in result.checks:
        log.info(
            "%s: %.3g (limit %.3g) %s",
            check["name"],
            check["value"],
            check["limit"],
            "passed" if check["passed"] else "FAILED",
        )
    return result


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


def _estimates(
    states: States,
    model: KoopmanModel,
    sampled: Sampled,
    paths: list[dict[str, Any]],
    direct: Estimate,
    *,
    supported: bool,
    note: str,
) -> dict[str, Estimate]:
    per_ns = PS_PER_NS / model.lag_ps
    cell = np.asarray(states.cell, dtype=np.float64)
    area_nm2 = float(np.linalg.norm(np.cross(cell[0], cell[1]))) / A2_PER_NM2
    kept = 1.0 - sum(state["population"] for state in model.dropped)
    ions = len(states.labels) / len(np.unique(states.replica)) * kept
    events = paths[0]["events"] if paths else 0

    def estimate(name: str, factor: float, unit: str, meaning: str) -> Estimate:
        low, high = (float(bound) * factor for bound in sampled.interval(name))
        return Estimate(
            float(getattr(sampled.flux, name)) * factor,
            low,
            high,
            unit,
            events,
            supported and bool(np.isfinite([low, high]).all()),
            note or f"{meaning}; n = events on the rarest edge of the dominant pathway",
        )

    return {
        "total_flux": estimate("total", per_ns, "1/(ion ns)", "passages from source to target per ion"),
        "events_per_cell": estimate(
            "total", per_ns * ions, "1/ns", f"passages in the cell ({ions:.4g} ions in connected states)"
        ),
        "flux_density": estimate(
            "total",
            per_ns * ions / (area_nm2 * INTERFACES_PER_CELL),
            "ions/(ns nm^2)",
            f"passages per area of interface ({INTERFACES_PER_CELL} x {area_nm2:.3g} nm^2)",
        ),
        "rate": estimate("rate", per_ns, "1/ns", "rate of reaching the target, for ions last in the source"),
        "mfpt": estimate("mfpt", model.lag_ps, "ps", "mean first passage time, the inverse of the rate"),
        "flux_without_lag": dataclasses.replace(
            sampled_flux.without_lag(model, sampled, events), supported=False, note=note
        )
        if note
        else sampled_flux.without_lag(model, sampled, events),
        "direct_flux": direct,
    }


def _unsupported(
    states: States,
    model: KoopmanModel,
    source: Endpoint,
    target: Endpoint,
    cfg: Mapping[str, Any],
    problem: str,
) -> ReactiveFlux:
    n = len(model.active)
    units = {
        "total_flux": "1/(ion ns)",
        "events_per_cell": "1/ns",
        "flux_density": "ions/(ns nm^2)",
        "rate": "1/ns",
        "mfpt": "ps",
        "flux_without_lag": "1/(ion ns)",
        "direct_flux": "1/(ion ns)",
        "pathway_diversity": "1",
        "pathway_participation": "1",
        "cut_diversity": "1",
        "busiest_state_share": "1",
        "dominant_pathway_share": "1",
    }
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
        populations=model.populations,
        source=sampled_flux.among_active(model, source),
        target=sampled_flux.among_active(model, target),
        source_rule=source.rule,
        target_rule=target.rule,
        names=list(model.names),
        pathways=[],
        bottleneck={},
        estimates={
            name: Estimate(np.nan, np.nan, np.nan, unit, 0, False, problem).as_dict()
            for name, unit in units.items()
        },
        checks=[],
        supported=False,
        note=problem,
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
