"""States and kinetics against a known truth: ``python -m getsei.selftest``, or ``make selftest``.

A synthetic sample with six known environments and known rates goes through training, clustering, the
Koopman operator and transition path theory; every number is set beside the true one. Three negative
controls follow, each of which must be seen through by the gate or the check that is meant for it.
"""

import logging
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import adjusted_rand_score

from getsei import settings, synthetic
from getsei.contrastive import training
from getsei.kinetics import koopman, reactive_flux, transition_paths
from getsei.records import KoopmanModel, ReactiveFlux, States
from getsei.states import assignment
from getsei.synthetic import Synthetic
from getsei.units import PS_PER_NS

N_IONS, N_FRAMES = 120, 400
"""Size of the negative controls."""
TRUTH_IONS, TRUTH_FRAMES = 200, 1000
"""Size of the sample with known rates: their sampling error is then below half of what is allowed."""
MIN_ARI = 0.95
FLUX_TOLERANCE, ESCAPE_TOLERANCE, TIMESCALE_TOLERANCE = 0.10, 0.15, 0.15
"""Relative errors allowed."""
SOURCE, TARGET = 0, 5
TRAINING = {"steps": 200, "batch_size": 128, "dimensions": 32, "repeats": 1}
STATES = {"n_states": "auto", "sample": 2000}
LAG_PS = 0.5
KINETICS = {
    "lag_ps": LAG_PS,
    "scan_lags_ps": [0.2, 0.5, 1.0],
    "discard_ps": 0.0,
    "bootstrap": 200,
    "reversible": False,
    "seed": 1,
}


@dataclass(frozen=True)
class Finding:
    """One thing that must come out.

    Attributes
    ----------
    what : str
        What was looked at.
    expected, found : str
        In words or numbers.
    passed : bool
        Whether they agree.
    """

    what: str
    expected: str
    found: str
    passed: bool


def main(seed: int = 1) -> int:
    """Run everything, print a table, return the exit status."""
    findings: list[Finding] = []
    print(f"{'':4} {'what':58} {'expected':>22} {'found':>22}")
    for finding in everything(seed):
        findings.append(finding)
        mark = "ok" if finding.passed else "FAIL"
        print(f"{mark:4} {finding.what:58} {finding.expected:>22} {finding.found:>22}", flush=True)
    failed = sum(not finding.passed for finding in findings)
    print(f"{len(findings) - failed} of {len(findings)} as expected")
    return 1 if failed else 0


def everything(seed: int) -> Iterator[Finding]:
    """Yield all findings: the known truth, then the negative controls."""
    truth = synthetic.environments(TRUTH_IONS, TRUTH_FRAMES, seed)
    states = find_states(truth, seed)
    yield from known_states(truth, states)
    model = koopman.fit(states, KINETICS)
    ends = {"source": [SOURCE], "target": [TARGET], "path_fraction": 0.99}
    yield from known_rates(model, reactive_flux.analyse(states, model, ends))
    yield from controls(synthetic.environments(N_IONS, N_FRAMES, seed), seed)


def find_states(truth: Synthetic, seed: int, n_states: int | str = "auto") -> States:
    """Train and cluster as the workflow does, with its default settings but for the size."""
    defaults = settings.default_settings(settings.load_schema())
    how = training.TrainingSettings(**(defaults["gcl"] | TRAINING | {"seed": seed}))
    embedding, _ = training.train([truth.environments], how)
    wanted = defaults["states"] | STATES | {"seed": seed, "n_states": n_states}
    return assignment.assign(embedding, [truth.environments], assignment.StateSettings(**wanted))


