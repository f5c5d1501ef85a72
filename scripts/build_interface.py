"""Build the simulation cell of one replica: electrolyte slab and metal."""

from getsei import job

job.prepare(snakemake)

import json
from functools import partial
from pathlib import Path

import ase.io
from getsei.potentials import calculators
from getsei.structures import crystals, interfaces

with job.logged(snakemake) as log:
    settings = {
        key: value
        for key, value in snakemake.params.cfg.items()
        if key not in ("electrolyte", "metal", "seed")
    }
    electrolyte, metal = (crystals.load(path) for path in snakemake.input.crystals)
    seed = snakemake.params.cfg["seed"] + int(snakemake.wildcards.replica[1:]) - 1
    load = partial(calculators.load, snakemake.params.potential)
    load(sorted({*electrolyte.counts, *metal.counts}))  # every element is known, or nothing is built
    lattice = interfaces.lattice_constant(metal, load)
    log.info("%s: lattice constant of the potential %.4f Å", metal.name, lattice)
    built = interfaces.build(electrolyte, metal, metal_lattice_A=lattice, seed=seed, **settings)
    ase.io.write(snakemake.output.structure, built.atoms, format="extxyz")
    Path(snakemake.output.report).write_text(json.dumps(built.report, indent=1), encoding="utf-8")
