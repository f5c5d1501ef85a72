TRAINING = settings.of_training(config)
ROUND = "<results>/potential/round{round}"
# What is trained: a student in every round, and then from the frames of all rounds.
STAGE = "<results>/potential/{stage}"
FINAL = f"final{len(TRAINING['final_schedules']) - 1}"
# One round waits for another, the teacher's answers for nobody: they fill the cores that rounds leave idle.
ROUNDS_FIRST = 10
STARTS = (
    "seed",
    "electrolytes",
    "metal",
    "products",
    "orderings",
    "frame_weights",
    "starts_per_round",
)
SAMPLING = (*STARTS, "elements", "frames_per_amplitude", "frames_per_round")
PARTS = range(TRAINING["parts"])


rule potential:
    input:
        "<results>/potential/getsei-small.yaml",
        "<results>/potential/evaluation.html",
        "<results>/potential/getsei-small.uncertainty.safetensors",
        final_review,
    localrule: True


rule draw_starts:
    output:
        starts=temp(f"{ROUND}/starts.extxyz"),
    log:
        "<logs>/potential/draw_starts_{round}.log",
    benchmark:
        "<benchmarks>/potential/draw_starts_{round}.tsv"
    priority: ROUNDS_FIRST
    conda:
        "../../envs/draw_starts.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        cfg=training_part(*STARTS),
        code=code_digest("draw_starts.py"),
    script:
        "../../scripts/draw_starts.py"


rule follow_starts:
    input:
        starts=f"{ROUND}/starts.extxyz",
        student=branch(
            lambda wildcards: int(wildcards.round) > 0,
            then=of_round_before("student.safetensors"),
        ),
        uncertainty=branch(
            lambda wildcards: int(wildcards.round) > 0,
            then=of_round_before("student.uncertainty.safetensors"),
        ),
    output:
        moved=temp(f"{ROUND}/moved/{{part}}.extxyz"),
    log:
        "<logs>/potential/follow_starts_{round}_{part}.log",
    benchmark:
        "<benchmarks>/potential/follow_starts_{round}_{part}.tsv"
    priority: ROUNDS_FIRST
    conda:
        "../../envs/follow_starts.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(240),
    params:
        cfg=training_part("teacher", "parts", "teacher_md", "student_md"),
        code=code_digest("follow_starts.py"),
    script:
        "../../scripts/follow_starts.py"


rule sample_dataset:
    input:
        starts=f"{ROUND}/starts.extxyz",
        moved=expand(f"{ROUND}/moved/{{part}}.extxyz", part=PARTS, allow_missing=True),
        known=of_rounds_before("frames.extxyz"),
    output:
        frames=f"{ROUND}/frames.extxyz",
        sampled=f"{ROUND}/sampled.json",
    log:
        "<logs>/potential/sample_dataset_{round}.log",
    benchmark:
        "<benchmarks>/potential/sample_dataset_{round}.tsv"
    priority: ROUNDS_FIRST
    conda:
        "../../envs/sample_dataset.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
    params:
        cfg=training_part(*SAMPLING),
        code=code_digest("sample_dataset.py"),
    script:
        "../../scripts/sample_dataset.py"


rule label_part:
    input:
        frames=f"{ROUND}/frames.extxyz",
    output:
        labelled=temp(f"{ROUND}/labels/{{part}}.extxyz"),
        told=temp(f"{ROUND}/labels/{{part}}.json"),
    log:
        "<logs>/potential/label_part_{round}_{part}.log",
    benchmark:
        "<benchmarks>/potential/label_part_{round}_{part}.tsv"
    priority: ROUNDS_FIRST
    conda:
        "../../envs/label_part.yaml"
    threads: 1
    resources:
        mem_mb=growing(8000),
        runtime=growing(120),
    params:
        cfg=training_part("teacher", "parts"),
        code=code_digest("label_part.py"),
    script:
        "../../scripts/label_part.py"


rule label_frames:
    input:
        frames=f"{ROUND}/frames.extxyz",
        labelled=expand(
            f"{ROUND}/labels/{{part}}.extxyz", part=PARTS, allow_missing=True
        ),
        told=expand(f"{ROUND}/labels/{{part}}.json", part=PARTS, allow_missing=True),
    output:
        labelled=f"{ROUND}/labelled.extxyz",
        counts=f"{ROUND}/counts.json",
    log:
        "<logs>/potential/label_frames_{round}.log",
    benchmark:
        "<benchmarks>/potential/label_frames_{round}.tsv"
    priority: ROUNDS_FIRST
    conda:
        "../../envs/label_frames.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        code=code_digest("label_frames.py"),
    script:
        "../../scripts/label_frames.py"


