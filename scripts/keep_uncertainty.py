"""Put the uncertainty of the final student beside the model that is kept."""

from getsei import job

job.prepare(snakemake)

import shutil

with job.logged(snakemake):
    shutil.copyfile(snakemake.input[0], snakemake.output[0])
