"""A small made-up system with every record filled in consistently; nothing here is a real result.

Ions jump between sites along z, from metal to electrolyte, by a known birth-and-death chain with a few
leaks; how far an ion moves between frames depends on its state. Everything is drawn from one seed.
"""

import numpy as np
from getsei import interphase, records
from getsei.kinetics import koopman, reactive_flux

FRAME_PS = 0.1
LENGTH_A = 40.0
WIDTH_A = 12.0
CUTOFF_A = 5.0


def names(n_states):
    first, last = "metal-like (Li-rich)", "electrolyte-like S3.6 P0.8"
    return [first, *(f"S{1 + 0.4 * i:.1f}Cl{0.3 * i:.1f}-coordinated" for i in range(1, n_states - 1)), last]


def generator(n_states, leak=0.1):
    """Rates per ps of a chain with next-nearest leaks; rows sum to zero."""
    rates = np.zeros((n_states, n_states))
    for i in range(n_states - 1):
        rates[i, i + 1] = 0.55 - 0.05 * i
        rates[i + 1, i] = 0.35 + 0.05 * i
    for i in range(n_states - 2):
        rates[i, i + 2] = leak
        rates[i + 2, i] = leak * 0.7
    np.fill_diagonal(rates, -rates.sum(1))
    return rates


def chain(n_states=6, n_ions=48, n_frames=200, seed=0):
    """Labels (n_ions, n_frames) of independent ions that follow `generator`."""
    rng = np.random.default_rng(seed)
    step = np.linalg.matrix_power(np.eye(n_states) + generator(n_states) * FRAME_PS / 16, 16)
    cumulative = np.cumsum(step, 1)
    labels = np.empty((n_ions, n_frames), dtype=np.int8)
    labels[:, 0] = np.arange(n_ions) * n_states // n_ions
    for frame in range(1, n_frames):
        draw = rng.random(n_ions)
        labels[:, frame] = (draw[:, None] > cumulative[labels[:, frame - 1]]).sum(1)
    return np.minimum(labels, n_states - 1)


def trajectory(labels, framework=("P", "S", "S", "S", "Cl"), seed=0, drift_A=0.0):
    """Two stages, the second analysed: ions step by their state, the framework only rattles and drifts."""
    rng = np.random.default_rng(seed + 1)
    n_ions, n_frames = labels.shape
    n_states = int(labels.max()) + 1
    before = 20
    n_fixed = 60
    species = np.array(["Li"] * n_ions + [framework[i % len(framework)] for i in range(n_fixed)])
    box = np.array([WIDTH_A, WIDTH_A, LENGTH_A])
    start = rng.random((n_ions + n_fixed, 3)) * box
    start[:n_ions, 2] = 2 + (np.arange(n_ions) + 0.5) / n_ions * (LENGTH_A - 4)
    start[n_ions:, 2] = LENGTH_A * (0.45 + 0.55 * rng.random(n_fixed))
    size = 0.5 - 0.35 * np.arange(n_states) / max(1, n_states - 1)  # Å per frame and direction
    moves = rng.normal(size=(n_frames, n_ions, 3)) * size[labels.T][..., None]
    total = before + n_frames
    positions = np.repeat(start[None], total, 0)
    positions += rng.normal(scale=0.05, size=positions.shape)
    positions[before:, :n_ions] += np.cumsum(moves, 0)
    positions += np.linspace(0, drift_A, total)[:, None, None]
    stage = np.repeat([0, 1], [before, n_frames])
    heat = np.where(stage == 0, 600.0, 500.0)
    return records.Trajectory(
        positions=positions.astype(np.float32),
        cells=np.diag(box)[None],
        species=species,
        stage=stage,
        segments=np.array([[0, before], [before, total]]),
        temperature=heat + rng.normal(scale=15, size=total),
        potential_energy=-4.2 * len(species) - 5 * (1 - np.exp(-np.arange(total) / 30)),
        stages=["react", "produce"],
        frame_interval_ps=FRAME_PS,
        provenance={
            "potential": "made up",
            "model_sha256": "0" * 64,
            "seed": seed,
            "temperature_K": 500.0,
            "versions": {"getsei": "0.1.0"},
        },
    )


def environments(trajectory, n_ions):
    """Environments of the analysed frames; neighbours are not needed by the later rooms and left few."""
    frames = trajectory.frames_of("produce")
    n = len(frames) * n_ions
    return records.Environments(
        offsets=np.arange(n + 1),
        species=np.full(n, 16, dtype=np.uint8),
        vectors=np.full((n, 3), 1.4, dtype=np.float16),
        atoms=np.arange(n_ions),
        positions=trajectory.positions[frames][:, :n_ions],
        segments=np.array([[0, len(frames)]]),
        regions=np.array([[0.0, 0.45 * LENGTH_A], [0.45 * LENGTH_A, LENGTH_A]]),
        region_names=["metal", "electrolyte"],
        cell=trajectory.cells[0].tolist(),
        cutoff_A=CUTOFF_A,
        frame_interval_ps=FRAME_PS,
        mobile=["Li"],
        elements=sorted(set(trajectory.species.tolist())),
        thermal_amplitudes_A={},
        provenance={"stage": "produce", "stride": 1},
    )