rule train_potential:
    input:
        labelled=frames_to_learn,
        previous=student_before,
    output:
        student=f"{STAGE}/student.safetensors",
    log:
        "<logs>/potential/train_potential_{stage}.log",
    benchmark:
        "<benchmarks>/potential/train_potential_{stage}.tsv"
    priority: ROUNDS_FIRST
    conda:
        "../../envs/train_potential.yaml"
    threads: 1
    resources:
        mem_mb=growing(6000),
        runtime=growing(720),
        gpu=int(TRAINING["device"] == "cuda"),
    params:
        cfg=training_part("architecture", "seed", "device"),
        schedule=schedule_of_training,
        code=code_digest("train_potential.py"),
    script:
        "../../scripts/train_potential.py"


rule train_member:
    input:
        labelled=frames_to_learn,
        student=f"{STAGE}/student.safetensors",
    output:
        member=f"{STAGE}/committee/member{{member}}.safetensors",
    log:
        "<logs>/potential/train_member_{stage}_{member}.log",
    benchmark:
        "<benchmarks>/potential/train_member_{stage}_{member}.tsv"
    conda:
        "../../envs/train_member.yaml"
    threads: 1
    resources:
        mem_mb=growing(6000),
        runtime=growing(720),
        gpu=int(TRAINING["device"] == "cuda"),
    params:
        cfg=training_part("architecture", "committee", "seed", "device"),
        code=code_digest("train_member.py"),
    script:
        "../../scripts/train_member.py"


rule calibrate_potential:
    input:
        student=f"{STAGE}/student.safetensors",
        labelled=frames_to_learn,
        earlier=students_of_earlier_rounds,
        trained=expand(
            f"{STAGE}/committee/member{{member}}.safetensors",
            member=range(1, TRAINING["committee"]["trained"] + 1),
            allow_missing=True,
        ),
    output:
        uncertainty=f"{STAGE}/student.uncertainty.safetensors",
        report=f"{STAGE}/uncertainty.json",
    log:
        "<logs>/potential/calibrate_potential_{stage}.log",
    benchmark:
        "<benchmarks>/potential/calibrate_potential_{stage}.tsv"
    priority: ROUNDS_FIRST
    conda:
        "../../envs/calibrate_potential.yaml"
    threads: 1
    resources:
        mem_mb=growing(5000),
        runtime=growing(60),
    params:
        cfg=training_part("committee", "seed"),
        code=code_digest("calibrate_potential.py"),
    script:
        "../../scripts/calibrate_potential.py"


checkpoint review_round:
    input:
        labelled=of_rounds_until("labelled.extxyz"),
        counts=f"{ROUND}/counts.json",
        sampled=f"{ROUND}/sampled.json",
        student=f"{ROUND}/student.safetensors",
        previous=branch(
            lambda wildcards: int(wildcards.round) > 0,
            then=of_round_before("student.safetensors"),
        ),
        uncertainty=branch(
            lambda wildcards: int(wildcards.round) > 0,
            then=of_round_before("student.uncertainty.safetensors"),
        ),
        before=branch(
            lambda wildcards: int(wildcards.round) > 0,
            then=of_round_before("round.json"),
        ),
    output:
        review=f"{ROUND}/round.json",
    log:
        "<logs>/potential/review_round_{round}.log",
    benchmark:
        "<benchmarks>/potential/review_round_{round}.tsv"
    priority: ROUNDS_FIRST
    conda:
        "../../envs/review_round.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
    params:
        code=code_digest("review_round.py"),
    script:
        "../../scripts/review_round.py"


rule keep_uncertainty:
    input:
        f"<results>/potential/{FINAL}/student.uncertainty.safetensors",
    output:
        "<results>/potential/getsei-small.uncertainty.safetensors",
    log:
        "<logs>/potential/keep_uncertainty.log",
    benchmark:
        "<benchmarks>/potential/keep_uncertainty.tsv"
    conda:
        "../../envs/keep_uncertainty.yaml"
    threads: 1
    resources:
        mem_mb=growing(500),
        runtime=growing(10),
    params:
        code=code_digest("keep_uncertainty.py"),
    script:
        "../../scripts/keep_uncertainty.py"


rule evaluate_accuracy:
    input:
        student=student_to_evaluate,
        labelled=test_data("labelled.extxyz"),
        counts=test_data("counts.json"),
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
        student=branch(
            lambda wildcards: wildcards.who == "student", then=student_to_evaluate
        ),
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
        student=student_to_evaluate,
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
        rounds_png=report(
            "<results>/potential/rounds.png",
            caption="../report/potential_rounds.rst",
            category="Potential",
            labels={"result": "rounds", "type": "figure"},
        ),
        rounds_svg="<results>/potential/rounds.svg",
        rounds=report(
            "<results>/potential/rounds.csv",
            caption="../report/potential_rounds.rst",
            category="Potential",
            labels={"result": "rounds", "type": "table"},
        ),
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
        folders=round_folders,
        code=code_digest("evaluate_potential.py"),
    script:
        "../../scripts/evaluate_potential.py"
