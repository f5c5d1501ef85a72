"""Tell where a run left what its potential was trained on."""

from getsei import job

job.prepare(snakemake)

from getsei import extrapolation, records
from getsei.potentials import uncertainty

with job.logged(snakemake) as log:
    trajectory = records.Trajectory.load(snakemake.input.trajectory)
    cfg, species = snakemake.params.cfg, [str(symbol) for symbol in trajectory.species]
    extrapolation.measure(
        trajectory,
        uncertainty.judgement(snakemake.params.potential, species, cfg["source"]),
        cfg["interval_ps"],
        snakemake.params.cutoff_A,
        snakemake.output.table,
        snakemake.output.facts,
    )
