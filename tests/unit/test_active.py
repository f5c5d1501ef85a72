from collections import Counter

import numpy as np
import pytest
from ase.calculators.lj import LennardJones
from getsei.errors import GuardError, UserError
from getsei.potentials import active, dataset, descriptors, sampling, selection, starts
from small_crystals import argon, argon_calculator, frame


def candidates(count):
    found = [frame(f"t{n}", n, 5.1 + 0.02 * n) for n in range(count)]
    return found, descriptors.of_frames(found, [3, 17])


def test_the_next_chosen_is_always_the_farthest():
    line = np.array([[0.0], [1.0], [10.0], [4.0]])
    assert descriptors.farthest(line, 3, first=0) == [0, 2, 3]
    assert descriptors.farthest(line, 2, first=0, taken=np.array([[9.0]])) == [0, 3]
    assert sorted(descriptors.farthest(line, 9, first=1)) == [0, 1, 2, 3]


def test_the_uncertain_are_chosen_and_what_must_be_is_taken():
    frames, vectors = candidates(20)
    doubt = np.arange(20.0)
    must = np.arange(20) == 2
    rows = selection.choose(frames, doubt, vectors, 4, must)
    assert 2 in rows
    assert len(rows) == 4
    assert min(row for row in rows if row != 2) >= 20 - selection.POOL * 3
    assert frames[2].info["chosen"] == selection.SAMPLED
    assert all(frames[row].info["chosen"] == selection.UNCERTAIN for row in rows if row != 2)


def test_without_an_uncertainty_diversity_decides():
    frames, vectors = candidates(10)
    rows = selection.choose(frames, selection.scores(frames), vectors, 3, np.arange(10) == 0)
    assert rows == [0, 4, 9]  # both ends and about the middle


def settings(**changes):
    return {"electrolytes": ["Li2S"], "metal": "Li_bcc", "products": ["LiCl"], "orderings": 1, **changes}


def test_a_weight_repeats_a_crystal_under_another_name():
    chosen = dataset.materials(settings(frame_weights={"Li2S": 3, "LiCl": 2}))
    assert [name for name, _ in chosen.drawn(0)] == ["Li2S", "Li2S-x1", "Li2S-x2"]
    count = Counter(f.info["trajectory"].split("-")[0] for f in dataset.crystal_frames(chosen, 1, 1))
    assert count["Li2S"] == 3 * count["Li_bcc"]
    assert count["LiCl"] == 2 * count["Li_bcc"]
    assert len(dataset.materials(settings(frame_weights={"Li2O": 2})).drawn(0)) == 1
    with pytest.raises(UserError, match=r"frame_weights: .*Li2SS"):
        dataset.materials(settings(frame_weights={"Li2SS": 3}))


def test_a_round_starts_from_several_draws():
    cfg = settings(electrolytes=["Li6PS5Cl_disordered"], frame_weights={}, seed=1)
    one = starts.of_round({**cfg, "starts_per_round": 1}, 2)
    three = starts.of_round({**cfg, "starts_per_round": 3}, 2)
    assert {start.kind for start in one} == {*starts.RUNS, starts.RELAXED, "mixture"}
    count, more = (Counter(start.kind for start in found) for found in (one, three))
    for kind in ("bulk dynamics", "interface dynamics", "open interface", "mixture"):
        assert more[kind] == 3 * count[kind]
    assert more["product dynamics"] == count["product dynamics"] == 1
    by_name = {start.trajectory: start for start in three}
    assert len(by_name) == len(three), "names are trajectories, and differ"
    first, second = (by_name[f"Li6PS5Cl_disordered-bulk-draw{n}-round2"].atoms for n in (0, 1))
    assert first.get_chemical_symbols() != second.get_chemical_symbols() or not np.allclose(
        first.positions, second.positions
    )


def test_the_same_crystal_twice_does_not_move_twice_in_the_same_way():
    cfg = settings(frame_weights={"Li2S": 2}, seed=1, starts_per_round=2)
    for kind in ("bulk dynamics", "interface dynamics", "mixture"):
        seeds = [start.seed for start in starts.of_round(cfg, 1) if start.kind == kind]
        assert len(set(seeds)) == len(seeds) > 2


