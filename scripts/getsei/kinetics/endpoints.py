"""Where the flux starts and ends: metal-like and electrolyte-like states by rule, or states by name."""

from dataclasses import dataclass

import numpy as np

from getsei.errors import UserError
from getsei.records import States

METAL_LIKE = "metal-like"
ELECTROLYTE_LIKE = "electrolyte-like"
REGION = "region:"
"""Prefix of the rule that takes the state which lies deepest in a region, as in ``region:counterpart``."""
MAX_ANIONS = 0.5
"""Anions in the first shell below which an ion has none."""
MIN_POPULATION = 0.01
MIN_INSIDE = 0.5
"""Share of a state's environments that must lie in the electrolyte region."""


@dataclass(frozen=True)
class Endpoint:
    """States at one end of the flux.

    Attributes
    ----------
    states : tuple of int
        Indices among all states; empty if no state satisfies the rule.
    rule : str
        How they were chosen, in words, with the numbers that decided.
    problem : str
        Why there are none; "" if there are.
    """

    states: tuple[int, ...]
    rule: str
    problem: str = ""


def choose(states: States, wanted: str | list[str | int], key: str) -> Endpoint:
    """Return the states that a setting asks for.

    Parameters
    ----------
    states : States
    wanted : str or list
        `metal-like`, `electrolyte-like`, `region:` and the name of a region, or names or indices of states.
    key : str
        The setting, for messages.

    Raises
    ------
    UserError
        If a name or an index is not a state.
    """
    if wanted == METAL_LIKE:
        return metal_like(states)
    if wanted == ELECTROLYTE_LIKE:
        return electrolyte_like(states)
    if isinstance(wanted, str) and wanted.startswith(REGION):
        return in_region(states, wanted.removeprefix(REGION), key)
    chosen = tuple(dict.fromkeys(_index(states, item, key) for item in _listed(wanted)))
    if not chosen:
        raise UserError(f"{key}: the list of states is empty; {_allowed(states)}")
    small = [states.names[s] for s in chosen if states.population[s] <= MIN_POPULATION]
    rule = "named by the user: " + ", ".join(states.names[state] for state in chosen)
    if small:
        return Endpoint((), rule, f"{', '.join(small)}: {MIN_POPULATION:.0%} of the environments or fewer")
    return Endpoint(chosen, rule)


def _listed(wanted: str | list[str | int]) -> list[str | int]:
    return list(wanted) if isinstance(wanted, list | tuple) else [wanted]


def _allowed(states: States) -> str:
    names = ", ".join(f"{name!r}" for name in states.names)
    return f"use {METAL_LIKE}, {ELECTROLYTE_LIKE}, {REGION}NAME, or a list of states among {names}"


def _index(states: States, item: str | int, key: str) -> int:
    if isinstance(item, str) and item in states.names:
        return states.names.index(item)
    number = item if isinstance(item, int) else int(item) if item.isdecimal() else -1
    if 0 <= number < states.n_states:
        return number
    raise UserError(f"{key}: there is no state {item!r}; {_allowed(states)}")


def anion_coordination(states: States) -> np.ndarray:
    """Return the mean number of anions in the first shell of each state, (n_states,)."""
    columns = [states.elements.index(anion) for anion in states.anions if anion in states.elements]
    return states.coordination[:, columns].sum(axis=1)


def mobile_coordination(states: States) -> np.ndarray:
    """Return the mean number of mobile ions in the first shell of each state, (n_states,)."""
    columns = [states.elements.index(ion) for ion in states.mobile if ion in states.elements]
    return states.coordination[:, columns].sum(axis=1)


def metal_like(states: States) -> Endpoint:
    """Return the populated state without anions in its first shell that has the most mobile neighbours."""
    anions, ions = anion_coordination(states), mobile_coordination(states)
    rule = (
        f"{METAL_LIKE}: fewer than {MAX_ANIONS:g} anions in the first shell, over {MIN_POPULATION:.0%} of "
        "the environments; of those, the most mobile ions in the first shell"
    )
    found = np.flatnonzero((anions < MAX_ANIONS) & (states.population > MIN_POPULATION))
    if not len(found):
        fewest = int(np.argmin(np.where(states.population > MIN_POPULATION, anions, np.inf)))
        return Endpoint(
            (),
            rule,
            f"no metal-like state: the fewest anions in a first shell are {anions[fewest]:.2f} "
            f"({states.names[fewest]})",
        )
    best = int(found[np.argmax(ions[found])])
    numbers = f"{states.names[best]}, {anions[best]:.2f} anions and {ions[best]:.1f} mobile ions"
    return Endpoint((best,), f"{rule} ({numbers})")


