"""From states and unwrapped positions to how far and how fast ions move.

All displacements are taken against a stated reference (`REFERENCE`), inside one segment, and every
interval comes from resampling ions: windows of one ion overlap and are not independent, ions are
closer to it. A quantity that too few ions, visits or jumps carry is marked unsupported.
"""

import csv
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from getsei import diffusion, displacements, statistics
from getsei.displacements import MIN_IONS, REFERENCE, Visits
from getsei.errors import UserError
from getsei.kinetics import bootstrap
from getsei.records import Environments, Estimate, Interphase, KoopmanModel, States, Trajectory, Transport
from getsei.units import PS_PER_NS

MIN_EVENTS = 10
"""Fewest visits or jumps that carry a number: the relative error of a rate is about 1/sqrt(events)."""

DEFINITIONS = {
    "reference": REFERENCE,
    "mobility": "mean |r(t + L) - r(t)|^2 / (6 L) over windows of length L that start in the state; "
    "L = {lag:g} ps; short times include rattling, so this bounds the state's diffusivity from above",
    "mobility_slope": "(MSD(2 L) - MSD(L)) / (6 L) over windows that start in the state; the rattling "
    "amplitude cancels, the ion may leave the state on the way; L = {lag:g} ps",
    "mobility_score": "escape rate x mean squared jump / 6; a jump goes from the mean position of a visit "
    "to the mean position of the ion's next visit, to whichever state (the diffusivity of an uncorrelated "
    "random walk with the jumps of that state)",
    "residence_time": "1 / escape rate, from the Koopman model",
    "diffusion": diffusion.DEFINITION,
    "apparent_diffusion": diffusion.APPARENT,
    "ion_mobility": "mean |r(t + L) - r(t)|^2 / (6 L) over all windows of one ion",
    "ion_density": "number density of mobile ions within the environment cutoff, mean over frames",
    "ion_anion_coordination": "number of anions in the first shell, mean over frames",
    "interval": "95 % interval; ions are resampled with replacement, replicas first where there are several",
}


def sums_by_state(labels: np.ndarray, starts: np.ndarray, values: np.ndarray, n_states: int) -> np.ndarray:
    """Add up window values by the ion and by the state it starts in: (2, n_ions, n_states) sum and count."""
    label = labels[:, starts].T
    out = np.zeros((2, labels.shape[0], n_states))
    for state in range(n_states):
        inside = label == state
        out[0, :, state] = np.where(inside, values, 0.0).sum(0)
        out[1, :, state] = inside.sum(0)
    return out


def jump_sums(positions: np.ndarray, visits: Visits, n_states: int) -> np.ndarray:
    """Add up squared jumps by ion and by the state left: (2, n_ions, n_states) sum in Å² and count.

    A jump is the distance between the mean positions of two successive visits of an ion, so that
    rattling averages out.
    """
    running = np.zeros((len(positions) + 1, *positions.shape[1:]))
    np.cumsum(positions, axis=0, out=running[1:])
    length = (visits.stop - visits.start)[:, None]
    centre = (running[visits.stop, visits.ion] - running[visits.start, visits.ion]) / length
    follows = (visits.ion[1:] == visits.ion[:-1]) & (visits.start[1:] == visits.stop[:-1])
    follows &= visits.state[1:] != visits.state[:-1]  # the same state goes on in the next segment
    square = ((centre[1:] - centre[:-1]) ** 2).sum(1)
    out = np.zeros((2, positions.shape[1], n_states))
    where = (visits.ion[:-1][follows], visits.state[:-1][follows])
    np.add.at(out[0], where, square[follows])
    np.add.at(out[1], where, 1.0)
    return out


