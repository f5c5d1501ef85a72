"""What other descriptions of the same environments give, clustered alike: what learning adds.

Every representation is clustered with the same number of states, by the same method, from the same seed, and
judged on the same environments. Coordination numbers are what a chemist counts; SOAP is the usual
hand-made fingerprint; the untrained encoder is the trained one before its first step.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from sklearn.metrics import adjusted_rand_score

from getsei.contrastive import training
from getsei.contrastive.diagnostics import effective_rank
from getsei.contrastive.pool import Pool
from getsei.records import Embedding, Environments
from getsei.states import clustering
from getsei.states.choice import RESAMPLES, compared_labels
from getsei.states.gates import explained_variance

SOAP_RADIAL = 6
SOAP_ANGULAR = 4
SOAP_WIDTH_A = 0.5
TRAINED, UNTRAINED, COORDINATION, SOAP = (
    "trained encoder",
    "untrained encoder",
    "coordination numbers",
    "SOAP",
)

Rows = tuple[np.ndarray, np.ndarray]
"""Environments as (frames, ions)."""


@dataclass(frozen=True)
class Sample:
    """The environments that the representations are compared on.

    Attributes
    ----------
    seen : Rows
        Of ions the encoder was trained on; clusters are fitted to them and judged on them.
    held_out : Rows
        Of the others; may be empty.
    coordination : (n, n_elements) array
        Coordination numbers of the seen environments.
    labels : (n,) int array
        States of the seen environments.
    """

    seen: Rows
    held_out: Rows
    coordination: np.ndarray
    labels: np.ndarray


def features(
    embedding: Embedding, replicas: Sequence[Environments], coordination: np.ndarray, rows: Rows
) -> dict[str, np.ndarray]:
    """Return each representation of some environments, by name, as (n, d) arrays.

    Parameters
    ----------
    embedding : Embedding
        The trained one.
    replicas : sequence of Environments
        What was embedded.
    coordination : (n_frames, n_ions, n_elements) array
        Coordination numbers of all environments.
    rows : Rows
        Which environments.
    """
    frames, ions = rows
    trained_with = training.TrainingSettings(**embedding.provenance["settings"])
    known = embedding.provenance["elements"]
    return {
        TRAINED: embedding.vectors[frames, ions],
        UNTRAINED: training.embed_untrained(replicas, trained_with, known, ions, frames),
        COORDINATION: coordination[frames, ions].astype(np.float64),
        SOAP: soap(replicas, rows),
    }


def soap(replicas: Sequence[Environments], rows: Rows) -> np.ndarray:
    """Return the smooth overlap of atomic positions of some environments as an (n, d) array.

    A. P. Bartók, R. Kondor, G. Csányi, Phys. Rev. B 87 (2013) 184115, with the compression of J. P. Darby et
    al., npj Comput. Mater. 8 (2022) 166 that sums over the element of one of the two densities. By dscribe.
    """
    # Imported here: dscribe takes seconds to load, and only this needs it.
    from dscribe.descriptors import SOAP as Descriptor

    frames, ions = rows
    pool = Pool(replicas)
    numbers, vectors = pool.gather(ions, frames)
    describe = Descriptor(
        species=sorted({symbol for replica in replicas for symbol in replica.elements}),
        r_cut=pool.cutoff_A,
        n_max=SOAP_RADIAL,
        l_max=SOAP_ANGULAR,
        sigma=SOAP_WIDTH_A,
        periodic=False,
        compression={"mode": "mu1nu1"},
    )
    clusters = [Atoms(kind[kind > 0], place[kind > 0]) for kind, place in zip(numbers, vectors, strict=True)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an environment without neighbours is a row of zeros
        found = describe.create(clusters, centers=[[[0.0, 0.0, 0.0]]] * len(clusters), verbose=False)
    return np.asarray(found, dtype=np.float32).reshape(len(clusters), -1)


def compare(
    seen: dict[str, np.ndarray],
    held_out: dict[str, np.ndarray],
    sample: Sample,
    elements: Sequence[str],
    how: tuple[str, int, int],
) -> list[dict[str, Any]]:
    """Return one row per representation: how well it separates, and what its clusters tell.

    Parameters
    ----------
    seen, held_out : dict of (n, d) arrays
        Each representation of the seen and of the held-out environments.
    sample : Sample
        What is known of the seen environments.
    elements : sequence of str
        Symbols of the columns of the coordination numbers.
    how : (method, n_states, seed)
        Clustering.
    """
    return [_row(name, seen[name], held_out.get(name), sample, elements, how) for name in seen]


def _row(
    name: str,
    values: np.ndarray,
    held_out: np.ndarray | None,
    sample: Sample,
    elements: Sequence[str],
    how: tuple[str, int, int],
) -> dict[str, Any]:
    method, n_states, seed = how
    # Coordination numbers are compared as they are; directions of the others carry the information.
    space = (lambda x: x) if name == COORDINATION else clustering.fit_space(values)
    points = space(values)
    found: dict[str, Any] = {"representation": name, "method": method, "n_states": n_states}
    nothing = float("nan")
    if clustering.count_distinct(points) < n_states:
        labels = np.zeros(len(points), dtype=np.int64)
        found |= dict.fromkeys(("silhouette", "silhouette_held_out", "silhouette_null", "excess"), nothing)
        found |= {"bootstrap_ari": nothing}
    else:
        clusterer = clustering.fit(points, n_states, method, seed)
        labels = clustering.predict(clusterer, points)
        score = clustering.silhouette(points, labels)
        held = nothing
        if held_out is not None and len(held_out):
            others = space(held_out)
            held = clustering.silhouette(others, clustering.predict(clusterer, others))
        null = clustering.null_silhouette(points, n_states, method, seed)
        found |= {"silhouette": score, "silhouette_held_out": held, "silhouette_null": null}
        found |= {"excess": (score if np.isnan(held) else held) - null}
        found |= {"bootstrap_ari": _bootstrap_ari(points, labels, how)}
    found |= {
        "effective_rank": effective_rank(space(values)),
        "ari_with_states": float(adjusted_rand_score(sample.labels, labels)),
    }
    explained = explained_variance(labels, sample.coordination, elements)
    return found | {f"explained_{element}": explained.get(element, nothing) for element in elements}


def _bootstrap_ari(points: np.ndarray, labels: np.ndarray, how: tuple[str, int, int]) -> float:
    method, n_states, seed = how
    rng = np.random.default_rng(seed)
    agreements = []
    for resample in range(1, RESAMPLES + 1):
        drawn = points[rng.integers(len(points), size=len(points))]
        other = compared_labels(drawn, [n_states], method, seed + resample, points)[0]
        agreements.append(adjusted_rand_score(labels, other))
    return float(np.mean(agreements))
