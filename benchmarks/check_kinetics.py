"""Measure the kinetics against their bars: ``make check-kinetics``.

Known truths, recovery through learned states, coverage of intervals, degenerate inputs, speed. Prints one
line for each bar with what was measured, and returns 1 where one is missed. Times are CPU seconds.
"""

import logging
import os
import sys
import time
import tracemalloc
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
sys.path[:0] = [str(Path(__file__).resolve().parents[1] / part) for part in ("scripts", "tests")]

import chains as examples
import numpy as np
from getsei import selftest, synthetic
from getsei.errors import UserError
from getsei.kinetics import (
    bootstrap,
    chains,
    counting,
    dictionaries,
    edmd,
    inputs,
    koopman,
    reactive_flux,
    scan,
    transition_paths,
)

EXACT = 1e-10
SIGMAS = 3.0
FLUX, ESCAPE = 0.10, 0.15
COVERAGE = (0.90, 0.98)
REPEATS = 200
LARGE_S, RESAMPLES_S = 10.0, 2.0


@dataclass(frozen=True)
class Bar:
    """One bar: what it is, what was measured, whether it holds."""

    name: str
    limit: str
    measured: str
    passed: bool


def at_most(name: str, value: float, limit: float, unit: str = "") -> Bar:
    """Return a bar that an error or a time must not exceed."""
    return Bar(name, f"<= {limit:.3g}{unit}", f"{value:.3g}{unit}", bool(value <= limit))


def birth_death(up: np.ndarray, down: np.ndarray) -> np.ndarray:
    """Return the chain that moves up and down by one with the given probabilities."""
    n = len(up) + 1
    operator = np.zeros((n, n))
    operator[np.arange(n - 1), np.arange(1, n)] = up
    operator[np.arange(1, n), np.arange(n - 1)] = down
    operator[np.arange(n), np.arange(n)] = 1.0 - operator.sum(axis=1)
    return operator


def known_truths() -> Iterator[Bar]:
    """Compare with closed forms."""
    flux = transition_paths.reactive_flux(examples.FIVE_STATES, [0], [4])
    yield at_most("five-state chain: rate 3/110, error", abs(float(flux.rate) - 3.0 / 110.0), EXACT)
    off = max(transition_paths.imbalance(one, [0], [4]) for one in (flux.gross, flux.net))
    yield at_most("five-state chain: imbalance of the flux", off, 1e-12)

    rng = np.random.default_rng(3)
    up, down = rng.uniform(0.05, 0.4, 9), rng.uniform(0.05, 0.4, 9)
    flux = transition_paths.reactive_flux(birth_death(up, down), [0], [9])
    weights = np.concatenate([[1.0], np.cumprod(up / down)])
    weights /= weights.sum()
    resistance = 1.0 / (weights[:-1] * up)
    climb = np.concatenate([[0.0], np.cumsum(resistance)]) / resistance.sum()
    error = max(np.abs(flux.forward - climb).max(), abs(float(flux.total) * resistance.sum() - 1.0))
    yield at_most("birth-death chain: committor and flux, error", error, EXACT)

    n, forward, back = 6, 0.3, 0.1
    ring = np.eye(n) * (1 - forward - back)
    ring += forward * np.roll(np.eye(n), 1, axis=1) + back * np.roll(np.eye(n), -1, axis=1)
    phases = np.exp(2j * np.pi * np.arange(n) / n)
    exact = 1 - forward - back + forward * phases + back / phases
    error = max(float(np.abs(exact - value).min()) for value in chains.eigenvalues(ring))
    yield at_most("rotating ring: complex eigenvalues, error", error, EXACT)

    a, b, c, d = 0.2, 0.3, 0.1, 0.4
    three = np.array([[1 - a, a, 0], [b, 1 - b - c, c], [0, d, 1 - d]])
    passage = (1 + b / c) / a + 1 / c
    found = float(transition_paths.reactive_flux(three, [0], [2]).mfpt)
    yield at_most("three states: mean first passage time, relative error", abs(found / passage - 1.0), EXACT)

    labels = examples.sample(examples.SIX_STATES, 60, 400, seed=5)
    counts = counting.pair_counts(labels, [[0, 400]], 5, 6).sum(axis=(0, 1))
    first, second = edmd.pair_indices(labels >= 0, [[0, 400]], 5)
    psi = dictionaries.indicator(labels.ravel(), 6)
    matrix = edmd.fit(edmd.moments(psi[first], psi[second])).matrix
    error = float(np.abs(matrix - counts / counts.sum(axis=1, keepdims=True)).max())
    yield at_most("indicator EDMD against row-normalised counts", error, 1e-12)

    yield from sampled_truths()


