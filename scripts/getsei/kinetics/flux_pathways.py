"""Pathways, diversity and bottlenecks of a sampled flux, in physical units."""

from itertools import pairwise
from typing import Any

import numpy as np

from getsei.kinetics import bootstrap, pathways, sampled_flux, transition_paths
from getsei.kinetics.sampled_flux import Sampled
from getsei.records import Estimate, KoopmanModel

PATH_RESAMPLES = 500
"""Resamples that are split into paths; the arrays use all of them."""


def _finite(value: float) -> float | None:
    """Return a number, or None where there is none: records travel as JSON, which has no NaN."""
    return float(value) if np.isfinite(value) else None


def describe(
    model: KoopmanModel, sampled: Sampled, fraction: float, per_ns: float
) -> tuple[list[dict[str, Any]], dict[str, Estimate]]:
    """Return the pathways with the probability of their rank, and the measures of their diversity."""
    whole = pathways.decompose(sampled.flux.net, sampled.source, sampled.target)
    listed = int(np.searchsorted(np.cumsum(whole.shares), fraction * (1.0 - 1e-9))) + 1
    drawn = [] if sampled.drawn is None else sampled.drawn.net[:PATH_RESAMPLES]
    resamples = [pathways.decompose(net, sampled.source, sampled.target) for net in drawn]
    seen = sampled_flux.edge_events(model)
    rows = []
    for rank, (path, flux, share) in enumerate(
        zip(whole.paths[:listed], whole.fluxes, whole.shares, strict=False), start=1
    ):
        found = [dict(zip(one.paths, one.shares, strict=True)).get(path, 0.0) for one in resamples]
        low, high = bootstrap.interval(np.array(found))
        events = [int(seen[i, j]) for i, j in pairwise(path)]
        narrow = pathways.weakest_edge(sampled.flux.net, path)
        first = np.mean([one.paths[:1] == (path,) for one in resamples]) if resamples else np.nan
        same = np.mean([one.paths[rank - 1 : rank] == (path,) for one in resamples]) if resamples else np.nan
        rows.append(
            {
                "rank": rank,
                "states": [int(state) for state in path],
                "names": [model.names[state] for state in path],
                "flux": float(flux * per_ns),
                "unit": "1/(ion ns)",
                "share": float(share),
                "low": _finite(low),
                "high": _finite(high),
                "probability_first": _finite(first),
                "probability": _finite(same),
                "events": min(events),
                "weakest_edge": [int(state) for state in narrow],
                "supported": min(events) >= bootstrap.MIN_EVENTS and bool(np.isfinite(low)),
            }
        )
    return rows, _diversity(sampled, whole, resamples, rows)


def _diversity(
    sampled: Sampled,
    whole: pathways.Decomposition,
    resamples: list[pathways.Decomposition],
    rows: list[dict[str, Any]],
) -> dict[str, Estimate]:
    flux, drawn = sampled.flux, sampled.drawn
    events = rows[0]["events"] if rows else 0

    def narrowest(net: np.ndarray, committor: np.ndarray) -> float:
        cuts = pathways.committor_cuts(net, committor)
        return pathways.effective_number(pathways.narrowest_cut(cuts).shares)

    cuts = (
        []
        if drawn is None
        else [
            narrowest(net, q)
            for net, q in zip(drawn.net[:PATH_RESAMPLES], drawn.forward[:PATH_RESAMPLES], strict=True)
        ]
    )
    between = np.setdiff1d(np.arange(flux.net.shape[-1]), [*sampled.source, *sampled.target])

    def busiest(one: transition_paths.Flux) -> np.ndarray:
        shares = sampled_flux.throughput(one, sampled.source)[..., between]
        return shares.max(axis=-1, initial=0.0)

    measures = {
        "pathway_diversity": (
            pathways.effective_number(whole.shares),
            [pathways.effective_number(one.shares) for one in resamples],
            "exp of the entropy of the path shares; 1 is a single path",
        ),
        "pathway_participation": (
            pathways.participation(whole.shares),
            [pathways.participation(one.shares) for one in resamples],
            "1 / sum of squared path shares",
        ),
        "cut_diversity": (
            narrowest(flux.net, flux.forward),
            cuts,
            "effective number of edges at the narrowest committor cut; independent of the decomposition",
        ),
        "busiest_state_share": (
            float(busiest(flux)),
            [] if drawn is None else busiest(drawn),
            "largest share of the flux through one state between the ends; independent of the decomposition",
        ),
        "dominant_pathway_share": (
            float(whole.shares[0]) if len(whole.paths) else np.nan,
            [float(one.shares[0]) for one in resamples if len(one.paths)],
            "share of the widest path, whichever it is in a resample",
        ),
    }
    found = {}
    for name, (value, samples, note) in measures.items():
        low, high = bootstrap.interval(np.asarray(samples, dtype=np.float64))
        supported = events >= bootstrap.MIN_EVENTS and bool(np.isfinite([value, low, high]).all())
        found[name] = Estimate(value, float(low), float(high), "1", events, supported, note)
    return found


def bottleneck(
    model: KoopmanModel, sampled: Sampled, paths: list[dict[str, Any]], per_ns: float
) -> dict[str, Any]:
    """Describe where the flux is narrow: on the dominant path, along the committor, in the exchange."""
    flux = sampled.flux

    def described(cut: pathways.Cut) -> dict[str, Any]:
        return {
            "edges": [[int(i), int(j)] for i, j in cut.edges],
            "names": [[model.names[i], model.names[j]] for i, j in cut.edges],
            "shares": [float(share) for share in cut.shares],
            "capacity": cut.capacity * per_ns,
            "unit": "1/(ion ns)",
        }

    found: dict[str, Any] = {
        "narrowest_cut": described(pathways.narrowest_cut(pathways.committor_cuts(flux.net, flux.forward))),
        "minimum_cut": described(
            pathways.minimum_cut(flux.stationary[:, None] * model.operator, sampled.source, sampled.target)
        ),
    }
    if paths:
        i, j = paths[0]["weakest_edge"]
        low, high = sampled.interval("net")
        seen = sampled_flux.edge_events(model)
        found |= {
            "from": i,
            "to": j,
            "edge_names": [model.names[i], model.names[j]],
            "flux": float(flux.net[i, j] * per_ns),
            "flux_low": _finite(low[i, j] * per_ns),
            "flux_high": _finite(high[i, j] * per_ns),
            "share": float(flux.net[i, j] / flux.total),
            "unit": "1/(ion ns)",
            "events": int(seen[i, j]),
            "supported": bool(seen[i, j] >= bootstrap.MIN_EVENTS and np.isfinite(low[i, j])),
        }
    return found
