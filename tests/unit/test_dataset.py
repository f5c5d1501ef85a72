from collections import Counter

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.lj import LennardJones
from ase.data import covalent_radii
from ase.neighborlist import neighbor_list
from getsei import cells
from getsei.errors import GuardError, UserError
from getsei.potentials import active, dataset, defects, descriptors, dilute, sampling, selection, starts
from getsei.potentials.teachers import Label


def salt(edge=5.1):
    return bulk("LiCl", "rocksalt", a=edge, cubic=True)


def label(atoms, force=0.1):
    return Label(-1.0, np.full((len(atoms), 3), force), np.zeros(6))


def frame(trajectory="t0", step=0, edge=5.1):
    return sampling.tagged(salt(edge), "crystal", trajectory, step)


def test_meaningless_labels_are_dropped_and_counted():
    good, hot, bad = frame("a"), frame("b"), frame("c")
    close = frame("d")
    close.positions[1] = close.positions[0] + [0.4, 0, 0]
    nan = Label(np.nan, np.zeros((8, 3)), np.zeros(6))
    kept, dropped = dataset.usable([good, hot, bad, close], [label(good), label(hot, 1e3), nan, label(close)])
    assert [atoms.info["trajectory"] for atoms in kept] == ["a"]
    assert isinstance(dropped, Counter)
    assert sum(dropped.values()) == 3
    assert len(dropped) == 3


def test_no_trajectory_is_ever_in_two_parts():
    frames = [frame(f"t{number}", step) for number in range(300) for step in range(2)]
    parts = dataset.split(frames)
    names = {part: {atoms.info["trajectory"] for atoms in chosen} for part, chosen in parts.items()}
    assert not names["train"] & names["test"]
    assert not names["train"] & names["validation"]
    assert not names["test"] & names["validation"]
    assert sum(len(chosen) for chosen in parts.values()) == len(frames)
    assert 0.04 < len(names["test"]) / 300 < 0.2
    assert len(names["validation"]) > 0


def test_a_new_trajectory_moves_no_other():
    before = {name: dataset.part(frame(name)) for name in ("x", "y", "z")}
    dataset.split([frame("w")])
    assert {name: dataset.part(frame(name)) for name in ("x", "y", "z")} == before


def test_duplicates_are_dropped_however_they_are_written():
    turned, repeated, shaken = frame("turned"), frame("repeated"), frame("shaken")
    turned.rotate(30, (1, 2, 3), rotate_cell=True)
    repeated = sampling.tagged(repeated.repeat((2, 1, 1)), "crystal", "repeated", 0)
    shaken.positions += 0.001 * np.random.default_rng(1).standard_normal((8, 3))
    other, wider = frame("other"), frame("wider", edge=5.2)
    other.positions[3] += 0.1
    frames = [frame("first"), turned, repeated, shaken, other, wider]
    kept = dataset.unique(frames, ["Li", "Cl"])
    assert [x.info["trajectory"] for x in kept] == ["first", "other", "wider"]
    assert dataset.unique(frames, ["Li", "Cl"], known=[frame("of an earlier round"), other, wider]) == []


def test_isolated_atoms_are_kept_as_often_as_they_are_given():
    atoms = list(dilute.isolated_atoms(["Li"]))
    assert len(dataset.unique(atoms, ["Li"])) == len(atoms)


def test_one_moved_atom_among_many_is_no_duplicate():
    cell = sampling.tagged(salt().repeat(3), "crystal", "a", 0)
    moved = sampling.tagged(cell, "crystal", "b", 0)
    moved.positions[7] += [0.3, 0.0, 0.0]
    assert len(dataset.unique([cell, moved], ["Li", "Cl"])) == 2


def test_an_element_that_the_settings_lack_is_named():
    with pytest.raises(UserError, match="Cl"):
        dataset.unique([frame("a")], ["Li"])


def test_the_next_chosen_is_always_the_farthest():
    line = np.array([[0.0], [1.0], [10.0], [4.0]])
    assert descriptors.farthest(line, 3, first=0) == [0, 2, 3]
    assert descriptors.farthest(line, 2, first=0, taken=np.array([[9.0]])) == [0, 3]
    assert sorted(descriptors.farthest(line, 9, first=1)) == [0, 1, 2, 3]


def candidates(count):
    found = [frame(f"t{n}", n, 5.1 + 0.02 * n) for n in range(count)]
    return found, descriptors.of_frames(found, [3, 17])


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


def argon_calculator():
    return LennardJones(sigma=2.3, epsilon=0.1, rc=5.0)


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
    assert [f.info["step"] for f in frames] == list(range(1 + active.RELAXED_COPIES + active.RELAXED_SCALES))
    rest, around, scaled = frames[0], frames[1 : 1 + active.RELAXED_COPIES], frames[-active.RELAXED_SCALES :]
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


