"""From embeddings and environments to states."""

import dataclasses
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from getsei import cells
from getsei.errors import UserError
from getsei.records import UNASSIGNED, Embedding, Environments, States
from getsei.states import baselines, chemistry, choice, cleaning, clustering, gates, matching

log = logging.getLogger("getsei")

FIT_SAMPLE = 10_000
N_BINS = 60
ORDER_STEP = 0.1
"""Mean numbers of neighbours closer than this are the same for the order of the states."""

LABEL_BLOCK = 1 << 16


@dataclass(frozen=True)
class StateSettings:
    """The `states` part of a system's configuration; README of the configuration describes each key."""

    n_states: int | str
    method: str
    dwell_frames: int
    sample: int
    seed: int


@dataclass(frozen=True)
class Data:
    """What is known of every ion at every frame, replicas behind one another as further ions.

    Attributes
    ----------
    coordination : (n_frames, n_ions, n_elements) uint8 array
        Neighbours in the first shell.
    density : (n_frames, n_ions) float32 array
        Mobile ions per nm³.
    positions : (n_frames, n_ions, 3) float32 array
        Å, unwrapped.
    heights : (n_frames, n_ions) float array
        z of the image in the cell, Å.
    elements : list of str
        Mobile elements first, then the others by symbol.
    cutoffs : dict
        First shells in Å, ``Li-S``.
    """

    coordination: np.ndarray
    density: np.ndarray
    positions: np.ndarray
    heights: np.ndarray
    elements: list[str]
    cutoffs: dict[str, float]


def assign(embedding: Embedding, replicas: Sequence[Environments], settings: StateSettings) -> States:
    """Cluster the embedding into states and describe them.

    Parameters
    ----------
    embedding : Embedding
        One vector per ion and frame of all replicas.
    replicas : sequence of Environments
        The environments that were embedded, in the same order.
    settings : StateSettings
        How many states, by which method, from which seed.

    Returns
    -------
    States
        States ordered by falling number of mobile neighbours.

    Raises
    ------
    UserError
        If embedding and environments do not belong together, or the embedding has collapsed.
    """
    check_match(embedding, replicas)
    data = gather(replicas, len(embedding.vectors))
    drawn = draw(embedding, settings)
    space = clustering.fit_space(embedding.vectors[drawn.fit])
    compared = embedding.repeat_rows.T if len(embedding.repeats) else embedding.repeat_rows[:0].T
    samples = choice.Samples(
        *(
            space(embedding.vectors[tuple(part)])
            for part in (drawn.fit, drawn.score, drawn.held_out, compared)
        ),
        [clustering.fit_space(vectors)(vectors) for vectors in embedding.repeats],
    )
    chosen = choice.choose(samples, settings.n_states, settings.method, settings.seed)
    log.info("%s", chosen.note)
    found = label_all(embedding.vectors, space, chosen.clusterer)
    cleaned = cleaning.dwell_filter(found, embedding.segments, settings.dwell_frames)
    raw, cleaned = number(found, cleaned, data, replicas[0].mobile)
    compared_with = compare_representations(
        embedding, replicas, data, drawn, raw, chosen.taken, settings.seed
    )
    report = gates.collect(
        chosen.taken,
        compared_with,
        embedding.diagnostics,
        gates.explained_variance(raw.T.ravel(), _flat(data.coordination), data.elements),
        measure_cleaning(raw, cleaned, embedding.segments),
        isolated=float(np.mean(_flat(data.coordination).sum(axis=1) < 1)),
    )
    for gate in report:
        verdict = "pass" if gate["passed"] else "FAIL"
        log.info("%s  %s: %.3g (limit %.3g)", verdict, gate["name"], gate["value"], gate["limit"])
    first = replicas[0]
    return States(
        **describe(cleaned, data, first),
        seed_agreement=agreement_of_seeds(embedding, raw, samples, chosen.taken, settings.seed),
        labels=cleaned,
        raw_labels=raw,
        positions=data.positions,
        replica=embedding.replica,
        atoms=embedding.atoms,
        projection=samples.score[:, :2],
        projection_labels=raw.T[drawn.score],
        segments=embedding.segments,
        regions=first.regions,
        region_names=list(first.region_names),
        mobile=list(first.mobile),
        elements=data.elements,
        anions=chemistry.anions_among(data.elements),
        shell_cutoffs_A=data.cutoffs,
        gates=report,
        choice=sorted(
            (c.row() for c in chosen.candidates if c.method == chosen.taken.method),
            key=lambda r: r["n_states"],
        ),
        candidates=[candidate.row() for candidate in chosen.candidates],
        baselines=compared_with,
        choice_note=chosen.note,
        cell=first.cell,
        frame_interval_ps=embedding.frame_interval_ps,
        dwell_frames=settings.dwell_frames,
        provenance={
            "settings": dataclasses.asdict(settings),
            "encoder_digest": embedding.encoder_digest,
            "embedding": embedding.provenance,
        },
    )


