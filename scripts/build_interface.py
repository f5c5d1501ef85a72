"""Build the simulation cell of one replica: electrolyte slab and metal."""

from getsei import job

job.prepare(snakemake)

import json
from functools import partial
from pathlib import Path

import ase.io
from getsei.potentials import calculators
from getsei.structures import building, crystals

with job.logged(snakemake) as log:
    cfg = snakemake.params.cfg
    first, *second = snakemake.input.crystals
    crystal = [crystals.load(first, cfg["charges"]), *(crystals.load(path) for path in second)]
    load = partial(calculators.load, snakemake.params.potential)
    load(sorted({el for one in crystal for el in one.counts}))  # every element is known, or nothing is built
    built = building.from_settings(crystal, cfg, int(snakemake.wildcards.replica[1:]), load)
    ase.io.write(snakemake.output.structure, built.atoms, format="extxyz")
    Path(snakemake.output.report).write_text(json.dumps(built.report, indent=1), encoding="utf-8")
