rule measure_interphase:
    input:
        trajectories=sampled("<results>/{system}/{replica}/trajectory/trajectory.h5"),
        environments=of_replicas(
            "<results>/{system}/{replica}/environments/environments.h5"
        ),
    output:
        record="<results>/{system}/interphase/interphase.h5",
        table=report(
            "<results>/{system}/interphase/interphase.csv",
            caption="../report/interphase_table.rst",
            category="Interphase",
            labels={"system": "{system}", "result": "composition over time"},
        ),
    log:
        "<logs>/{system}/measure_interphase.log",
    benchmark:
        "<benchmarks>/{system}/measure_interphase.tsv"
    conda:
        "../../envs/measure_interphase.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(20),
    params:
        sampling=lookup(dpath="{system}/kinetics", within=SYSTEMS),
        code=code_digest("measure_interphase.py"),
    script:
        "../../scripts/measure_interphase.py"


rule measure_transport:
    input:
        states="<results>/{system}/states/states.h5",
        koopman="<results>/{system}/kinetics/koopman.h5",
        interphase="<results>/{system}/interphase/interphase.h5",
        trajectories=sampled("<results>/{system}/{replica}/trajectory/trajectory.h5"),
        environments=of_replicas(
            "<results>/{system}/{replica}/environments/environments.h5"
        ),
    output:
        record="<results>/{system}/transport/transport.h5",
        table=report(
            "<results>/{system}/transport/mobility.csv",
            caption="../report/mobility_table.rst",
            category="Transport",
            labels={"system": "{system}", "result": "mobility table"},
        ),
    log:
        "<logs>/{system}/measure_transport.log",
    benchmark:
        "<benchmarks>/{system}/measure_transport.tsv"
    conda:
        "../../envs/measure_transport.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(20),
    params:
        cfg=lookup(dpath="{system}/transport", within=SYSTEMS),
        sampling=lookup(dpath="{system}/kinetics", within=SYSTEMS),
        code=code_digest("measure_transport.py"),
    script:
        "../../scripts/measure_transport.py"