def check_match(embedding: Embedding, replicas: Sequence[Environments]) -> None:
    """Refuse environments that are not the ones embedded."""
    atoms = np.concatenate([replica.atoms for replica in replicas])
    shortest = min(replica.n_frames for replica in replicas)
    if not np.array_equal(atoms, embedding.atoms) or shortest != len(embedding.vectors):
        raise UserError(
            f"states: the embedding holds {len(embedding.atoms)} ions at {len(embedding.vectors)} frames, "
            f"the environments {len(atoms)} ions at {shortest}; run train_gcl again on these environments"
        )


def gather(replicas: Sequence[Environments], n_frames: int) -> Data:
    """Collect the chemistry and the positions of all ions over the first `n_frames` frames."""
    mobile = list(replicas[0].mobile)
    others = {element for replica in replicas for element in replica.elements} - set(mobile)
    elements = [*mobile, *sorted(others)]
    cutoffs = chemistry.shell_cutoffs(replicas, mobile, elements)
    parts = [
        chemistry.surroundings(replica, elements, list(cutoffs.values()), mobile) for replica in replicas
    ]
    return Data(
        coordination=np.concatenate([part.coordination[:n_frames] for part in parts], axis=1),
        density=np.concatenate([part.density[:n_frames] for part in parts], axis=1),
        positions=np.concatenate([replica.positions[:n_frames] for replica in replicas], axis=1),
        heights=np.concatenate([_heights(replica)[:n_frames] for replica in replicas], axis=1),
        elements=elements,
        cutoffs=cutoffs,
    )


def _heights(replica: Environments) -> np.ndarray:
    """Return z (Å) of the image of every ion within one period above the lowest region."""
    cell = np.asarray(replica.cell, dtype=float)
    bottom = float(replica.regions[:, 0].min()) if len(replica.regions) else 0.0
    wrapped = cells.wrap(replica.positions - [0.0, 0.0, bottom], cell)
    return wrapped[..., 2] + bottom


@dataclass(frozen=True)
class Drawn:
    """Which environments are used for what, each as (frames, ions).

    Attributes
    ----------
    fit, score : tuple of two (n,) int arrays
        Of ions the encoder was trained on.
    held_out : tuple of two (n,) int arrays
        Of the others; empty where there are none.
    """

    fit: tuple[np.ndarray, np.ndarray]
    score: tuple[np.ndarray, np.ndarray]
    held_out: tuple[np.ndarray, np.ndarray]


