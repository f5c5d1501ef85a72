"""Bars, card, figures and page of a potential, from made-up answers."""

import itertools
import json

import evaluation_factory as made
import numpy as np
import pytest
import yaml
from ase.build import bulk
from getsei.errors import UserError
from getsei.figures import potentials as figures
from getsei.figures import style
from getsei.potentials import card
from getsei.potentials.evaluation import accuracy, bars, digest, learning, plan
from getsei.report import potential as page
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.transforms import Bbox


def rows(error_eV_per_A=0.05, kinds=("bulk", "on-policy interface")):
    rng = np.random.default_rng(1)
    numbers = bulk("Cu").repeat(2).numbers
    return [
        accuracy.Residuals(
            kind=kinds[number % len(kinds)],
            system="Cu",
            trajectory=f"t{number}",
            numbers=numbers,
            energy=0.001,
            forces=rng.normal(0.0, error_eV_per_A, (len(numbers), 3)),
            stress=np.full(6, 0.1),
            reference_energy=-3.0,
            reference_forces=rng.normal(0.0, 1.0, (len(numbers), 3)),
        )
        for number in range(8)
    ]


def told(number, own):
    return {
        "round": number,
        "frames": 100,
        "atoms": 5000,
        "labels_dropped": {"far": 2},
        "on_policy": own
        and {
            "frames": 9,
            "atoms": 900,
            "force_rmse_meV_per_A": own,
            "interval95": [0.9 * own, 1.1 * own],
            "uncertainty_mean_meV_per_A": 0.8 * own,
        },
        "validation": {
            "force_rmse_meV_per_A": 95.0,
            "force_interval95": None,
            "energy_rmse_meV_per_atom": 7.0,
        },
    }


ROUNDS = [
    {"name": "round 0", "told": told(0, None), "epochs": [{"epoch": 0, "force_meV_per_A": 90.0}]},
    {"name": "round 1", "told": told(1, 120.0), "epochs": []},
    {"name": "final 0", "told": {}, "epochs": [{"epoch": 0, "force_meV_per_A": 80.0}]},
]


def measured(**changes):
    return digest.digest(made.CFG, made.student(**changes), made.teacher(), made.FORMULAS)


def judged(found, errors=None):
    return {bar.name: bar for bar in bars.every(errors, found)}


def test_a_good_student_meets_every_bar():
    errors = accuracy.report(rows(), ["Cu"])["errors_by_kind"]
    found = judged(measured(), errors)
    assert all(bar.met for bar in found.values()), found
    assert len(found) == 13


@pytest.mark.parametrize(
    ("changes", "missed"),
    [
        ({plan.SOLIDS: made.solids(1.012)}, "lattice constants"),
        ({plan.SOLIDS: made.solids(1.0, -0.2)}, "reaction energy"),
        ({plan.CONTACTS: made.contacts(1.2)}, "pairs that attract"),
        (
            {plan.SPEED: {"atoms": 1, "us_per_atom": {"native": 21.0}, "file_bytes": 2_500_000}},
            "time per atom",
        ),
        ({plan.SPEED: {"atoms": 1, "us_per_atom": {"native": 1.0}, "file_bytes": 2_500_000}}, "size"),
        (
            {"diffusion-0": made.student()["diffusion-0"] | {"apparent_diffusion": made.estimate(9.4e-6)}},
            "diffusion",
        ),
        (
            {
                "stability-argyrodite": [
                    made.student()["stability-argyrodite"][0] | {"survived": False, "time_ps": 3.0}
                ]
            },
            "stable without guards",
        ),
        (
            {"energy-argyrodite": made.student()["energy-argyrodite"] | {"drift_meV_per_atom": -1.3}},
            "drift",
        ),
    ],
)
def test_each_bar_can_be_missed(changes, missed):
    found = judged(measured(**changes))
    assert any(bar.met is False and name.startswith(missed) for name, bar in found.items())


