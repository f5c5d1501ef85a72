"""Draw the first replica's run: snapshots, temperature, energy, bonds over time."""

from getsei import job

job.prepare(snakemake)

from getsei import records
from getsei.figures import dynamics, style

with job.logged(snakemake) as log:
    replicas = snakemake.input.trajectories
    run = f", replica 1 of {len(replicas)}" if len(replicas) > 1 else ""
    figure = dynamics.figure(
        records.Trajectory.load(replicas[0]), snakemake.params.cfg, f"{snakemake.wildcards.system}{run}"
    )
    style.save(figure, snakemake.output.png, snakemake.output.svg)
