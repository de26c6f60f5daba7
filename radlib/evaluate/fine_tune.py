"""Fine-tuning: a backbone, or a small part of it, learns together with its linear heads (paper sections 3.3.1, 4.3).

The heads are the linear probe's grid, inputs x learning rates, each with its own loss; the backbone follows the sum
of all. After every epoch the validation images choose the best head so far; test is scored once, by the backbone and
head of the best epoch. Nothing is refitted on train + validation: the number of epochs was chosen on validation.

Every epoch ends with a checkpoint. Random numbers of an epoch come from the seed and the epoch alone, so a run that was
killed and went on gives the bytes of one that was not (on a CPU; a GPU sums in no fixed order).
"""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import RandomResizedCrop
from tqdm import tqdm

from radlib import memory
from radlib.data.preprocess import normalised
from radlib.data.squares import Squares
from radlib.errors import RadlibError
from radlib.evaluate import checkpoint, head_grid
from radlib.evaluate.auroc import macro_auroc
from radlib.evaluate.cases import Cases
from radlib.evaluate.head_grid import HeadGrid
from radlib.evaluate.probe import Cohort, Probe, open_cohort
from radlib.evaluate.schedule import CROP_SCALE, FLIP_CHANCE, Settings
from radlib.models import adapters, runtime
from radlib.models.backbones import Backbone


@dataclass(frozen=True)
class Tuned:
    """What came of it: a `Probe` as linear probing gives, and what it cost.

    trainable_parameters: of backbone and chosen head. epochs_run: in this call, 0 when everything came from a
    checkpoint. seconds: training and validating, over all calls that made this result. peak_memory_mb: largest
    resident memory of the process meanwhile, on a GPU the largest allocation there, in MB.
    """

    probe: Probe
    trainable_parameters: int
    epochs_run: int
    seconds: float
    peak_memory_mb: float


def fine_tune(
    squares: Squares,
    whole: Cases,
    backbone: Backbone,
    settings: Settings,
    *,
    n_classes: int,
    saved: Path,
    identity: Mapping[str, str],
    device: str = "auto",
    progress: bool = True,
) -> Tuned:
    """Train `backbone` (changed in place) with its heads on train, choose epoch and head on validation, score test.

    Args:
        squares: the N images.
        whole: their cases, labels and splits. Slices of a study are trained on one by one with the study's label and
            scored by the mean of their features.
        backbone: ready for images of the squares' size.
        settings: see `Settings`.
        n_classes: K.
        saved: the checkpoint: gone on from when it is there, and read for the whole result when it is finished.
        identity: what the checkpoint must agree with beside the settings: fingerprints of data and split, weights.
        device: as for `runtime.encoder`; multiplies in `runtime.training_dtype`.
        progress: a bar for every epoch.

    Raises:
        RadlibError: what `open_cohort` refuses, a checkpoint of another run, a loss that is not finite, a full disk.
    """
    split = whole.samples["split"].to_numpy()
    cohort = open_cohort({"labels alone": np.empty((len(whole), 0))}, whole.labels, split, n_classes)
    where = runtime.torch_device(device)
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)  # LoRA's first matrices are drawn
        module = adapters.adapt(backbone, settings.method).to(where)
    run = _Run(backbone, module, whole, cohort, squares, settings, n_classes, where)
    agrees = {**identity, **settings.described(), "device": where.type}
    state = checkpoint.read(saved, agrees)
    first = run.resume(state) if state else 0
    if not (state and state["finished"]):
        since = time.perf_counter()
        for epoch in range(first, settings.epochs):
            started = time.perf_counter()
            with memory.peak() as held:
                run.train(epoch, progress)
                run.validate(epoch)
            run.seconds += time.perf_counter() - started
            run.remember(held.mb)
            if time.perf_counter() - since > checkpoint.SECONDS_BETWEEN:
                checkpoint.write(saved, agrees, run.state(epoch + 1))
                since = time.perf_counter()
        run.test()
        checkpoint.write(saved, agrees, run.finished_state())
    return run.tuned(settings.epochs - first)


