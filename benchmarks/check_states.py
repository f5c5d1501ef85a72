"""What the states are worth, bar by bar: ``python benchmarks/check_states.py``, or ``make check-states``.

Prints a table of bar, measured value and verdict, and ends with status 1 where a bar is missed or could not
be measured; a reason found for a miss is printed below it and does not turn it into a pass. Times are CPU
times of one thread, so that other jobs disturb little. Sections, to run some of them alone with ``--only``:

- ``synthetic``: ten samples with six known states;
- ``own``: the finished runs in ``results/`` (``make`` first);
- ``encoders``: both encoders on the environments of the finished runs (only when asked for: some minutes,
  and nothing of it is a bar);
- ``trajectory``: a trajectory given with ``--trajectory FILE...`` (any format of docs/trajectories.md);
- ``speed``: extraction, training, inference, beside ASE, PyG and SOAP;
- ``size``: a million environments end to end, in a process of its own;
- ``stream``: ten million (``--stream N`` for less) through extraction, training and embedding.
"""

import argparse
import dataclasses
import json
import logging
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

import numpy as np
from getsei import environments, records, settings, synthetic
from getsei.contrastive import embedding, training
from getsei.contrastive.encoder import build
from getsei.contrastive.pool import Pool
from getsei.states import assignment, baselines

SECTIONS = ("synthetic", "own", "encoders", "trajectory", "speed", "size", "stream")
WITHOUT_BARS = ("encoders",)
ENCODER_FRAMES, ENCODER_STEPS = 250, 200
"""What both encoders are compared on: the graph encoder needs minutes where the other needs seconds."""
DEFAULTS = settings.default_settings(settings.load_schema())
SEEDS = range(1, 11)
NOISE_A = 0.22
"""Thermal amplitude of a coordinate between two atoms in sulfides at 400 K; neighbouring shells overlap."""
SPACING_A = 2.75
"""Of a rattled simple cubic lattice: 24 neighbours within 5 Å on average, as in a sulfide electrolyte."""
MIB = 1 << 20


@dataclass(frozen=True)
class Bar:
    """One bar: what it asks for, what was measured, whether it is met (None: could not be measured)."""

    what: str
    limit: str
    measured: str
    met: bool | None


def above(what: str, value: float, limit: float, note: str = "") -> Bar:
    """Return the bar of a value that must reach a limit."""
    return Bar(what, f">= {limit:g}", f"{value:.3g}{note}", bool(value >= limit))


def below(what: str, value: float, limit: float, note: str = "") -> Bar:
    """Return the bar of a value that must not exceed a limit."""
    return Bar(what, f"<= {limit:g}", f"{value:.3g}{note}", bool(value <= limit))


def fact(what: str, measured: str) -> Bar:
    """Return a line that stands beside the bars and judges nothing."""
    return Bar(what, "", measured, True)


def gcl(**changes: object) -> training.TrainingSettings:
    """Return the default training settings, with changes."""
    return training.TrainingSettings(**(DEFAULTS["gcl"] | changes))


def clustering(**changes: object) -> assignment.StateSettings:
    """Return the default settings of the states, with changes."""
    return assignment.StateSettings(**(DEFAULTS["states"] | changes))


# --- known states


def check_synthetic(arguments: argparse.Namespace) -> Iterator[Bar]:
    """Recover six known states from ten samples."""
    from sklearn.metrics import adjusted_rand_score

    scores, numbers = [], []
    for seed in list(SEEDS)[: arguments.seeds]:
        truth = synthetic.environments(n_ions=120, n_frames=200, seed=seed, noise_A=NOISE_A)
        found, _ = training.train([truth.environments], gcl(seed=seed))
        states = assignment.assign(found, [truth.environments], clustering(seed=seed, n_states=6))
        scores.append(adjusted_rand_score(truth.labels.ravel(), states.raw_labels.ravel()))
        of_method = [row for row in states.candidates if row["method"] == DEFAULTS["states"]["method"]]
        numbers.append(of_method[0]["n_states"])
    n = len(scores)
    good, six = sum(score >= 0.95 for score in scores), sum(number == 6 for number in numbers)
    yield above(
        f"synthetic, {NOISE_A} Å noise: seeds of {n} with ARI >= 0.95 at k = 6",
        good,
        round(0.9 * n),
        f" (lowest {min(scores):.3f})",
    )
    yield above(f"synthetic: seeds of {n} where auto takes six", six, round(0.8 * n), f" (taken {numbers})")


# --- real data


def at_six(states: records.States) -> dict | None:
    """Return the scan's row of six states by the method used."""
    return next((row for row in states.choice if row["n_states"] == 6), None)


