"""The summary holds every number with its interval; verdicts follow from the written rules."""

import copy
import csv
import json

import numpy as np
import pytest
import records_factory as factory
from getsei import comparison, composition, records, summary, transport
from getsei.records import Estimate

SYSTEMS = {
    "li6ps5cl": ("P", "S", "S", "S", "Cl"),
    "li10gep2s12": ("Ge", "P", "S", "S", "S"),
    "li7la3zr2o12": ("La", "Zr", "O", "O", "O"),
}


def summarise(name, seed, framework):
    parts = factory.system(seed=seed, framework=framework, n_ions=30, n_frames=120)
    measured = transport.measure(
        parts["states"],
        parts["koopman"],
        [parts["trajectory"]],
        [parts["environments"]],
        parts["interphase"],
        1.0,
        100,
        1,
    )
    inputs = summary.Inputs(
        [parts["trajectory"]],
        [parts["environments"]],
        parts["embedding"],
        parts["states"],
        parts["koopman"],
        parts["flux"],
        measured,
        parts["interphase"],
    )
    return summary.plain(summary.summarise(name, inputs, {"mobile": ["Li"]}))


@pytest.fixture(scope="module")
def summaries():
    return [summarise(name, seed, fw) for seed, (name, fw) in enumerate(SYSTEMS.items())]


def with_numbers(summaries, system, numbers):
    """Return the summaries with some numbers of one system replaced."""
    changed = copy.deepcopy(summaries)
    for one in changed:
        if one["system"] == system:
            one["numbers"] |= {key: value.as_dict() for key, value in numbers.items()}
    return changed


def verdict_of(verdicts, claim, system=None):
    found = [v for v in verdicts if claim in v.claim and system in (None, v.system)]
    assert len(found) == 1
    return found[0].verdict


def test_every_number_is_whole(summaries):
    fields = {"value", "low", "high", "unit", "n", "supported", "note"}
    for one in summaries:
        json.dumps(one, allow_nan=False)
        for key, number in one["numbers"].items():
            assert fields <= set(number), key
            if not number["supported"]:
                assert number["value"] is None, key
            elif number["low"] is not None and number["high"] is not None:
                assert number["low"] <= number["high"], key


def test_numbers_are_those_of_the_records(summaries):
    numbers = summaries[0]["numbers"]
    assert numbers["production_ps"]["value"] == pytest.approx(12.0)
    assert numbers["n_ions"]["value"] == 30
    assert numbers["temperature_K"]["low"] < 500 < numbers["temperature_K"]["high"]
    assert numbers["n_states"]["value"] == 6
    assert sum(numbers[f"population/{s}"]["value"] for s in range(6)) == pytest.approx(1.0)


def test_failed_checks_are_named(summaries):
    assert "states: effective rank" in summaries[0]["failed"]
    assert summaries[0]["numbers"]["checks_failed"]["value"] == len(summaries[0]["failed"])


def test_tidy_table_splits_states_from_quantities(summaries, tmp_path):
    comparison.write_rows(comparison.tidy_rows(summaries), comparison.TIDY, tmp_path / "systems.csv")
    rows = list(csv.DictReader((tmp_path / "systems.csv").read_text(encoding="utf-8").splitlines()))
    assert len(rows) == sum(len(one["numbers"]) + 1 for one in summaries)
    one = next(r for r in rows if r["quantity"] == "mobility" and r["state"] == "0")
    assert one["state_name"] == "metal-like (Li-rich)"
    assert float(one["value"]) == pytest.approx(summaries[0]["numbers"]["mobility/0"]["value"], rel=1e-5)
    assert any(r["quantity"] == "diffusion/all" and r["state"] == "" for r in rows)


def test_every_claim_has_verdict_rule_and_number(summaries, tmp_path):
    comparison.write_rows(comparison.claims_rows(summaries), comparison.CLAIMS, tmp_path / "claims.csv")
    rows = list(csv.DictReader((tmp_path / "claims.csv").read_text(encoding="utf-8").splitlines()))
    assert len(rows) == 4 * (len(summaries) + 1) + 2
    kinds = {comparison.SUPPORTED, comparison.REFUTED, comparison.OPEN}
    assert {row["verdict"] for row in rows} <= kinds
    assert all(row["rule"] for row in rows)


@pytest.mark.parametrize(
    ("silhouette", "null", "expected"),
    [
        (0.41, 0.19, comparison.SUPPORTED),
        (0.41, 0.35, comparison.OPEN),
        (0.25, 0.10, comparison.REFUTED),
    ],
)
def test_silhouette_must_exceed_value_and_null(summaries, silhouette, null, expected):
    numbers = {
        "silhouette": Estimate(silhouette, np.nan, np.nan, "1", 100),
        "silhouette_null": Estimate(null, np.nan, np.nan, "1", 100),
    }
    one = with_numbers(summaries, "li6ps5cl", numbers)[0]
    assert comparison.silhouette(one).verdict == expected


def diversity(value, width=0.05, supported=True):
    return {
        "pathway_diversity": Estimate(value, value * (1 - width), value * (1 + width), "1", 50, supported)
    }


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        (diversity(4.0), comparison.SUPPORTED),
        (diversity(1.2), comparison.REFUTED),
        (diversity(2.0, 0.5), comparison.OPEN),
        (diversity(4.0, supported=False), comparison.OPEN),
    ],
)
def test_diversity_needs_a_clear_lead(summaries, own, expected):
    changed = with_numbers(sound(summaries), "li10gep2s12", own)
    changed = with_numbers(changed, "li6ps5cl", diversity(1.9))
    changed = with_numbers(changed, "li7la3zr2o12", diversity(1.8))
    assert comparison.most_diverse(changed).verdict == expected