@dataclass
class _Run:
    backbone: Backbone
    module: nn.Module
    whole: Cases
    cohort: Cohort
    squares: Squares
    settings: Settings
    n_classes: int
    where: torch.device
    seconds: float = 0.0
    peak_mb: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, Any] = field(default_factory=dict)
    scores: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        chosen = self.settings
        multi_label = self.cohort.multi_label
        self.heads = HeadGrid(self.backbone, chosen.learning_rates, self.n_classes, multi_label, chosen.seed)
        self.heads.to(self.where)
        self.head_optimizer = self.heads.optimizer()
        self.learning = {name: weight for name, weight in self.module.named_parameters() if weight.requires_grad}
        self.optimizer = torch.optim.AdamW(list(self.learning.values()), lr=chosen.rate, weight_decay=0.0)
        self.scaler = torch.amp.GradScaler(enabled=self.where.type == "cuda")
        if self.where.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.where)

    def train(self, epoch: int, progress: bool) -> None:
        # Running means of a CNN's batch norms move in full fine-tuning only; LoRA's dropout works in train mode.
        self.module.train(self.settings.method != "bitfit")
        train_images = np.flatnonzero(np.isin(self.whole.of_image, self.cohort.train))
        order = np.random.default_rng([self.settings.seed, epoch]).permutation(train_images)
        size, steps = self.settings.batch_size, -(-len(order) // self.settings.batch_size)
        targets = torch.from_numpy(_targets(self.cohort, self.whole)).to(self.where)
        title = f"{self.settings.method}, epoch {epoch + 1} of {self.settings.epochs}"
        with torch.random.fork_rng(), tqdm(total=len(order), desc=title, unit="image", disable=not progress) as bar:
            torch.manual_seed(self.settings.seed * 100_003 + epoch)
            for step in range(steps):
                cosine = (1 + math.cos(math.pi * (epoch + step / steps) / self.settings.epochs)) / 2
                self.heads.set_rates(self.head_optimizer, cosine)
                self.optimizer.param_groups[0]["lr"] = self.settings.rate * cosine
                batch = order[step * size : (step + 1) * size]
                for low in range(0, len(batch), self.settings.at_once):
                    rows = batch[low : low + self.settings.at_once]
                    features = self._inputs(_augmented(torch.from_numpy(self.squares[rows])))
                    loss = self.heads.loss(features, targets[self.whole.of_image[rows]])
                    if not torch.isfinite(loss):
                        raise RadlibError(
                            f"The loss of {self.settings.method} is no longer finite in epoch {epoch + 1}; lower "
                            "backbone_rate."
                        )
                    self.scaler.scale(loss * (len(rows) / len(batch))).backward()
                    bar.update(len(rows))
                for optimizer in (self.optimizer, self.head_optimizer):
                    self.scaler.step(optimizer)
                    optimizer.zero_grad()
                self.scaler.update()

    def validate(self, epoch: int) -> None:
        """AUROC of every head on validation; the best so far is kept with the weights it needs."""
        features = self._case_inputs(self.cohort.validation)
        better = None
        for number, (name, rate) in enumerate(self.heads.names):
            scores = self.heads.scores(number, features)
            finite = bool(np.isfinite(scores).all())
            auroc = macro_auroc(self.cohort.validation_labels, scores) if finite else None
            row = {"input": name, "learning_rate": rate, "epoch": epoch + 1, "validation_auroc": auroc}
            self.history.append({**row, "diverged": not finite})
            if auroc is not None and auroc > self.best.get("validation_auroc", -1.0):
                self.best = {**row, "number": number}
                better = number
        if better is not None:
            self.best["weights"] = self._adapted()
            self.best["head"] = checkpoint.copied(self.heads.heads[better].state_dict())
        if not self.best:
            raise RadlibError(f"Every head of {self.settings.method} diverged in epoch {epoch + 1}; lower the rates.")

    def test(self) -> None:
        self.module.load_state_dict(self.best["weights"], strict=False)
        self.heads.heads[self.best["number"]].load_state_dict(self.best["head"])
        self.scores = self.heads.scores(self.best["number"], self._case_inputs(self.cohort.test))

    def _inputs(self, images: Tensor) -> dict[str, Tensor]:
        """Images (B, 3, H, W) in [0, 1] -> what the heads read."""
        ready = torch.from_numpy(normalised(images.numpy())).to(self.where)
        kind = runtime.training_dtype(str(self.where))
        with torch.autocast(self.where.type, kind, enabled=kind != torch.float32):
            return head_grid.inputs(self.backbone, ready)

    def _case_inputs(self, cases: NDArray[np.intp]) -> dict[str, NDArray[np.float32]]:
        """What the heads read of `cases` `(M,)`, each the mean over its images, `(M, d)`."""
        self.module.eval()
        images = np.flatnonzero(np.isin(self.whole.of_image, cases))
        pieces: list[dict[str, Tensor]] = []
        with torch.inference_mode():
            for low in range(0, len(images), self.settings.at_once):
                rows = images[low : low + self.settings.at_once]
                pieces.append(self._inputs(torch.from_numpy(self.squares[rows])))
        of = np.searchsorted(cases, self.whole.of_image[images])
        counts = np.bincount(of, minlength=len(cases))[:, None]
        found = {}
        for name in pieces[0]:
            rows_of = np.concatenate([piece[name].cpu().numpy() for piece in pieces])
            sums = np.zeros((len(cases), rows_of.shape[1]))
            np.add.at(sums, of, rows_of)
            found[name] = (sums / counts).astype(np.float32)
        return found

    def _adapted(self) -> dict[str, Tensor]:
        """Copies of the weights that learn, and of running means, which full fine-tuning moves."""
        buffers = dict(self.module.named_buffers()) if self.settings.method == "fine_tune" else {}
        return checkpoint.copied({**self.learning, **buffers})

    def state(self, epochs_done: int) -> dict[str, Any]:
        """Everything that the next epoch needs."""
        return {
            **self._outcome(epochs_done, finished=False),
            "weights": self._adapted(),
            "heads": checkpoint.copied(self.heads.state_dict()),
            "optimizer": self.optimizer.state_dict(),
            "head_optimizer": self.head_optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
        }

    def finished_state(self) -> dict[str, Any]:
        """The result and the weights it was made with; what training alone needed is let go."""
        assert self.scores is not None
        return {**self._outcome(self.settings.epochs, finished=True), "scores": torch.from_numpy(self.scores)}

    def _outcome(self, epochs_done: int, finished: bool) -> dict[str, Any]:
        facts = {"finished": finished, "epochs_done": epochs_done}
        costs = {"seconds": self.seconds, "peak_mb": self.peak_mb}
        return {**facts, **costs, "history": self.history, "best": self.best}

    def remember(self, held_mb: float) -> None:
        """The memory an epoch held counts when it is the most so far."""
        on_gpu = torch.cuda.max_memory_allocated(self.where) / memory.MB if self.where.type == "cuda" else None
        self.peak_mb = max(self.peak_mb, held_mb if on_gpu is None else on_gpu)

    def resume(self, state: dict[str, Any]) -> int:
        """Take up a checkpoint's `state`; returns how many epochs it has done."""
        self.history, self.best = state["history"], state["best"]
        self.seconds, self.peak_mb = state["seconds"], state["peak_mb"]
        if state["finished"]:
            self.scores = state["scores"].numpy()
        else:
            self.module.load_state_dict(state["weights"], strict=False)
            self.heads.load_state_dict(state["heads"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.head_optimizer.load_state_dict(state["head_optimizer"])
            self.scaler.load_state_dict(state["scaler"])
        return int(state["epochs_done"])

    def tuned(self, epochs_run: int) -> Tuned:
        assert self.scores is not None
        chosen = {name: self.best[name] for name in ("input", "learning_rate", "epoch")}
        probe = Probe(
            head=chosen,
            validation=self.history,
            scores=self.scores,
            test_rows=self.cohort.test,
            seconds=self.seconds,
            hyperparameters={**self.settings.hyperparameters(), "chosen": chosen},
        )
        head = self.heads.heads[self.best["number"]]
        learned = adapters.trainable_parameters(self.module) + sum(weight.numel() for weight in head.parameters())
        return Tuned(probe, learned, epochs_run, self.seconds, self.peak_mb)


def _augmented(images: Tensor) -> Tensor:
    """Each of (B, 3, H, W) in [0, 1] cropped and mirrored on its own, image by image from torch's random numbers."""
    crop = RandomResizedCrop(
        images.shape[-1], scale=CROP_SCALE, interpolation=InterpolationMode.BICUBIC, antialias=True
    )
    changed = []
    for image in images:
        cut = crop(image)
        changed.append(cut.flip(-1) if torch.rand(()) < FLIP_CHANCE else cut)
    return torch.stack(changed).clamp_(0, 1)  # bicubic overshoots


def _targets(cohort: Cohort, whole: Cases) -> NDArray[np.float32]:
    """(M, K) targets of the training cases, zeros elsewhere: no label of validation or test can reach a loss."""
    targets = np.zeros((len(whole), cohort.train_targets.shape[1]), np.float32)
    targets[cohort.train] = cohort.train_targets
    return targets