def sampled_truths() -> Iterator[Bar]:
    """Compare with known numbers where both are sampled; the error is that over independent repeats."""
    decay, eigenvalues = 0.8, []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        x = np.empty((100, 200))
        x[:, 0] = rng.normal(size=100)
        for step in range(1, 200):
            x[:, step] = decay * x[:, step - 1] + np.sqrt(1 - decay**2) * rng.normal(size=100)
        first, second = edmd.pair_indices(np.ones(x.shape, dtype=bool), [[0, 200]], 1)
        psi = dictionaries.radial(x.reshape(-1, 1), np.linspace(-3, 3, 13)[:, None], 0.6)
        found = edmd.fit(edmd.moments(psi[first], psi[second]), rank_cutoff=1e-8)
        eigenvalues.append(found.eigenvalues[1:3].real)
    yield within("Ornstein-Uhlenbeck: two eigenvalues, radial functions", eigenvalues, [decay, decay**2])

    grid = np.linspace(-1.8, 1.8, 40)
    energy, step = (grid**2 - 1) ** 2 / 0.5, grid[1] - grid[0]
    rates = np.zeros((40, 40))
    for i, j in [*zip(range(39), range(1, 40), strict=True), *zip(range(1, 40), range(39), strict=True)]:
        rates[i, j] = 0.5 / step**2 * np.exp((energy[i] - energy[j]) / 2)
    np.fill_diagonal(rates, -rates.sum(axis=1))
    values, vectors = np.linalg.eig(rates)
    operator = np.maximum((vectors @ np.diag(np.exp(0.02 * values)) @ np.linalg.inv(vectors)).real, 0.0)
    operator /= operator.sum(axis=1, keepdims=True)
    exact = float(np.exp(0.2 * np.sort(values.real)[-2]))
    slow = []
    for seed in range(12):
        labels = examples.sample(operator, 40, 800, seed=seed)
        counts = counting.pair_counts(labels, [[0, 800]], 10, 40).sum(axis=(0, 1))
        kept = chains.largest_connected_set(counts, counts.sum(axis=1))
        slow.append(chains.eigenvalues(chains.transition_matrix(counts[kept][:, kept]))[1:2].real)
    yield within("double well: slowest eigenvalue over the lag", slow, [exact])

    labels = examples.sample(examples.SIX_STATES, 400, 2500, seed=7)
    events, frames = counting.reactive_events(labels, np.array([[0, 2500]]), [0], [5], 6)
    flux = float(transition_paths.reactive_flux(examples.SIX_STATES, [0], [5]).total)
    error = float((events / frames).std(ddof=1) / np.sqrt(len(events)))
    z = abs(events.sum() / frames.sum() - flux) / error
    yield at_most("passages counted against the flux of theory", z, SIGMAS, " sigma")


def within(name: str, samples: list[np.ndarray], truth: list[float]) -> Bar:
    """Compare the mean over repeats with the truth in units of its standard error."""
    found = np.array(samples)
    error = found.std(axis=0, ddof=1) / np.sqrt(len(found))
    return at_most(name, float((np.abs(found.mean(axis=0) - truth) / error).max()), SIGMAS, " sigma")


def recovery() -> Iterator[Bar]:
    """Recover the kinetics of the synthetic sample through training and clustering."""
    truth = synthetic.environments(200, 1000, seed=1)
    states = selftest.find_states(truth, seed=1)
    model = koopman.fit(states, selftest.KINETICS | {"discard_ps": 0.0})
    # The truth of this sample: rates of the chain, and passages of the chain counted without a lag.
    matrix = synthetic.transition_matrix()
    exact = float(transition_paths.reactive_flux(matrix, [0], [5]).total) / synthetic.FRAME_INTERVAL_PS * 1e3
    escapes = (1.0 - np.diag(matrix)) / synthetic.FRAME_INTERVAL_PS * 1e3
    yield Bar("synthetic sample: states found", "6", str(states.n_states), states.n_states == 6)
    if states.n_states != 6:
        return
    flux = reactive_flux.analyse(states, model, {"source": [0], "target": [5], "path_fraction": 0.99})
    total = flux.estimates["total_flux"]["value"] or np.nan
    yield at_most("synthetic sample, learned states: flux, relative error", abs(total / exact - 1.0), FLUX)
    worst = float(np.abs(model.escape_rates[:, 0] / escapes - 1.0).max())
    yield at_most("synthetic sample, learned states: worst escape rate", worst, ESCAPE)


