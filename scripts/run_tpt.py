"""Run transition path theory for one system."""

from getsei import job

job.prepare(snakemake)

from getsei import records
from getsei.kinetics import kinetics_tables, network, reactive_flux, tables

with job.logged(snakemake) as log:
    states = records.States.load(snakemake.input.states)
    model = records.KoopmanModel.load(snakemake.input.koopman)
    flux = reactive_flux.analyse(states, model, snakemake.params.cfg)
    flux.save(snakemake.output.flux)
    tables.write(snakemake.output.table, tables.FLUX_COLUMNS, tables.flux_rows(flux))
    tables.write(snakemake.output.pathways, tables.PATHWAY_COLUMNS, tables.pathway_rows(flux))
    rows = kinetics_tables.sensitivity_rows(flux)
    tables.write(snakemake.output.sensitivity, kinetics_tables.SENSITIVITY_COLUMNS, rows)
    tables.write(snakemake.output.network, network.CSV_COLUMNS, network.rows(flux))
    network.write_graphml(flux, snakemake.output.graphml)
