import re
import sys
from pathlib import Path
from types import SimpleNamespace

from snakemake.exceptions import WorkflowError

sys.path.insert(0, str(Path(workflow.basedir) / "scripts"))

from getsei import captions, job, json_files, preflight, settings
from getsei.dynamics import protocol
from getsei.errors import UserError
from getsei.potentials import sources
from getsei.potentials.evaluation import plan
from getsei.provenance import code_digest
from getsei.structures import names
from getsei.trajectory import files

LOCKS = []


def resolved_systems():
    """Return the complete settings of every system; a mistake stops here, without a traceback."""
    try:
        if not workflow.is_main_process:
            return settings.resolve(config)  # a job; the rest was checked before it
        if not workflow.dryrun:
            LOCKS.append(job.hold(Path.cwd()))
        preflight.check_files(workflow.configfiles)
        systems = settings.resolve(config)
        preflight.check(systems)
        return systems
    except UserError as error:
        raise WorkflowError(str(error)) from None


SYSTEMS = resolved_systems()
SAMPLED = [name for name, system in SYSTEMS.items() if "sampled_by" not in system]
OWN = [name for name in SAMPLED if settings.is_own(SYSTEMS[name])]
BUILT = [name for name in SAMPLED if name not in OWN]
FIGURES = ("dynamics", "states", "kinetics", "pathways", "transport")
FINISHED_ONLY = config.get("finished_only", False)
RESULTS = config.get("pathvars", {}).get("results", "results")


pathvars:
    logs="<results>/logs",
    benchmarks="<results>/benchmarks",


wildcard_constraints:
    system="|".join(SYSTEMS),
    replica="r[0-9]+",
    segment="react|equilibrate|produce[0-9]{3}",
    round="[0-9]+",
    stage="(round|final)[0-9]+",
    member="[0-9]+",
    who="student|teacher",
    part="[^/]+",


def any_of(systems):
    """Return the wildcard pattern of the systems; without any it matches nothing."""
    return "|".join(systems) or "(?!)"


def growing(amount):
    """Return a resource (MB of memory, minutes) that grows with the first retries of a job, to three times."""
    return lambda wildcards, attempt: amount * min(attempt, 3)


def gpus(wildcards):
    """Return how many graphics processors a job that evaluates a system's potential needs."""
    return int(SYSTEMS[wildcards.system]["potential"]["device"] == "cuda")


def replicas(system):
    """Return the names of the replicas of a system: r1, r2, …"""
    return [f"r{number}" for number in range(1, SYSTEMS[system]["replicas"] + 1)]


def sampled(pattern):
    """Return an input function for files of the run, which analyses of single ions share.

    For a job of one replica it is that replica's file, for a job of a system those of all replicas.
    """

    def of_run(wildcards):
        system = SYSTEMS[wildcards.system].get("sampled_by", wildcards.system)
        chosen = wildcards.get("replica")
        paths = expand(pattern, system=system, replica=chosen or replicas(system))
        return paths[0] if chosen else paths

    return of_run


def of_replicas(pattern):
    """Return an input function that expands `pattern` over the replicas of a system."""
    return lambda wildcards: expand(
        pattern, system=wildcards.system, replica=replicas(wildcards.system)
    )


def of_systems(pattern):
    """Expand `pattern` over the systems; with `finished_only`, over those that have such a file."""
    paths = expand(pattern, system=SYSTEMS)
    if not FINISHED_ONLY:
        return paths
    return [
        path for path in paths if Path(path.replace("<results>", RESULTS)).is_file()
    ]


def tell_headlines():
    """Print the short table that ends a run."""
    path = Path(RESULTS) / "compare" / "headlines.txt"
    if path.is_file():
        print(path.read_text(encoding="utf-8"))


def tell_failure():
    """Say what to do when some jobs failed."""
    print(
        "Some jobs failed; their logs are above. `make` now compares the systems that finished; "
        "after plain snakemake do that by `make finished`. Mend the cause and run again: what is done is kept."
    )


