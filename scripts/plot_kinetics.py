"""Draw the Koopman model of one system."""

from getsei import job

job.prepare(snakemake)

from getsei import records
from getsei.figures import kinetics, style

with job.logged(snakemake) as log:
    figure = kinetics.figure(records.KoopmanModel.load(snakemake.input.koopman), snakemake.wildcards.system)
    style.save(figure, snakemake.output.png, snakemake.output.svg)
