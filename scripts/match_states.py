"""Match the states of all systems by what surrounds an ion in them."""

from getsei import job

job.prepare(snakemake)

from getsei import records
from getsei.states import matching, tables

with job.logged(snakemake) as log:
    systems = {
        name: records.States.load(path)
        for name, path in zip(snakemake.params.systems, snakemake.input.states, strict=True)
    }
    tables.write_csv(matching.matched_rows(systems), snakemake.output.table)