def states(labels, found, seed=0):
    """States whose lithium density falls and whose anion coordination rises with the label."""
    rng = np.random.default_rng(seed + 2)
    n_states = int(labels.max()) + 1
    elements = list(found.elements)
    ramp = np.arange(n_states) / max(1, n_states - 1)
    anions = [e for e in elements if e in ("S", "Cl", "O", "N", "F", "Br", "I")]
    typical = np.stack(
        [8 * (1 - ramp) + 1 if e == "Li" else 3.5 * ramp / max(1, len(anions)) for e in elements], 1
    )
    ion = np.stack([(labels == s).mean(1) for s in range(n_states)], 1)
    density = 40 * (1 - ramp) + 10
    height = np.asarray(found.cell)[2, 2]
    edges = np.linspace(0, height, 41)
    z = (found.positions[..., 2] % height).T
    profile = np.stack([np.histogram(z[labels == s], edges)[0] for s in range(n_states)]) / labels.size
    sample = rng.integers(0, n_states, 600)
    corner = np.stack([np.cos(sample / n_states * 6.28), np.sin(sample / n_states * 6.28)], 1)
    return records.States(
        labels=labels,
        raw_labels=labels,
        positions=found.positions,
        replica=np.zeros(len(labels), dtype=int),
        atoms=found.atoms,
        coordination=typical,
        coordination_sd=0.3 + 0.1 * typical,
        density=density,
        population=np.array([(labels == s).mean() for s in range(n_states)]),
        seed_agreement=np.full(n_states, np.nan),
        z_profile=profile,
        z_edges=edges,
        projection=2 * corner + rng.normal(scale=0.4, size=corner.shape),
        projection_labels=sample,
        ion_coordination=ion @ typical + rng.normal(scale=0.1, size=(len(labels), len(elements))),
        ion_density=ion @ density + rng.normal(scale=0.8, size=len(labels)),
        segments=found.segments,
        regions=found.regions,
        region_names=list(found.region_names),
        mobile=list(found.mobile),
        names=names(n_states),
        elements=elements,
        anions=anions,
        shell_cutoffs_A={f"Li-{e}": 3.2 for e in elements},
        gates=[
            {"gate": "silhouette above null", "value": 0.41, "threshold": 0.29, "passed": True},
            {"gate": "effective rank", "value": 2.4, "threshold": 3.0, "passed": False},
        ],
        choice=[
            {
                "n_states": k,
                "silhouette": 0.35 + 0.01 * k,
                "silhouette_null": 0.17,
                "excess": 0.18 + 0.01 * k,
            }
            for k in range(2, 11)
        ],
        candidates=[
            {"method": method, "n_states": k, "excess": 0.18 + 0.01 * k - 0.02 * number, "sound": k < 8}
            for number, method in enumerate(("gmm", "kmeans", "ward"))
            for k in range(2, 11)
        ],
        baselines=[
            {"representation": name, "n_states": n_states, "excess": excess, "effective_rank": 2.5}
            for name, excess in (("trained encoder", 0.24), ("SOAP", 0.1), ("coordination numbers", np.nan))
        ],
        choice_note=f"{n_states} states asked for by the configuration",
        cell=found.cell,
        frame_interval_ps=FRAME_PS,
        dwell_frames=3,
        provenance={"silhouette": 0.41, "silhouette_null": 0.19},
    )


def _spread(value, part=0.2):
    value = np.asarray(value, dtype=float)
    return np.stack([value, value * (1 - part), value * (1 + part)], -1)


def model(states, lag_ps=0.5, draws=100):
    """Koopman model of the made-up labels, by the room that makes it."""
    scan = [0.1, 0.2, 0.5, 1.0, 2.0]
    cfg = {"lag_ps": lag_ps, "scan_lags_ps": scan, "bootstrap": draws, "reversible": False, "seed": 1}
    return koopman.fit(states, cfg)


def flux(states, fitted, supported=True):
    """Reactive flux from the first to the last state; without support, source and target are the same."""
    target = states.n_states - 1 if supported else 0
    cfg = {"source": [0], "target": [target], "path_fraction": 0.99}
    return reactive_flux.analyse(states, fitted, cfg)


def embedding(states, dimensions=4, seed=0):
    """Vectors scattered around one centre per state."""
    rng = np.random.default_rng(seed + 3)
    centres = rng.normal(size=(states.n_states, dimensions)) * 3
    vectors = centres[states.labels.T] + rng.normal(size=(*states.labels.T.shape, dimensions))
    return records.Embedding(
        vectors=vectors.astype(np.float32),
        repeats=np.zeros((0, 0, dimensions), dtype=np.float32),
        repeat_rows=np.zeros((0, 2), dtype=int),
        replica=states.replica,
        atoms=states.atoms,
        training_ions=np.arange(len(states.atoms)) % 5 != 0,
        segments=states.segments,
        diagnostics={"effective_rank": 3.3},
        history=[{"step": float(i), "loss": 6 - 0.1 * i} for i in range(5)],
        frame_interval_ps=FRAME_PS,
        encoder_digest="0" * 12,
        provenance={},
    )


def system(n_states=6, n_ions=48, n_frames=200, seed=0, framework=("P", "S", "S", "S", "Cl"), drift_A=0.0):
    """Every record of one made-up system, by the name of its class in lower case."""
    labels = chain(n_states, n_ions, n_frames, seed)
    run = trajectory(labels, framework, seed, drift_A)
    found = environments(run, n_ions)
    known = states(labels, found, seed)
    fitted = model(known)
    return {
        "trajectory": run,
        "environments": found,
        "interphase": interphase.measure([run], [found], draws=50),
        "embedding": embedding(known, seed=seed),
        "states": known,
        "koopman": fitted,
        "flux": flux(known, fitted),
    }
