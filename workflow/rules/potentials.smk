TRAINING = settings.of_training(config)


rule potential:
    input:
        "<results>/potential/getsei-small.yaml",
        "<results>/potential/evaluation.png",
    localrule: True


rule sample_dataset:
    input:
        student=branch(
            lambda wildcards: int(wildcards.round) > 0,
            then=lambda wildcards: f"<results>/potential/round{int(wildcards.round) - 1}/student.safetensors",
        ),
        known=lambda wildcards: expand(
            "<results>/potential/round{number}/frames.extxyz",
            number=range(int(wildcards.round)),
        ),
    output:
        frames="<results>/potential/round{round}/frames.extxyz",
    log:
        "<logs>/potential/sample_dataset_{round}.log",
    benchmark:
        "<benchmarks>/potential/sample_dataset_{round}.tsv"
    conda:
        "../../envs/sample_dataset.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(240),
    params:
        cfg=TRAINING,
        code=code_digest("sample_dataset.py"),
    script:
        "../../scripts/sample_dataset.py"


rule label_frames:
    input:
        frames="<results>/potential/round{round}/frames.extxyz",
    output:
        labelled="<results>/potential/round{round}/labelled.extxyz",
        counts="<results>/potential/round{round}/counts.json",
    log:
        "<logs>/potential/label_frames_{round}.log",
    benchmark:
        "<benchmarks>/potential/label_frames_{round}.tsv"
    conda:
        "../../envs/label_frames.yaml"
    threads: 1
    resources:
        mem_mb=growing(12000),
        runtime=growing(120),
    params:
        cfg={"teacher": TRAINING["teacher"]},
        code=code_digest("label_frames.py"),
    script:
        "../../scripts/label_frames.py"


rule train_potential:
    input:
        labelled=lambda wildcards: expand(
            "<results>/potential/round{number}/labelled.extxyz",
            number=range(int(wildcards.round) + 1),
        ),
        previous=branch(
            lambda wildcards: int(wildcards.round) > 0,
            then=lambda wildcards: f"<results>/potential/round{int(wildcards.round) - 1}/student.safetensors",
        ),
    output:
        student="<results>/potential/round{round}/student.safetensors",
    log:
        "<logs>/potential/train_potential_{round}.log",
    benchmark:
        "<benchmarks>/potential/train_potential_{round}.tsv"
    conda:
        "../../envs/train_potential.yaml"
    threads: 1
    resources:
        mem_mb=growing(6000),
        runtime=growing(720),
        gpu=int(TRAINING["device"] == "cuda"),
    params:
        cfg=TRAINING,
        code=code_digest("train_potential.py"),
    script:
        "../../scripts/train_potential.py"


rule evaluate_potential:
    input:
        student=f"<results>/potential/round{TRAINING['rounds'] - 1}/student.safetensors",
        labelled=expand(
            "<results>/potential/round{number}/labelled.extxyz",
            number=range(TRAINING["rounds"]),
        ),
        counts=expand(
            "<results>/potential/round{number}/counts.json",
            number=range(TRAINING["rounds"]),
        ),
    output:
        model="<results>/potential/getsei-small.safetensors",
        card="<results>/potential/getsei-small.yaml",
        report="<results>/potential/evaluation.json",
        table=report(
            "<results>/potential/evaluation.csv",
            caption="../report/potential_errors.rst",
            category="Potential",
            labels={"result": "errors", "type": "table"},
        ),
        png=report(
            "<results>/potential/evaluation.png",
            caption="../report/potential.rst",
            category="Potential",
            labels={"result": "errors and pair scans", "type": "figure"},
        ),
        svg="<results>/potential/evaluation.svg",
    log:
        "<logs>/potential/evaluate_potential.log",
    benchmark:
        "<benchmarks>/potential/evaluate_potential.tsv"
    conda:
        "../../envs/evaluate_potential.yaml"
    threads: 1
    resources:
        mem_mb=growing(12000),
        runtime=growing(240),
    params:
        cfg=TRAINING,
        code=code_digest("evaluate_potential.py"),
    script:
        "../../scripts/evaluate_potential.py"