def test_jobs_share_all_rows_and_the_atoms():
    sizes = [5, 90, 40, 30, 80, 20, 10, *[4] * 50]
    shares = [starts.share(sizes, part, 3) for part in range(3)]
    assert sorted(row for rows in shares for row in rows) == list(range(len(sizes)))
    atoms = [sum(sizes[row] for row in rows) for rows in shares]
    assert max(atoms) - min(atoms) < max(sizes)
    assert set(shares[0]) >= {1, 4}, "the first job has the large ones, whose memory does not fit twice"
    assert starts.share([], 0, 2) == []
    assert sum(map(len, (starts.share([7], part, 4) for part in range(4)))) == 1


def spread(atoms):
    """Return an uncertainty of every atom: how far it lies from the middle."""
    return np.linalg.norm(atoms.positions - atoms.positions.mean(axis=0), axis=1)


@pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning")  # spglib's own notice
def test_low_density_is_drawn_anew_in_every_round():
    cfg = settings(frames_per_amplitude=1, frame_weights={}, seed=1)
    first, second = ({f.info["trajectory"]: f for f in active.low_density_frames(cfg, n)} for n in (0, 1))
    assert len(first) == len(second) > 20
    assert not set(first) & set(second), "the hash of its name says whether a frame is trained on"
    apart = [
        np.abs(frame.positions - second[name.replace("-copy", "-round1-copy")].positions).max()
        for name, frame in first.items()
    ]
    assert min(apart) > 0.01


def test_what_is_chosen_does_not_depend_on_the_number_of_jobs(tmp_path, monkeypatch):
    thin = sampling.tagged(argon(), "gas", "g", 0)
    monkeypatch.setattr(active, "low_density_frames", lambda cfg, number: iter([thin]))
    rng = np.random.default_rng(1)
    begun = [
        starts.Start(kind, f"{kind}-{number}", argon(), 10 * number)
        for kind in ("bulk dynamics", "mixture")
        for number in range(3)
    ]
    for start in begun:
        start.atoms.positions += rng.normal(0.0, 0.05, start.atoms.positions.shape)
    motion = {"relax_steps": 0, "steps": 8, "every": 2, "temperatures_K": [50.0, 80.0]}
    cfg = settings(elements=["Ar"], frames_per_round=18, seed=1)
    found = []
    for parts in (1, 4):
        paths = [tmp_path / f"{parts}-{part}.extxyz" for part in range(parts)]
        for part, path in enumerate(paths):
            moved = list(active.followed(begun, motion, argon_calculator(), part, parts, spread))
            dataset.save(path, moved)
        found.append(list(active.later_round(cfg, 1, begun, dataset.load_all(paths))))
    one, four = found
    assert len(one) == len(four) >= 18
    for a, b in zip(one, four, strict=True):
        assert a.info["trajectory"] == b.info["trajectory"]
        assert a.info["step"] == b.info["step"]
        assert np.array_equal(a.positions, b.positions)
    assert {frame.info["kind"] for frame in one} == {"bulk dynamics", "mixture", "close contact", "gas"}
    assert not any("last" in frame.info or selection.SCORE in frame.info for frame in one)


def test_a_crystal_is_relaxed_with_its_cell_and_disturbed_around_it():
    begun = [starts.Start(starts.RELAXED, "a", argon(), 3)]
    frames = list(active.followed(begun, {"temperatures_K": []}, argon_calculator(), 0, 1))
    assert [f.info["step"] for f in frames] == list(
        range(1 + active.RELAXED_STRAINED + active.RELAXED_SCALED)
    )
    rest, around, scaled = (
        frames[0],
        frames[1 : 1 + active.RELAXED_STRAINED],
        frames[-active.RELAXED_SCALED :],
    )
    rest.calc = argon_calculator()
    assert np.abs(rest.get_stress()).max() < 1e-3 < np.abs(argon_stress()).max()
    lengths = [frame.cell.lengths() / rest.cell.lengths() - 1.0 for frame in around]
    assert 0.0 < np.abs(lengths).max() < 2 * active.SETTLED_STRAIN
    factors = np.array([frame.cell.lengths() / rest.cell.lengths() for frame in scaled])
    assert np.ptp(factors, axis=1) == pytest.approx(0.0, abs=1e-6)
    assert active.CRYSTAL_SCALES[0] <= factors.min() < factors.max() <= active.CRYSTAL_SCALES[-1]


