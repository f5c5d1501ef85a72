"""The workflow itself: style, job counts, what reruns when, environments."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from getsei import provenance

ROOT = Path(__file__).resolve().parents[2]
PER_SYSTEM = (
    "build_interface",
    "store_trajectory",
    "extract_environments",
    "train_gcl",
    "assign_states",
    "fit_edmd",
    "run_tpt",
    "measure_interphase",
    "measure_transport",
    "summarise_system",
)
SEGMENTS = 6  # react, equilibrate, four of production
CONDA_NAMES = {
    "yaml": "pyyaml",
    "ase": "ase",
    "mace": "mace-torch",
    "sklearn": "scikit-learn",
    "torch_geometric": "torch-geometric",
}
"""Import name to distribution name, where they differ."""
PROVIDED_BY = {"e3nn": "mace-torch", "pymatgen": "chgnet"}
"""Distributions that come as a requirement of another, whose data structures they are."""
OWN_VERSIONS = {("crosscheck_kinetics", "numpy")}
"""Where an environment must differ from the lock: PyEMMA's conda packages are built for numpy 1."""


def set_keys(workflow, edit):
    path = workflow.folder / "config/config.yaml"
    config = yaml.safe_load(path.read_text())
    edit(config)
    path.write_text(yaml.safe_dump(config))


def keep(*names):
    def edit(config):
        config["systems"] = {name: config["systems"][name] for name in names}
        config["defaults"]["md"] |= {"production_ps": 160.0, "segment_ps": 40.0}

    return edit


def test_lint(workflow):
    done = workflow.run("--lint")
    assert done.returncode == 0, done.stdout + done.stderr