def sound(summaries):
    return [{**summary, "checks": []} for summary in summaries]


def test_diversity_is_open_where_the_kinetics_fails(summaries):
    changed = with_numbers(sound(summaries), "li10gep2s12", diversity(4.0))
    changed = with_numbers(changed, "li6ps5cl", diversity(1.9))
    changed = with_numbers(changed, "li7la3zr2o12", diversity(1.8))
    failed = {"name": comparison.FLUX_NEEDS[0], "passed": False}
    changed[0] = {**changed[0], "checks": [failed]}
    verdict = comparison.most_diverse(changed)
    assert verdict.verdict == comparison.OPEN
    assert comparison.FLUX_NEEDS[0] in verdict.note


def test_diversity_is_open_when_a_system_is_missing(summaries):
    assert comparison.most_diverse(summaries[:2]).verdict == comparison.OPEN
    assert comparison.most_diverse([summaries[0], summaries[2]]).verdict == comparison.OPEN


def residence(times):
    return {
        f"residence_time/{s}": Estimate(t, 0.9 * t, 1.1 * t, "ps", 40, np.isfinite(t))
        for s, t in enumerate(times)
    }


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([1, 1, 1, 5, 6, 9], comparison.SUPPORTED),  # oxygen coordination rises with the state
        ([9, 2, 1, 1, 1, 1], comparison.REFUTED),
        ([3, 3, 3, 3, 3, 3], comparison.OPEN),
        ([1, 1, 1, 5, 6, np.nan], comparison.OPEN),
    ],
)
def test_trapping_compares_residence_times(summaries, times, expected):
    changed = with_numbers(summaries, "li7la3zr2o12", residence(times))
    assert comparison.trapping(changed).verdict == expected


def correlation(value, half, plain=0.5):
    return {
        "correlation/all/density": Estimate(plain, plain - 0.1, plain + 0.1, "1", 60),
        "correlation/all/density given anion_coordination": Estimate(
            value, value - half, value + half, "1", 60
        ),
    }


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (correlation(0.5, 0.2), comparison.SUPPORTED),
        (correlation(-0.5, 0.2, plain=-0.5), comparison.SUPPORTED),
        (correlation(0.0, 0.05), comparison.REFUTED),
        (correlation(-0.5, 0.2), comparison.REFUTED),  # reversed: the other descriptor made what was seen
        (correlation(0.25, 0.2), comparison.OPEN),
        (correlation(0.2, 0.4), comparison.OPEN),
        (correlation(-0.5, 0.1, plain=-0.05), comparison.OPEN),  # without control there is no sign to survive
    ],
)
def test_correlation_must_survive_control_with_its_sign(summaries, number, expected):
    one = with_numbers(summaries, "li6ps5cl", number)[0]
    assert comparison.follows_density(one).verdict == expected


def test_number_of_states_is_what_the_scan_prefers(summaries):
    one = copy.deepcopy(summaries[0])
    assert comparison.six_states(one).verdict == comparison.REFUTED  # the made-up scan rises to the end
    one["choice_of_states"] = [{"n_states": k, "excess": 0.3 - 0.03 * abs(k - 6)} for k in range(2, 11)]
    assert comparison.six_states(one).verdict == comparison.SUPPORTED
    one["choice_of_states"] = [{"n_states": k, "excess": 0.3 - 0.01 * abs(k - 6)} for k in range(2, 11)]
    alike = comparison.six_states(one)
    assert alike.verdict == comparison.OPEN
    assert "as good as the best: 4, 5, 6, 7, 8" in alike.note
    one["choice_of_states"] = []
    assert comparison.six_states(one).verdict == comparison.OPEN


def test_one_contradiction_refutes_the_general_claim(summaries):
    verdicts = comparison.judge(summaries)
    assert verdict_of(verdicts, "six distinct", comparison.OVERALL) == comparison.REFUTED


def test_probability_of_two_equal_numbers_is_one_half():
    number = Estimate(2.0, 1.0, 4.0, "1", 10)
    assert comparison.probability_above(number, number) == pytest.approx(0.5)
    assert np.isnan(comparison.probability_above(number, Estimate(0.0, 0.0, 1.0, "1", 10)))


def bonded(n_frames=20, broken_from=10):
    """Two tetrahedra far apart; one loses two of its four bonds half-way."""
    corners = 2.05 / np.sqrt(3) * np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    centres = np.array([[5.0, 5, 5], [15.0, 15, 15]])
    start = np.concatenate([centres, centres[0] + corners, centres[1] + corners, [[10.0, 10, 10]]])
    positions = np.repeat(start[None], n_frames, 0)
    positions[broken_from:, 2:4] += 2.5 * np.sign(corners[:2])
    return records.Trajectory(
        positions=positions.astype(np.float32),
        cells=np.diag([20.0, 20.0, 20.0])[None],
        species=np.array(["P"] * 2 + ["S"] * 8 + ["Li"]),
        stage=np.zeros(n_frames, dtype=int),
        segments=np.array([[0, n_frames]]),
        temperature=np.full(n_frames, np.nan),
        potential_energy=np.zeros(n_frames),
        stages=["produce"],
        frame_interval_ps=0.1,
        provenance={},
    )


def test_bonds_are_counted_and_their_survival():
    found = {course.name: course for course in composition.courses(bonded(), ["Li"])}
    assert set(found) == {"P-S", "P-Li", "S-Li", "Li-P", "Li-S"}
    course = found["P-S"]
    assert course.mean[0] == 4.0
    assert course.mean[-1] == 3.0
    assert course.n_atoms == 2
    assert course.survival.value == pytest.approx(0.75)
    assert course.survival.low <= 0.5 + 1e-9
    assert course.times_ps[-1] == pytest.approx(1.9)