def coverage() -> Iterator[Bar]:
    """Count how often 95 % intervals hold the truth."""
    true = transition_paths.reactive_flux(examples.SIX_STATES, [0], [5])
    escape = chains.escape_rates(examples.SIX_STATES, 1.0, from_generator=False)
    labels = examples.sample(examples.SIX_STATES, 60 * REPEATS, 200, seed=11).reshape(REPEATS, 60, 200)
    held = {"flux": 0.0, "mean first passage time": 0.0, "escape rates": 0.0}
    for repeat in range(REPEATS):
        pairs = counting.pair_counts(labels[repeat], [[0, 200]], 1, 6)
        resampling = bootstrap.draw(np.zeros(60, dtype=int), 500, seed=repeat)
        operators, _ = bootstrap.operators(resampling.counts(pairs), reversible=False)
        drawn = transition_paths.reactive_flux(operators, [0], [5])
        for name, samples, value in (
            ("flux", drawn.total, true.total),
            ("mean first passage time", drawn.mfpt, true.mfpt),
            ("escape rates", chains.escape_rates(operators, 1.0, from_generator=False), escape),
        ):
            low, high = bootstrap.interval(samples)
            held[name] += float(np.mean((low <= value) & (value <= high))) / REPEATS
    for name, share in held.items():
        inside = COVERAGE[0] <= share <= COVERAGE[1]
        limits = f"{COVERAGE[0]:.2f} to {COVERAGE[1]:.2f}"
        yield Bar(f"95 % intervals hold the truth, {REPEATS} repeats: {name}", limits, f"{share:.3f}", inside)


def degenerate() -> Iterator[Bar]:
    """Feed inputs that have no answer: an error with a name, or a reduction that is stated."""
    absorbing = examples.FIVE_STATES.copy()
    absorbing[4] = [0, 0, 0, 0, 1]
    yield refused("absorbing target", lambda: transition_paths.reactive_flux(absorbing, [0], [4]))
    apart = np.kron(np.eye(2), np.array([[0.9, 0.1], [0.1, 0.9]]))
    yield refused("disconnected chain", lambda: transition_paths.reactive_flux(apart, [0], [3]))
    five = examples.FIVE_STATES
    yield refused("overlapping source and target", lambda: transition_paths.reactive_flux(five, [0], [0, 4]))
    yield refused("empty target", lambda: transition_paths.reactive_flux(five, [0], []))

    settings = examples.SETTINGS
    labels = examples.sample(five, 40, 300, seed=2)
    labels[:4, 150:] = 5
    trapped = examples.states_of(labels, 7)
    model = koopman.fit(trapped, settings)
    named = {row["name"]: row["reason"] for row in model.dropped}
    yield Bar(
        "absorbing and empty states in a run: dropped, with name and reason",
        "2 named",
        "; ".join(f"{name}: {reason}" for name, reason in named.items()),
        len(named) == 2 and bool(np.isfinite(model.operator).all()),
    )
    flux = reactive_flux.analyse(trapped, model, examples.ENDPOINTS)
    yield said("target that was dropped", flux)
    overlap = reactive_flux.analyse(
        trapped, model, examples.ENDPOINTS | {"source": ["state A"], "target": ["state A"]}
    )
    yield said("overlapping ends in a run", overlap)

    labels = np.zeros((6, 80), dtype=np.int8)
    labels[0, 30:50] = 1
    single = examples.states_of(labels, 2)
    model = koopman.fit(single, settings)
    yield Bar(
        "one transition: no rate is printed",
        "not supported",
        f"supported {model.supported}",
        not any(model.supported),
    )
    yield said("one transition: no flux", reactive_flux.analyse(single, model, examples.ENDPOINTS))
    two = examples.states_of(examples.sample(np.array([[0.9, 0.1], [0.2, 0.8]]), 60, 300, 0), 2)
    flux = reactive_flux.analyse(two, koopman.fit(two, settings), examples.ENDPOINTS)
    yield Bar(
        "two states: a flux with an interval",
        "supported",
        f"{flux.estimates['total_flux']['value']:.3g} 1/(ion ns)",
        flux.supported,
    )
    empty = examples.states_of(np.full((3, 50), -1, dtype=np.int8), 2)
    yield refused("no labels at all", lambda: koopman.fit(empty, settings))


def refused(name: str, attempt: Callable[[], object]) -> Bar:
    """Expect an error with a message."""
    try:
        attempt()
    except UserError as error:
        return Bar(name, "named error", str(error).split(";")[0][:60], bool(str(error)))
    return Bar(name, "named error", "no error", passed=False)


def said(name: str, flux: object) -> Bar:
    """Expect a record without numbers that says why."""
    values = [row["value"] for row in flux.estimates.values()]
    silent = flux.supported or any(value is not None for value in values[:7])
    return Bar(name, "said, no number", flux.note[:60], not silent and bool(flux.note))