def quality(name: str, states: records.States, rank: float) -> Iterator[Bar]:
    """Yield the four bars of one system, at six states by the method used, and why it misses some."""
    row = at_six(states)
    if row is None:
        yield Bar(f"{name}: six states", "measured", "not among the candidates", None)
        return
    held = row["silhouette_held_out"]
    bars = [
        above(
            f"{name}: silhouette on held-out ions, k = 6",
            held,
            0.29,
            f" (training ions {row['silhouette']:.3f})",
        ),
        above(f"{name}: its excess over the null", held - row["silhouette_null"], 0.2),
        above(f"{name}: effective rank", rank, 3.0),
        above(f"{name}: seed-to-seed ARI, k = 6", row["seed_ari"], 0.8),
    ]
    yield from bars
    for other in states.baselines[1:]:
        yield fact(f"{name}: excess of {other['representation']}", f"{other['excess']:.3f}")
    if not all(bar.met for bar in bars):
        for line in reasons(states):
            yield fact(f"  why {name} falls short:", line)


def reasons(states: records.States) -> Iterator[str]:
    """Say what of the data limits its states."""
    largest = int(np.argmax(states.population))
    yield f"{states.population[largest]:.0%} of all environments are {states.names[largest]}"
    kinds = sorted({name.split()[0] for name in states.names})
    if len(kinds) < len(states.names):
        yield f"{len(states.names)} states, but {len(kinds)} kinds of first shell: {', '.join(kinds)}"
    ranks = {row["representation"]: row["effective_rank"] for row in states.baselines[1:]}
    said = ", ".join(f"{other} {rank:.1f}" for other, rank in ranks.items())
    limit = "no description of these environments has more directions" if max(ranks.values()) < 3.0 else said
    yield f"effective rank without learning: {said}" if limit == said else f"{limit} ({said})"
    yield states.choice_note


def check_own(arguments: argparse.Namespace) -> Iterator[Bar]:
    """Judge the states of the finished runs."""
    found = sorted(Path(arguments.results).glob("*/states/states.h5"))
    if not found:
        yield Bar("own interfaces", "finished runs", f"none in {arguments.results}: run `make` first", None)
    for path in found:
        try:
            states = records.States.load(path)
            embedded = records.Embedding.load(path.parents[1] / "gcl" / "embedding.h5")
        except Exception as error:
            yield Bar(path.parents[1].name, "readable", f"{error}; run `make` again", None)
            continue
        yield from quality(path.parents[1].name, states, embedded.diagnostics["effective_rank"])


def head(whole: records.Environments, n_frames: int) -> records.Environments:
    """Return the environments of the first frames."""
    n_frames = min(n_frames, whole.n_frames)
    offsets = whole.offsets[: n_frames * whole.n_ions + 1]
    segments = whole.segments[whole.segments[:, 0] < n_frames].clip(max=n_frames)
    return dataclasses.replace(
        whole,
        offsets=offsets,
        species=whole.species[: offsets[-1]],
        vectors=whole.vectors[: offsets[-1]],
        positions=whole.positions[:n_frames],
        segments=segments,
    )


def check_encoders(arguments: argparse.Namespace) -> Iterator[Bar]:
    """Compare the encoders on the environments of the finished runs, all but the length as by default."""
    for folder in sorted(path.parent for path in Path(arguments.results).glob("*/states")):
        paths = sorted(folder.glob("r*/environments/environments.h5"))
        replicas = [head(records.Environments.load(path), ENCODER_FRAMES) for path in paths]
        n = sum(len(replica.offsets) - 1 for replica in replicas)
        for kind in ("moments", "graph"):
            found: list[records.Embedding] = []
            how = gcl(encoder=kind, repeats=1, steps=ENCODER_STEPS)
            spent = cpu(lambda h=how, into=found, of=replicas: into.append(training.train(of, h)[0]))
            row = at_six(assignment.assign(found[0], replicas, clustering(n_states=6)))
            excess = row["silhouette_held_out"] - row["silhouette_null"]
            yield fact(
                f"{folder.name}: {kind}, {n:.3g} environments, {ENCODER_STEPS} steps",
                f"excess {excess:.2f} (held-out silhouette {row['silhouette_held_out']:.2f}), effective rank "
                f"{found[0].diagnostics['effective_rank']:.1f}, seed ARI {row['seed_ari']:.2f}, training and "
                f"embedding {spent:.0f} CPU s",
            )


def check_trajectory(arguments: argparse.Namespace) -> Iterator[Bar]:
    """Judge the states of a trajectory from elsewhere."""
    from getsei.trajectory import own

    if not arguments.trajectory:
        return
    wanted = {"files": arguments.trajectory, "frame_interval_fs": arguments.interval_fs}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trajectory.h5"
        own.store(own.sources_of(wanted), path, own.options_of(wanted))
        extracted = environments.extract(records.Trajectory.load(path), ["Li"], 5.0)
        found, _ = training.train([extracted], gcl())
        states = assignment.assign(found, [extracted], clustering())
        yield from quality(
            Path(arguments.trajectory[0]).parent.name, states, found.diagnostics["effective_rank"]
        )


