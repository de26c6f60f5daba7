import pytest

from radlib.report.result import BackboneUsed, DataUsed, Interval, Result


@pytest.fixture(scope="session")
def make():
    """Maker of Results that differ from a plain one in the fields given."""
    return _make


def _make(value=0.8, low=0.7, high=0.9, **changes):
    fields = dict(
        table="table04",
        protocol="linear_probe",
        scored="all",
        value=value,
        interval=Interval(low=low, high=high, resamples=2000, resamples_used=1999),
        per_class={"a": value, "b": None},
        n_images=10,
        n_patients=4,
        seed=0,
        data=DataUsed(
            dataset="brain_tumor",
            title="Brain Tumor",
            origin="paper",
            note="",
            fingerprint="a" * 64,
            split_sha256="b" * 64,
            classes=("a", "b"),
            images={"train": 20, "validation": 10, "test": 10},
            patients={"train": 8, "validation": 4, "test": 4},
        ),
        backbone=BackboneUsed(
            id="dinov2_vits14", title="ViT-S/14", weights_sha256="c" * 64, image_size=224, runtime="torch-float32"
        ),
        chosen={"input": "cls1", "learning_rate": 0.01},
        chosen_how="on validation",
        candidates=({"input": "cls1", "learning_rate": 0.01, "validation_auroc": 0.8, "diverged": False},),
        hyperparameters={"epochs": 100},
        preprocessing="as stored",
        seconds={"features": 1.0, "fit": 0.1},
        device="a CPU",
        versions={"torch": "2"},
        commit="unknown",
        predictions_sha256="0" * 64,
    )
    return Result(**(fields | changes))


@pytest.fixture(autouse=True)
def _own_cache(own_cache):
    """Features and checkpoints of tests never meet the user's."""