def speed() -> Iterator[Bar]:
    """Time a large system, and set it beside deeptime."""
    labels = examples.sample(examples.SIX_STATES, 500, 2000, seed=0)
    states = examples.states_of(labels, 6)
    lags = [1, 2, 5, 10, 20, 50]
    start = time.process_time()
    resampling = bootstrap.draw(states.replica, 1000, seed=0)
    pairs = counting.pair_counts(labels, states.segments, 5, 6)
    scan.scan(states, lags, resampling, reversible=False)  # timescales and Chapman-Kolmogorov at every lag
    middle = time.process_time()
    operators, _ = bootstrap.operators(resampling.counts(pairs), reversible=False)
    transition_paths.reactive_flux(operators, [0], [5])
    whole = transition_paths.reactive_flux(chains.transition_matrix(pairs.sum(axis=(0, 1))), [0], [5])
    end = time.process_time()
    yield at_most("1e6 environments: counts, lag scan, CK, TPT, 1000 resamples", end - start, LARGE_S, " s")
    yield at_most("of these, flux of 1000 resamples at six states", end - middle, RESAMPLES_S, " s")
    rng = np.random.default_rng(0)
    vectors = rng.normal(scale=0.5, size=(2000, 500, 64)).astype(np.float32)
    vectors[..., :6] += 4.0 * np.eye(6, dtype=np.float32)[labels.T]
    start = time.process_time()
    settings = {"lag_ps": "auto", "scan_lags_ps": [0.1 * lag for lag in lags], "bootstrap": 1000}
    model = koopman.fit(states, settings, inputs.Context(vectors=vectors))
    reactive_flux.analyse(states, model, examples.ENDPOINTS)
    spent = time.process_time() - start
    yield at_most("the same with all a run does: dictionaries, windows, tables", spent, LARGE_S, " s")
    yield from beside_deeptime(labels, float(whole.total))
    yield streamed()


def beside_deeptime(labels: np.ndarray, total: float) -> Iterator[Bar]:
    """Run the same counts, estimate and flux through deeptime, in the same process."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from deeptime.markov import TransitionCountEstimator
        from deeptime.markov import reactive_flux as theirs
        from deeptime.markov.msm import MaximumLikelihoodMSM

        trajectories = [row.astype(int) for row in labels]
        start = time.process_time()
        counted = TransitionCountEstimator(5, "sliding").fit_fetch(trajectories)
        model = MaximumLikelihoodMSM(reversible=False).fit_fetch(counted)
        other = float(theirs(model.transition_matrix, [0], [5]).total_flux)
        deeptime_s = time.process_time() - start
    start = time.process_time()
    pairs = counting.pair_counts(labels, np.array([[0, labels.shape[1]]]), 5, 6).sum(axis=(0, 1))
    transition_paths.reactive_flux(chains.transition_matrix(pairs), [0], [5])
    ours_s = time.process_time() - start
    yield at_most("flux against deeptime on the same labels, relative", abs(total / other - 1.0), EXACT)
    measured = f"{ours_s:.3f} s against {deeptime_s:.3f} s, {deeptime_s / ours_s:.1f} times as fast"
    yield Bar("counts and flux of 1e6 labels, beside deeptime", "not slower", measured, ours_s <= deeptime_s)


class Stream:
    """1e8 labels that are made when they are read, as a dataset on disk would give them."""

    shape = (10_000, 10_000)

    def __getitem__(self, key: tuple[slice, slice]) -> np.ndarray:
        """Return the labels of some ions: one short trajectory, repeated."""
        ions, frames = (range(*part.indices(size)) for part, size in zip(key, self.shape, strict=True))
        return np.broadcast_to(self.row[: len(frames)], (len(ions), len(frames)))

    row = examples.sample(examples.SIX_STATES, 1, 10_000, seed=3)[0]


def streamed() -> Bar:
    """Count 1e8 labels without holding them."""
    tracemalloc.start()
    start = time.process_time()
    counts = counting.pair_counts(Stream(), np.array([[0, 10_000]]), 5, 6)
    spent, peak = time.process_time() - start, tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    right = int(counts.sum()) == 10_000 * 9_995
    measured = f"{spent:.1f} s, peak {peak:.0f} MiB"
    return Bar("1e8 label frames, streamed", "all pairs, < 800 MiB", measured, right and peak < 800.0)


def main() -> int:
    """Print the table and return the exit status."""
    logging.getLogger("getsei").setLevel(logging.ERROR)  # the table says what the warnings would
    missed = 0
    for section in (known_truths, recovery, coverage, degenerate, speed):
        for bar in section():
            missed += not bar.passed
            print(
                f"{'pass' if bar.passed else 'MISS'}  {bar.name:66} {bar.limit:>22}  {bar.measured}",
                flush=True,
            )
    print("every bar holds" if not missed else f"{missed} bars missed")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