# --- speed


def lattice(n_frames: int, side: int = 9, path: Path | None = None) -> records.Trajectory:
    """Return a rattled lattice, 60 % lithium, in which nothing moves on; positions lie in a file if given."""
    rng = np.random.default_rng(1)
    grid = SPACING_A * np.stack(np.meshgrid(*[np.arange(side)] * 3, indexing="ij"), -1).reshape(-1, 3)
    shape = (n_frames, len(grid), 3)
    positions = (
        np.empty(shape, np.float32) if path is None else np.memmap(path, np.float32, "w+", shape=shape)
    )
    for frame in range(n_frames):
        positions[frame] = grid + rng.normal(0.0, 0.2, grid.shape)
    species = np.array(["Li", "S", "P", "Cl"])[rng.choice(4, len(grid), p=[0.6, 0.25, 0.1, 0.05])]
    return records.Trajectory(
        positions=positions,
        cells=(SPACING_A * side * np.eye(3))[None],
        species=species,
        stage=np.zeros(n_frames, dtype=np.uint8),
        segments=np.array([[0, n_frames]]),
        temperature=np.full(n_frames, np.nan),
        potential_energy=np.full(n_frames, np.nan),
        stages=["produce"],
        frame_interval_ps=0.2,
        provenance={},
    )


def cpu(run: Callable[[], object]) -> float:
    """Return the CPU time of a call in s."""
    started = time.thread_time()
    run()
    return time.thread_time() - started


