"""Join the segments of one replica into one trajectory."""

from getsei import job

job.prepare(snakemake)

from pathlib import Path

from getsei.dynamics import protocol
from getsei.trajectory import store

with job.logged(snakemake) as log:
    origin = {
        "settings": {key: snakemake.params[key] for key in ("md", "interface", "potential")},
        "system": snakemake.wildcards.system,
        "replica": snakemake.wildcards.replica,
    }
    joined = store.join([Path(path) for path in snakemake.input.segments], origin)
    joined.save(snakemake.output.trajectory)
    for path in snakemake.input.segments:
        protocol.discard_checkpoint(Path(path))
    stride = store.export_extxyz(joined, Path(snakemake.output.extxyz))
    n_frames, n_atoms, _ = joined.positions.shape
    log.info("%d frames of %d atoms; one frame in %d is in the extxyz", n_frames, n_atoms, stride)
