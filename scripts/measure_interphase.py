"""Follow composition, phases and coordination of one system over time."""

from getsei import job

job.prepare(snakemake)

from getsei import interphase, records

with job.logged(snakemake) as log:
    found = interphase.measure(
        [records.Trajectory.load(path) for path in snakemake.input.trajectories],
        [records.Environments.load(path) for path in snakemake.input.environments],
        snakemake.params.sampling["bootstrap"],
        snakemake.params.sampling["seed"],
    )
    found.save(snakemake.output.record)
    interphase.write_table(found, snakemake.output.table)
    log.info("%d time blocks, %d slices; %s", len(found.times), len(found.z_edges) - 1, found.note or "ok")
