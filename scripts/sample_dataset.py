"""Choose the frames of one round of active learning."""

from getsei import job

job.prepare(snakemake)

import json
from pathlib import Path

from getsei.potentials import active, dataset, starts

with job.logged(snakemake) as log:
    cfg, number = snakemake.params.cfg, int(snakemake.wildcards.round)
    begun, moved = starts.load(snakemake.input.starts), dataset.load_all(snakemake.input.moved)
    if number == 0:
        frames = list(active.first_round(cfg, begun, moved))
    else:
        frames = list(active.later_round(cfg, number, begun, moved))
    kept = dataset.unique(frames, cfg["elements"], dataset.load_all(snakemake.input.known))
    dataset.save(snakemake.output.frames, kept)
    counts = {"kept": len(kept), "duplicates": len(frames) - len(kept), "atoms": sum(map(len, kept))}
    Path(snakemake.output.sampled).write_text(json.dumps(counts) + "\n", encoding="utf-8")
    log.info("round %d: %s", number, counts)
