"""List the neighbours of every mobile ion of one production run."""

from getsei import job

job.prepare(snakemake)

from getsei import cells, environments, json_files, records

with job.logged(snakemake) as log:
    report = json_files.load(snakemake.input.report)
    environments.extract(
        records.Trajectory.load(snakemake.input.trajectory),
        mobile=snakemake.params.mobile,
        cutoff_A=snakemake.params.cfg["cutoff_A"],
        stride=snakemake.params.cfg["stride"],
        regions=[environments.Region(*region) for region in report["regions"]],
        built_height_A=cells.heights(report["cell_A"])[2],
    ).save(snakemake.output.environments)
