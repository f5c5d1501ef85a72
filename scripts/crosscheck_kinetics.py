"""Compare the reactive flux of one system with deeptime and PyEMMA."""

from getsei import job

job.prepare(snakemake)

from getsei.kinetics import crosscheck

with job.logged(snakemake) as log:
    log.info("%s", crosscheck.run(snakemake.input.flux, snakemake.output.table))
