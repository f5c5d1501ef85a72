"""A failed or missing system is named with its reason; the others are still ranked."""

import copy
import json
import os

import pytest
from getsei import comparison, progress, ranking
from getsei.figures import compare
from getsei.records import Estimate
from test_figures import texts
from test_summary import summaries  # noqa: F401

SETTINGS = {"a": {"replicas": 1}, "b": {"replicas": 1}}


@pytest.fixture
def run(tmp_path):
    """Folder with results of a, and logs of both; b failed."""
    for name, last in (("a", "done in 1.0 s"), ("b", "x.yaml: no such crystal")):
        folder = tmp_path / "logs" / name / "r1"
        folder.mkdir(parents=True)
        folder.joinpath("run_md_react.log").write_text(f"10:00:00 run_md {name}/r1: {last}\n")
    (tmp_path / "a.json").write_text(
        json.dumps({"system": "a", "settings": SETTINGS["a"], "numbers": {"n": 1}})
    )
    return tmp_path


def survey(run, systems=SETTINGS, trusted=False):
    return progress.survey(systems, {"a": str(run / "a.json")}, run / "logs", trusted=trusted)


def test_finished_and_failed_are_told_apart(run):
    a, b = survey(run)
    assert (a.state, b.state) == (progress.FINISHED, progress.FAILED)
    assert b.message == "run_md b/r1: x.yaml: no such crystal"


def test_results_of_other_settings_are_outdated(run):
    assert survey(run, {"a": {"replicas": 2}})[0].state == progress.OUTDATED
    assert survey(run, {"a": {"replicas": 2}}, trusted=True)[0].state == progress.FINISHED


def test_a_rule_that_failed_after_the_summary_outdates_it(run):
    log = run / "logs/a/r1/run_md_react.log"
    log.write_text(
        "10:00:00 run_md a/r1: step 10\nTraceback (most recent call last):\nMemoryError: too large\n"
    )
    later = (run / "a.json").stat().st_mtime + 5
    os.utime(log, (later, later))
    assert survey(run)[0].message == "run_md a/r1: MemoryError: too large"


def test_a_figure_that_failed_takes_no_number_away(run):
    log = run / "logs/a/plot_states.log"
    log.write_text("10:00:00 plot_states a: no font\n")
    later = (run / "a.json").stat().st_mtime + 5
    os.utime(log, (later, later))
    assert survey(run)[0].ok


def test_a_system_that_never_ran_is_missing(run):
    assert survey(run, {"c": {}})[0].state == progress.MISSING


def test_a_damaged_summary_is_a_failure_with_its_name(run):
    (run / "a.json").write_text('{"system": ')
    found = survey(run)[0]
    assert found.state == progress.FAILED
    assert "a.json: not readable as JSON" in found.message


def lost(name="li3ps4"):
    return progress.stub(progress.Status(name, progress.FAILED, "run_md: lost atoms"))


def test_others_are_compared_where_one_failed(summaries, tmp_path):  # noqa: F811
    everything = [summaries[0], lost(), *summaries[1:]]
    rows = list(comparison.tidy_rows(everything))
    status = {row["system"]: row["note"] for row in rows if row["quantity"] == "status"}
    assert status["li3ps4"] == "failed: run_md: lost atoms"
    assert status["li6ps5cl"] == "finished"
    text = ranking.terminal(everything, "results")
    assert "failed: run_md: lost atoms" in text
    assert "li7la3zr2o12" in text
    assert "results/report.html" in text
    figure = compare.figure(everything)
    assert "no result" in texts(figure)
    assert any("failed" in tick.get_text() for tick in figure.axes[0].get_yticklabels())
    table = list(ranking.rows(everything))
    assert [row["rank"] for row in table][-1] == ""
    assert table[-1]["system"] == "li3ps4"


def test_nothing_finished_is_no_error():
    assert "failed" in ranking.terminal([lost("a"), lost("b")], "results")
    assert compare.figure([lost("a"), lost("b")]).axes


def with_number(summary, name, key, value):
    changed = {**copy.deepcopy(summary), "system": name, "checks": []}
    changed["numbers"][key] = Estimate(value, 0.9 * value, 1.1 * value, "1", 50).as_dict()
    return changed


def test_order_follows_the_flux_where_it_is_sound(summaries):  # noqa: F811
    key = "total_flux"
    three = [with_number(summaries[0], name, key, v) for name, v in (("x", 1.0), ("y", 3.0), ("z", 2.0))]
    assert [place.system for place in ranking.rank(three)] == ["y", "z", "x"]
    assert ranking.rank(three)[0].above_next > 0.95
    three[0]["checks"] = [{"name": comparison.FLUX_NEEDS[0], "passed": False}]
    assert ranking.criterion(three)[0] != key
