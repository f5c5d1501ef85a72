"""Fit the Koopman operator of one system."""

from getsei import job

job.prepare(snakemake)

from getsei import records
from getsei.kinetics import inputs, kinetics_tables, koopman, tables

with job.logged(snakemake) as log:
    states = records.States.load(snakemake.input.states)
    context = inputs.gather(
        states,
        records.Embedding.load(snakemake.input.embedding),
        [records.Trajectory.load(path) for path in snakemake.input.trajectories],
    )
    model = koopman.fit(states, snakemake.params.cfg, context)
    model.save(snakemake.output.koopman)
    tables.write(snakemake.output.table, tables.KOOPMAN_COLUMNS, tables.koopman_rows(model))
    for name in ("lags", "dictionaries", "residence", "windows"):
        columns, rows = kinetics_tables.TABLES[name]
        tables.write(snakemake.output[name], columns, rows(model))
