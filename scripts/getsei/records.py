"""Frozen records handed from stage to stage; `record_files` saves and loads them."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from getsei.errors import UserError
from getsei.record_files import Record, array

UNASSIGNED = -1
"""Label of an ion at a frame that belongs to no state."""


@dataclass(frozen=True)
class Estimate:
    """A number as it reaches a user: with its interval, unit and sample size.

    Attributes
    ----------
    value : float
        Point estimate; NaN where the sampling supports none.
    low, high : float
        Bounds of the 95 % interval.
    unit : str
        Unit of the three numbers, "1" when dimensionless.
    n : int
        Size of the sample (events, ions, environments; the key or the table column says which).
    supported : bool
        False where sampling is too poor for the number to mean anything; it is then not printed.
    note : str
        Why it is not supported, or how it is defined.
    """

    value: float
    low: float
    high: float
    unit: str
    n: int
    supported: bool = True
    note: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary, with null in place of non-finite numbers."""
        plain = dataclasses.asdict(self)
        for key in ("value", "low", "high"):
            number = float(plain[key])
            plain[key] = number if np.isfinite(number) and self.supported else None
        return plain

    def __str__(self) -> str:
        unit = "" if self.unit == "1" else f" {self.unit}"
        if not self.supported or not np.isfinite(self.value):
            return f"not supported by the sampling (n = {self.n}{'; ' + self.note if self.note else ''})"
        return f"{self.value:.3g} [{self.low:.3g}, {self.high:.3g}]{unit} (n = {self.n})"


@dataclass(frozen=True)
class Trajectory(Record):
    """Atoms over time. Ions never wrap, so displacements are differences of positions."""

    positions: np.ndarray = array("Å", "(n_frames, n_atoms, 3) float32, unwrapped", mapped=True)
    cells: np.ndarray = array("Å", "(n_frames or 1, 3, 3), rows are the cell vectors")
    species: np.ndarray = array("1", "(n_atoms,) element symbols")
    stage: np.ndarray = array("1", "(n_frames,) index into stages")
    segments: np.ndarray = array("1", "(n_segments, 2) frames [start, stop); pairs never cross one")
    temperature: np.ndarray = array("K", "(n_frames,) NaN where unknown")
    potential_energy: np.ndarray = array("eV", "(n_frames,) NaN where unknown")
    stages: list[str]
    frame_interval_ps: float
    provenance: dict[str, Any]
    offsets: np.ndarray = array(
        "Å",
        "(n_frames or 1, n_atoms or 1, 3) float32, what positions lack to stand in the cell of their frame; "
        "zero where the cell is constant",
        lambda: np.zeros((1, 1, 3), dtype=np.float32),
        mapped=True,
    )

    def cell(self, frame: int) -> np.ndarray:
        """Return the (3, 3) cell of a frame in Å."""
        return self.cells[0 if len(self.cells) == 1 else frame]

    def in_cell(self, frame: int) -> np.ndarray:
        """Return the positions (n_atoms, 3) in Å that belong with the cell of a frame.

        Unwrapped positions that keep displacements right in a changing cell are no images of the atoms in
        that cell; these are.
        """
        return self.positions[frame] + self.offsets[0 if len(self.offsets) == 1 else frame]

    def frames_of(self, stage: str) -> np.ndarray:
        """Return the indices of the frames of a stage, in order."""
        if stage not in self.stages:
            raise UserError(f"the trajectory has no stage {stage!r}; it has {', '.join(self.stages)}")
        return np.flatnonzero(self.stage == self.stages.index(stage))


@dataclass(frozen=True)
class Environments(Record):
    """The neighbours of every mobile ion at every analysed frame, ragged.

    Environment ``frame * n_ions + ion`` belongs to ion ``ion`` at analysed frame ``frame``; its
    neighbours are the rows ``offsets[e]:offsets[e + 1]``, sorted by distance. `thermal_amplitudes_A` is the
    standard deviation of a coordinate of an atom about its mean over a picosecond, by element.
    """

    offsets: np.ndarray = array("1", "(n_frames * n_ions + 1,) int64", mapped=True)
    species: np.ndarray = array("1", "(n_neighbours,) uint8 atomic numbers", mapped=True)
    vectors: np.ndarray = array("Å", "(n_neighbours, 3) float16, from the ion to its neighbour", mapped=True)
    atoms: np.ndarray = array("1", "(n_ions,) index of each ion among the atoms of the trajectory")
    positions: np.ndarray = array(
        "Å", "(n_frames, n_ions, 3) float32, unwrapped, of the mobile ions", mapped=True
    )
    segments: np.ndarray = array("1", "(n_segments, 2) analysed frames [start, stop)")
    regions: np.ndarray = array("Å", "(n_regions, 2) z-range [low, high) of each region at the start")
    region_names: list[str]
    cell: list[list[float]]
    cutoff_A: float
    frame_interval_ps: float
    mobile: list[str]
    elements: list[str]
    thermal_amplitudes_A: dict[str, float]
    provenance: dict[str, Any]
    ions: list[str] = field(default_factory=list)
    """Symbol of each ion where several elements are mobile; empty where one is."""

    @property
    def n_ions(self) -> int:
        """Number of mobile ions."""
        return len(self.atoms)

    @property
    def n_frames(self) -> int:
        """Number of analysed frames."""
        return len(self.positions)


