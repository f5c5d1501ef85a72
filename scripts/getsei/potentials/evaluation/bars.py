"""What a potential must reach to be trusted, and whether it does."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from getsei.potentials import dilute

OWN = "on-policy interface"
"""Kind of the frames of the student's own dynamics."""
FORCE, WORST_FORCE, OWN_FORCE = 80.0, 110.0, 90.0
"""Root mean square force errors in meV/Å: overall, in every kind of frame, on frames of its own dynamics."""
ENERGY, STRESS = 5.0, 0.4
"""meV/atom and GPa."""
LATTICE, REACTION = 0.01, 0.10
"""Relative differences from the teacher."""
DRIFT = 1.0
"""meV/atom in the time of the settings, 10 ps by default."""
FACTOR = 2.0
"""Between a diffusion coefficient and its published value."""
SPEED, SIZE = 20.0, 2.0
"""µs per atom and step on one thread with the native kernel, and MB."""


@dataclass(frozen=True)
class Bar:
    """One bar: what it asks for, what was measured, whether it is met.

    Attributes
    ----------
    name, limit, measured : str
    met : bool or None
        None where it could not be measured, which is no pass.
    """

    name: str
    limit: str
    measured: str
    met: bool | None

    @property
    def verdict(self) -> str:
        """Return pass, MISS or not measured."""
        return {True: "pass", False: "MISS", None: "not measured"}[self.met]


def _missing(name: str, limit: str, why: str = "not measured") -> Bar:
    return Bar(name, limit, why, None)


def _error(entry: Mapping[str, Any], unit: str) -> str:
    low, high = entry["interval95"] or (None, None)
    interval = f" [{low:.3g}, {high:.3g}]" if low is not None else ""
    return f"{entry['rmse']:.3g}{interval} {unit} (n = {entry['n']})"


def _condensed(errors: Mapping[str, Any], key: str) -> str:
    """Return what an error over all kinds is without those of low density, which hold few of the atoms."""
    entries = [entry[key] for kind, entry in errors.items() if kind not in ("all", *dilute.KINDS)]
    entries = [entry for entry in entries if entry]
    if not set(errors) & set(dilute.KINDS) or not entries:
        return ""
    n = sum(entry["n"] for entry in entries)
    rmse = (sum(entry["n"] * entry["rmse"] ** 2 for entry in entries) / n) ** 0.5
    return f"; {rmse:.3g} in condensed matter (n = {n})"


def of_accuracy(errors: Mapping[str, Any] | None) -> Iterator[Bar]:
    """Yield the bars of the held-out trajectories.

    Parameters
    ----------
    errors : mapping or None
        ``errors_by_kind`` of a card or a report.
    """
    names = (
        ("force error, all held-out frames", f"<= {FORCE:g} meV/Å"),
        ("force error, worst kind of frame", f"<= {WORST_FORCE:g} meV/Å"),
        ("force error, its own dynamics", f"<= {OWN_FORCE:g} meV/Å"),
        ("energy error, all held-out frames", f"<= {ENERGY:g} meV/atom"),
        ("stress error, all held-out frames", f"<= {STRESS:g} GPa"),
    )
    if not errors:
        yield from (_missing(*name, "no card with errors for these weights") for name in names)
        return
    force = {kind: entry["force_meV_per_A"] for kind, entry in errors.items()}
    worst = max((kind for kind in force if kind != "all"), key=lambda kind: force[kind]["rmse"])
    over = sorted(kind for kind in force if kind != "all" and force[kind]["rmse"] > WORST_FORCE)
    everything = force["all"]
    measured = _error(everything, "meV/Å") + _condensed(errors, "force_meV_per_A")
    yield Bar(*names[0], measured, everything["rmse"] <= FORCE)
    yield Bar(
        *names[1],
        f"{_error(force[worst], 'meV/Å')} {worst}; {len(over)} of {len(force) - 1} kinds above",
        not over,
    )
    if OWN in force:
        yield Bar(*names[2], _error(force[OWN], "meV/Å"), force[OWN]["rmse"] <= OWN_FORCE)
    else:
        yield _missing(*names[2])
    energy, stress = errors["all"]["energy_meV_per_atom"], errors["all"]["stress_GPa"]
    measured = _error(energy, "meV/atom") + _condensed(errors, "energy_meV_per_atom")
    yield Bar(*names[3], measured, energy["rmse"] <= ENERGY)
    if stress is None:
        yield _missing(*names[4])
    else:
        measured = _error(stress, "GPa") + _condensed(errors, "stress_GPa")
        yield Bar(*names[4], measured, stress["rmse"] <= STRESS)


def of_solids(found: Mapping[str, Any]) -> Iterator[Bar]:
    """Yield the bars of lattice constants and reaction energies, of the digest `found`."""
    limit = f"<= {100 * LATTICE:g} % of the teacher"
    errors = {name: both["lattice_error"] for name, both in found["solids"].items() if both["teacher"]}
    if errors:
        worst = max(errors, key=lambda name: errors[name])
        yield Bar(
            "lattice constants, worst crystal",
            limit,
            f"{100 * errors[worst]:.2f} % {worst} ({len(errors)} crystals)",
            errors[worst] <= LATTICE,
        )
    else:
        yield _missing("lattice constants, worst crystal", limit)
    limit = f"<= {100 * REACTION:g} % of the teacher"
    known = [reaction for reaction in found["reactions"] if reaction["relative_error"] is not None]
    if not known:
        yield _missing("reaction energies", limit)
    for reaction in known:
        yield Bar(
            f"reaction energy {reaction['electrolyte']}: {reaction['equation']}",
            limit,
            f"{100 * reaction['relative_error']:.1f} % ({reaction['student_eV']:.2f}, "
            f"teacher {reaction['teacher_eV']:.2f} eV; {reaction['difference_meV_per_atom']:+.1f} meV/atom)",
            reaction["relative_error"] <= REACTION,
        )


