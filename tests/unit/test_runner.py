import csv
import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import ase.io
import h5py
import numpy as np
import pytest
from getsei.dynamics import protocol, runner
from getsei.errors import GuardError, UserError
from morse import BONDS_A, CELL, Evaluation, Morse, crystal

MD = {
    "timestep_fs": 2.0,
    "frame_interval_fs": 20.0,
    "segment_ps": 0.4,
    "checkpoint_ps": 0.1,
    "friction_damping_fs": 100.0,
    "thermostat_damping_fs": 200.0,
    "stack_pressure_MPa": 1000.0,
    "minimise_steps": 20,
    "react_temperature_K": 600.0,
    "react_ps": 0.3,
    "equilibrate_ps": 0.2,
    "production_temperature_K": 500.0,
    "production_ps": 0.6,
    "min_distance_fraction": 0.5,
    "max_temperature_K": 3000.0,
    "max_force_eV_per_A": 100.0,
    "seed": 1,
}
ORIGIN = {"potential": "0"}
WRAPPED_A = 3.0
"""An atom that is wrapped jumps by a cell vector, at least 6 Å even under this pressure."""


class Sabotaged(Morse):
    """Fails or misbehaves from one call on."""

    def __init__(self, species, call, act):
        super().__init__(species)
        self.call, self.act = call, act

    def __call__(self, positions, cell):
        found = super().__call__(positions, cell)
        return self.act(found) if self.calls >= self.call else found


class Remembering(Morse):
    """Its rounding depends on where its neighbour list was made, as that of a Verlet list does."""

    SKIN_A = 0.2

    def __init__(self, species):
        super().__init__(species)
        self.made_at = None

    def __call__(self, positions, cell):
        if self.made_at is None or np.linalg.norm(positions - self.made_at, axis=1).max() > self.SKIN_A:
            self.made_at = positions.copy()
        found = super().__call__(positions, cell)
        return Evaluation(found.energy, found.forces * (1 + 1e-6 * np.sin(self.made_at)), found.virial)


class KilledRemembering(Remembering):
    def __call__(self, positions, cell):
        if self.calls == 100:
            fail(None)
        return super().__call__(positions, cell)


def system():
    species, positions = crystal()
    return runner.System(species, positions, CELL, BONDS_A)


def outputs(folder, name):
    return runner.Outputs(folder / f"{name}.h5", folder / f"{name}.restart", folder / f"{name}_thermo.csv")


def run(folder, name, evaluator=None, md=MD, seed=5):
    before = protocol.previous(md, name)
    files = outputs(folder, name)
    potential = evaluator or Morse(system().species)
    settings = protocol.parameters(md, name)
    restart = folder / f"{before}.restart" if before else None
    runner.run_segment(system(), potential, settings, files, restart, seed, ORIGIN)
    return files


def steps_of(path):
    with h5py.File(path) as handle:
        return handle["step"][()]


def fail(_):
    raise RuntimeError("killed")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    for name in protocol.names(MD):
        run(folder, name)
    return folder


def test_frames_of_all_segments_follow_each_other(undisturbed):
    steps = np.concatenate([steps_of(undisturbed / f"{name}.h5") for name in protocol.names(MD)])
    assert np.array_equal(steps, np.arange(10, 551, 10))
    last = None
    for name in protocol.names(MD):
        with h5py.File(undisturbed / f"{name}.h5") as handle:
            positions = handle["positions"][()]
            assert positions.dtype == np.float32
            assert json.loads(handle.attrs["settings"])["name"] == name
        moved = np.linalg.norm(np.diff(positions, axis=0), axis=2).max()
        assert moved < WRAPPED_A
        if last is not None:
            assert np.linalg.norm(positions[0] - last, axis=1).max() < WRAPPED_A
        last = positions[-1]