def test_snakefmt():
    done = subprocess.run(
        [Path(sys.executable).with_name("snakefmt"), "--check", "Snakefile", "workflow"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "names", [["li6ps5cl"], ["li6ps5cl", "li7la3zr2o12"], ["li6ps5cl", "li10gep2s12", "li7la3zr2o12"]]
)
def test_job_counts(workflow, names):
    set_keys(workflow, keep(*names))
    jobs = workflow.jobs()
    for rule in PER_SYSTEM:
        assert jobs[rule] == len(names), rule
    assert jobs["run_md"] == SEGMENTS * len(names)
    assert jobs["plot_panels"] == len(names)
    assert jobs["compare_systems"] == jobs["build_report"] == 1


def test_replicas_multiply_only_the_sampling(workflow):
    set_keys(workflow, keep("li6ps5cl"))
    set_keys(workflow, lambda config: config["defaults"].update(replicas=3))
    jobs = workflow.jobs()
    assert jobs["run_md"] == 3 * SEGMENTS
    assert jobs["extract_environments"] == 3
    assert jobs["train_gcl"] == jobs["fit_edmd"] == 1


def test_a_shared_encoder_is_trained_once_for_the_systems_that_share_it(workflow):
    set_keys(workflow, keep("li6ps5cl", "li10gep2s12", "li7la3zr2o12"))
    assert "train_shared_gcl" not in workflow.jobs()
    for name in ("li6ps5cl", "li10gep2s12"):
        set_keys(
            workflow,
            lambda config, name=name: config["systems"][name].setdefault("gcl", {}).update(scope="shared"),
        )
    jobs = workflow.jobs()
    assert jobs["train_shared_gcl"] == 1
    assert jobs["train_gcl"] == 3
    assert jobs["match_states"] == 1


def test_several_mobile_ions_multiply_only_the_analysis(workflow):
    set_keys(workflow, keep("li6ps5cl"))
    set_keys(workflow, lambda config: config["defaults"].update(mobile=["Li", "Cl"]))
    jobs = workflow.jobs()
    assert jobs["run_md"] == SEGMENTS
    assert jobs["build_interface"] == jobs["store_trajectory"] == 1
    assert jobs["extract_environments"] == jobs["run_tpt"] == jobs["summarise_system"] == 3


def test_main_job_does_not_train_the_potential(workflow):
    jobs = workflow.jobs()
    assert not {"sample_dataset", "label_frames", "train_potential"} & set(jobs)


def finish(workflow):
    """Pretend that everything ran."""
    done = workflow.run("--touch", "--cores", "1", "--forceall")
    assert done.returncode == 0, done.stderr


def test_wrong_key_stops_before_any_job(workflow):
    set_keys(workflow, lambda config: config["defaults"]["md"].update(timestep_ps=0.002))
    done = workflow.run("--cores", "1")
    assert done.returncode != 0
    assert "defaults.md.timestep_ps: unknown key" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert not (workflow.folder / "results").exists()


def rules_text():
    return {path.stem: path.read_text() for path in (ROOT / "workflow/rules").glob("*.smk")}


def rule_blocks():
    for text in rules_text().values():
        for block in re.split(r"(?m)^(?=rule )", text):
            if block.startswith("rule ") and "script:" in block:
                yield block.split(":", 1)[0].removeprefix("rule ").strip(), block


@pytest.mark.parametrize(("name", "block"), list(rule_blocks()), ids=[n for n, _ in rule_blocks()])
def test_every_rule_is_complete(name, block):
    for directive in ("log:", "benchmark:", "conda:", "threads:", "resources:", "params:", "output:"):
        assert f"    {directive}" in block, f"{name} has no {directive}"
    assert f'code_digest("{name}.py")' in block
    assert f'"../../scripts/{name}.py"' in block
    assert f'"../../envs/{name}.yaml"' in block
    assert (ROOT / f"scripts/{name}.py").is_file()


def third_party(script):
    """Return the distributions that a script imports, directly or through the library."""
    found = set()
    for path in (path for path in provenance.code_files(script) if path.suffix == ".py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                modules = [node.module]
            else:
                continue
            for module in modules:
                top = module.split(".")[0]
                if top not in sys.stdlib_module_names and top != "getsei":
                    found.add(CONDA_NAMES.get(top, top))
    return found


def environment_packages(path):
    content = yaml.safe_load(path.read_text())
    found = {}
    for entry in content["dependencies"]:
        for line in entry["pip"] if isinstance(entry, dict) else [entry]:
            if line.startswith("--"):
                continue
            name, version = re.match(r"([A-Za-z0-9_.-]+)(?:\[[a-z]+\])?\s*=+\s*([^\s*]+)", line).groups()
            found[name.lower()] = version
    return found


@pytest.mark.parametrize("name", [name for name, _ in rule_blocks()])
def test_environment_holds_what_the_script_imports(name):
    packages = environment_packages(ROOT / f"envs/{name}.yaml")
    assert packages.get("python", "").startswith("3.11")
    assert "snakemake" not in packages
    present = {package.removesuffix("-base") for package in packages}
    present |= {package for package, carrier in PROVIDED_BY.items() if carrier in present}
    missing = third_party(f"{name}.py") - present
    assert not missing, f"envs/{name}.yaml lacks {missing}"


def test_environments_agree_with_the_lock():
    lock = dict(re.findall(r"(?m)^([A-Za-z0-9_.-]+)==(\S+)$", (ROOT / "requirements.lock").read_text()))
    lock = {name.lower(): version for name, version in lock.items()}
    for path in (ROOT / "envs").glob("*.yaml"):
        for name, version in environment_packages(path).items():
            name = {"pytorch": "torch"}.get(name, name)
            if name in lock and (path.stem, name) not in OWN_VERSIONS:
                assert lock[name].startswith(version), f"{path.name}: {name} {version}, lock {lock[name]}"


def test_scripts_are_thin():
    for path in (ROOT / "scripts").glob("*.py"):
        assert len(path.read_text().splitlines()) <= 45, path.name
        assert "job.prepare(snakemake)" in path.read_text(), path.name


def test_own_trajectory_builds_and_runs_nothing(workflow):
    def own(config):
        config["systems"] = {"mine": {"trajectory": {"files": ["run*.xyz"], "frame_interval_fs": 100.0}}}

    set_keys(workflow, own)
    missing = workflow.run("--dry-run")
    assert missing.returncode != 0
    assert "systems.mine.trajectory.files: no file run*.xyz" in missing.stdout + missing.stderr
    (workflow.folder / "run1.xyz").touch()
    jobs = workflow.jobs()
    assert jobs["read_trajectory"] == jobs["extract_environments"] == jobs["summarise_system"] == 1
    assert not {"build_interface", "run_md", "store_trajectory"} & set(jobs)