def state_ratio(
    sums: np.ndarray, weights: np.ndarray, state: int, unit: str, events: int, what: str
) -> Estimate:
    """Return sum / count of a state with its interval; `events` of `what` decide whether it is supported."""
    total, count = sums[0, :, state], sums[1, :, state]
    ions = int((count > 0).sum())
    if count.sum() == 0:
        return Estimate(np.nan, np.nan, np.nan, unit, 0, False, f"no {what}")
    drawn = weights @ count
    with np.errstate(invalid="ignore", divide="ignore"):
        draws = np.where(drawn > 0, weights @ total / drawn, np.nan)
    supported = ions >= MIN_IONS and events >= MIN_EVENTS
    note = f"{events} {what} of {ions} ions" + ("" if supported else f"; {MIN_EVENTS} of {MIN_IONS} needed")
    return Estimate(total.sum() / count.sum(), *statistics.interval(draws), unit, ions, supported, note)


def difference(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return sums whose ratio is the difference of two mean displacements over the same windows."""
    return np.stack([second[0] - first[0], first[1]])


def score(jump: Estimate, escape: Sequence[float], exits: int) -> Estimate:
    """Return escape rate x mean squared jump / 6 in Å²/ps.

    The relative half-widths of both factors, in the logarithm, are added in quadrature.
    """
    rate, low, high = (float(number) / PS_PER_NS for number in escape)
    value = rate * jump.value / 6
    supported = jump.supported and exits >= MIN_EVENTS and np.isfinite([value, low, high]).all() and low > 0
    if not supported or jump.low <= 0:
        why = f"{exits} exits and {jump.note}"
        return Estimate(np.nan, np.nan, np.nan, "Å²/ps", exits, False, why)
    down = np.hypot(np.log(rate / low), np.log(jump.value / jump.low))
    up = np.hypot(np.log(high / rate), np.log(jump.high / jump.value))
    return Estimate(value, value * np.exp(-down), value * np.exp(up), "Å²/ps", exits, True, jump.note)


def correlations(
    mobility: np.ndarray,
    density: np.ndarray,
    coordination: np.ndarray,
    groups: Mapping[str, np.ndarray],
    draws: int,
    seed: int,
) -> dict[str, dict[str, Any]]:
    """Return rank correlations of ion mobility with density and with anion coordination.

    Parameters
    ----------
    mobility, density, coordination : (n_ions,) arrays
        Å²/ps, nm^-3, 1.
    groups : mapping
        Name to the ions (bool) of each group.
    draws, seed : int
        Resamplings and permutations, and their seed.

    Returns
    -------
    dict
        "<group>/<descriptor>" and "<group>/<descriptor> given <other>" to an Estimate with `p_value`.
    """
    found = {}
    for group, ions in groups.items():
        x = {"density": density[ions], "anion_coordination": coordination[ions]}
        for name, other in (("density", "anion_coordination"), ("anion_coordination", "density")):
            for key, control in ((name, None), (f"{name} given {other}", x[other])):
                estimate, p = statistics.rank_correlation(mobility[ions], x[name], control, draws, seed)
                found[f"{group}/{key}"] = {
                    **estimate.as_dict(),
                    "p_value": p if np.isfinite(p) and estimate.supported else None,
                }
    return found


def measure(
    states: States,
    koopman: KoopmanModel,
    trajectories: Sequence[Trajectory],
    environments: Sequence[Environments],
    phases: Interphase,
    mobility_lag_ps: float,
    draws: int,
    seed: int,
    fit_ps: Sequence[float] | None = None,
) -> Transport:
    """Measure mobility by state, by ion and by region.

    Parameters
    ----------
    states, koopman : States, KoopmanModel
        Of one system, all replicas.
    trajectories, environments : sequences
        One of each per replica, in order.
    phases : Interphase
        Metal, interphase and electrolyte over time.
    mobility_lag_ps : float
        Length of a displacement window in ps.
    draws, seed : int
        Number of resamplings of ions, and their seed.
    fit_ps : (low, high), optional
        Times in ps between which diffusion coefficients are fitted; see `displacements.fit_lags`.

    Returns
    -------
    Transport

    Raises
    ------
    UserError
        If no segment is as long as the mobility lag, or the range of the fit holds too few lags.
    """
    lag = round(mobility_lag_ps / states.frame_interval_ps)
    if lag < 1 or not (states.segments[:, 1] - states.segments[:, 0] > lag).any():
        raise UserError(
            f"transport.mobility_lag_ps = {mobility_lag_ps} lies outside the trajectory: frames are "
            f"{states.frame_interval_ps:g} ps apart and the longest segment has "
            f"{int(np.diff(states.segments).max())} of them; choose a lag in between"
        )
    log = logging.getLogger("getsei")
    k, n_ions = states.n_states, len(states.atoms)
    positions = displacements.referenced_positions(states, trajectories, environments[0].mobile)
    weights = bootstrap.draw(states.replica, draws, seed).ions.astype(float)
    visits = displacements.find_visits(states.labels, states.segments)
    n_visits = np.bincount(visits.state, minlength=k)
    starts, squares = displacements.squared_displacements(positions, states.segments, lag)
    rate = 6 * lag * states.frame_interval_ps
    once = sums_by_state(states.labels, starts, squares / rate, k)
    far_starts, far = displacements.squared_displacements(positions, states.segments, 2 * lag)
    near = positions[far_starts + lag] - positions[far_starts]
    near = np.einsum("fid,fid->fi", near, near)
    slopes = difference(*(sums_by_state(states.labels, far_starts, s / rate, k) for s in (near, far)))
    jumps = jump_sums(positions, visits, k)
    log.info("%d windows per ion, %d visits, %d jumps", len(starts), len(visits.ion), int(jumps[1].sum()))

    escape, residence, exits, known = spread(koopman, k)
    estimates: dict[str, Estimate] = {}
    for s in range(k):
        args = (weights, s, "Å²/ps", int(n_visits[s]), "visits")
        estimates[f"mobility/{s}"] = state_ratio(once, *args)
        estimates[f"mobility_slope/{s}"] = state_ratio(slopes, *args)
        n_jumps = int(jumps[1, :, s].sum())
        estimates[f"squared_jump/{s}"] = state_ratio(jumps, weights, s, "Å²", n_jumps, "jumps")
        estimates[f"mobility_score/{s}"] = score(estimates[f"squared_jump/{s}"], escape[s], int(exits[s]))
        for key, numbers, unit in (("escape_rate", escape, "1/ns"), ("residence_time", residence, "ps")):
            enough = bool(known[s])
            short = "too few" if exits[s] < bootstrap.MIN_EVENTS else "too few resamples for an interval"
            note = f"{exits[s]} exits" + ("" if enough else f"; {short}")
            estimates[f"{key}/{s}"] = Estimate(*map(float, numbers[s]), unit, int(exits[s]), enough, note)

    lags = displacements.msd_lags(states.segments)
    per_ion = np.stack(
        [displacements.squared_displacements(positions, states.segments, n)[1].mean(0) for n in lags], 1
    )
    lags_ps = lags * states.frame_interval_ps
    fit = displacements.fit_lags(states.segments, states.frame_interval_ps, mobility_lag_ps, fit_ps)
    if fit_ps and len(fit) < diffusion.MIN_LAGS:
        raise UserError(
            f"transport.diffusion_fit_ps = {list(fit_ps)} holds {len(fit)} of the lags of the mean square "
            f"displacement, which reach from {lags_ps[0]:g} to {lags_ps[-1]:g} ps; at least "
            f"{diffusion.MIN_LAGS} are needed: widen the range, or leave it to `auto`"
        )
    fit_times = fit * states.frame_interval_ps
    region = displacements.starting_regions(states, trajectories, environments)
    groups = {"all": np.ones(n_ions, dtype=bool)}
    groups |= {name: region == i for i, name in enumerate(environments[0].region_names)}
    estimates |= diffusion.by_phase(positions, states, trajectories, phases, fit, weights)
    ion_mobility = squares.mean(0) / rate
    anions = [states.elements.index(element) for element in states.anions if element in states.elements]
    coordination = states.ion_coordination[:, anions].sum(1)
    msd_draws = weights @ per_ion / weights.sum(1, keepdims=True)
    spread_msd = np.stack([statistics.interval(column) for column in msd_draws.T])
    return Transport(
        mobility=table(estimates, "mobility", k),
        mobility_score=table(estimates, "mobility_score", k),
        escape_rates=escape,
        residence_times=residence,
        visits=n_visits,
        msd_lags=lags_ps,
        msd=np.column_stack([per_ion.mean(0), spread_msd]),
        ion_mobility=ion_mobility,
        ion_density=np.asarray(states.ion_density, dtype=float),
        ion_anion_coordination=coordination,
        ion_region=region,
        names=list(states.names),
        phase_names=[key.removeprefix("diffusion/") for key in estimates if key.startswith("diffusion/")],
        region_names=list(environments[0].region_names),
        supported=[estimates[f"mobility/{s}"].supported for s in range(k)],
        correlations=correlations(
            ion_mobility, np.asarray(states.ion_density), coordination, groups, draws, seed
        ),
        estimates={key: estimate.as_dict() for key, estimate in estimates.items()},
        definitions={
            **{
                key: text.format(
                    lag=mobility_lag_ps,
                    low=fit_times.min(initial=np.inf),
                    high=fit_times.max(initial=0),
                )
                for key, text in DEFINITIONS.items()
            },
            "escape_rate": koopman.escape_definition,
        },
        provenance={
            "mobility_lag_ps": mobility_lag_ps,
            "diffusion_fit_ps": fit_ps,
            "draws": draws,
            "seed": seed,
        },
    )


def spread(koopman: KoopmanModel, n_states: int) -> tuple[np.ndarray, ...]:
    """Spread the rates of the active states over all states; dropped ones get NaN and no support.

    Returns
    -------
    escape, residence : (n_states, 3) arrays
        1/ns and ps: value, low, high.
    exits : (n_states,) int array
    supported : (n_states,) bool array
    """
    escape, residence = np.full((2, n_states, 3), np.nan)
    exits = np.zeros(n_states, dtype=int)
    escape[koopman.active] = koopman.escape_rates
    residence[koopman.active] = koopman.residence_times
    exits[koopman.active] = koopman.exits
    known = np.zeros(n_states, dtype=bool)
    known[koopman.active] = koopman.supported
    return escape, residence, exits, known


def table(estimates: Mapping[str, Estimate], key: str, n_states: int) -> np.ndarray:
    """Return value, low, high (n_states, 3) of a quantity by state, NaN where unsupported."""
    rows = [estimates[f"{key}/{s}"] for s in range(n_states)]
    return np.array([(r.value, r.low, r.high) if r.supported else (np.nan,) * 3 for r in rows])


UNITS = {
    "mobility": "A2_per_ps",
    "mobility_slope": "A2_per_ps",
    "squared_jump": "A2",
    "mobility_score": "A2_per_ps",
    "escape_rate": "per_ns",
    "residence_time": "ps",
}
"""Column suffix of each quantity of the mobility table."""


def write_table(transport: Transport, path: str | Path) -> None:
    """Write one line per state; cells of unsupported numbers stay empty and `note` says why."""

    def cell(number: float | None) -> str:
        return "" if number is None else f"{number:.6g}"

    columns: list[tuple[str, Callable[[int], Any]]] = [
        ("state", lambda s: s),
        ("name", lambda s: transport.names[s]),
        ("visits", lambda s: int(transport.visits[s])),
    ]
    for key, unit in UNITS.items():
        for part, suffix in (("value", ""), ("low", "_low"), ("high", "_high")):
            columns.append(
                (
                    f"{key}{suffix}_{unit}",
                    lambda s, key=key, part=part: cell(transport.estimates[f"{key}/{s}"][part]),
                )
            )
        columns.append((f"{key}_n", lambda s, key=key: transport.estimates[f"{key}/{s}"]["n"]))
        columns.append((f"{key}_note", lambda s, key=key: transport.estimates[f"{key}/{s}"]["note"]))
    with Path(path).open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow([name for name, _ in columns])
        writer.writerows([make(s) for _, make in columns] for s in range(len(transport.names)))
