rule train_shared_gcl:
    input:
        unpack(shared_environments),
    output:
        encoder="<results>/shared/gcl/encoder.safetensors",
    log:
        "<logs>/train_shared_gcl.log",
    benchmark:
        "<benchmarks>/train_shared_gcl.tsv"
    conda:
        "../../envs/train_shared_gcl.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(120),
    params:
        cfg=shared_gcl(),
        systems=sharing(),
        code=code_digest("train_shared_gcl.py"),
    script:
        "../../scripts/train_shared_gcl.py"


rule train_gcl:
    input:
        environments=of_replicas(
            "<results>/{system}/{replica}/environments/environments.h5"
        ),
        shared=lambda wildcards: (
            "<results>/shared/gcl/encoder.safetensors"
            if wildcards.system in sharing()
            else []
        ),
    output:
        embedding="<results>/{system}/gcl/embedding.h5",
        encoder="<results>/{system}/gcl/encoder.safetensors",
    log:
        "<logs>/{system}/train_gcl.log",
    benchmark:
        "<benchmarks>/{system}/train_gcl.tsv"
    conda:
        "../../envs/train_gcl.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
    params:
        cfg=lookup(dpath="{system}/gcl", within=SYSTEMS),
        code=code_digest("train_gcl.py"),
    script:
        "../../scripts/train_gcl.py"
