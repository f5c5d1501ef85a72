"""All numbers of one system in one dictionary, each with its interval, unit and sample size."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from getsei import extrapolation, interphase, statistics
from getsei.provenance import versions
from getsei.records import (
    Embedding,
    Environments,
    Estimate,
    Interphase,
    KoopmanModel,
    ReactiveFlux,
    States,
    Trajectory,
    Transport,
)

SCHEMA_VERSION = 1
DIFFUSION = ("diffusion", "apparent_diffusion", "exponent")
BY_STATE = (
    "mobility",
    "mobility_slope",
    "squared_jump",
    "mobility_score",
    "escape_rate",
    "residence_time",
)


@dataclass(frozen=True)
class Inputs:
    """The records of one system; trajectories, environments and extrapolation of all its replicas."""

    trajectories: Sequence[Trajectory]
    environments: Sequence[Environments]
    embedding: Embedding
    states: States
    koopman: KoopmanModel
    flux: ReactiveFlux
    transport: Transport
    interphase: Interphase
    extrapolated: Sequence[extrapolation.Measured] = ()


def exact(value: float, unit: str, n: int, note: str = "") -> dict[str, Any]:
    """Return a number that was set or counted, not estimated: it has no interval."""
    return Estimate(float(value), np.nan, np.nan, unit, int(n), bool(np.isfinite(value)), note).as_dict()


def summarise(system: str, inputs: Inputs, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Collect the numbers of one system.

    Parameters
    ----------
    system : str
        Name of the system.
    inputs : Inputs
        Its records.
    settings : mapping
        Its complete settings, kept beside the numbers.

    Returns
    -------
    dict
        ``numbers``: key to {value, low, high, unit, n, supported, note}; a key ends in ``/<state>`` where
        the number belongs to a state. ``states``, ``gates``, ``checks``, ``bottleneck``, ``pathways``,
        ``definitions`` and ``provenance`` explain them.
    """
    states, flux, transport = inputs.states, inputs.flux, inputs.transport
    checks = [
        *({"stage": "states", **row} for row in states.gates),
        *({"stage": "kinetics", **row} for row in inputs.koopman.checks),
        *({"stage": "tpt", **row} for row in flux.checks),
    ]
    numbers = {
        **_sampling(inputs),
        **_states(states, inputs.embedding),
        **_kinetics(inputs.koopman),
        **{key: statistics.estimate_of(value).as_dict() for key, value in flux.estimates.items()},
        **_bottleneck(flux),
        **_by_state(states, transport),
        **{k: v for k, v in transport.estimates.items() if k.split("/")[0] in DIFFUSION},
        **{f"correlation/{key}": value for key, value in transport.correlations.items()},
        **interphase.numbers(inputs.interphase),
        **extrapolation.numbers(inputs.extrapolated, _stage(inputs), inputs.environments[0].mobile),
        **_counted_checks(checks),
    }
    return {
        "schema_version": SCHEMA_VERSION,
        "system": system,
        "settings": dict(settings),
        "elements": sorted({str(s) for t in inputs.trajectories for s in t.species}),
        "mobile": list(inputs.environments[0].mobile),
        "numbers": dict(sorted(numbers.items())),
        "states": [{"state": s, "name": name, "role": _role(s, flux)} for s, name in enumerate(states.names)],
        "flux_supported": flux.supported,
        "flux_note": flux.note,
        "bottleneck": flux.bottleneck,
        "pathways": flux.pathways,
        "choice_of_states": states.choice,
        "choice_note": states.choice_note,
        "checks": checks,
        "failed": [_label(row) for row in checks if row.get("passed") is False],
        "definitions": {
            **transport.definitions,
            "source": flux.source_rule,
            "target": flux.target_rule,
            "interphase": inputs.interphase.definition,
        },
        "provenance": {
            "trajectories": [t.provenance for t in inputs.trajectories],
            "environments": inputs.environments[0].provenance.get("stride"),
            "encoder_digest": inputs.embedding.encoder_digest,
            "embedding": inputs.embedding.provenance,
            "states": states.provenance,
            "koopman": inputs.koopman.provenance,
            "flux": flux.provenance,
            "transport": transport.provenance,
            "versions": versions("numpy", "scipy", "h5py"),
        },
    }


def _label(row: Mapping[str, Any]) -> str:
    return f"{row['stage']}: {row.get('name', row.get('gate', 'check'))}"


def _role(state: int, flux: ReactiveFlux) -> str:
    found = np.flatnonzero(flux.active == state)
    if not len(found):
        return "dropped"
    if found[0] in flux.source:
        return "source"
    return "target" if found[0] in flux.target else "intermediate"


def _stage(inputs: Inputs) -> str:
    return inputs.environments[0].provenance.get("stage", inputs.trajectories[0].stages[-1])


