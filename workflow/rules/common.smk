import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

sys.path.insert(0, str(Path(workflow.basedir) / "scripts"))

from getsei import settings
from getsei.dynamics import protocol
from getsei.errors import UserError
from getsei.provenance import code_digest


def resolved_systems():
    """Return the complete settings of every system; a mistake stops here, without a traceback."""
    try:
        return settings.resolve(config)
    except UserError as error:
        raise WorkflowError(str(error)) from None


SYSTEMS = resolved_systems()


pathvars:
    logs="<results>/logs",
    benchmarks="<results>/benchmarks",


wildcard_constraints:
    system="|".join(SYSTEMS),
    replica="r[0-9]+",
    segment="react|equilibrate|produce[0-9]{3}",
    round="[0-9]+",


def replicas(system):
    """Return the names of the replicas of a system: r1, r2, …"""
    return [f"r{number}" for number in range(1, SYSTEMS[system]["replicas"] + 1)]


def of_replicas(pattern):
    """Return an input function that expands `pattern` over the replicas of a system."""
    return lambda wildcards: expand(pattern, system=wildcards.system, replica=replicas(wildcards.system))


def final_targets():
    """List the files `rule all` asks for."""
    return [
        "<results>/compare/systems.csv",
        *expand("<results>/{system}/summary.json", system=SYSTEMS),
    ]