def test_errors_over_the_limit_are_named():
    report = accuracy.report(rows(0.2), ["Cu"])["errors_by_kind"]
    found = judged(measured(), report)
    assert [bar.met for bar in found.values()][:3] == [False, False, False]
    assert "2 of 2 kinds above" in found["force error, worst kind of frame"].measured


def test_what_low_density_adds_to_the_errors_is_told():
    dense, thin = rows(0.05, kinds=("bulk",)), rows(0.30, kinds=("gas",))
    told = {bar.name: bar for bar in bars.of_accuracy(accuracy.by_group([*dense, *thin], "kind"))}
    bar = told["force error, all held-out frames"]
    alone = accuracy.summary(dense)["force_meV_per_A"]
    assert bar.met is False, "the bar is on everything"
    assert bar.measured.endswith(f"; {alone['rmse']:.3g} in condensed matter (n = {alone['n']})")
    without = bars.of_accuracy(accuracy.by_group(dense, "kind"))
    assert all("condensed" not in bar.measured for bar in without)


def test_what_was_not_measured_passes_nothing():
    found = judged(digest.digest(made.CFG, {}, {}, made.FORMULAS))
    assert all(bar.met is None for bar in found.values())
    assert {bar.verdict for bar in found.values()} == {"not measured"}


def test_digest_sets_student_beside_teacher():
    found = measured()
    assert json.loads(json.dumps(found)) == found
    assert found["solids"]["Li2S"]["lattice_error"] == pytest.approx(0.004)
    (reaction,) = found["reactions"]
    assert reaction["student_eV"] - reaction["teacher_eV"] == pytest.approx(5 * 3 * 0.01)
    assert reaction["difference_meV_per_atom"] == pytest.approx(1000 * 0.15 / (13 + 8))
    assert found["pair_scans"]["Li-S"]["teacher_attracts_below_1.5_A_at"] == 1.1
    assert found["broken_bonds"]["argyrodite"]["P-S"]["teacher"][0] == pytest.approx(0.855, abs=0.01)
    assert found["radial_distributions"]["argyrodite"] == {"Li-S": 0.0}


def test_card_page_and_figures_are_written(tmp_path):
    found, report = measured(), accuracy.report(rows(), ["Cu"])
    verdicts = bars.every(report["errors_by_kind"], found)
    model = tmp_path / "x.safetensors"
    model.write_bytes(b"weights")
    errors = {
        "teacher": {"name": "chgnet", "version": "1"},
        "data": {"parts": {}, "dropped": {}},
        "found": report,
    }
    card.write(tmp_path / "x.yaml", model, made.CFG, errors, found, verdicts)
    text = (tmp_path / "x.yaml").read_text()
    assert "distances_A" not in text
    assert "parity" not in text
    read = card.read(model)
    assert read == yaml.safe_load(text)
    assert read["bars"]["size of the file"]["met"] is True
    assert read["errors"]["errors_by_kind"]["all"]["frames"] == 8
    drawn = {
        "errors": figures.accuracy(report),
        "physics": figures.physics(made.student(), made.teacher(), found),
        "rounds": figures.rounds(ROUNDS),
    }
    for name, figure in drawn.items():
        style.save(figure, tmp_path / f"{name}.png", tmp_path / f"{name}.svg")
        assert (tmp_path / f"{name}.png").stat().st_size > 20_000
    pictures = [tmp_path / f"{name}.png" for name in drawn]
    page.write(tmp_path / "x.html", "x", verdicts, report, found, ROUNDS, pictures)
    text = (tmp_path / "x.html").read_text()
    assert text.count("data:image/png;base64,") == 3
    for said in (
        "Li6PS5Cl + 8 Li → 5 Li2S + Li3P + LiCl",
        "13 of 13 met",
        "on-policy interface",
        "Rounds of active",
    ):
        assert said in text


def test_a_figure_without_teacher_says_so():
    alone = digest.digest(made.CFG, made.student(), {}, made.FORMULAS)
    figure = figures.physics(made.student(), {}, alone)
    said = {text.get_text() for axes in figure.axes for text in axes.texts}
    assert "Not measured." in said