def test_thermo_table_has_a_row_per_frame(undisturbed):
    with (undisturbed / "equilibrate_thermo.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    assert [int(row["step"]) for row in rows] == list(range(160, 251, 10))
    assert float(rows[-1]["time_ps"]) == pytest.approx(0.5)
    conserved = np.array([float(row["conserved_energy_eV"]) for row in rows])
    # The crystal still gives way to the pressure here, at a tenth of the speed of sound.
    assert np.ptp(conserved) < 5e-3 * len(system().species)
    assert all(float(row["temperature_K"]) > 50 for row in rows)


def test_the_same_seed_gives_the_same_file_and_another_does_not(tmp_path, undisturbed):
    files = run(tmp_path, "react")
    assert files.frames.read_bytes() == (undisturbed / "react.h5").read_bytes()
    assert files.thermo.read_bytes() == (undisturbed / "react_thermo.csv").read_bytes()
    other = run(tmp_path, "react", seed=6)
    with h5py.File(other.frames) as a, h5py.File(undisturbed / "react.h5") as b:
        assert not np.array_equal(a["positions"], b["positions"])


@pytest.mark.parametrize("name", ["react", "produce001"])
@pytest.mark.parametrize("calls", [80, 101, 130])
def test_a_resumed_segment_is_the_undisturbed_one(tmp_path, undisturbed, name, calls):
    before = protocol.previous(MD, name)
    if before:
        os.link(undisturbed / f"{before}.restart", tmp_path / f"{before}.restart")
    species = system().species
    with pytest.raises(RuntimeError, match="killed"):
        run(tmp_path, name, Sabotaged(species, calls, fail))
    assert not (tmp_path / f"{name}.h5").exists()
    assert (tmp_path / f"{name}.checkpoint" / "state.json").exists()
    again = Morse(species)
    files = run(tmp_path, name, again)
    assert again.calls < 200
    assert files.frames.read_bytes() == (undisturbed / f"{name}.h5").read_bytes()
    assert files.thermo.read_bytes() == (undisturbed / f"{name}_thermo.csv").read_bytes()
    files.frames.unlink()  # killed after its last line: Snakemake deletes what a failed job wrote
    again = Morse(species)
    run(tmp_path, name, again)
    assert again.calls == 0
    assert files.frames.read_bytes() == (undisturbed / f"{name}.h5").read_bytes()
    run(tmp_path, {"react": "equilibrate", "produce001": "produce002"}[name])
    assert not files.checkpoint.exists()


def test_a_resumed_segment_forgets_the_neighbour_lists_before(tmp_path):
    species = system().species
    for folder in ("through", "resumed"):
        (tmp_path / folder).mkdir()
    through = run(tmp_path / "through", "react", Remembering(species))
    with pytest.raises(RuntimeError, match="killed"):
        run(tmp_path / "resumed", "react", KilledRemembering(species))
    resumed = run(tmp_path / "resumed", "react", Remembering(species))
    assert resumed.frames.read_bytes() == through.frames.read_bytes()


def test_a_segment_killed_without_warning_resumes(tmp_path, undisturbed):
    program = textwrap.dedent(f"""
        import sys
        sys.path[:0] = {[str(Path(__file__).parents[1]), str(Path(__file__).parent)]!r}
        sys.path[:0] = {[entry for entry in sys.path if entry.endswith("scripts")]!r}
        import os, signal, test_runner as t
        from pathlib import Path
        t.run(Path({str(tmp_path)!r}), "react",
              t.Sabotaged(t.system().species, 130, lambda _: os.kill(os.getpid(), signal.SIGKILL)))
    """)
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not (tmp_path / "react.h5").exists()
    assert (tmp_path / "react.checkpoint").is_dir()
    files = run(tmp_path, "react")
    assert files.frames.read_bytes() == (undisturbed / "react.h5").read_bytes()


@pytest.mark.parametrize("damage", ["settings", "state", "block", "rubbish"])
def test_a_checkpoint_that_does_not_fit_is_not_used(tmp_path, undisturbed, damage):
    species = system().species
    md = MD | {"max_force_eV_per_A": 99.0} if damage == "settings" else MD
    with pytest.raises(RuntimeError, match="killed"):
        run(tmp_path, "react", Sabotaged(species, 130, fail), md=md)
    folder = tmp_path / "react.checkpoint"
    if damage == "state":
        (folder / "state.json").write_text('{"digest": ')
    elif damage == "block":
        next(folder.glob("frames_*.h5")).unlink()
    elif damage == "rubbish":  # left by a checkpoint that was never finished
        (folder / "frames_000000000100.h5.part").write_text("half")
    files = run(tmp_path, "react")
    assert files.frames.read_bytes() == (undisturbed / "react.h5").read_bytes()


def bad_force(found):
    forces = found.forces.copy()
    forces[9] = [300.0, 0.0, 0.0]
    return Evaluation(found.energy, forces, found.virial)


def no_number(found):
    forces = found.forces.copy()
    forces[9, 0] = np.nan
    return Evaluation(found.energy, forces, found.virial)


GUARDS = [
    (bad_force, MD, "guard force .*atom 9 .Li. is 300"),
    (no_number, MD, "guard not-finite .*atom 9 .Li."),
    (lambda found: Evaluation(found.energy - 64, found.forces, found.virial), MD, "guard energy .*-1.0"),
    (lambda found: found, MD | {"max_temperature_K": 100.0}, "guard temperature .*limit 100 K"),
    (lambda found: found, MD | {"min_distance_fraction": 0.98}, "guard distance .*apart, limit"),
]


@pytest.mark.parametrize(("act", "md", "message"), GUARDS)
def test_each_guard_stops_the_run_and_keeps_its_frames(tmp_path, undisturbed, act, md, message):
    os.link(undisturbed / "react.restart", tmp_path / "react.restart")
    evaluator = Sabotaged(system().species, 78, act)
    with pytest.raises(GuardError, match=message) as caught:
        run(tmp_path, "equilibrate", evaluator, md=md)
    text = str(caught.value)
    assert "at step" in text
    assert "equilibrate)" in text
    assert "md." in text
    failed = tmp_path / "equilibrate.failed"
    assert str(failed) in text
    kept = steps_of(failed / "frames.h5")
    assert np.array_equal(kept, 160 + 10 * np.arange(len(kept)))
    if md is MD:
        assert len(kept) == 7
    assert len((failed / "thermo.csv").read_text().splitlines()) == len(kept) + 1
    assert len(ase.io.read(failed / "last.extxyz")) == 64
    assert not (tmp_path / "equilibrate.h5").exists()


def test_a_restart_of_another_time_is_refused(tmp_path, undisturbed):
    os.link(undisturbed / "equilibrate.restart", tmp_path / "react.restart")
    with pytest.raises(UserError, match="of step 250, expected 150"):
        run(tmp_path, "equilibrate")
