"""What the kinetics are computed from: settings, and what comes with the states of a system."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from getsei import composition, displacements
from getsei.composition import Course
from getsei.errors import UserError
from getsei.kinetics import lag_choice, spectrum, window
from getsei.records import Embedding, States, Trajectory

COMPOSITION_SAMPLES = 200
"""Frames of a trajectory in which bonds are counted."""


@dataclass(frozen=True)
class Settings:
    """The section `kinetics` of the configuration; every key is described in config/README.md."""

    lag_ps: float | str = lag_choice.AUTO
    scan_lags_ps: Sequence[float] = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
    discard_ps: float | str = window.AUTO
    dictionary: str = "indicator"
    rank_cutoff: float = 1e-6
    ridge: float = 0.0
    windows: int = 4
    bootstrap: int = 500
    time_blocks: int = 1
    reversible: bool = False
    seed: int = 1

    def __post_init__(self) -> None:
        if self.dictionary not in spectrum.NAMES:
            raise UserError(
                f"kinetics.dictionary: {self.dictionary!r} is not one of {', '.join(spectrum.NAMES)}"
            )
        if self.dictionary == "soft" and self.reversible:
            raise UserError(
                "kinetics.reversible: detailed balance is imposed on counts, not on soft memberships; set it "
                "to false, or kinetics.dictionary to indicator"
            )


@dataclass(frozen=True)
class Context:
    """What the states alone do not tell. Every part may be missing.

    Attributes
    ----------
    vectors : (n_frames, n_ions, d) array or None
        Embedding, for the dictionaries on features.
    courses : sequence (replicas) of sequences of Course
        Composition along each trajectory.
    stage_start_ps : sequence of float
        Time along each trajectory of the first frame that has states.
    positions : (n_frames, n_ions, 3) array or None
        Å, unwrapped, free of the drift of the framework.
    """

    vectors: np.ndarray | None = None
    courses: Sequence[Sequence[Course]] = ()
    stage_start_ps: Sequence[float] = ()
    positions: np.ndarray | None = None


def gather(states: States, embedding: Embedding, trajectories: Sequence[Trajectory]) -> Context:
    """Return what the records of a system tell beside its states.

    Parameters
    ----------
    states : States
    embedding : Embedding
        That the states were made of.
    trajectories : sequence of Trajectory
        One for each replica.

    Raises
    ------
    UserError
        If the records are not of one run.
    """
    n_frames = states.labels.shape[1]
    if len(embedding.vectors) < n_frames or embedding.vectors.shape[1] != len(states.labels):
        raise UserError(
            f"the embedding holds {embedding.vectors.shape[:2]} frames and ions, the states "
            f"{states.labels.shape[::-1]}: embedding.h5 and states.h5 are not of one run; delete both"
        )
    courses, starts = [], []
    for replica, trajectory in enumerate(trajectories):
        ions = np.flatnonzero(states.replica == replica)
        frames = displacements.matching_frames(states.positions[:1, ions], trajectory, states.atoms[ions])
        starts.append(float(frames[0] * trajectory.frame_interval_ps))
        courses.append(composition.courses(trajectory, states.mobile, n_samples=COMPOSITION_SAMPLES))
    return Context(
        vectors=embedding.vectors[:n_frames],
        courses=courses,
        stage_start_ps=starts,
        positions=displacements.referenced_positions(states, trajectories, states.mobile),
    )
