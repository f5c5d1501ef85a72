"""Draw the reactive flux of one system."""

from getsei import job

job.prepare(snakemake)

from getsei import records
from getsei.figures import pathways, style

with job.logged(snakemake) as log:
    figure = pathways.figure(records.ReactiveFlux.load(snakemake.input.flux), snakemake.wildcards.system)
    style.save(figure, snakemake.output.png, snakemake.output.svg)
