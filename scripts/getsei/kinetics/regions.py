"""Regions along z as ends of the flux: an ion in a region is in a state of its own."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from getsei import cells
from getsei.errors import UserError
from getsei.kinetics.endpoints import Endpoint
from getsei.records import UNASSIGNED, States
from getsei.states import cleaning


def asked_for(wanted: Any) -> bool:
    """Tell whether an end of the flux is a region along z: `{region: name}` or `{z_A: [low, high]}`."""
    return isinstance(wanted, Mapping)


def range_of(states: States, wanted: Mapping[str, Any], key: str) -> tuple[list[tuple[float, float]], str]:
    """Return the ranges in z (Å) that a setting names, and how to call them.

    A region stands for its central half: the border is crossed back and forth by rattling.

    Raises
    ------
    UserError
        If there is no such region, or the range is empty.
    """
    if "z_A" in wanted:
        low, high = (float(edge) for edge in wanted["z_A"])
        if not low < high:
            raise UserError(f"{key}.z_A: [{low:g}, {high:g}] is empty; give the lower edge first")
        return [(low, high)], f"z {low:g} to {high:g} Å"
    name = str(wanted["region"])
    found = [
        (float(low + (high - low) / 4.0), float(high - (high - low) / 4.0))
        for (low, high), region in zip(states.regions, states.region_names, strict=True)
        if region == name
    ]
    if not found:
        known = ", ".join(dict.fromkeys(states.region_names)) or "none"
        raise UserError(f"{key}.region: there is no region {name!r}; this system has: {known}")
    return found, f"{name} region"


def heights(states: States) -> tuple[float, np.ndarray]:
    """Return the height of the cell in Å, and the height of every ion, (n_ions, n_frames), not wrapped."""
    cell = np.asarray(states.cell, dtype=np.float64)
    height = float(cells.heights(cell)[2])
    fractional = np.asarray(states.positions, dtype=np.float64) @ np.linalg.inv(cell)[:, 2]
    return height, fractional.T * height


def inside(states: States, ranges: list[tuple[float, float]]) -> np.ndarray:
    """Tell which ions lie within ranges of z: (n_ions, n_frames) bool. A range may cross the border."""
    height, z = heights(states)
    found = np.zeros(z.shape, dtype=bool)
    for low, high in ranges:
        found |= ((z - low) % height) < (high - low)
    return found


def augmented(
    states: States, source: Any, target: Any, keys: tuple[str, str] = ("tpt.source", "tpt.target")
) -> tuple[States, dict[str, Endpoint]]:
    """Return states in which ions within the wanted regions have a state of their own.

    Parameters
    ----------
    states : States
    source, target : settings
        Only those that are regions are looked at.
    keys : tuple of str
        Names of the settings, for messages.

    Returns
    -------
    states : States
        Indices of the environments stay as they were; regions follow them. Labels are cleaned with the
        same dwell time as before.
    ends : dict
        "source" and "target" to the Endpoint, where it is a region.

    Raises
    ------
    UserError
        If both regions overlap, or no ion ever is in one.
    """
    labels = np.array(states.raw_labels)
    names, ends = list(states.names), {}
    taken = np.zeros(labels.shape, dtype=bool)
    for end, wanted, key in zip(("source", "target"), (source, target), keys, strict=True):
        if not asked_for(wanted):
            continue
        ranges, name = range_of(states, wanted, key)
        here = inside(states, ranges)
        if (here & taken).any():
            raise UserError(f"{key}: {name} overlaps the other end of the flux; choose regions apart")
        share = float(here.mean())
        rule = f"ions in the {name} ({'; '.join(f'z {a:.3g} to {b:.3g} Å' for a, b in ranges)})"
        if share == 0.0:
            ends[end] = Endpoint((), rule, f"no ion is ever in the {name}")
            continue
        taken |= here
        labels[here & (labels != UNASSIGNED)] = len(names)
        ends[end] = Endpoint((len(names),), f"{rule}, {share:.1%} of the environments")
        names.append(name)
    extra = len(names) - states.n_states
    cleaned = cleaning.dwell_filter(labels, states.segments, max(1, states.dwell_frames))
    total = max(1, int((cleaned != UNASSIGNED).sum()))
    return replace(
        states,
        labels=cleaned,
        raw_labels=labels,
        names=names,
        population=np.array([(cleaned == state).sum() / total for state in range(len(names))]),
        coordination=np.pad(states.coordination, ((0, extra), (0, 0)), constant_values=np.nan),
        coordination_sd=np.pad(states.coordination_sd, ((0, extra), (0, 0)), constant_values=np.nan),
        density=np.pad(states.density, (0, extra), constant_values=np.nan),
        z_profile=np.pad(states.z_profile, ((0, extra), (0, 0))),
    ), ends
