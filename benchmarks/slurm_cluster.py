"""A real SLURM cluster of one node on this machine's loopback, for as long as a test needs it."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

PACKAGES = ("slurm-wlm", "munge")
PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch")
START_LIMIT_S = 60
STOP_LIMIT_S = 15
DEFAULT_CONFIGURATION = Path("/etc/slurm/slurm.conf")
"""Where srun looks inside a job: the executor takes SLURM_… out of the environment of jobs."""
CONFIGURATION = """\
ClusterName=getsei
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
MpiDefault=none
MinJobAge=3600
KillWait=5
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory_mb}
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


class NoClusterError(Exception):
    """There is no SLURM here; the message says how to get it."""


def install() -> None:
    """Install Debian's SLURM, as root; else say what to run."""
    if all(shutil.which(program) for program in PROGRAMS):
        return
    command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *PACKAGES]
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise NoClusterError(f"SLURM is not installed; as root, on Debian: {' '.join(command)}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for words in (["apt-get", "update", "-qq"], command):
        done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise NoClusterError(f"{' '.join(words)} failed: {done.stderr.strip()[-500:]}")


def free_ports(count: int) -> list[int]:
    """Return TCP ports that nobody listens on at the moment."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@contextmanager
def cluster(folder: Path, cpus: int, memory_mb: int) -> Iterator[dict[str, str]]:
    """Start munge, the controller and one node; yield the environment in which sbatch finds them.

    The node claims `cpus` cores whether it has them or not. There is no accounting database.
    """
    if DEFAULT_CONFIGURATION.exists():
        raise NoClusterError(
            f"{DEFAULT_CONFIGURATION} exists: this machine has a cluster, which is left alone"
        )
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    key = folder / "munge.key"
    key.touch(mode=0o600)
    key.write_bytes(os.urandom(1024))
    host = socket.gethostname().split(".")[0]
    text = CONFIGURATION.format(host=host, folder=folder, ports=free_ports(2), cpus=cpus, memory_mb=memory_mb)
    (folder / "slurm.conf").write_text(text)
    environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}
    munge = {"socket": "socket", "key-file": "key", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
    daemons = {
        "munged": ["--foreground", "--force", *(f"--{o}={folder}/munge.{end}" for o, end in munge.items())],
        "slurmctld": ["-D"],
        "slurmd": ["-D"],
    }
    with ExitStack() as stack:
        DEFAULT_CONFIGURATION.parent.mkdir(exist_ok=True)
        DEFAULT_CONFIGURATION.symlink_to(folder / "slurm.conf")
        stack.callback(DEFAULT_CONFIGURATION.unlink)
        for name, options in daemons.items():
            out = stack.enter_context((folder / f"{name}.out").open("w"))
            program = shutil.which(name)
            process = subprocess.Popen([program, *options], env=environment, stdout=out, stderr=out)
            stack.callback(_stop, process)
            time.sleep(1.0)
        _wait_until_idle(environment, folder)
        stack.callback(_cancel_all, environment)
        yield environment


def _cancel_all(environment: dict[str, str]) -> None:
    """End what still runs: a job outlives the daemons that started it."""
    subprocess.run(["scancel", "--partition=main"], env=environment, capture_output=True, check=False)
    for _ in range(STOP_LIMIT_S):
        left = subprocess.run(["squeue", "-h"], env=environment, capture_output=True, text=True, check=False)
        if not left.stdout.strip():
            return
        time.sleep(1)


def _stop(process: subprocess.Popen) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _wait_until_idle(environment: dict[str, str], folder: Path) -> None:
    for _ in range(START_LIMIT_S):
        done = subprocess.run(
            ["sinfo", "-h", "-o", "%T"], env=environment, capture_output=True, text=True, check=False
        )
        if done.stdout.strip() == "idle":
            return
        time.sleep(1)
    logs = "\n".join(path.read_text()[-1000:] for path in folder.glob("*.log"))
    raise NoClusterError(f"SLURM did not come up within {START_LIMIT_S} s:\n{logs}")
