"""Put the labelled parts of a round together."""

from getsei import job

job.prepare(snakemake)

import json
from collections import Counter
from pathlib import Path

from getsei import json_files
from getsei.potentials import dataset

with job.logged(snakemake) as log:
    frames = dataset.load_all(snakemake.input.labelled)
    dataset.save(snakemake.output.labelled, frames)
    parts = [json_files.load(path) for path in snakemake.input.counts]
    dropped = sum((Counter(part["dropped"]) for part in parts), Counter())
    counts = {**parts[0], "kept": len(frames), "dropped": dict(sorted(dropped.items()))}
    Path(snakemake.output.counts).write_text(json.dumps(counts, indent=2, ensure_ascii=False) + "\n")
    log.info("%d frames kept, dropped: %s", len(frames), dict(dropped) or "none")
