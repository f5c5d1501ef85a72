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
    log:
        "<logs>/{system}/assign_states.log",
    benchmark:
        "<benchmarks>/{system}/assign_states.tsv"
    conda:
        "../../envs/assign_states.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime="1h",
    params:
        cfg=lookup(dpath="{system}/states", within=SYSTEMS),
        code=code_digest("assign_states.py"),
    script:
        "../../scripts/assign_states.py"