def draw(embedding: Embedding, settings: StateSettings) -> Drawn:
    """Draw the environments to fit and to judge on."""
    rng = np.random.default_rng(settings.seed)
    n_frames = len(embedding.vectors)
    trained = np.flatnonzero(embedding.training_ions)
    held = np.flatnonzero(~embedding.training_ions)

    def some(ions: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
        total = n_frames * len(ions)
        chosen = np.sort(rng.choice(total, size=min(number, total), replace=False))
        return chosen // max(1, len(ions)), ions[chosen % max(1, len(ions))]

    fit, score = some(trained, FIT_SAMPLE), some(trained, settings.sample)
    return Drawn(fit, score, some(held, settings.sample) if len(held) else (held, held))


def label_all(vectors: np.ndarray, space: clustering.Space, clusterer: clustering.Clusterer) -> np.ndarray:
    """Return the (n_ions, n_frames) cluster of every environment."""
    block = max(1, LABEL_BLOCK // vectors.shape[1])
    parts = [
        clustering.predict(clusterer, _flat(space(vectors[start : start + block])))
        for start in range(0, len(vectors), block)
    ]
    return np.concatenate(parts).reshape(vectors.shape[:2]).T


def number(
    clusters: np.ndarray, cleaned: np.ndarray, data: Data, mobile: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Give the clusters in which ions stay their numbers, once and for all: states.

    By falling number of mobile neighbours. States that hardly differ in it follow by rising number of anions,
    so that the order does not hang on the seed of the clustering. A cluster that no ion ever stays in is no
    state and gets no number: it is left out before any is given.

    Parameters
    ----------
    clusters : (n_ions, n_frames) int array
        As the clustering numbered them.
    cleaned : (n_ions, n_frames) int array
        The same after the dwell filter.
    data : Data
        What surrounds the ions.
    mobile : sequence of str
        Mobile elements.

    Returns
    -------
    raw, cleaned : (n_ions, n_frames) int8 arrays
        States; `UNASSIGNED` in `raw` for a cluster that is no state.

    Raises
    ------
    UserError
        If no ion ever stays anywhere.
    """
    n_clusters = int(clusters.max()) + 1
    stayed = np.unique(cleaned[cleaned != UNASSIGNED])
    if not len(stayed):
        raise UserError(
            "states: no ion stays in any state as long as dwell_frames; lower dwell_frames or store frames "
            "more often (frame_interval_fs)"
        )
    if len(stayed) < n_clusters:
        log.warning(
            "%d of %d clusters are no states: no ion ever stays in them for dwell_frames",
            n_clusters - len(stayed),
            n_clusters,
        )
    n_mobile = _means(clusters, data, mobile)[stayed]
    n_anions = _means(clusters, data, chemistry.anions_among(data.elements))[stayed]
    order = np.lexsort((n_anions, -np.round(n_mobile / ORDER_STEP)))
    # The last entry is what UNASSIGNED = -1 points to.
    state_of = np.full(n_clusters + 1, UNASSIGNED, dtype=np.int8)
    state_of[stayed[order]] = np.arange(len(stayed))
    return state_of[clusters], state_of[cleaned]


def _means(clusters: np.ndarray, data: Data, symbols: Sequence[str]) -> np.ndarray:
    """Return the mean number of neighbours of some elements by cluster; empty clusters have none."""
    columns = [data.elements.index(symbol) for symbol in symbols]
    neighbours = data.coordination[..., columns].sum(-1).T
    sums = np.bincount(clusters.ravel(), weights=neighbours.ravel().astype(float))
    return sums / np.maximum(np.bincount(clusters.ravel()), 1)


def measure_cleaning(raw: np.ndarray, cleaned: np.ndarray, segments: np.ndarray) -> gates.Cleaning:
    """Compare labels before and after cleaning."""
    return gates.Cleaning(
        raw_rate=cleaning.change_rate(raw, segments),
        cleaned_rate=cleaning.change_rate(cleaned, segments),
        returns=cleaning.return_rate(raw, segments),
        changed=float((raw != cleaned).mean()),
        moving=cleaning.moving_share(cleaned, segments),
    )


def compare_representations(
    embedding: Embedding,
    replicas: Sequence[Environments],
    data: Data,
    drawn: Drawn,
    raw: np.ndarray,
    taken: choice.Candidate,
    seed: int,
) -> list[dict[str, Any]]:
    """Cluster the same environments without learning; see `baselines`."""
    seen, held_out = (
        baselines.features(embedding, replicas, data.coordination, rows) if len(rows[0]) else {}
        for rows in (drawn.score, drawn.held_out)
    )
    sample = baselines.Sample(
        drawn.score, drawn.held_out, data.coordination[drawn.score], raw.T[drawn.score].astype(np.int64)
    )
    return baselines.compare(seen, held_out, sample, data.elements, (taken.method, taken.n_states, seed))


def agreement_of_seeds(
    embedding: Embedding, raw: np.ndarray, samples: choice.Samples, taken: choice.Candidate, seed: int
) -> np.ndarray:
    """Return the (n_states,) agreement of each state with those of other seeds, matched; NaN without any."""
    n_states = int(raw.max()) + 1
    frames, ions = embedding.repeat_rows.T
    found = [
        matching.agreement(
            raw[ions, frames].astype(np.int64),
            choice.compared_labels(points, [taken.n_states], taken.method, seed)[0],
            max(n_states, taken.n_states),
        )[:n_states]
        for points in samples.repeats
    ]
    return np.mean(found, axis=0) if found else np.full(n_states, np.nan)


def describe(labels: np.ndarray, data: Data, first: Environments) -> dict[str, Any]:
    """Return the descriptors of the states, by field of `States`."""
    n_states = int(labels.max()) + 1
    flat = labels.T.ravel()
    counts = _flat(data.coordination)
    members = [np.flatnonzero(flat == state) for state in range(n_states)]
    coordination = np.stack([counts[rows].mean(0) for rows in members])
    columns = [data.elements.index(symbol) for symbol in first.mobile]
    assigned = flat != UNASSIGNED
    mean_mobile = float(counts[assigned][:, columns].sum(1).mean())
    density = data.density.ravel()
    bottom = float(first.regions[:, 0].min()) if len(first.regions) else 0.0
    cell_heights = np.asarray(first.cell, dtype=float)[:, 2]
    top = max(float(cell_heights.clip(min=0.0).sum()) + bottom, float(data.heights.max()))
    edges = np.linspace(bottom + float(cell_heights.clip(max=0.0).sum()), top, N_BINS + 1)
    return {
        "coordination": coordination,
        "coordination_sd": np.stack([counts[rows].std(0) for rows in members]),
        "density": np.array([density[rows].mean(dtype=np.float64) for rows in members]),
        "population": np.array([len(rows) for rows in members]) / assigned.sum(),
        "z_profile": chemistry.z_profile(flat, data.heights.ravel(), edges, n_states),
        "z_edges": edges,
        "ion_coordination": data.coordination.mean(axis=0, dtype=np.float64),
        "ion_density": data.density.mean(axis=0, dtype=np.float64),
        "names": chemistry.name_states(coordination, data.elements, first.mobile, mean_mobile),
    }


def _flat(values: np.ndarray) -> np.ndarray:
    """Turn (n_frames, n_ions, d) into (n_frames * n_ions, d)."""
    return values.reshape(-1, values.shape[-1])