def sharing():
    """Return the systems that share an encoder, in order."""
    return [name for name, cfg in SYSTEMS.items() if cfg["gcl"]["scope"] == "shared"]


def shared_gcl():
    """Return the training settings of the shared encoder; they are the same for all its systems."""
    return SYSTEMS[sharing()[0]]["gcl"] if sharing() else {}


def shared_environments(wildcards):
    """Return the environments of the systems that share an encoder, by system."""
    return {
        name: expand(
            "<results>/{system}/{replica}/environments/environments.h5",
            system=name,
            replica=replicas(name),
        )
        for name in sharing()
    }


def final_targets():
    """List the files `rule all` asks for."""
    return [
        "<results>/compare/systems.csv",
        "<results>/compare/states.csv",
        "<results>/report.html",
        *expand("<results>/{system}/summary.json", system=SYSTEMS),
        *expand(
            "<results>/{system}/figures/{figure}.png", system=SYSTEMS, figure=FIGURES
        ),
        *[
            f"<results>/{system}/{replica}/states/states.extxyz"
            for system in SYSTEMS
            for replica in replicas(system)
        ],
        *expand("<results>/{system}/ro-crate-metadata.json", system=SYSTEMS),
    ]


def potential_file(wildcards):
    """Return the model file of a system's potential; none where it is no file."""
    source = sources.parse(SYSTEMS[wildcards.system]["potential"]["model"])
    return source.name if source.kind == "file" else []


def uncertainty_file(wildcards):
    """Return the uncertainty that lies beside the model of a system; none where there is none."""
    path = sources.uncertainty_of(potential_file(wildcards) or "none")
    return str(path) if path.is_file() else []


def uncertainty_tables(wildcards):
    """Return how far each run of a system was extrapolated; none for trajectories that were not run here."""
    if SYSTEMS[wildcards.system].get("sampled_by", wildcards.system) in OWN:
        return []
    return sampled("<results>/{system}/{replica}/trajectory/uncertainty.csv")(wildcards)


def crystal_files(wildcards):
    """Return the crystal files that the interface of a system is built from."""
    interface = SYSTEMS[wildcards.system]["interface"]
    chosen = (interface["electrolyte"], interface["metal"])
    return [names.file_of(name) for name in chosen if name != names.NONE]


def made_from(wildcards):
    """Return the files that the results of a system come from."""
    if wildcards.system in OWN:
        runs = (
            SimpleNamespace(system=wildcards.system, replica=replica)
            for replica in replicas(wildcards.system)
        )
        return [path for run in runs for path in own_files(run)]
    model = potential_file(wildcards) or []
    return [*crystal_files(wildcards), *([model] if model else [])]


def segment_parameters(wildcards):
    """Return what one segment of the run depends on."""
    return protocol.parameters(SYSTEMS[wildcards.system]["md"], wildcards.segment)


def previous_restart(wildcards):
    """Return the restart file a segment goes on from; none for the first."""
    name = protocol.previous(SYSTEMS[wildcards.system]["md"], wildcards.segment)
    return (
        f"<results>/{wildcards.system}/{wildcards.replica}/md/{name}.restart"
        if name
        else []
    )


def segment_files(wildcards):
    """Return the frames of all segments of a run, in order."""
    segments = protocol.names(SYSTEMS[wildcards.system]["md"])
    return [
        f"<results>/{wildcards.system}/{wildcards.replica}/md/{name}.h5"
        for name in segments
    ]


def own_files(wildcards):
    """Return the trajectory files that the user named for a system."""
    trajectory = SYSTEMS[wildcards.system]["trajectory"]
    replica = int(wildcards.replica[1:])
    try:
        named = files.find(trajectory["files"], replica)
    except UserError as error:
        raise WorkflowError(f"systems.{wildcards.system}.{error}") from None
    topology = trajectory.get("topology", "").replace(files.REPLICA, str(replica))
    return [str(path) for path in named] + ([topology] if topology else [])


def regions_report(wildcards):
    """Return the file that holds the regions of the cell along z."""
    system = SYSTEMS[wildcards.system].get("sampled_by", wildcards.system)
    stage = "trajectory" if system in OWN else "interface"
    return f"<results>/{system}/{wildcards.replica}/{stage}/report.json"


