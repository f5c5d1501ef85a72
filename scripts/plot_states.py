"""Draw the states of one system."""

from getsei import job

job.prepare(snakemake)

from getsei import records
from getsei.figures import states, style

with job.logged(snakemake) as log:
    figure = states.figure(records.States.load(snakemake.input.states), snakemake.wildcards.system)
    style.save(figure, snakemake.output.png, snakemake.output.svg)