def test_contacts_are_found_through_any_number_of_cells():
    atoms = argon()
    far = atoms.copy()
    far.positions[1] += 20_000 * far.cell[0]
    assert sampling.contact_ratio(far) == pytest.approx(sampling.contact_ratio(atoms))
    radii = covalent_radii[atoms.numbers]
    expected = neighbor_list("d", atoms, list(1.5 * radii)) / (2 * radii[0])
    assert np.sort(sampling.contacts(atoms, 1.5)[-1]) == pytest.approx(np.sort(expected))


def test_an_empty_file_adds_no_frame(tmp_path):
    dataset.save(tmp_path / "none", [])
    dataset.save(tmp_path / "one", [sampling.tagged(argon(), "gas", "g", 0)])
    assert len(dataset.load_all([tmp_path / "none", tmp_path / "one"])) == 1
    with pytest.raises(UserError, match="missing"):
        dataset.load_all([tmp_path / "missing"])


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


def test_surfaces_are_cut_where_fewest_bonds_are():
    layers = bulk("Cu", "fcc", a=3.6, cubic=True).repeat((1, 1, 3))
    layers.positions[layers.positions[:, 2] > 5.0, 2] += 2.0
    layers.cell[2, 2] += 2.0
    assert defects.best_cut(layers, 2) * layers.cell[2, 2] == pytest.approx(5.5)
    cut = defects.slab(salt().repeat(2), 1)
    assert cut.get_volume() == pytest.approx(10.2**2 * (10.2 + defects.VACUUM_A))
    gaps = np.diff(np.sort(cut.positions[:, 1]), append=cut.positions[:, 1].min() + 10.2 + defects.VACUUM_A)
    assert gaps.max() == pytest.approx(defects.VACUUM_A + 2.55, abs=1e-6)


def test_an_interstitial_sits_in_the_widest_void():
    hollow = salt().repeat(2)
    del hollow[[5]]
    more = defects.interstitial(hollow, "Li", np.random.default_rng(1))
    more += Atoms("X", positions=[salt().repeat(2).positions[5]])
    assert len(more) == len(hollow) + 2
    assert more.get_distance(-1, -2, mic=True) < 1.0


def test_defects_change_the_number_of_atoms():
    found = list(defects.frames([("LiCl", salt().repeat(2))], "Li", 1))
    by_kind = {kind: [len(f) for f in found if f.info["kind"] == kind] for kind in ("surface", "vacancy")}
    assert set(by_kind["surface"]) == {64}
    assert set(by_kind["vacancy"]) == {63}
    assert len({f.info["trajectory"] for f in found}) == len(found)


def test_files_keep_labels_and_tags(tmp_path):
    atoms = dataset.with_label(frame("a", 7), label(frame()))
    dataset.save(tmp_path / "sub" / "frames.extxyz", [atoms, atoms])
    (one, _) = dataset.load(tmp_path / "sub" / "frames.extxyz")
    assert one.info["trajectory"] == "a"
    assert one.info["step"] == 7
    assert one.info[dataset.ENERGY] == -1.0
    assert one.arrays[dataset.FORCES] == pytest.approx(0.1)
    assert np.size(one.info[dataset.STRESS]) in (6, 9)
    assert [path.name for path in (tmp_path / "sub").iterdir()] == ["frames.extxyz"]


@pytest.mark.parametrize("text", ["", "not a frame\n"])
def test_an_unreadable_file_is_named(tmp_path, text):
    path = tmp_path / "bad.extxyz"
    path.write_text(text)
    with pytest.raises(UserError, match=r"bad\.extxyz"):
        dataset.load(path)


def test_crystals_are_displaced_reproducibly():
    materials = dataset.Materials((), "Li_bcc", ("LiCl",), 1)
    first, again = (list(dataset.crystal_frames(materials, 1, 3)) for _ in range(2))
    assert len(first) == 2 * (len(dataset.AMPLITUDES_A) + 1)
    assert all(np.array_equal(a.positions, b.positions) for a, b in zip(first, again, strict=True))
    assert {atoms.info["kind"] for atoms in first} == {"displaced crystal", "close contact"}
    other = next(dataset.crystal_frames(materials, 1, 4))
    assert not np.allclose(other.positions, first[0].positions)


def test_strain_and_displacement_have_the_stated_size():
    base = salt().repeat(3)
    moved = sampling.displaced(base, np.random.default_rng(1), 0.05, 0.2, 0.0)
    shift = moved.positions - base.positions
    assert shift[base.numbers == 17].std() == pytest.approx(0.05, rel=0.1)
    assert shift[base.numbers == 3].std() == pytest.approx(0.2, rel=0.1)
    strained = sampling.displaced(base, np.random.default_rng(1), 0.0, 0.0, 0.04)
    strain = np.linalg.solve(base.cell[:], strained.cell[:]) - np.eye(3)
    assert 0 < np.abs(strain).max() <= 0.04
    assert strain == pytest.approx(strain.T, abs=1e-12)


def test_pushed_apart_leaves_no_contact():
    rng = np.random.default_rng(1)
    atoms = Atoms("Li30", scaled_positions=rng.random((30, 3)), cell=[9] * 3, pbc=True)
    assert sampling.contact_ratio(atoms) < 0.7
    assert sampling.contact_ratio(sampling.pushed_apart(atoms, sampling.least_distances(0.8))) > 0.78


