"""Every question of the plan, asked of an analytic potential on the crystals of the library."""

import json

import pytest
from ase.calculators.lj import LennardJones
from getsei.errors import GuardError
from getsei.potentials import active, calculators, dataset, sampling, starts, teachers
from getsei.potentials.evaluation import bars, candidate, digest, measure, plan, runs

CFG = {
    "teacher": "chgnet",
    "elements": ["Li", "Cl"],
    "electrolytes": ["LiCl"],
    "metal": "Li_bcc",
    "products": ["LiCl"],
    "orderings": 1,
    "frame_weights": {},
    "seed": 1,
    "evaluation": {
        "timestep_fs": 1.0,
        "check_every_ps": 0.01,
        "max_force_eV_per_A": 100.0,
        "stability": [{"temperature_K": 100.0, "ps": 0.08}],
        "energy": {"temperature_K": 100.0, "ps": 0.2},
        "matched": {"temperature_K": 100.0, "ps": 0.06, "seeds": 2, "metal_thickness_A": 5.0},
        "diffusion": {
            "crystal": "LiCl",
            "repeat": 1,
            "lattice_A": 5.14,
            "temperature_K": 100.0,
            "equilibrate_ps": 0.05,
            "ps": 1.0,
            "fit_ps": [0.1, 0.5],
            "exchange": ["Cl", "Cl"],
            "cases": [{"exchanged_share": 0.0, "dft_cm2_per_s": 1e-6}],
        },
    },
}


def soft():
    return LennardJones(sigma=2.3, epsilon=0.4, rc=6.0, smooth=True)


def asked():
    return candidate.from_teacher(teachers.CalculatorTeacher(soft(), "soft", "1"))


@pytest.fixture(scope="module", autouse=True)
def small():
    """Thin slabs and short preparations."""
    with pytest.MonkeyPatch.context() as patch:
        thin = starts.INTERFACE | {"electrolyte_thickness_A": 10.0, "metal_thickness_A": 8.0}
        patch.setattr(starts, "INTERFACE", thin)
        patch.setattr(runs, "EQUILIBRATE_PS", 0.05)
        yield


@pytest.fixture(scope="module")
def parts(small):
    return {name: measure.part(CFG, name, asked()) for name in plan.parts(CFG)}


def test_every_question_is_answered_in_plain_json(parts):
    assert json.loads(json.dumps(parts)) == parts
    assert {answer["potential"] for answer in parts.values()} == {"soft 1"}
    assert not [answer["ended_by"] for answer in parts.values() if answer["ended_by"]]


def test_a_potential_agrees_with_itself(parts):
    answers, failed = digest.answers_of(parts)
    found = digest.digest(CFG, answers, answers, measure.formulas(CFG), failed)
    assert found["failed"] == {}
    assert all(both["lattice_error"] == 0.0 for both in found["solids"].values())
    assert set(found["radial_distributions"]["LiCl"].values()) == {0.0}
    assert found["speed"]["us_per_atom"]["soft"] > 0
    verdicts = {bar.name: bar.met for bar in bars.every(None, found)}
    assert verdicts["lattice constants, worst crystal"] is True
    assert verdicts["drift of the energy in 0.2 ps, LiCl"] is True
    # Not a model that the native kernel runs: a quarter of the length is asked.
    assert verdicts["stable without guards, LiCl, 100 K"] is True
    assert found["stability"][0]["asked_ps"] == pytest.approx(0.02)
    assert verdicts["time per atom and step, native kernel, one thread"] is None


def test_a_breakdown_is_an_answer_and_a_missed_bar():
    class Breaks:
        name, elements, cutoff_A = "breaks", ("Li", "Cl"), 6.0

        def __init__(self, species):
            self.inner = calculators.CalculatorEvaluator(soft(), species, species, "soft")
            self.calls = 0

        def __call__(self, positions, cell):
            self.calls += 1
            if self.calls > 60:
                raise GuardError("non-finite coordinates")
            return self.inner(positions, cell)

    broken = candidate.Candidate("breaks", "breaks 1", soft(), Breaks)
    answer = measure.part(CFG, "energy-LiCl", broken)
    assert answer["found"] is None
    assert "non-finite" in answer["ended_by"]
    answers, failed = digest.answers_of({"energy-LiCl": answer})
    verdicts = bars.every(None, digest.digest(CFG, answers, {}, measure.formulas(CFG), failed))
    assert [bar.met for bar in verdicts if bar.name.startswith("energy-LiCl")] == [False]


def test_errors_count_held_out_frames_and_own_dynamics(monkeypatch):
    monkeypatch.setattr(active, "OWN_DYNAMICS", sampling.Dynamics(5, 20, 10, 100.0, 1.0))
    teacher = teachers.CalculatorTeacher(soft(), "soft", "1")
    frame = sampling.tagged(dataset.cell_of("LiCl", 0), "bulk", "LiCl-bulk", 0)
    test = [dataset.with_label(frame, teacher.label([frame])[0])]
    found = measure.errors(CFG, test, asked(), teacher)["found"]
    assert set(found["errors_by_kind"]) == {"all", "bulk", bars.OWN}
    assert set(found["errors_by_system"]) == {"all", "LiCl"}
    assert found["errors_by_kind"]["all"]["force_meV_per_A"]["rmse"] < 1e-6
