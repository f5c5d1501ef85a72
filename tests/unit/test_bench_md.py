import importlib.util
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def script():
    before = list(sys.path)
    sys.path.insert(0, str(FOLDER))
    spec = importlib.util.spec_from_file_location("bench_md", FOLDER / "bench_md.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]
    sys.path[:] = before


@pytest.fixture
def calls(script, monkeypatch):
    """Replace what is measured by two quick parts; return the names of those that ran."""
    ran = []

    def part(name, measured):
        def measure():
            ran.append(name)
            print(f"{name} ran")
            return [script.Bar(f"bar of {name}", 1.0, measured, "eV")]

        return script.Part(measure, 0.1)

    parts = {"good": part("good", 0.5), "bad": part("bad", 2.0), "none": part("none", float("nan"))}
    monkeypatch.setattr(script, "all_parts", lambda: parts)
    monkeypatch.setattr(script, "fingerprint", lambda: "key")
    return ran


def test_a_missed_bar_is_said_and_fails(script, calls, tmp_path, capsys):
    folder = ["--folder", str(tmp_path)]
    assert script.main([*folder, "--only", "good"]) == 0
    assert script.main([*folder, "--only", "good", "bad"]) == 1
    said = capsys.readouterr().out
    assert "1 of 2 bars passed" in said
    assert "MISS" in said
    assert script.main([*folder, "--only", "none"]) == 1


def test_what_was_measured_is_kept_until_something_changes(script, calls, tmp_path, capsys, monkeypatch):
    folder = ["--folder", str(tmp_path)]
    script.main([*folder, "--only", "good"])
    assert script.main([*folder, "--only", "bad", "good"]) == 1
    assert calls == ["good", "bad"]
    assert capsys.readouterr().out.count("good ran") == 2
    script.main([*folder, "--only", "good", "--fresh"])
    assert calls == ["good", "bad", "good"]
    monkeypatch.setattr(script, "fingerprint", lambda: "another")
    script.main([*folder, "--only", "good"])
    assert calls == ["good", "bad", "good", "good"]


def test_the_whole_takes_under_25_minutes_by_its_own_account(script, capsys):
    assert script.main(["--list"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert {"speed", "accuracy", "statistics", "energy-li6ps5cl"} <= {row[0] for row in rows}
    assert sum(float(row[1]) for row in rows) < 25.0
    assert script.fingerprint() == script.fingerprint()