def check_speed(arguments: argparse.Namespace) -> Iterator[Bar]:
    """Time each stage beside its alternatives."""
    from ase.neighborlist import primitive_neighbor_list

    trajectory = lattice(n_frames=60)
    extracted: list[records.Environments] = []
    spent = cpu(lambda: extracted.append(environments.extract(trajectory, ["Li"], 5.0)))
    record = extracted[0]
    n, neighbours = len(record.offsets) - 1, len(record.species) / (len(record.offsets) - 1)
    yield below(
        "extraction, CPU us per environment", 1e6 * spent / n, 10.0, f" ({neighbours:.1f} neighbours)"
    )

    def with_ase() -> None:
        for frame in range(3):
            pos, cell = trajectory.positions[frame].astype(float), trajectory.cell(frame)
            primitive_neighbor_list("ijdD", [True] * 3, cell, pos, 5.0)

    yield fact(
        "  the same by ASE (its list of all atoms, per lithium)",
        f"{1e6 * cpu(with_ase) / (3 * record.n_ions):.0f}",
    )
    with tempfile.TemporaryDirectory() as folder:
        record.save(Path(folder) / "e.h5")
        size = (Path(folder) / "e.h5").stat().st_size
    yield below(
        "extraction, bytes on disk per environment", size / n, 200.0, f" ({neighbours:.1f} neighbours)"
    )
    pool = Pool([record])
    rates = {}
    for kind, steps, sample in (("moments", 60, 20_000), ("graph", 6, 1000)):
        how = gcl(encoder=kind, repeats=0, steps=steps)
        training.train_encoders([[record]], gcl(encoder=kind, repeats=0, steps=1))  # imports and first calls
        train_s = cpu(lambda how=how: training.train_encoders([[record]], how))
        encoder = build(training.encoder_settings([pool], how), seed=1)
        rows = np.arange(sample)
        embed_s = cpu(
            lambda e=encoder, r=rows: embedding.embed_some(e, pool, r % pool.n_ions, r // pool.n_ions)
        )
        rates[kind] = steps * how.batch_size / train_s, sample / embed_s
    kind = DEFAULTS["gcl"]["encoder"]
    yield above(f"training with {kind}, pairs per CPU s", rates[kind][0], 8000.0)
    yield fact("  the same with torch_geometric's ragged batches", f"{rates['graph'][0]:.0f}")
    yield above(f"inference with {kind}, environments per CPU s", rates[kind][1], 60000.0)
    yield fact("  the same with torch_geometric's ragged batches", f"{rates['graph'][1]:.0f}")
    rows = np.arange(1000) // record.n_ions, np.arange(1000) % record.n_ions
    baselines.soap([record], (rows[0][:2], rows[1][:2]))
    yield fact(
        "  SOAP by dscribe, environments per CPU s",
        f"{1000 / cpu(lambda: baselines.soap([record], rows)):.0f}",
    )


# --- size


class Watch(threading.Thread):
    """Samples the memory of this process that no file stands behind."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak, self.going = 0, True

    def run(self) -> None:
        """Look every tenth of a second."""
        while self.going:
            for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
                if line.startswith("RssAnon"):
                    self.peak = max(self.peak, int(line.split()[1]) * 1024)
            time.sleep(0.1)


def work_through(n_environments: int, *, with_states: bool) -> dict[str, float]:
    """Take a lattice of so many environments through the stages; return CPU times (s) and memory (bytes)."""
    import resource

    spent: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        n_ions = int((lattice(1).species == "Li").sum())
        trajectory = lattice(-(-n_environments // n_ions), path=here / "positions")
        trajectory.save(here / "t.h5")
        watch = Watch()
        watch.start()

        def timed(name: str, run: Callable[[], object]) -> None:
            started = time.process_time()
            run()
            spent[name] = time.process_time() - started

        trajectory = records.Trajectory.load(here / "t.h5")
        timed("extract", lambda: environments.extract(trajectory, ["Li"], 5.0).save(here / "e.h5"))
        replicas = [records.Environments.load(here / "e.h5")]
        # Encoders of other seeds cost time but no memory that grows.
        how = gcl() if with_states else gcl(repeats=0)
        timed("train and embed", lambda: training.train(replicas, how)[0].save(here / "g.h5"))
        if with_states:
            found = records.Embedding.load(here / "g.h5")
            timed("states", lambda: assignment.assign(found, replicas, clustering()).save(here / "s.h5"))
        watch.going = False
        watch.join()
        spent["environments"] = float(len(replicas[0].offsets) - 1)
        spent["anonymous"] = float(watch.peak)
        spent["resident"] = 1024.0 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return spent


def in_own_process(n_environments: int, *, with_states: bool) -> dict[str, float]:
    """Run `work_through` in a fresh process, so that its memory is its own."""
    command = [
        sys.executable,
        __file__,
        "--work",
        str(n_environments),
        *(["--states"] if with_states else []),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return json.loads(done.stdout.splitlines()[-1])


def check_size(arguments: argparse.Namespace) -> Iterator[Bar]:
    """Take a million environments through everything."""
    found = in_own_process(arguments.size, with_states=True)
    stages = ("extract", "train and embed", "states")
    total = sum(found[stage] for stage in stages)
    parts = ", ".join(f"{stage} {found[stage]:.0f}" for stage in stages)
    what = f"{found['environments']:.3g} environments end to end"
    yield below(f"{what}, CPU s of one process", total, 180.0, f" ({parts})")
    yield below(
        f"{what}, resident MiB",
        found["resident"] / MIB,
        2000.0,
        f" (anonymous {found['anonymous'] / MIB:.0f})",
    )


def check_stream(arguments: argparse.Namespace) -> Iterator[Bar]:
    """Compare the memory of many environments with that of a tenth of them."""
    small, large = (in_own_process(n, with_states=False) for n in (arguments.stream // 10, arguments.stream))
    grown = (large["anonymous"] - small["anonymous"]) / MIB
    note = f" ({small['anonymous'] / MIB:.0f} to {large['anonymous'] / MIB:.0f})"
    what = f"{small['environments']:.2g} to {large['environments']:.2g} environments streamed"
    yield below(f"{what}, growth of memory, MiB", grown, 100.0, note)
    spent = large["extract"] + large["train and embed"]
    yield fact("  extraction, training and embedding of the larger one, CPU s", f"{spent:.0f}")


def main() -> int:
    """Run the sections asked for; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--only", nargs="+", choices=SECTIONS, default=[s for s in SECTIONS if s not in WITHOUT_BARS]
    )
    parser.add_argument("--results", default="results", help="folder of the finished runs")
    parser.add_argument("--trajectory", nargs="+", default=[], help="files of a trajectory with lithium")
    parser.add_argument("--interval-fs", type=float, default=100.0, help="time between its frames")
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help="synthetic samples, of ten")
    parser.add_argument("--size", type=int, default=1_000_000)
    parser.add_argument("--stream", type=int, default=10_000_000)
    parser.add_argument("--work", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--states", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        print(json.dumps(work_through(arguments.work, with_states=arguments.states)))
        return 0
    missed = 0
    print(f"{'':8} {'bar':72} {'limit':>10}  measured")
    for section in arguments.only:
        for bar in globals()[f"check_{section}"](arguments):
            verdict = {True: "met", False: "MISSED", None: "UNKNOWN"}[bar.met] if bar.limit else ""
            missed += bar.met is not True
            print(f"{verdict:8} {bar.what:72} {bar.limit:>10}  {bar.measured}", flush=True)
    print("every bar is met" if not missed else f"missed or not measured: {missed}; exit status 1")
    return 1 if missed else 0


if __name__ == "__main__":
    logging.getLogger("getsei").setLevel(logging.ERROR)
    sys.exit(main())