@dataclass(frozen=True)
class Embedding(Record):
    """One vector per environment, of one system, replicas behind one another as further ions."""

    vectors: np.ndarray = array("1", "(n_frames, n_ions, n_dimensions) float32", mapped=True)
    repeats: np.ndarray = array(
        "1", "(n_repeats, n_sample, n_dimensions) float32, by encoders trained from other seeds"
    )
    repeat_rows: np.ndarray = array("1", "(n_sample, 2) frame and ion of each row of the repeats")
    replica: np.ndarray = array("1", "(n_ions,) replica of each ion, from 0")
    atoms: np.ndarray = array("1", "(n_ions,) index of each ion among the atoms of its replica")
    training_ions: np.ndarray = array("1", "(n_ions,) bool, False for ions held out from training")
    segments: np.ndarray = array("1", "(n_segments, 2) frames [start, stop)")
    diagnostics: dict[str, float]
    history: list[dict[str, float]]
    frame_interval_ps: float
    encoder_digest: str
    provenance: dict[str, Any]


@dataclass(frozen=True)
class States(Record):
    """The state of every ion at every frame, and what the states are."""

    labels: np.ndarray = array("1", "(n_ions, n_frames) int8 after label cleaning, UNASSIGNED = -1")
    raw_labels: np.ndarray = array("1", "(n_ions, n_frames) int8 before label cleaning")
    positions: np.ndarray = array("Å", "(n_frames, n_ions, 3) float32, unwrapped")
    replica: np.ndarray = array("1", "(n_ions,) replica of each ion")
    atoms: np.ndarray = array("1", "(n_ions,) index among the atoms of its replica")
    coordination: np.ndarray = array(
        "1", "(n_states, n_elements) mean number of neighbours in the first shell"
    )
    coordination_sd: np.ndarray = array("1", "(n_states, n_elements) standard deviation over environments")
    density: np.ndarray = array("nm^-3", "(n_states,) mean number density of mobile ions within the cutoff")
    population: np.ndarray = array("1", "(n_states,) share of all assigned environments")
    seed_agreement: np.ndarray = array(
        "1", "(n_states,) share of a state's environments that other seeds put together too; NaN unknown"
    )
    z_profile: np.ndarray = array(
        "1", "(n_states, n_bins) share of environments per z bin; sums to 1 overall"
    )
    z_edges: np.ndarray = array("Å", "(n_bins + 1,)")
    projection: np.ndarray = array("1", "(n_sample, 2) principal components of a sample of embeddings")
    projection_labels: np.ndarray = array("1", "(n_sample,)")
    ion_coordination: np.ndarray = array("1", "(n_ions, n_elements) mean over frames")
    ion_density: np.ndarray = array("nm^-3", "(n_ions,) mean over frames")
    segments: np.ndarray = array("1", "(n_segments, 2) frames [start, stop)")
    regions: np.ndarray = array("Å", "(n_regions, 2) z-range [low, high) of each region at the start")
    region_names: list[str]
    mobile: list[str]
    names: list[str]
    elements: list[str]
    anions: list[str]
    shell_cutoffs_A: dict[str, float]
    gates: list[dict[str, Any]]
    choice: list[dict[str, Any]]
    candidates: list[dict[str, Any]]
    baselines: list[dict[str, Any]]
    choice_note: str
    cell: list[list[float]]
    frame_interval_ps: float
    dwell_frames: int
    provenance: dict[str, Any]

    @property
    def n_states(self) -> int:
        """Number of states."""
        return len(self.names)


