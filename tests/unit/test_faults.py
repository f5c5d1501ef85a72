"""A full disk and cut permissions: one message, nothing half written, and running again finishes."""

import os
import shutil
import subprocess

import numpy as np
import pytest
import records_factory
from getsei import job, tensors
from getsei.errors import UserError
from test_runner import run

SMALL_KB = 256


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 256 kB."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SMALL_KB}k", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a small tmpfs needs root: run as root outside of an unprivileged container")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(place, leave_kB):
    """Fill a small disk but for so much."""
    with (place / "ballast").open("wb") as handle:
        handle.write(bytes(1024 * (SMALL_KB - leave_kB - 8)))


def full(error):
    return "no space left" in (job.machine_failure(error) or "")


@pytest.mark.parametrize("kind", ["record", "tensors"])
def test_full_disk_leaves_nothing_half_written(small_disk, kind):
    fill(small_disk, 24)
    record = records_factory.trajectory(records_factory.chain())
    write = {
        "record": lambda: record.save(small_disk / "x.h5"),
        "tensors": lambda: tensors.save(small_disk / "x.safetensors", {"a": np.ones(30_000)}, {}),
    }
    with pytest.raises((OSError, RuntimeError)) as caught:
        write[kind]()
    assert full(caught.value)
    assert [path.name for path in small_disk.iterdir()] == ["ballast"]
    (small_disk / "ballast").unlink()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    run(folder, "react")
    run(folder, "equilibrate")
    return folder


@pytest.mark.parametrize("leave_kB", [12, 24, 40, 72])
def test_segment_on_a_full_disk_resumes_when_there_is_room(small_disk, undisturbed, leave_kB):
    fill(small_disk, leave_kB)
    with pytest.raises((OSError, RuntimeError, UserError)) as caught:
        run(small_disk, "react")
    assert full(caught.value) or "no space left" in str(caught.value)
    assert not (small_disk / "react.h5").exists() or not (small_disk / "react.restart").exists()
    (small_disk / "ballast").unlink()
    run(small_disk, "react")
    for name in ("react.h5", "react_thermo.csv"):
        assert (small_disk / name).read_bytes() == (undisturbed / name).read_bytes()


@pytest.mark.parametrize("part", ["frames", "restart"])
@pytest.mark.parametrize("how", ["cut", "flipped"])
def test_damaged_checkpoint_is_noticed(tmp_path, undisturbed, part, how):
    from morse import Morse
    from test_runner import Sabotaged, fail, system

    with pytest.raises(RuntimeError, match="killed"):
        run(tmp_path, "react", Sabotaged(system().species, 130, fail))
    pattern = "frames_*.h5" if part == "frames" else "state_*.restart"
    (path, *_) = sorted((tmp_path / "react.checkpoint").glob(pattern))
    content = path.read_bytes()
    middle = len(content) // 2
    path.write_bytes(
        content[:middle] + (b"" if how == "cut" else bytes([content[middle] ^ 1]) + content[middle + 1 :])
    )
    again = Morse(system().species)
    run(tmp_path, "react", again)
    assert again.calls > 150, "the segment begins anew"
    assert (tmp_path / "react.h5").read_bytes() == (undisturbed / "react.h5").read_bytes()


@pytest.mark.parametrize("how", ["cut", "empty"])
def test_damaged_restart_of_the_segment_before_is_one_message(tmp_path, undisturbed, how):
    shutil.copy(undisturbed / "react.restart", tmp_path)
    content = (tmp_path / "react.restart").read_bytes()
    (tmp_path / "react.restart").write_bytes(content[: len(content) // 2] if how == "cut" else b"")
    with pytest.raises(UserError, match=r"react\.restart: LAMMPS cannot read this restart file"):
        run(tmp_path, "equilibrate")


def test_a_changed_byte_in_the_restart_of_the_segment_before_is_noticed(tmp_path, undisturbed):
    for name in ("react.restart", "react.h5"):
        shutil.copy(undisturbed / name, tmp_path)
    content = bytearray((tmp_path / "react.restart").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "react.restart").write_bytes(content)
    with pytest.raises(UserError, match=r"react\.restart: this restart file has changed"):
        run(tmp_path, "equilibrate")