def _sampling(inputs: Inputs) -> dict[str, Any]:
    stage = _stage(inputs)
    frames = [t.frames_of(stage) for t in inputs.trajectories]
    heat = np.concatenate([t.temperature[f] for t, f in zip(inputs.trajectories, frames, strict=True)])
    heat = heat[np.isfinite(heat)]
    analysed = [e.n_frames * e.frame_interval_ps for e in inputs.environments]
    n_frames = int(sum(e.n_frames for e in inputs.environments))
    found = {
        "n_replicas": exact(len(inputs.trajectories), "1", len(inputs.trajectories)),
        "n_atoms": exact(len(inputs.trajectories[0].species), "1", len(inputs.trajectories[0].species)),
        "n_ions": exact(len(inputs.states.atoms), "1", len(inputs.states.atoms)),
        "production_ps": exact(sum(analysed), "ps", n_frames, "all replicas; n = frames"),
    }
    if len(heat):
        # Successive frames share a thermostat's memory; the spread over ten blocks does not.
        blocks = np.array([block.mean() for block in np.array_split(heat, min(10, len(heat)))])
        half = 1.96 * blocks.std(ddof=1) / np.sqrt(len(blocks)) if len(blocks) > 1 else np.nan
        found["temperature_K"] = Estimate(
            heat.mean(),
            heat.mean() - half,
            heat.mean() + half,
            "K",
            len(heat),
            True,
            "production; ten blocks",
        ).as_dict()
    elif (told := _told_temperature(inputs.trajectories[0])) is not None:
        found["temperature_K"] = exact(told, "K", 0, "as the configuration says; the files record none")
    return found


def _told_temperature(trajectory: Trajectory) -> float | None:
    """Return the temperature that the user gave for a trajectory without one."""
    return trajectory.provenance.get("settings", {}).get("trajectory", {}).get("temperature_K")


def _states(states: States, embedding: Embedding) -> dict[str, Any]:
    n = int((states.labels >= 0).sum())
    found = {
        "n_states": exact(states.n_states, "1", n, states.choice_note),
        "assigned_share": exact(n / states.labels.size, "1", states.labels.size),
    }
    for key, value in embedding.diagnostics.items():
        found[f"embedding/{_slug(key)}"] = exact(value, "1", embedding.vectors[..., 0].size)
    for row in states.gates:
        if isinstance(row.get("value"), int | float):
            key = _slug(str(row.get("name", row.get("gate", "gate"))))
            found[f"states/{key}"] = exact(row["value"], "1", n, str(row.get("meaning", "")))
    chosen = next((row for row in states.choice if row.get("n_states") == states.n_states), {})
    for key, value in chosen.items():
        if isinstance(value, int | float) and not isinstance(value, bool) and key != "n_states":
            found.setdefault(_slug(key), exact(value, "1", n, f"at {states.n_states} states"))
    return found


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")


def _kinetics(koopman: KoopmanModel) -> dict[str, Any]:
    pairs = int(koopman.counts.sum())
    found = {
        "lag_ps": exact(koopman.lag_ps, "ps", pairs),
        "n_active_states": exact(len(koopman.active), "1", pairs),
        "n_transitions": exact(koopman.events.sum(), "1", int(koopman.events.sum())),
    }
    if len(koopman.timescales):
        value, low, high = (float(x) for x in koopman.timescales[0])
        found["slowest_timescale_ps"] = Estimate(
            value,
            low,
            high,
            "ps",
            pairs,
            bool(np.isfinite([value, low, high]).all()),
            "slowest implied timescale",
        ).as_dict()
    return found


def _bottleneck(flux: ReactiveFlux) -> dict[str, Any]:
    """Return the strength of the bottleneck: the net flux over the weakest step of the widest pathway."""
    found = flux.bottleneck
    if "flux" not in found:
        return {}
    low, high = (np.nan if found[key] is None else found[key] for key in ("flux_low", "flux_high"))
    supported = bool(found["supported"]) and flux.supported
    note = f"{' > '.join(found['edge_names'])}, weakest step of the widest pathway; n = its events"
    events = int(found["events"])
    strength = Estimate(found["flux"], low, high, found["unit"], events, supported, note)
    return {"bottleneck_flux": strength.as_dict()}


def _by_state(states: States, transport: Transport) -> dict[str, Any]:
    found = {}
    for s in range(states.n_states):
        n = int((states.labels == s).sum())
        found[f"population/{s}"] = exact(states.population[s], "1", n, "share of assigned environments")
        found[f"ion_density/{s}"] = exact(states.density[s], "nm^-3", n)
        for column, element in enumerate(states.elements):
            note = f"standard deviation {states.coordination_sd[s, column]:.2f} over environments"
            found[f"coordination_{element}/{s}"] = exact(states.coordination[s, column], "1", n, note)
        for key in BY_STATE:
            found[f"{key}/{s}"] = dict(transport.estimates[f"{key}/{s}"])
    return found


def _counted_checks(checks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    judged = [row for row in checks if isinstance(row.get("passed"), bool)]
    failed = sum(not row["passed"] for row in judged)
    return {"checks_failed": exact(failed, "1", len(judged), "n = checks made")}


def headline(summary: Mapping[str, Any], key: str) -> Estimate:
    """Return a number of a summary as an Estimate; unsupported where the summary has none."""
    row = summary["numbers"].get(key)
    if row is None:
        return Estimate(np.nan, np.nan, np.nan, "1", 0, False, "not in the summary")
    return statistics.estimate_of(row)


def plain(value: Any) -> Any:
    """Turn nested values into what JSON knows; numbers that are not finite become None."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.generic | np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
