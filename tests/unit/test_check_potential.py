"""The table of bars of the embedded potential."""

import importlib.util
import json
from pathlib import Path

import evaluation_factory as made
import pytest
import yaml
from getsei import provenance
from getsei.potentials.evaluation import bars, plan

PATH = Path(__file__).resolve().parents[2] / "benchmarks/check_potential.py"


@pytest.fixture
def script():
    spec = importlib.util.spec_from_file_location("check_potential", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"weights")
    return path


def card(model, force=50.0, **more):
    entry = {"rmse": force, "interval95": None, "n": 9}
    summary = {"energy_meV_per_atom": {**entry, "rmse": 1.0}, "force_meV_per_A": entry, "stress_GPa": None}
    errors = {"errors_by_kind": {"all": summary, bars.OWN: summary}}
    facts = {"sha256": provenance.file_digest(model), "errors": errors, **more}
    model.with_suffix(".yaml").write_text(yaml.safe_dump(facts))


def test_errors_come_from_the_card_of_these_weights(script, model, capsys):
    card(model)
    assert script.main(["--model", str(model), "--only", "accuracy"]) == 1  # the card has no stress
    said = capsys.readouterr().out
    assert "4 of 5 bars met" in said
    assert "not measured" in said


def test_a_missed_bar_ends_with_status_one(script, model, capsys):
    card(model, 95.0)
    assert script.main(["--model", str(model), "--only", "accuracy"]) == 1
    said = capsys.readouterr().out
    assert "MISS" in said
    assert "2 of 5 bars met" in said


def test_the_card_of_other_weights_counts_for_nothing(script, model, capsys):
    card(model)
    model.write_bytes(b"other weights")
    assert script.main(["--model", str(model), "--only", "accuracy"]) == 1
    said = capsys.readouterr()
    # The potential itself refuses to be read beside a card of other weights.
    assert "SHA-256" in said.out + said.err
    assert "5 of 5" not in said.out


def test_what_was_measured_is_kept_and_used_again(script, tmp_path, monkeypatch, capsys):
    calls = []

    def part(cfg, name, tested):
        calls.append(name)
        return {"found": made.student()[plan.CONTACTS], "ended_by": ""}

    class Tested:
        identity = "x"

    monkeypatch.setattr(script.measure, "part", part)
    cfg = {"evaluation": {"timestep_fs": 2.0}}
    first = script.answer(cfg, plan.CONTACTS, "student", Tested, tmp_path)
    assert script.answer(cfg, plan.CONTACTS, "student", Tested, tmp_path) == json.loads(json.dumps(first))
    assert calls == [plan.CONTACTS]
    script.answer({"evaluation": {"timestep_fs": 1.0}}, plan.CONTACTS, "student", Tested, tmp_path)
    assert len(calls) == 2, "other settings are measured anew"


def test_quick_shortens_the_dynamics_alone(script):
    from getsei import settings

    cfg = settings.of_training(yaml.safe_load(script.CONFIG.read_text()))
    short = script.shortened(cfg)
    assert short["evaluation"]["stability"][0]["ps"] == pytest.approx(2.0)
    assert short["evaluation"]["diffusion"]["ps"] == pytest.approx(2.0)
    assert {key: short[key] for key in cfg if key != "evaluation"} == {
        key: cfg[key] for key in cfg if key != "evaluation"
    }


def test_teacher_of_an_old_card_is_measured_instead(script):
    assert script.teacher_solids({"solids": {"Li": {"teacher": {"energy_eV": -1.0}}}}) == {
        "Li": {"energy_eV": -1.0}
    }
    assert script.teacher_solids({"lattices_A": {}}) == {}
    assert script.teacher_solids(None) == {}


def test_quick_dynamics_get_no_verdict(script, model, monkeypatch, capsys):
    card(model)
    monkeypatch.setattr(script.candidate, "from_settings", lambda potential: None)
    monkeypatch.setattr(
        script, "answer", lambda cfg, part, *_: {"found": made.student().get(part), "ended_by": "x"}
    )
    monkeypatch.setattr(script.plan, "parts", lambda cfg: ["energy-argyrodite", "speed"])
    words = ["--model", str(model), "--only", "energy", "speed"]
    assert script.main(words) == 0
    assert "3 of 3 bars met" in capsys.readouterr().out
    assert script.main([*words, "--quick"]) == 1
    assert "2 of 3 bars met" in capsys.readouterr().out
