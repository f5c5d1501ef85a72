from snakemake.utils import min_version

min_version("9.12")


configfile: "config/config.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/structures.smk"
include: "workflow/rules/dynamics.smk"
include: "workflow/rules/trajectory.smk"
include: "workflow/rules/environments.smk"
include: "workflow/rules/contrastive.smk"
include: "workflow/rules/states.smk"
include: "workflow/rules/kinetics.smk"
include: "workflow/rules/transport.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/compare.smk"
include: "workflow/rules/potentials.smk"
include: "workflow/rules/provenance.smk"


rule all:
    default_target: True
    input:
        final_targets(),
    localrule: True


onsuccess:
    tell_headlines()


onerror:
    tell_failure()