def training_part(*keys):
    """Return a part of the settings `potential_training`, so that a job depends on nothing else."""
    return {key: TRAINING[key] for key in keys}


def of_round(number, name):
    """Return the path of a file of a round of active learning."""
    return f"<results>/potential/round{number}/{name}"


def of_round_before(name):
    """Return an input function for a file of the round before."""
    return lambda wildcards: of_round(int(wildcards.round) - 1, name)


def of_rounds_before(name):
    """Return an input function for a file of every earlier round."""
    return lambda wildcards: [of_round(n, name) for n in range(int(wildcards.round))]


def of_rounds_until(name):
    """Return an input function for a file of this round and of every earlier one."""
    return lambda wildcards: [
        of_round(n, name) for n in range(int(wildcards.round) + 1)
    ]


def last_round():
    """Return the round after which active learning stops; known once the rounds before it are reviewed."""
    for number in range(TRAINING["rounds"] - 1):
        review = checkpoints.review_round.get(round=number).output.review
        if json_files.load(review)["stop"]:
            return number
    return TRAINING["rounds"] - 1


def kind_and_number(wildcards):
    """Return whether a training is of a round or a final one, and which."""
    kind, number = re.fullmatch("(round|final)([0-9]+)", wildcards.stage).groups()
    return kind, int(number)


def rounds_known(wildcards):
    """Return how many rounds there are when a training begins; its own counts."""
    kind, number = kind_and_number(wildcards)
    return 1 + (number if kind == "round" else last_round())


def frames_to_learn(wildcards):
    """Return the labelled frames of a training: those of its round and all before, in a final one of all."""
    return [of_round(n, "labelled.extxyz") for n in range(rounds_known(wildcards))]


def student_before(wildcards):
    """Return the student that a training goes on from; nothing for the first of all."""
    kind, number = kind_and_number(wildcards)
    if number > 0:
        return [f"<results>/potential/{kind}{number - 1}/student.safetensors"]
    if kind == "final":
        return [of_round(last_round(), "student.safetensors")]
    return []


def students_of_earlier_rounds(wildcards):
    """Return those that serve as members of a committee; final trainings know the same frames and are none."""
    kind, number = kind_and_number(wildcards)
    end = number if kind == "round" else rounds_known(wildcards)
    start = max(0, end - TRAINING["committee"]["students"])
    return [of_round(n, "student.safetensors") for n in range(start, end)]


def schedule_of_training(wildcards):
    """Return the schedule of a training; the last one of the rounds serves all further rounds."""
    kind, number = kind_and_number(wildcards)
    if kind == "final":
        return TRAINING["final_schedules"][number]
    return TRAINING["schedules"][min(number, len(TRAINING["schedules"]) - 1)]


def student_to_evaluate(wildcards):
    """Return the model to evaluate: the one that is named, or what the last training made."""
    return TRAINING.get("student") or f"<results>/potential/{FINAL}/student.safetensors"


def final_review(wildcards):
    """Return what the last round tells of itself."""
    return of_round(last_round(), "round.json")


def test_data(name):
    """Return an input function for a file of every round, or beside the labelled data that are named."""

    def of_data(wildcards):
        if "labelled" in TRAINING:
            if name == "labelled.extxyz":
                return TRAINING["labelled"]
            beside = [Path(path).with_name(name) for path in TRAINING["labelled"]]
            return [str(path) for path in beside if path.is_file()]
        return [of_round(n, name) for n in range(last_round() + 1)]

    return of_data


def round_folders(wildcards):
    """Return the folders of all rounds and final trainings, or those of the labelled data that are named."""
    if "labelled" in TRAINING:
        return [str(Path(path).parent) for path in TRAINING["labelled"]]
    names = [f"round{number}" for number in range(TRAINING["rounds"])]
    names += [f"final{number}" for number in range(len(TRAINING["final_schedules"]))]
    return [f"{RESULTS}/potential/{name}" for name in names]
