"""Measure the mobility of the ions of one system, by state, by ion and by region."""

from getsei import job

job.prepare(snakemake)

from getsei import records, transport

with job.logged(snakemake) as log:
    cfg, sampling = snakemake.params.cfg, snakemake.params.sampling
    measured = transport.measure(
        records.States.load(snakemake.input.states),
        records.KoopmanModel.load(snakemake.input.koopman),
        [records.Trajectory.load(path) for path in snakemake.input.trajectories],
        [records.Environments.load(path) for path in snakemake.input.environments],
        records.Interphase.load(snakemake.input.interphase),
        cfg["mobility_lag_ps"],
        sampling["bootstrap"],
        sampling["seed"],
        None if cfg["diffusion_fit_ps"] == "auto" else cfg["diffusion_fit_ps"],
    )
    measured.save(snakemake.output.record)
    transport.write_table(measured, snakemake.output.table)
