"""Draw the transport of one system."""

from getsei import job

job.prepare(snakemake)

from getsei import records
from getsei.figures import style, transport

with job.logged(snakemake) as log:
    figure = transport.figure(records.Transport.load(snakemake.input.transport), snakemake.wildcards.system)
    style.save(figure, snakemake.output.png, snakemake.output.svg)
