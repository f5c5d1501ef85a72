"""Draw the structures that are moved in a round of active learning."""

from getsei import job

job.prepare(snakemake)

from getsei.potentials import starts

with job.logged(snakemake) as log:
    begun = starts.of_round(snakemake.params.cfg, int(snakemake.wildcards.round))
    starts.save(snakemake.output.starts, begun)
    log.info("%d starts, %d atoms", len(begun), sum(len(start.atoms) for start in begun))
