"""Fit the Koopman operator of one system."""

from getsei import job

job.prepare(snakemake)

from getsei import records
from getsei.kinetics import koopman, tables

with job.logged(snakemake) as log:
    states = records.States.load(snakemake.input.states)
    model = koopman.fit(states, snakemake.params.cfg)
    model.save(snakemake.output.koopman)
    tables.write(snakemake.output.table, tables.KOOPMAN_COLUMNS, tables.koopman_rows(model))