def known_states(truth: Synthetic, states: States) -> Iterator[Finding]:
    """Compare the states with the true environment types."""
    yield Finding(
        "number of states chosen", "6", str(states.n_states), states.n_states == len(synthetic.NAMES)
    )
    score = float(adjusted_rand_score(truth.labels.ravel(), states.raw_labels.ravel()))
    yield Finding("agreement with the truth (ARI)", f">= {MIN_ARI}", f"{score:.3f}", score >= MIN_ARI)
    same = float(np.mean(states.labels == truth.labels))
    yield Finding("state numbers equal to the true ones, share", ">= 0.95", f"{same:.3f}", same >= MIN_ARI)
    for state, expected in enumerate(synthetic.NAMES):
        name = states.names[state] if state < states.n_states else "none"
        yield Finding(f"name of state {state}", expected, name, name.startswith(expected))
    failed = [gate["name"] for gate in states.gates if not gate["passed"]]
    yield Finding("gates failed", "none", ", ".join(failed) or "none", not failed)


def known_rates(model: KoopmanModel, flux: ReactiveFlux) -> Iterator[Finding]:
    """Compare timescales, escape rates and the reactive flux with the true chain's."""
    truth = synthetic.transition_matrix()
    for index, true in enumerate(synthetic.timescales_ps()):
        row = model.timescales[index] if index < len(model.timescales) else np.full(3, np.nan)
        yield number(f"implied timescale {index + 1} (ps)", true, row, TIMESCALE_TOLERANCE)
    escapes = (1.0 - np.diag(truth)) / synthetic.FRAME_INTERVAL_PS * PS_PER_NS
    for state, true in enumerate(escapes):
        row = model.escape_rates[state] if state < len(model.escape_rates) else np.full(3, np.nan)
        yield number(f"escape rate of state {state} (1/ns)", true, row, ESCAPE_TOLERANCE)
    lag = round(model.lag_ps / synthetic.FRAME_INTERVAL_PS)
    exact = transition_paths.reactive_flux(np.linalg.matrix_power(truth, lag), [SOURCE], [TARGET])
    found = flux.estimates.get("total_flux", {})
    row = np.array([found.get(key) or np.nan for key in ("value", "low", "high")])
    true = float(exact.total) / model.lag_ps * PS_PER_NS
    yield number(f"flux from state {SOURCE} to {TARGET} (1/(ion ns))", true, row, FLUX_TOLERANCE)


def number(what: str, true: float, row: np.ndarray, tolerance: float) -> Finding:
    """Compare an estimate (value, low, high) with the truth: its relative error is within the tolerance."""
    value, low, high = (float(x) for x in row)
    passed = abs(value - true) <= tolerance * true
    expected = f"{true:.3g} within {tolerance:.0%}"
    return Finding(what, expected, f"{value:.3g} [{low:.3g}, {high:.3g}]", bool(passed))


def controls(truth: Synthetic, seed: int) -> Iterator[Finding]:
    """Run the samples in which there is nothing to find."""
    states = find_states(synthetic.shuffled(truth, seed), seed)
    yield recognised("frames in random order", states, "raw label changes per frame")
    states = find_states(synthetic.frozen(N_IONS, N_FRAMES, seed), seed)
    yield recognised("ions that never move", states, "share of ions that change their state")
    model = koopman.fit(states, KINETICS)
    ends = {"source": [SOURCE], "target": [states.n_states - 1], "path_fraction": 0.99}
    supported = reactive_flux.analyse(states, model, ends).supported
    yield Finding(
        "ions that never move: reactive flux", "none", "some" if supported else "none", not supported
    )
    for wanted in ("auto", 6):
        states = find_states(synthetic.one_state(N_IONS, N_FRAMES, seed), seed, wanted)
        yield recognised(f"one state only, n_states {wanted}", states, "silhouette above null")


def recognised(what: str, states: States, gate: str) -> Finding:
    """Tell whether the gate that is meant for a control fails on it."""
    passed = {row["name"]: row["passed"] for row in states.gates}[gate]
    return Finding(f"{what}: {gate}", "gate fails", "gate passes" if passed else "gate fails", not passed)


if __name__ == "__main__":
    logging.getLogger("getsei").setLevel(logging.ERROR)
    sys.exit(main(*(int(argument) for argument in sys.argv[1:])))