def argon_stress():
    atoms = argon()
    atoms.calc = argon_calculator()
    return atoms.get_stress()


def test_a_score_stays_with_its_frame_until_it_is_taken(tmp_path):
    frames, _ = candidates(3)
    measured = [np.percentile(spread(frame), selection.TAIL) for frame in frames]
    dataset.save(tmp_path / "moved.extxyz", selection.scored(frames, spread))
    read = dataset.load(tmp_path / "moved.extxyz")
    assert selection.scores(read) == pytest.approx(measured, rel=1e-6)
    assert np.isnan(selection.scores(read)).all()


def test_the_first_round_keeps_all_that_the_teacher_moved(monkeypatch):
    monkeypatch.setattr(active, "disturbed", lambda cfg: iter([sampling.tagged(argon(), "gas", "g", 0)]))
    begun = [starts.Start("mixture", name, argon(), 1) for name in ("b", "a")]
    motion = {"relax_steps": 0, "steps": 4, "every": 2, "temperatures_K": [50.0]}
    moved = [f for part in (1, 0) for f in active.followed(begun, motion, argon_calculator(), part, 2)]
    frames = list(active.first_round(settings(seed=1), begun, moved))
    assert [frame.info["trajectory"] for frame in frames] == ["g", "b", "b", "a", "a"]


def test_starts_come_back_from_their_file(tmp_path):
    begun = [starts.Start("mixture", "a", argon(), 7), starts.Start("bulk dynamics", "b", argon(), 8)]
    starts.save(tmp_path / "starts.extxyz", begun)
    found = starts.load(tmp_path / "starts.extxyz")
    for one, other in zip(begun, found, strict=True):
        assert (one.kind, one.trajectory, one.seed) == (other.kind, other.trajectory, other.seed)
        assert np.allclose(one.atoms.positions, other.atoms.positions, atol=1e-8)


def test_a_calculator_that_refuses_the_atoms_ends_the_run_alone():
    class Refusing(LennardJones):
        left = 4

        def calculate(self, *words, **named):
            self.left -= 1
            if not self.left:
                raise GuardError("not finite")
            super().calculate(*words, **named)

    plans = [sampling.Dynamics(0, 10, 1, 50.0)] * 2
    calculator = Refusing(sigma=2.3, epsilon=0.1, rc=5.0)
    frames = active.run(starts.Start("kind", "name", argon(), 1), calculator, plans)
    assert 0 < len(frames) < 20
    calculator.left = 1
    assert active.run(starts.Start("kind", "name", argon(), 1), calculator, plans[:1]) == []


def test_one_run_goes_through_all_temperatures():
    plans = [sampling.Dynamics(2, 10, 5, temperature) for temperature in (50.0, 100.0)]
    calculator = LennardJones(sigma=2.3, epsilon=0.1, rc=5.0)
    frames = active.run(starts.Start("kind", "name", argon(), 1), calculator, plans)
    assert {frame.info["trajectory"] for frame in frames} == {"name"}
    assert [frame.info["step"] for frame in frames] == list(range(len(frames)))
    assert [k for k, frame in enumerate(frames) if frame.info.get("last")] == [
        len(frames) - 3,
        len(frames) - 1,
    ]
    hot = [sampling.Dynamics(0, 10, 5, 1e7), sampling.Dynamics(0, 10, 5, 50.0)]
    assert active.run(starts.Start("kind", "name", argon(), 1), calculator, hot)[-1].info["runaway"]