@dataclass(frozen=True)
class KoopmanModel(Record):
    """The Koopman operator on the states, its spectrum and its tests."""

    operator: np.ndarray = array("1", "(n_active, n_active) row-stochastic transition matrix over the lag")
    stationary: np.ndarray = array("1", "(n_active,) stationary distribution")
    populations: np.ndarray = array("1", "(n_active,) observed populations")
    counts: np.ndarray = array("1", "(n_ions, n_active, n_active) transition pairs of each ion over the lag")
    operator_low: np.ndarray = array("1", "(n_active, n_active) 2.5 % bootstrap quantile")
    operator_high: np.ndarray = array("1", "(n_active, n_active) 97.5 % bootstrap quantile")
    eigenvalues: np.ndarray = array("1", "(n_active,) complex, by falling modulus")
    left_eigenvectors: np.ndarray = array("1", "(n_active, n_active) complex, columns")
    right_eigenvectors: np.ndarray = array(
        "1", "(n_active, n_active) complex, columns: eigenfunctions on the states, mean square 1"
    )
    residuals: np.ndarray = array("1", "(n_active,) ResDMD residual of each eigenpair")
    timescales: np.ndarray = array("ps", "(n_active - 1, 3) implied timescales: value, low, high")
    scan_lags: np.ndarray = array("ps", "(n_lags,)")
    scan_timescales: np.ndarray = array("ps", "(n_lags, n_active - 1, 3) value, low, high")
    ck_steps: np.ndarray = array("1", "(n_steps,) multiples of the lag")
    ck_predicted: np.ndarray = array("1", "(n_steps, n_active) staying probability of the model")
    ck_observed: np.ndarray = array(
        "1", "(n_steps, n_active, 3) staying probability observed: value, low, high"
    )
    escape_rates: np.ndarray = array("1/ns", "(n_active, 3) value, low, high")
    residence_times: np.ndarray = array("ps", "(n_active, 3) value, low, high")
    exits: np.ndarray = array("1", "(n_active,) observed departures from each state")
    events: np.ndarray = array("1", "(n_active, n_active) observed changes of state, frame by frame")
    active: np.ndarray = array("1", "(n_active,) index of each active state among all states")
    soft_moments: np.ndarray = array(
        "1", "(2, n_ions, n_active, n_active) Gram and cross moments of soft memberships; empty without them"
    )
    mode_eigenvalues: np.ndarray = array("1", "(n_modes,) complex, of the dictionary of the settings")
    mode_timescales: np.ndarray = array("ps", "(n_modes - 1, 3) value, low, high")
    mode_residuals: np.ndarray = array("1", "(n_modes,) ResDMD residual")
    mode_values: np.ndarray = array(
        "1", "(n_active, n_modes) complex mean of each eigenfunction over the environments of each state"
    )
    survival_times: np.ndarray = array("ps", "(n_times,)")
    survival: np.ndarray = array(
        "1", "(n_active, n_times, 3) share of visits that last longer: value, low, high"
    )
    msd_lags: np.ndarray = array("ps", "(n_lags,) multiples of the lag")
    msd_model: np.ndarray = array("Å²", "(n_lags, n_active) predicted, by starting state")
    msd_measured: np.ndarray = array("Å²", "(n_lags, n_active, 3) by starting state: value, low, high")
    window_times: np.ndarray = array("ps", "(n_windows, 2) since the first frame that has states")
    window_operators: np.ndarray = array("1", "(n_windows, n_active, n_active)")
    window_populations: np.ndarray = array("1", "(n_windows, n_active, 3) value, low, high")
    window_escape_rates: np.ndarray = array("1/ns", "(n_windows, n_active, 3) value, low, high")
    names: list[str]
    supported: list[bool]
    escape_definition: str
    dictionary: str
    dictionaries: list[dict[str, Any]]
    lag_choice: list[dict[str, Any]]
    lag_note: str
    first_frame: int
    window_note: str
    stationary_note: str
    bonds: list[dict[str, Any]]
    dropped: list[dict[str, Any]]
    checks: list[dict[str, Any]]
    lag_ps: float
    frame_interval_ps: float
    n_frames: int
    provenance: dict[str, Any]


