import numpy as np
import pytest

from tfdistill.report import (
    ALONE,
    DISTILLED,
    TEACHER,
    CalibrationBins,
    Cascade,
    CascadeStage,
    Cost,
    Data,
    Export,
    Model,
    Part,
    Results,
    Stage,
)

CENTRES = {
    "recall": {
        "ndcg@10": (0.0864, 0.0741, 0.0792),
        "recall@10": (0.121, 0.104, 0.112),
        "recall@50": (0.338, 0.301, 0.322),
        "ndcg@10_head": (0.0991, 0.0892, 0.0951),
        "recall@10_head": (0.142, 0.127, 0.136),
        "recall@50_head": (0.391, 0.362, 0.385),
        "ndcg@10_tail": (0.021, 0.012, 0.0115),
        "recall@10_tail": (0.032, 0.018, 0.017),
        "recall@50_tail": (0.112, 0.081, 0.079),
    },
    "ranking": {
        "auc": (0.7862, 0.7744, 0.7828),
        "gauc": (0.7502, 0.7252, 0.7346),
        "log_loss": (0.5462, 0.5602, 0.5465),
        "ndcg@10": (0.912, 0.897, 0.904),
        "calibration": (1.012, 0.961, 0.994),
        "ece": (0.0121, 0.0344, 0.0188),
        "auc_head": (0.771, 0.760, 0.768),
        "calibration_head": (1.02, 0.98, 1.00),
        "auc_tail": (0.801, 0.781, 0.795),
        "calibration_tail": (0.97, 0.91, 0.98),
    },
}


def model(rng, kind, name, column, seeds):
    def values():
        return {
            metric: [centres[column] + rng.normal(0, 0.0015) for _ in range(seeds)]
            for metric, centres in CENTRES[kind].items()
        }

    return Model(name, values(), values())


def stage(rng, name, primary, seeds, columns=(0, 1, 2)):
    kind = "recall" if name == "recall" else "ranking"
    return Stage(
        name,
        primary,
        tuple(
            model(rng, kind, row, column, seeds)
            for row, column in zip((TEACHER, ALONE, DISTILLED), columns)
        ),
    )


SHARES = {
    ALONE: ((0.64, 0.61), (0.31, 0.42), (0.11, 0.33)),
    DISTILLED: ((0.67, 0.71), (0.33, 0.55), (0.12, 0.47)),
    TEACHER: ((0.69, 1.0), (0.35, 1.0), (0.125, 1.0)),
}


def cascade(rng, name, seeds):
    def near(centre):
        return [float(centre + rng.normal(0, 0.004)) for _ in range(seeds)]

    stages = []
    cuts = (("recall", 200), ("coarse", 50), ("fine", 10))
    for (part, kept), (share, overlap) in zip(cuts, SHARES[name]):
        values = {
            "survival": near(share),
            "survival_head": near(share + 0.04),
            "survival_tail": near(share * 0.6),
            "overlap": near(overlap),
        }
        stages.append(CascadeStage(part, kept, values))
    page = {"ndcg@10": near(0.07), "recall@10": near(0.11), "ndcg@10_tail": near(0.02)}
    return Cascade(name, page, tuple(stages))


def make_results(seeds=(0, 1, 2)):
    rng, size = np.random.default_rng(0), len(seeds)
    predicted = np.linspace(0.08, 0.86, 10)
    return Results(
        title="One teacher, three students on MovieLens-100K",
        command="python -m tfdistill quickstart --seeds 3 --out runs/quickstart",
        data=Data(
            "MovieLens-100K, from the wheel recbole 1.2.1",
            100_000,
            943,
            1_682,
            "last interactions of each user",
            (
                Part("train", 24_410, 80_000, 943, 0, 1_642, 0),
                Part("validation", 943, 10_000, 943, 0, 1_180, 12),
                Part("test", 943, 10_000, 943, 0, 1_211, 28),
            ),
        ),
        seeds=seeds,
        versions={"tfdistill": "0.1.0", "tensorflow": "2.15.1", "python": "3.11.9"},
        hardware="2 cores x86_64, 8 GiB, no GPU",
        facts={"Training": "1,440 steps and one trial per model, none chosen on test"},
        stages=(
            stage(rng, "recall", "ndcg@10", size),
            stage(rng, "coarse", "gauc", size, columns=(1, 0, 1)),
            stage(rng, "fine", "gauc", size),
        ),
        cascades=tuple(cascade(rng, name, size) for name in SHARES),
        costs=(
            Cost("teacher", 148_211, 115.2, 5.02, 7.9),
            Cost("recall", 31_018, 0.064, 0.45, 0.71),
            Cost("coarse", 42_991, 0.76, 0.82, 1.2),
            Cost("fine", 45_120, 2.17, 1.21, 1.9),
        ),
        curves={
            "loss": [float(3 * 0.8**e + 1) for e in range(12)],
            "val_loss": [float(3 * 0.82**e + 1.2 + 0.01 * e) for e in range(12)],
            **{
                f"{stage}/{part}": [float(0.5 * 0.85**e + 0.2) for e in range(12)]
                for stage in ("teacher", "recall", "coarse", "fine")
                for part in ("task", "teacher's order")
            },
        },
        calibration=tuple(
            CalibrationBins(
                part,
                name,
                predicted.tolist(),
                (predicted * scale + 0.02 * np.sin(9 * predicted)).tolist(),
                [1_000] * 10,
            )
            for part in ("coarse", "fine")
            for name, scale in ((TEACHER, 1.0), (ALONE, 1.12), (DISTILLED, 1.03))
        ),
        warnings=("Item 267 has no title and is served from the defaults.",),
        exports=tuple(
            Export(
                part,
                f"runs/quickstart/export/{part}/1",
                "a fresh Python process without tfdistill",
                value,
            )
            for part, value in (("recall", 0.0), ("coarse", 1.2e-7), ("fine", 0.0))
        ),
    )  # fmt: skip


@pytest.fixture(name="results", scope="session")
def fixture_results():
    return make_results()


@pytest.fixture(name="one_seed", scope="session")
def fixture_one_seed():
    return make_results(seeds=(0,))