def test_four_electrolytes_of_long_names_leave_room_for_their_panels():
    names = [f"Li7La3Zr2O12_{phase}" for phase in ("ordered", "cubic", "tetragonal", "disordered")]
    asked = {f"reactivity-{name}": made.reactivity(3.0) for name in names}
    asked |= {f"structure-{name}": made.structure() for name in names}
    answers = {part: answer for part, answer in made.student().items() if "argyrodite" not in part} | asked
    found = digest.digest(made.CFG, made.student(), made.teacher(), made.FORMULAS)
    found["solids"] = {f"{name}_tetragonal_other": both for name, both in found["solids"].items()}
    figure = figures.physics(answers, made.teacher() | asked, found)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    boxes = [axes.get_tightbbox(canvas.get_renderer()) for axes in figure.axes]
    assert len(boxes) == 14
    shared = max(overlap(*two) for two in itertools.combinations(boxes, 2))
    assert shared < 0.01 * boxes[0].width * boxes[0].height


def overlap(first, second):
    """Area in square pixels that two boxes share."""
    shared = Bbox.intersection(first, second)
    return shared.width * shared.height if shared else 0.0


def test_a_card_of_other_weights_is_refused(tmp_path):
    model = tmp_path / "x.safetensors"
    model.write_bytes(b"weights")
    with pytest.raises(UserError, match="no card"):
        card.read(model)
    (tmp_path / "x.yaml").write_text("sha256: 1234\n")
    with pytest.raises(UserError, match="not the card"):
        card.read(model)


def test_data_of_all_rounds_is_counted():
    frames = [bulk("Cu") for _ in range(3)]
    for number, frame in enumerate(frames):
        frame.info.update(kind="bulk", trajectory=f"t{number // 2}")
    found = card.data_of({"train": frames, "test": []}, [{"dropped": {"far": 2}}, {"dropped": {"far": 1}}])
    assert found["dropped"] == {"far": 3}
    assert found["parts"]["train"]["bulk"] == {"frames": 3, "trajectories": 2, "atoms": 3}


def test_learning_curves_survive_a_kill(tmp_path):
    folders = [tmp_path / name for name in ("round0", "round1", "final1")]
    lines = [
        {"mode": "eval", "epoch": None, "rmse_f": 1.0, "rmse_e_per_atom": 1.0},
        {"mode": "opt", "epoch": 0, "loss": 1.0},
        {"mode": "eval", "epoch": 0, "rmse_f": 0.2, "rmse_e_per_atom": 0.01},
        {"mode": "eval", "epoch": 1, "rmse_f": 0.3, "rmse_e_per_atom": 0.01},
        {"mode": "eval", "epoch": 1, "rmse_f": 0.1, "rmse_e_per_atom": 0.01},
    ]
    text = "\n".join(json.dumps(line) for line in lines) + '\n{"mode": "eval", "epo'
    for folder in (folders[0], folders[2]):
        results = folder / "training" / "results"
        results.mkdir(parents=True)
        (results / "student_run-1_train.txt").write_text(text)
    found = learning.rounds(folders)
    assert [entry["name"] for entry in found] == ["round 0", "final 1"]
    assert [row["force_meV_per_A"] for row in found[0]["epochs"]] == [200.0, 100.0]


def test_rounds_become_a_table(tmp_path):
    learning.write_table(ROUNDS, tmp_path / "rounds.csv")
    lines = (tmp_path / "rounds.csv").read_text().splitlines()
    assert lines[0].split(",") == list(learning.COLUMNS)
    assert lines[2].startswith("round 1,100,5000,200,2,120.0,108.0,132.0,9,96.0,95.0,7.0,")
    assert lines[3] == "final 0,,,200,,,,,,,80.0,,1"


def test_without_rounds_the_figure_says_so():
    said = {text.get_text() for axes in figures.rounds([]).axes for text in axes.texts}
    assert "No round is on record." in said