def of_contacts(found: Mapping[str, Any]) -> Iterator[Bar]:
    """Yield the bar of the repulsion at short distances."""
    name, limit = "pairs that attract anywhere from 0.5 to 1.5 Å", "none"
    scans = found["pair_scans"]
    if not scans:
        yield _missing(name, limit)
        return
    wrong = {pair: scan["attracts_below_1.5_A_at"] for pair, scan in scans.items()}
    wrong = {pair: distance for pair, distance in wrong.items() if distance > 0}
    outermost = sorted(wrong, key=lambda pair: -wrong[pair])[:3]
    told = ", ".join(f"{pair} {wrong[pair]:.2f} Å" for pair in outermost)
    held = sum(scan["holds"] for scan in scans.values())
    yield Bar(
        name,
        limit,
        f"{len(wrong)} of {len(scans)}{' (outermost: ' + told + ')' if told else ''}; "
        f"a wall of 5 eV keeps {held} of {len(scans)} apart",
        not wrong,
    )


def of_stability(found: Mapping[str, Any]) -> Iterator[Bar]:
    """Yield the bars of the interfaces without guards."""
    if not found["stability"]:
        yield _missing("stability of the interfaces", "as long as the settings say")
    for run in found["stability"]:
        yield Bar(
            f"stable without guards, {run['system']}, {run['temperature_K']:g} K",
            f">= {run['asked_ps']:g} ps",
            f"{run['time_ps']:g} ps ({run['atoms']} atoms, shortest contact {run['min_contact_ratio']:.2f}"
            f"{', ' + run['ended_by'] if run['ended_by'] else ''})",
            bool(run["survived"]),
        )


def of_energy(found: Mapping[str, Any]) -> Iterator[Bar]:
    """Yield the bars of energy conservation."""
    if not found["energy_conservation"]:
        yield _missing("drift of the energy", f"< {DRIFT:g} meV/atom")
    for system, entry in found["energy_conservation"].items():
        yield Bar(
            f"drift of the energy in {entry['ps']:g} ps, {system}",
            f"< {DRIFT:g} meV/atom",
            f"{entry['drift_meV_per_atom']:+.3f} meV/atom ({entry['atoms']} atoms, "
            f"{entry['timestep_fs']:g} fs, {entry['last_temperature_K']:.0f} K)",
            abs(entry["drift_meV_per_atom"]) < DRIFT,
        )


def of_diffusion(found: Mapping[str, Any]) -> Iterator[Bar]:
    """Yield the bars of lithium diffusion beside published values.

    Both are slopes of the mean square displacement over the same times, whatever its exponent: at tens of
    picoseconds ions still feel their cages, in the published run as here.
    """
    if not found["diffusion"]:
        yield _missing("diffusion in the bulk", f"within a factor {FACTOR:g} of DFT")
    for case in found["diffusion"]:
        name = f"diffusion, {100 * case['exchanged_share']:g} % anions exchanged"
        limit = f"within a factor {FACTOR:g} of {case['dft_cm2_per_s']:.2g} cm²/s"
        slope, exponent = case["apparent_diffusion"], case["exponent"]["value"]
        if slope["value"] is None:
            yield Bar(name, limit, slope["note"], None)
            continue
        ratio = slope["value"] / case["dft_cm2_per_s"]
        yield Bar(
            name,
            limit,
            f"{slope['value']:.2g} [{slope['low']:.2g}, {slope['high']:.2g}] cm²/s, factor {ratio:.2g} "
            f"({case['fit_ps'][0]:g} to {case['fit_ps'][1]:g} ps, MSD grows as t^{exponent:.2f}; "
            f"{case['ions']} ions, {case['ps']:g} ps)",
            1 / FACTOR <= ratio <= FACTOR,
        )


def of_speed(found: Mapping[str, Any]) -> Iterator[Bar]:
    """Yield the bars of speed and size."""
    speed = found["speed"]
    name, limit = "time per atom and step, native kernel, one thread", f"<= {SPEED:g} µs"
    native = speed and speed["us_per_atom"].get("native")
    if native:
        others = ", ".join(f"{who} {us:.0f}" for who, us in speed["us_per_atom"].items() if who != "native")
        yield Bar(name, limit, f"{native:.3g} µs ({speed['atoms']} atoms; {others} µs)", native <= SPEED)
    else:
        yield _missing(name, limit)
    if speed and speed["file_bytes"]:
        size = speed["file_bytes"] / 1e6
        yield Bar("size of the file", f"<= {SIZE:g} MB", f"{size:.2f} MB", size <= SIZE)
    else:
        yield _missing("size of the file", f"<= {SIZE:g} MB")


def of_failures(found: Mapping[str, Any]) -> Iterator[Bar]:
    """Yield a missed bar for every question in which the student broke down."""
    for part, reason in found["failed"].items():
        yield Bar(f"{part} comes to its end", "without breaking down", reason, False)


def every(errors: Mapping[str, Any] | None, found: Mapping[str, Any]) -> list[Bar]:
    """Return all bars.

    Parameters
    ----------
    errors : mapping or None
        ``errors_by_kind``.
    found : mapping
        From `digest.digest`.
    """
    return [
        *of_accuracy(errors),
        *of_solids(found),
        *of_contacts(found),
        *of_energy(found),
        *of_stability(found),
        *of_diffusion(found),
        *of_speed(found),
        *of_failures(found),
    ]