@dataclass(frozen=True)
class ReactiveFlux(Record):
    """Transition path theory from source to target states."""

    forward_committor: np.ndarray = array("1", "(n_active,)")
    backward_committor: np.ndarray = array("1", "(n_active,)")
    net_flux: np.ndarray = array("1/(ion ns)", "(n_active, n_active)")
    net_flux_low: np.ndarray = array("1/(ion ns)", "(n_active, n_active)")
    net_flux_high: np.ndarray = array("1/(ion ns)", "(n_active, n_active)")
    gross_flux: np.ndarray = array("1/(ion ns)", "(n_active, n_active)")
    edge_events: np.ndarray = array(
        "1", "(n_active, n_active) changes of state seen, directly or within the lag"
    )
    throughput: np.ndarray = array(
        "1", "(n_active, 3) share of the flux through each state: value, low, high"
    )
    active: np.ndarray = array("1", "(n_active,) index of each active state among all states")
    operator: np.ndarray = array("1", "(n_active, n_active) row-stochastic, over the lag")
    stationary: np.ndarray = array("1", "(n_active,) stationary distribution")
    populations: np.ndarray = array("1", "(n_active,) observed populations")
    profile_z: np.ndarray = array("Å", "(n_bins,) heights")
    profile_committor: np.ndarray = array("1", "(n_bins,) mean forward committor at each height")
    window_times: np.ndarray = array("ps", "(n_windows, 2) since the first frame that has states")
    window_committors: np.ndarray = array(
        "1", "(n_windows, n_active) probability to reach the target first, in the time that is left"
    )
    window_flux: np.ndarray = array(
        "1/(ion ns)", "(n_windows, 3) passages predicted in each window: value, low, high"
    )
    window_passages: np.ndarray = array("1", "(n_windows,) passages seen in each window, lag by lag")
    sensitivity_lags: np.ndarray = array("ps", "(n_lags,)")
    sensitivity_dwells: np.ndarray = array("1", "(n_dwells,) frames")
    sensitivity: np.ndarray = array("1/(ion ns)", "(n_dwells, n_lags, 3) total flux: value, low, high")
    sensitivity_slowest: np.ndarray = array("ps", "(n_dwells, n_lags) slowest implied timescale")
    source: list[int]
    target: list[int]
    source_rule: str
    target_rule: str
    names: list[str]
    pathways: list[dict[str, Any]]
    bottleneck: dict[str, Any]
    estimates: dict[str, dict[str, Any]]
    checks: list[dict[str, Any]]
    supported: bool
    note: str
    stationary_note: str
    lag_ps: float
    frame_interval_ps: float
    n_ions: int
    provenance: dict[str, Any]


@dataclass(frozen=True)
class Transport(Record):
    """How far and how fast ions move, by state and by ion."""

    mobility: np.ndarray = array("Å²/ps", "(n_states, 3) displacement rate per state: value, low, high")
    mobility_score: np.ndarray = array("Å²/ps", "(n_states, 3) value, low, high")
    escape_rates: np.ndarray = array("1/ns", "(n_states, 3) value, low, high; NaN for dropped states")
    residence_times: np.ndarray = array("ps", "(n_states, 3) value, low, high")
    visits: np.ndarray = array("1", "(n_states,) number of visits")
    msd_lags: np.ndarray = array("ps", "(n_lags,)")
    msd: np.ndarray = array("Å²", "(n_lags, 3) mean square displacement of all mobile ions: value, low, high")
    ion_mobility: np.ndarray = array("Å²/ps", "(n_ions,)")
    ion_density: np.ndarray = array("nm^-3", "(n_ions,)")
    ion_anion_coordination: np.ndarray = array("1", "(n_ions,)")
    ion_region: np.ndarray = array("1", "(n_ions,) index of the region the ion started in")
    names: list[str]
    phase_names: list[str]
    region_names: list[str]
    supported: list[bool]
    correlations: dict[str, dict[str, Any]]
    estimates: dict[str, dict[str, Any]]
    definitions: dict[str, str]
    provenance: dict[str, Any]


@dataclass(frozen=True)
class Interphase(Record):
    """Composition along z, phases and coordination over time, of one system."""

    times: np.ndarray = array("ps", "(n_times,) middle of each time block since the start of the run")
    time_edges: np.ndarray = array("ps", "(n_times + 1,)")
    z_edges: np.ndarray = array("Å", "(n_slices + 1,)")
    density: np.ndarray = array("nm^-3", "(n_times, n_slices, n_elements) mean over replicas")
    phase: np.ndarray = array("1", "(n_replicas, n_times, n_slices) int8 index into phase_names, -1 for none")
    thickness: np.ndarray = array("Å", "(n_replicas, n_times) of one interphase, NaN without an interface")
    inventory: np.ndarray = array("1", "(n_replicas, n_times, n_phases) mobile ions in each phase of a cell")
    elements: list[str]
    phase_names: list[str]
    n_interfaces: int
    mobile: list[str]
    courses: list[dict[str, Any]]
    stages: list[dict[str, Any]]
    definition: str
    note: str
