rule assign_states:
    input:
        embedding="<results>/{system}/gcl/embedding.h5",
        environments=of_replicas(
            "<results>/{system}/{replica}/environments/environments.h5"
        ),
    output:
        states="<results>/{system}/states/states.h5",
        table=report(
            "<results>/{system}/states/states.csv",
            caption="../report/states_table.rst",
            category="States",
            labels={"system": "{system}", "result": "States (table)"},
        ),
        gates=report(
            "<results>/{system}/states/gates.csv",
            caption="../report/gates_table.rst",
            category="States",
            labels={"system": "{system}", "result": "Gates (table)"},
        ),
        choice=report(
            "<results>/{system}/states/choice.csv",
            caption="../report/choice_table.rst",
            category="States",
            labels={"system": "{system}", "result": "Number of states (table)"},
        ),
        baselines=report(
            "<results>/{system}/states/baselines.csv",
            caption="../report/baselines_table.rst",
            category="States",
            labels={"system": "{system}", "result": "What learning adds (table)"},
        ),
    log:
        "<logs>/{system}/assign_states.log",
    benchmark:
        "<benchmarks>/{system}/assign_states.tsv"
    conda:
        "../../envs/assign_states.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
    params:
        cfg=lookup(dpath="{system}/states", within=SYSTEMS),
        code=code_digest("assign_states.py"),
    script:
        "../../scripts/assign_states.py"


rule export_states:
    input:
        states="<results>/{system}/states/states.h5",
        trajectory=sampled("<results>/{system}/{replica}/trajectory/trajectory.h5"),
    output:
        extxyz="<results>/{system}/{replica}/states/states.extxyz",
    log:
        "<logs>/{system}/{replica}/export_states.log",
    benchmark:
        "<benchmarks>/{system}/{replica}/export_states.tsv"
    conda:
        "../../envs/export_states.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(20),
    params:
        replica=lambda wildcards: replicas(wildcards.system).index(wildcards.replica),
        stride=lookup(dpath="{system}/environments/stride", within=SYSTEMS),
        code=code_digest("export_states.py"),
    script:
        "../../scripts/export_states.py"


rule match_states:
    input:
        states=of_systems("<results>/{system}/states/states.h5"),
    output:
        table=report(
            "<results>/compare/states.csv",
            caption="../report/match_states.rst",
            category="Comparison",
            labels={"system": "all", "result": "matched states"},
        ),
    log:
        "<logs>/match_states.log",
    benchmark:
        "<benchmarks>/match_states.tsv"
    conda:
        "../../envs/match_states.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        systems=lambda wildcards, input: [Path(path).parts[-3] for path in input.states],
        code=code_digest("match_states.py"),
    script:
        "../../scripts/match_states.py"
