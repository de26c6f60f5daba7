"""Do scikit-learn's own tools, fed the same features, find the published AUROCs?

For each backbone: scikit-learn's StandardScaler and LogisticRegression over a path of C and the head's inputs, chosen
on validation by scikit-learn's roc_auc_score, refitted on train + validation, scored on test. Nothing of radlib's
probes, metrics or choice is used, only its features and split.

    python benchmarks/agreement.py DIR         # DIR: the Brain Tumor release
    python benchmarks/agreement.py --smallest  # one backbone on a small stand-in, to see that it runs
"""

import argparse
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import standins
from radlib import assets
from radlib.data.catalog import open_dataset
from radlib.evaluate.features import extract
from radlib.models import backbones
from radlib.report import result

PATH = np.logspace(-6, 0, 7)


def main() -> None:
    """Print scikit-learn's and the published AUROC of each backbone."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("root", metavar="DIR", type=Path, nargs="?")
    ask.add_argument("--smallest", action="store_true", help="the smallest sizes, to see that it runs")
    given = ask.parse_args()
    if not (given.root or given.smallest):
        ask.error("name the folder of the Brain Tumor release")
    root = given.root or standins.write("brain_tumor", assets.cache_dir() / "standins" / "brain_tumor-12", 12)
    dataset = open_dataset("brain_tumor", root)
    split, y = dataset.samples["split"].to_numpy(), dataset.labels
    if given.smallest:  # so few patients leave some part of the split without one of the classes
        split = np.array(["train", "validation", "test"])[np.arange(len(y)) % 3]
    train, validation, test = (split == name for name in ("train", "validation", "test"))
    published = {
        (found.backbone.id, found.protocol): found.value
        for found in result.published("table04")
        if found.scored == "all"
    }
    print(f"{'backbone':20} {'input':10} {'C':>7} {'scikit-learn':>12} {'L-BFGS here':>12} {'SGD heads':>10}")
    names = list(dict.fromkeys(name for name, _ in published))
    for name in names[:1] if given.smallest else names:
        inputs = extract(dataset, backbones.load(name)).linear_inputs()
        scores = {}
        for key, x in inputs.items():
            for c in PATH:
                guess = classifier(c).fit(x[train], y[train]).predict_proba(x[validation])
                scores[key, c] = roc_auc_score(y[validation], guess, multi_class="ovr")
        key, c = max(scores, key=lambda tried: scores[tried])
        x = inputs[key]
        guess = classifier(c).fit(x[train | validation], y[train | validation]).predict_proba(x[test])
        found = roc_auc_score(y[test], guess, multi_class="ovr")
        here, heads = published[name, "logistic_regression"], published[name, "linear_probe"]
        print(f"{name:20} {key:10} {c:7.0e} {found:12.4f} {here:12.4f} {heads:10.4f}", flush=True)


def classifier(c: float):
    """Standardised features, multinomial logistic regression of inverse penalty `c`."""
    return make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=3000))


if __name__ == "__main__":
    main()