def test_close_contact_has_a_ratio_in_range():
    for seed in range(5):
        close = sampling.close_contact(salt().repeat(2), np.random.default_rng(seed), 0.7, 0.8)
        assert 0.69 < sampling.contact_ratio(close) < 0.81


def test_anions_that_share_no_bond_are_brought_together_too():
    lithia = bulk("OLi2", "fluorite", a=4.62, cubic=True)
    nearest = []
    for seed in range(30):
        close = sampling.close_contact(lithia, np.random.default_rng(seed), 0.6, 1.3)
        oxygen = close[[atom.index for atom in close if atom.symbol == "O"]]
        nearest.append(oxygen.get_all_distances(mic=True)[np.triu_indices(len(oxygen), 1)].min())
    nearest = np.array(nearest) / (2 * covalent_radii[8])
    assert 4 < (nearest < 1.31).sum() < 26
    assert 0.59 < nearest.min() < 0.8
    assert nearest[nearest < 1.31].max() > 1.0


def test_contact_ratio_against_all_pairs():
    atoms = salt()
    radii = covalent_radii[atoms.numbers]
    i, j, d = neighbor_list("ijd", atoms, 6.0)
    expected = (d / (radii[i] + radii[j])).min()
    assert sampling.contact_ratio(atoms, 3.0) == pytest.approx(expected)


def test_molten_interface_keeps_the_electrolyte_and_adds_metal():
    both = sampling.molten_interface(salt().repeat(2), bulk("Li", cubic=True), 8.0, np.random.default_rng(1))
    assert (both.numbers == 17).sum() == 32
    volume = bulk("Li", cubic=True).get_volume() / 2
    assert (both.numbers == 3).sum() - 32 == pytest.approx(10.2**2 * 8.0 / volume, abs=1)
    assert sampling.contact_ratio(both) > 0.8


def test_mixture_has_the_stated_composition():
    found = sampling.mixture(salt(), bulk("Li", cubic=True), 6, np.random.default_rng(1))
    assert sorted(found.get_chemical_symbols()) == ["Cl"] * 4 + ["Li"] * 10


def test_anions_of_a_mixture_begin_apart_as_in_the_crystal():
    crystal = salt()
    found = sampling.mixture(crystal, bulk("Li", cubic=True), 6, np.random.default_rng(1))

    def anions(atoms):
        return cells.shortest_distances(atoms.positions, atoms.cell[:], atoms.get_chemical_symbols())["Cl-Cl"]

    assert anions(found) > 0.98 * sampling.CRYSTAL_SHARE * anions(crystal)
    radii = 2 * covalent_radii[17]
    assert sampling.least_distances(0.9)[17, 17] == pytest.approx(0.9 * radii)
    assert 0.9 * radii < 0.75 * anions(crystal)


def test_supercells_are_large_enough():
    cell = sampling.small_supercell(bulk("Li", cubic=True), 24, 6.0)
    assert len(cell) >= 24
    assert cell.cell.lengths().min() >= 6.0


def argon():
    return bulk("Ar", "fcc", a=3.6, cubic=True).repeat(2)


def follow(seed, steps=40):
    plan = sampling.Dynamics(4, steps, 10, 300.0)
    calculator = LennardJones(sigma=2.3, epsilon=0.1, rc=5.0)
    return list(sampling.follow(argon(), calculator, plan, "kind", "name", seed))


def test_dynamics_is_sampled_evenly_and_reproducibly():
    frames = follow(1)
    # The crystal is relaxed at once; the dynamics gives one frame per ten steps.
    assert len(frames) >= 4
    assert [atoms.info["step"] for atoms in frames] == list(range(len(frames)))
    assert {atoms.info["trajectory"] for atoms in frames} == {"name"}
    assert all(np.array_equal(a.positions, b.positions) for a, b in zip(frames, follow(1), strict=True))
    assert not np.allclose(follow(2)[-1].positions, frames[-1].positions)


def test_a_runaway_is_cut_short():
    plan = sampling.Dynamics(0, 100, 1, 1e7)
    frames = list(sampling.follow(argon(), LennardJones(sigma=2.3, rc=5.0), plan, "kind", "name", 1))
    assert 0 < len(frames) < 100


def test_contacts_stay_with_their_trajectory():
    frames = [sampling.tagged(bulk("LiCl", "rocksalt", a=5.1, cubic=True), "k", f"t{n}", n) for n in range(6)]
    found = list(dataset.contacts_in(frames, 3, 1))
    close = [frame for frame in found if frame.info["kind"] == "close contact"]
    assert len(found) == 8
    assert [frame.info["trajectory"] for frame in close] == ["t2", "t5"]
    low, high = dataset.CONTACT_RATIOS
    assert all(low - 1e-6 <= sampling.contact_ratio(frame) <= high + 1e-6 for frame in close)
