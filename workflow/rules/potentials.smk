TRAINING = settings.of_training(config)
FINAL_STUDENT = TRAINING.get(
    "student", f"<results>/potential/round{TRAINING['rounds'] - 1}/student.safetensors"
)
TEST_DATA = {
    "labelled": TRAINING.get(
        "labelled",
        expand(
            "<results>/potential/round{number}/labelled.extxyz",
            number=range(TRAINING["rounds"]),
        ),
    ),
    "counts": (
        []
        if "labelled" in TRAINING
        else expand(
            "<results>/potential/round{number}/counts.json",
            number=range(TRAINING["rounds"]),
        )
    ),
}


rule potential:
    input:
        "<results>/potential/getsei-small.yaml",
        "<results>/potential/evaluation.html",
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


rule evaluate_accuracy:
    input:
        student=FINAL_STUDENT,
        labelled=TEST_DATA["labelled"],
        counts=TEST_DATA["counts"],
    output:
        found="<results>/potential/evaluation/accuracy.json",
        table=report(
            "<results>/potential/evaluation/errors.csv",
            caption="../report/potential_errors.rst",
            category="Potential",
            labels={"result": "errors", "type": "table"},
        ),
    log:
        "<logs>/potential/evaluate_accuracy.log",
    benchmark:
        "<benchmarks>/potential/evaluate_accuracy.tsv"
    conda:
        "../../envs/evaluate_accuracy.yaml"
    threads: 1
    resources:
        mem_mb=growing(12000),
        runtime=growing(120),
    params:
        cfg=TRAINING,
        code=code_digest("evaluate_accuracy.py"),
    script:
        "../../scripts/evaluate_accuracy.py"


rule evaluate_part:
    input:
        student=branch(lambda wildcards: wildcards.who == "student", then=FINAL_STUDENT),
    output:
        found="<results>/potential/evaluation/{who}/{part}.json",
    log:
        "<logs>/potential/evaluate_{who}_{part}.log",
    benchmark:
        "<benchmarks>/potential/evaluate_{who}_{part}.tsv"
    conda:
        "../../envs/evaluate_part.yaml"
    threads: 1
    resources:
        mem_mb=growing(8000),
        runtime=growing(240),
    params:
        cfg={key: TRAINING[key] for key in plan.NEEDED},
        code=code_digest("evaluate_part.py"),
    script:
        "../../scripts/evaluate_part.py"


rule evaluate_potential:
    input:
        student=FINAL_STUDENT,
        accuracy="<results>/potential/evaluation/accuracy.json",
        answers=expand(
            "<results>/potential/evaluation/student/{part}.json",
            part=plan.parts_of("student", TRAINING),
        ),
        teacher=expand(
            "<results>/potential/evaluation/teacher/{part}.json",
            part=plan.parts_of("teacher", TRAINING),
        ),
    output:
        model="<results>/potential/getsei-small.safetensors",
        card="<results>/potential/getsei-small.yaml",
        report="<results>/potential/evaluation.json",
        page="<results>/potential/evaluation.html",
        png=report(
            "<results>/potential/evaluation.png",
            caption="../report/potential.rst",
            category="Potential",
            labels={"result": "errors", "type": "figure"},
        ),
        svg="<results>/potential/evaluation.svg",
        physics_png=report(
            "<results>/potential/physics.png",
            caption="../report/potential_physics.rst",
            category="Potential",
            labels={"result": "student beside teacher", "type": "figure"},
        ),
        physics_svg="<results>/potential/physics.svg",
    log:
        "<logs>/potential/evaluate_potential.log",
    benchmark:
        "<benchmarks>/potential/evaluate_potential.tsv"
    conda:
        "../../envs/evaluate_potential.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    params:
        cfg=TRAINING,
        folders=[
            f"{RESULTS}/potential/round{number}"
            for number in range(TRAINING["rounds"])
        ],
        code=code_digest("evaluate_potential.py"),
    script:
        "../../scripts/evaluate_potential.py"
