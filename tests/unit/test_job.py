"""What a user sees when a script fails, and where a script's packages come from."""

import errno
import logging
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from getsei import job
from getsei.errors import UserError


@pytest.fixture
def snakemake(tmp_path, monkeypatch):
    for variable in job.THREAD_VARIABLES:
        monkeypatch.setenv(variable, "7")
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield SimpleNamespace(
        log=[str(tmp_path / "deep/rule.log")], wildcards={"system": "lps"}, rule="run_md", threads=3
    )
    logging.captureWarnings(capture=False)
    logging.getLogger().handlers.clear()


def read(snakemake):
    logging.shutdown()
    return Path(snakemake.log[0]).read_text(encoding="utf-8")


def test_users_mistake_is_one_message(snakemake, capsys):
    with pytest.raises(SystemExit) as stop, job.logged(snakemake):
        raise UserError("md.lag_ps: too long; shorten it")
    assert stop.value.code == 1
    text = read(snakemake)
    assert "run_md lps: md.lag_ps: too long; shorten it" in text
    assert "Traceback" not in text
    assert "too long" in capsys.readouterr().err


def test_our_mistake_leaves_a_traceback(snakemake):
    with pytest.raises(ZeroDivisionError), job.logged(snakemake):
        _ = 1 / 0
    assert "Traceback" in read(snakemake)


def test_success_tells_the_time(snakemake):
    with job.logged(snakemake) as log:
        log.info("hello")
    assert "hello" in read(snakemake)
    assert "done in" in read(snakemake)


def test_threads_and_foreign_packages(snakemake):
    sys.path.append("/somewhere/else/lib/python3.11/site-packages")
    job.prepare(snakemake)
    assert all(os.environ[variable] == "3" for variable in job.THREAD_VARIABLES)
    assert "/somewhere/else/lib/python3.11/site-packages" not in sys.path


def test_folder_is_held_by_one_process_and_free_after_a_kill(tmp_path):
    program = (
        "import sys, time, pathlib; sys.path.insert(0, sys.argv[1]); from getsei import job; "
        "lock = job.hold(pathlib.Path(sys.argv[2])); print('held', flush=True); time.sleep(60)"
    )
    scripts = str(Path(job.__file__).parents[1])
    process = subprocess.Popen(
        [sys.executable, "-c", program, scripts, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline() == "held\n"
        with pytest.raises(UserError, match=rf"another snakemake \(process {process.pid} on "):
            job.hold(tmp_path)
    finally:
        process.kill()
        process.communicate()
    job.hold(tmp_path).close()


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "x.h5"), "x.h5: no space left"),
        (OSError("Can't write data (file write failed: errno = 28)"), "no space left"),
        (PermissionError(errno.EACCES, "Permission denied", "results"), "results: permission denied"),
        (MemoryError(), "out of memory"),
    ],
)
def test_what_the_machine_lacks_is_one_message(snakemake, error, says):
    with pytest.raises(SystemExit), job.logged(snakemake):
        raise error
    text = read(snakemake)
    assert says in text
    assert "Traceback" not in text
