"""When frames were taken: the interval between them, gaps, repeats, and runs that continue each other."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from getsei import cells
from getsei.trajectory.frames import Frame, Source

FS_PER_PS = 1000.0
REGULAR = 0.01
"""Relative difference of two intervals that are the same."""
FLOAT32 = 4 * float(np.finfo(np.float32).eps)
"""Relative accuracy of times kept in single precision."""
WINDOW = 50
"""Steps on each side that tell how far atoms go between frames."""
ENOUGH = 4
SPREADS = 6.0
"""How many robust standard deviations a step at a joint may differ from those around it ..."""
ALIKE = 0.1
"""... or what fraction of them, where that is more."""
SPIKE = 2.0
"""A step within a file this many times as long as its neighbours is a gap."""


@dataclass(frozen=True)
class Options:
    """What the files may not tell, as in `trajectory` of the configuration."""

    timestep_fs: float | None = None
    frame_interval_fs: float | None = None
    joins: str = "auto"
    truncated: str = "refuse"


@dataclass(frozen=True)
class Reading:
    """The place of a frame in time, as its file tells it.

    Attributes
    ----------
    value : float or None
        Time in ps, or a count.
    unit : str
        ``ps``, ``time steps``, ``frames``, or "" where there is none.
    joint : bool
        First frame of a file or of a run.
    probes : (n, 3) array
        Positions of a few atoms in Å.
    """

    value: float | None
    unit: str
    joint: bool
    probes: np.ndarray


@dataclass(frozen=True)
class Timing:
    """Frame interval and segments.

    Attributes
    ----------
    interval_ps : float
        Time between frames in ps; NaN where it is not known.
    origin : str
        Where the interval comes from.
    segments : (n_segments, 2) int array
        Frames [start, stop); pairs never cross one.
    gaps : list of str
        Why each segment but the first begins.
    problems, notes : list of str
        What is missing, and what was taken for granted.
    """

    interval_ps: float
    origin: str
    segments: np.ndarray
    gaps: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_clock(frame: Frame, source: Source, probes: np.ndarray, joint: bool) -> Reading:
    """Return the place of a frame in time; a time in ps goes before a count."""
    joint = joint or frame.new_run
    if frame.time_ps is not None:
        return Reading(frame.time_ps, "ps", joint, probes)
    if frame.step is not None:
        return Reading(float(frame.step), source.counts, joint, probes)
    return Reading(None, "", joint, probes)


class Clock:
    """Follows the readings of the frames that are kept."""

    def __init__(self) -> None:
        self.last: Reading | None = None
        self.advances: list[float] = []  # since the frame before; NaN where not known
        self.joints: list[bool] = []
        self.units: Counter[str] = Counter()
        self.steps: list[float] = []  # root mean square displacement in Å
        self.seen: dict[float, np.ndarray] = {}
        self.resets = 0

    def moves_on(self, reading: Reading) -> bool:
        """Tell whether the reading is later than the last one, on the same count."""
        last = self.last
        if last is None or last.value is None or reading.value is None or reading.unit != last.unit:
            return False
        # Counts of frames start anew in each file, whatever the number.
        return reading.value > last.value and not (reading.joint and reading.unit == "frames")

    def has_seen(self, reading: Reading, cell: np.ndarray, tolerance_A: float) -> bool:
        """Tell whether a frame of this time and these positions was there before."""
        if self.last is None or reading.value is None or self.moves_on(reading):
            return False
        probes = self.seen.get(round(reading.value, 6))
        if probes is None:
            return False
        return bool(np.abs(cells.minimum_image(probes - reading.probes, cell)).max() < tolerance_A)

    def restart(self, reading: Reading) -> None:
        """Go on counting from a frame that repeats the one before under another number."""
        self.last = reading

    def take(self, reading: Reading) -> None:
        """Take down a frame that is kept."""
        advance, joint = np.nan, reading.joint
        if self.moves_on(reading):
            advance = reading.value - self.last.value  # type: ignore[operator, union-attr]
            if reading.unit == "ps":
                slack = FLOAT32 * abs(reading.value)
                advance = round(advance, 9) if slack < REGULAR * advance else advance
        elif self.last is not None and reading.value is not None and not reading.joint:
            joint = True  # the count goes back within a file: another run begins
        self.advances.append(advance)
        self.joints.append(joint)
        self.units[reading.unit] += 1
        if reading.value is not None:
            self.seen[round(reading.value, 6)] = np.array(reading.probes, dtype=np.float32)
        self.last = reading

    def moved(self, steps: np.ndarray) -> None:
        """Take down how far atoms have gone since the frame before, for some more frames."""
        self.steps += steps.tolist()

    def settle(self, options: Options) -> Timing:
        """Return interval and segments of all frames."""
        advances, joints = np.array(self.advances), np.array(self.joints)
        unit = self.units.most_common(1)[0][0]
        known = np.isfinite(advances)
        base = usual(advances[known])
        slack = np.full(len(advances), REGULAR * base)
        if unit == "ps" and self.last is not None and self.last.value is not None:
            slack += FLOAT32 * abs(self.last.value)
        breaks: dict[int, str] = {}
        for frame in range(1, len(advances)):
            if options.joins == "never" and joints[frame]:
                breaks[frame] = "another file or run begins"
            elif known[frame] and abs(advances[frame] - base) > slack[frame]:
                breaks[frame] = f"{advances[frame]:g} {unit} after the frame before, not {base:g}"
        self._judge_joints(options, known, joints, breaks)
        edges = [0, *sorted(breaks), len(advances)]
        interval, origin, problems, notes = interval_of(base, unit, options)
        return Timing(
            interval_ps=interval,
            origin=origin,
            segments=np.stack([edges[:-1], edges[1:]], axis=1),
            gaps=[f"frame {frame + 1}: {breaks[frame]}" for frame in sorted(breaks)],
            problems=problems,
            notes=notes,
        )

    def _judge_joints(
        self, options: Options, known: np.ndarray, joints: np.ndarray, breaks: dict[int, str]
    ) -> None:
        """Find gaps that no count tells of, from how far the atoms have gone."""
        steps = np.array(self.steps)
        inside = ~joints
        inside[0] = False
        for frame in np.flatnonzero(~known):
            if frame == 0 or frame in breaks or (joints[frame] and options.joins == "always"):
                continue
            near = np.arange(max(1, frame - WINDOW), min(len(steps), frame + WINDOW + 1))
            near = near[near != frame]
            chosen = near[inside[near]] if inside[near].sum() >= ENOUGH else near
            if not len(chosen):
                continue
            middle = float(np.median(steps[chosen]))
            if joints[frame]:
                spread = 1.4826 * float(np.median(np.abs(steps[chosen] - middle)))
                if abs(steps[frame] - middle) > max(SPREADS * spread, ALIKE * middle):
                    breaks[int(frame)] = (
                        f"another file or run begins, and atoms have gone {steps[frame]:.2f} Å instead of "
                        f"{middle:.2f}"
                    )
            else:
                beside = steps[[n for n in (frame - 1, frame + 1) if 1 <= n < len(steps)]]
                if len(beside) and steps[frame] > SPIKE * beside.max():
                    breaks[int(frame)] = f"atoms have gone {steps[frame]:.2f} Å instead of {middle:.2f}"


def usual(advances: np.ndarray) -> float:
    """Return the most common advance; NaN where there is none."""
    if not len(advances):
        return np.nan
    values, counts = np.unique(np.round(advances, 6), return_counts=True)
    return float(values[np.argmax(counts)])


def interval_of(base: float, unit: str, options: Options) -> tuple[float, str, list[str], list[str]]:
    """Return the frame interval in ps, where it comes from, what is missing and what contradicts it."""
    told, origin = np.nan, ""
    if unit == "ps":
        told, origin = base, "times in the files"
    elif unit == "time steps" and options.timestep_fs is not None:
        told, origin = (
            base * options.timestep_fs / FS_PER_PS,
            f"{base:g} time steps of {options.timestep_fs:g} fs",
        )
    if options.frame_interval_fs is not None:
        given = options.frame_interval_fs / FS_PER_PS
        notes = []
        if np.isfinite(told) and abs(told - given) > REGULAR * given:
            notes.append(
                f"frames are {told:g} ps apart by {origin}, but trajectory.frame_interval_fs says {given:g} "
                "ps; the latter is used"
            )
        return given, "trajectory.frame_interval_fs", [], notes
    if np.isfinite(told) and told > 0:
        return told, origin, [], []
    if unit == "time steps" and np.isfinite(base):
        missing = (
            f"frames are {base:g} time steps apart, but a step has no length; give trajectory.timestep_fs"
        )
    else:
        missing = "the files do not tell the time between frames; give trajectory.frame_interval_fs"
    return np.nan, "", [missing], []
