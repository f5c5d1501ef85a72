rule fit_edmd:
    input:
        states="<results>/{system}/states/states.h5",
        embedding="<results>/{system}/gcl/embedding.h5",
        trajectories=sampled("<results>/{system}/{replica}/trajectory/trajectory.h5"),
    output:
        koopman="<results>/{system}/kinetics/koopman.h5",
        lags="<results>/{system}/kinetics/lags.csv",
        dictionaries="<results>/{system}/kinetics/dictionaries.csv",
        residence="<results>/{system}/kinetics/residence.csv",
        windows="<results>/{system}/kinetics/windows.csv",
        table=report(
            "<results>/{system}/kinetics/koopman.csv",
            caption="../report/koopman_table.rst",
            category="Kinetics",
            labels={"system": "{system}", "result": "rates, timescales and checks"},
        ),
    log:
        "<logs>/{system}/fit_edmd.log",
    benchmark:
        "<benchmarks>/{system}/fit_edmd.tsv"
    conda:
        "../../envs/fit_edmd.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(20),
    params:
        cfg=lookup(dpath="{system}/kinetics", within=SYSTEMS),
        code=code_digest("fit_edmd.py"),
    script:
        "../../scripts/fit_edmd.py"


rule run_tpt:
    input:
        states="<results>/{system}/states/states.h5",
        koopman="<results>/{system}/kinetics/koopman.h5",
    output:
        flux="<results>/{system}/kinetics/flux.h5",
        sensitivity="<results>/{system}/kinetics/sensitivity.csv",
        network="<results>/{system}/kinetics/network.csv",
        graphml="<results>/{system}/kinetics/network.graphml",
        table=report(
            "<results>/{system}/kinetics/flux.csv",
            caption="../report/flux_table.rst",
            category="Kinetics",
            labels={"system": "{system}", "result": "reactive flux"},
        ),
        pathways=report(
            "<results>/{system}/kinetics/pathways.csv",
            caption="../report/pathway_table.rst",
            category="Kinetics",
            labels={"system": "{system}", "result": "pathways"},
        ),
    log:
        "<logs>/{system}/run_tpt.log",
    benchmark:
        "<benchmarks>/{system}/run_tpt.tsv"
    conda:
        "../../envs/run_tpt.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(20),
    params:
        cfg=lookup(dpath="{system}/tpt", within=SYSTEMS),
        code=code_digest("run_tpt.py"),
    script:
        "../../scripts/run_tpt.py"


rule crosscheck_kinetics:
    input:
        flux="<results>/{system}/kinetics/flux.h5",
    output:
        table="<results>/{system}/kinetics/crosscheck.csv",
    log:
        "<logs>/{system}/crosscheck_kinetics.log",
    benchmark:
        "<benchmarks>/{system}/crosscheck_kinetics.tsv"
    conda:
        "../../envs/crosscheck_kinetics.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        code=code_digest("crosscheck_kinetics.py"),
    script:
        "../../scripts/crosscheck_kinetics.py"


rule crosscheck:
    input:
        expand("<results>/{system}/kinetics/crosscheck.csv", system=SYSTEMS),
    localrule: True
