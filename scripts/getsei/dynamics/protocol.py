"""The run as an ordered list of segments (standard library and numpy only: the workflow reads it).

A run is one unbroken simulation: minimised once, then propagated with a step counter that starts at 0 and
never resets. It is cut into segments that are jobs of their own, each going on from the restart file of the
one before. A segment knows only what it depends on, so a longer production adds segments and touches none
that is complete.
"""

import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from getsei.errors import UserError

STAGES = ("react", "equilibrate", "produce")
MAX_SEGMENTS = 999
WHOLE_TOLERANCE = 1e-6
"""How far a ratio of two times may be from a whole number, relative to the ratio above 1."""


@dataclass(frozen=True)
class Segment:
    """One stretch of the run at one temperature; a job of its own.

    Attributes
    ----------
    name : str
        ``react``, ``equilibrate``, ``produce001``, …
    stage : str
    temperature_K : float
    n_steps : int
        Time steps.
    start_step : int
        Step of the whole run at which the segment begins.
    """

    name: str
    stage: str
    temperature_K: float
    n_steps: int
    start_step: int


def segments(md: Mapping[str, Any]) -> list[Segment]:
    """Return the segments of a run, in order.

    Production is cut into segments of `segment_ps`; the last one is shorter where the division leaves a
    rest. A longer production adds segments, and lengthens none but a shorter last one.

    Raises
    ------
    UserError
        If a duration is not a whole number of frames, or production needs more than 999 segments.
    """
    plan = [
        ("react", "react", md["react_temperature_K"], _steps(md, "react_ps")),
        ("equilibrate", "equilibrate", md["production_temperature_K"], _steps(md, "equilibrate_ps")),
    ]
    left, length = _steps(md, "production_ps"), _steps(md, "segment_ps")
    if left > MAX_SEGMENTS * length:
        raise UserError(
            f"md.segment_ps: {md['segment_ps']} ps cuts {md['production_ps']} ps into more than "
            f"{MAX_SEGMENTS} segments; make it at least {md['production_ps'] / MAX_SEGMENTS:g}"
        )
    number = 0
    while left > 0:
        number += 1
        plan.append((f"produce{number:03d}", "produce", md["production_temperature_K"], min(left, length)))
        left -= length
    found, start = [], 0
    for name, stage, temperature, steps in plan:
        found.append(Segment(name, stage, float(temperature), steps, start))
        start += steps
    return found


def frame_steps(md: Mapping[str, Any]) -> int:
    """Return the number of time steps between stored frames.

    Raises
    ------
    UserError
        If the frame interval is not a whole number of time steps.
    """
    return _whole(md["frame_interval_fs"] / md["timestep_fs"], "frame_interval_fs", "timestep_fs")


def _steps(md: Mapping[str, Any], key: str) -> int:
    frames = md[key] * 1000.0 / md["frame_interval_fs"]
    return frame_steps(md) * _whole(frames, key, "frame_interval_fs")


def _whole(ratio: float, key: str, unit_key: str) -> int:
    whole = round(ratio)
    if whole < 1 or abs(ratio - whole) > WHOLE_TOLERANCE * max(1.0, ratio):
        raise UserError(
            f"md.{key}: must be a whole multiple, at least one, of md.{unit_key}; it is {ratio:g} times it"
        )
    return whole


def names(md: Mapping[str, Any]) -> list[str]:
    """Return the names of the segments, in order."""
    return [segment.name for segment in segments(md)]


def previous(md: Mapping[str, Any], name: str) -> str | None:
    """Return the name of the segment before, or None for the first."""
    order = names(md)
    index = order.index(_known(order, name))
    return order[index - 1] if index else None


SHARED = (
    "timestep_fs",
    "frame_interval_fs",
    "checkpoint_ps",
    "friction_damping_fs",
    "thermostat_damping_fs",
    "stack_pressure_MPa",
    "min_distance_fraction",
    "max_temperature_K",
    "max_force_eV_per_A",
    "seed",
)


def parameters(md: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return what one segment depends on and nothing else, so that only what changed runs again."""
    plan = {segment.name: segment for segment in segments(md)}
    segment = plan[_known(list(plan), name)]
    found = asdict(segment) | {key: md[key] for key in SHARED}
    if segment.start_step == 0:
        found["minimise_steps"] = md["minimise_steps"]
    return found


def _known(names: list[str], name: str) -> str:
    if name not in names:
        raise UserError(
            f"the run has no segment {name!r}; md.production_ps and md.segment_ps make {', '.join(names)}"
        )
    return name


def replica_seed(seed: int, replica: str) -> int:
    """Return the seed of a replica ``r1``, ``r2``…; replicas of neighbouring seeds never share one.

    Raises
    ------
    UserError
        If the name is not ``r`` and a number.
    """
    if not re.fullmatch(r"r[0-9]+", replica):
        raise UserError(f"{replica!r} is not a replica; expected r1, r2, …")
    return draw_seed(seed, int(replica[1:]))


def draw_seed(seed: int, step: int) -> int:
    """Return a seed from 1 to 900 million for what is drawn from a given step of a run on.

    The random stream of a thermostat starts anew from (seed, step) at every checkpoint: a run that resumes
    there draws the same numbers as one that was never interrupted, although no file keeps the state of
    the generator.
    """
    state = np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0]
    return int(state % np.uint64(900_000_000)) + 1


def checkpoint_of(frames: Path) -> Path:
    """Return the folder of the checkpoint of a segment, given the file of its frames."""
    return frames.with_suffix(".checkpoint")


def discard_checkpoint(frames: Path) -> None:
    """Remove the checkpoint of a segment whose frames a later job has been given.

    Not sooner: a job that is killed after its last line, by its time limit say, has failed, and Snakemake
    deletes its files. Its next attempt then only has to join the blocks again.
    """
    shutil.rmtree(checkpoint_of(frames), ignore_errors=True)
