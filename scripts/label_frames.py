"""Put the labels of a round together; drop those on which the teacher means nothing."""

from getsei import job

job.prepare(snakemake)

import json
from pathlib import Path

from getsei import json_files
from getsei.potentials import dataset, pairs, starts

with job.logged(snakemake) as log:
    frames = dataset.load(snakemake.input.frames)
    parts = [dataset.load_all([path]) for path in snakemake.input.labelled]
    labelled = dict(
        pair
        for part, found in enumerate(parts)
        for pair in zip(starts.share(list(map(len, frames)), part, len(parts)), found, strict=True)
    )
    labels = [dataset.label_of(labelled[row]) for row in range(len(frames))]
    kept, dropped = dataset.usable(frames, pairs.repelled(frames, labels))
    dataset.save(snakemake.output.labelled, kept)
    counts = {**json_files.load(snakemake.input.told[0]), "kept": len(kept), "dropped": dict(dropped)}
    Path(snakemake.output.counts).write_text(json.dumps(counts, indent=2, ensure_ascii=False) + "\n")
    log.info("%d frames kept, dropped: %s", len(kept), dict(dropped) or "none")