def shares_inside(states: States, region: str = "electrolyte") -> tuple[np.ndarray, np.ndarray]:
    """Return the shares of each state's environments in a region and in its central half.

    Bins of the z-profile count in proportion to their overlap with the region; regions of several pieces
    are added up. NaN for empty states.

    Returns
    -------
    inside, core : (n_states,) arrays
    """
    low, high = states.z_edges[:-1], states.z_edges[1:]
    inside, core = np.zeros(len(low)), np.zeros(len(low))
    for (bottom, top), name in zip(states.regions, states.region_names, strict=True):
        if region in name.lower():
            quarter = (top - bottom) / 4.0
            inside += np.clip(np.minimum(high, top) - np.maximum(low, bottom), 0.0, None)
            core += np.clip(np.minimum(high, top - quarter) - np.maximum(low, bottom + quarter), 0.0, None)
    total = states.z_profile.sum(axis=1)
    empty = total <= 0
    total = np.where(empty, np.nan, total)
    return (
        states.z_profile @ (inside / (high - low)) / total,
        states.z_profile @ (core / (high - low)) / total,
    )


def in_region(states: States, region: str, key: str) -> Endpoint:
    """Return the populated state with the largest share of its environments in the middle of a region.

    At least half of its environments must lie in the region.

    Raises
    ------
    UserError
        If the cell has no such region.
    """
    known = [name.lower() for name in states.region_names]
    if region.lower() not in known:
        raise UserError(f"{key}: there is no region {region!r}; the cell has {', '.join(known) or 'none'}")
    inside, core = shares_inside(states, region.lower())
    rule = (
        f"{REGION}{region}: more than {MIN_POPULATION:.0%} of the environments, at least {MIN_INSIDE:.0%} of "
        "its own in the region as built; of those, the largest share in the central half of it"
    )
    found = np.flatnonzero((states.population > MIN_POPULATION) & (inside >= MIN_INSIDE))
    if not len(found):
        return Endpoint((), rule, f"no populated state has {MIN_INSIDE:.0%} of its environments in {region}")
    best = int(found[np.argmax(core[found])])
    numbers = f"{states.names[best]}, {inside[best]:.0%} inside, {core[best]:.0%} in the central half"
    return Endpoint((best,), f"{rule} ({numbers})")


def electrolyte_like(states: States) -> Endpoint:
    """Return the populated anion-coordinated state that lies deepest in the electrolyte.

    Of the states with anions in their first shell and at least half of their environments inside the
    electrolyte region of the interface as built, the one with the largest share of its environments in the
    central half of that region, which the reaction reaches last. Where no state has half of its
    environments there, no electrolyte is left to speak of, and none is chosen.
    """
    rule = (
        f"{ELECTROLYTE_LIKE}: at least {MAX_ANIONS:g} anions in the first shell, more than "
        f"{MIN_POPULATION:.0%} of the environments, at least {MIN_INSIDE:.0%} of its own in the electrolyte "
        "region as built; of those, the largest share in the central half of that region"
    )
    if not any("electrolyte" in name.lower() for name in states.region_names):
        return Endpoint(
            (), rule, "the trajectory comes without an electrolyte region; name the states in tpt"
        )
    anions = anion_coordination(states)
    inside, core = shares_inside(states)
    coordinated = (anions >= MAX_ANIONS) & (states.population > MIN_POPULATION)
    if not coordinated.any():
        return Endpoint((), rule, "no populated state has anions in its first shell")
    found = np.flatnonzero(coordinated & (inside >= MIN_INSIDE))
    if not len(found):
        best = int(np.flatnonzero(coordinated)[np.argmax(inside[coordinated])])
        return Endpoint(
            (),
            rule,
            f"no unreacted electrolyte is left: at most {inside[best]:.0%} of the environments of a state "
            f"({states.names[best]}) lie in the electrolyte region",
        )
    best = int(found[np.argmax(core[found])])
    numbers = f"{states.names[best]}, {inside[best]:.0%} inside, {core[best]:.0%} in the central half"
    return Endpoint((best,), f"{rule} ({numbers})")
