"""Training what draws masks: decoders on a frozen encoder's tokens, and networks from scratch (paper section 3.3.2).

Networks of all learning rates see the same batches side by side. Validation, which knows nothing of test, chooses the
rate; a network of that rate is then fitted anew to train and validation together, and test is predicted once. What a
network is fed, tokens or images, is the caller's business.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from radlib import memory
from radlib.errors import RadlibError
from radlib.evaluate import checkpoint, overlap
from radlib.evaluate.segmentation_task import LEARNING_RATES, MOMENTUM, Rows, Schedule, Split, Task
from radlib.evaluate.segmented import Segmented, forward, predict
from radlib.evaluate.soft_dice import loss
from radlib.models import runtime

__all__ = ["LEARNING_RATES", "Rows", "Schedule", "Segmented", "Split", "Task", "segment"]

COLLAPSE = 0.1  # of the score: far more than chance moves it, far less than one of ten classes lost
PROCEDURE = 2  # raised when the same settings would give other numbers: older checkpoints are then not gone on from


def segment(
    task: Task,
    schedule: Schedule,
    saved: Path,
    identity: Mapping[str, str],
    device: str = "auto",
    progress: bool = True,
) -> Segmented:
    """Choose a learning rate on validation (one alone is not tried there), fit once more, predict test once.

    Checkpoints go to `saved`, which must agree with `identity`; a stopped run goes on from the last one, a finished one
    is not trained again.

    Raises RadlibError when every learning rate or the last fit diverges, and what `checkpoint` raises.
    """
    words = {name: str(value) for name, value in schedule.hyperparameters().items()}
    agrees = {**identity, **words, "numerics": runtime.training_name(device), "procedure": str(PROCEDURE)}
    run = _Run(task, schedule, saved, agrees, runtime.torch_device(device), progress)
    return run.finished()


@dataclass
class _Run:
    task: Task
    schedule: Schedule
    saved: Path
    agrees: dict[str, str]
    device: torch.device
    progress: bool
    state: dict[str, Any] = field(default_factory=dict)
    since: float = 0.0  # the last checkpoint

    def finished(self) -> Segmented:
        fresh: dict[str, Any] = {
            "validation": {},
            "stage": None,
            "counts": None,
            "refits": {},
            "losses": [],
            "seconds": 0.0,
            "peak_mb": 0.0,
        }
        self.state = checkpoint.read(self.saved, self.agrees) or fresh
        self.since = time.perf_counter()
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)  # what ran before is not this run's
        rates, split = self.schedule.learning_rates, self.task.split
        for group in [rates] if self.schedule.together else [(rate,) for rate in rates]:
            if len(rates) > 1 and not all(_key(rate) in self.state["validation"] for rate in group):
                networks = self._fit("choose", group, split.train, self.schedule.epochs)
                self.state["validation"] |= dict(zip(map(_key, group), self._scores(networks), strict=True))
                self._keep(None)
        if self.state["counts"] is None:
            network = self._refitted()
            with memory.peak() as held:
                counts = self._counts([network], split.test)[0]
            self._remember(held.mb)
            self.state |= {"counts": torch.from_numpy(counts), "weights": checkpoint.copied(network.state_dict())}
            self._keep(None)
        network = self._network()
        network.load_state_dict(self.state["weights"])
        return Segmented(
            network=network.eval(),
            learning_rate=next(rate for rate in reversed(self._ranked()) if _key(rate) in self.state["refits"]),
            validation=[self._candidate(rate) for rate in rates],
            losses=list(self.state["losses"]),
            counts=self.state["counts"].numpy(),
            seconds=self.state["seconds"],
            peak_memory_mb=self.state["peak_mb"],
            numerics=self.agrees["numerics"],
            task=self.task,
            device=self.device,
        )

    def _refitted(self) -> nn.Module:
        """The network of the best rate whose last fit holds.

        Near the largest rate that can be trained with, soft Dice may lose a class for good in one fit and not in the
        next. That shows without a look at test: such a network draws validation, which it has now been fitted to, far
        worse than the one that was chosen there. The next best rate is fitted then. A fit to a few images alone may
        well draw validation worse, so there only one that diverged gives way.
        """
        learned = bool(np.isin(self.task.split.validation, self.task.split.refit).all())
        for rate in self._ranked():
            if _key(rate) in self.state["refits"]:  # collapsed before this run was stopped
                continue
            (network,) = self._fit("refit", (rate,), self.task.split.refit, self.schedule.refit_epochs)
            score, before = self._scores([network])[0], self.state["validation"].get(_key(rate), 0.0)
            self.state["refits"][_key(rate)] = score
            if score is not None and (not learned or score >= before - COLLAPSE):
                return network
            self._keep(None)
        raise RadlibError(
            "The last fit diverged or lost a class at every learning rate of "
            f"{', '.join(map(str, self.schedule.learning_rates))}; name smaller ones."
        )

    def _ranked(self) -> list[float]:
        """Rates that did not diverge, the best on validation first."""
        rates = self.schedule.learning_rates
        if len(rates) == 1:
            return list(rates)
        scores = {rate: self.state["validation"][_key(rate)] for rate in rates}
        kept = [rate for rate in rates if scores[rate] is not None]
        if not kept:
            raise RadlibError(f"Every learning rate of {', '.join(map(str, rates))} diverged; name smaller ones.")
        return sorted(kept, key=lambda rate: -scores[rate])

    def _candidate(self, rate: float) -> dict[str, float | None]:
        """What is known of `rate`: its validation score and, where it was fitted in the end, that fit's on the same."""
        found = {"learning_rate": rate, "score": self.state["validation"].get(_key(rate))}
        if _key(rate) in self.state["refits"]:
            found["refit_score"] = self.state["refits"][_key(rate)]
        return found

    def _fit(self, stage: str, rates: Sequence[float], rows: Rows, epochs: int) -> list[nn.Module]:
        """Networks fitted to `rows`, one a rate, all fed the same batches; goes on where a checkpoint of it stands."""
        networks = [self._network() for _ in rates]
        optimizers = [
            torch.optim.SGD(network.parameters(), lr=rate, momentum=MOMENTUM, foreach=True)
            for network, rate in zip(networks, rates, strict=True)
        ]
        scalers = [torch.amp.GradScaler(self.device.type, enabled=self.device.type == "cuda") for _ in rates]
        name, done, losses = f"{stage} {rates}", 0, list[float]()
        if (kept := self.state["stage"]) is not None and kept["name"] == name:
            done, losses = kept["epochs"], kept["losses"]
            for k, (network, optimizer) in enumerate(zip(networks, optimizers, strict=True)):
                network.load_state_dict(kept["weights"][k])
                optimizer.load_state_dict(kept["optimizers"][k])
                scalers[k].load_state_dict(kept["scalers"][k])
        steps = -(-len(rows) // self.schedule.batch_size)
        bar = tqdm(
            total=epochs * steps,
            initial=done * steps,
            desc=f"{stage} a rate of {len(rates)}" if len(rates) > 1 else f"{stage} at {rates[0]:g}",
            unit="step",
            disable=not self.progress,
        )
        with bar:
            for epoch in range(done, epochs):
                started = time.perf_counter()
                with memory.peak() as held:
                    losses.append(self._epoch(stage, networks, optimizers, scalers, rates, rows, epoch, epochs, bar))
                self.state["seconds"] += time.perf_counter() - started
                self._remember(held.mb)
                if time.perf_counter() - self.since > checkpoint.SECONDS_BETWEEN:
                    self._keep(
                        {
                            "name": name,
                            "epochs": epoch + 1,
                            "losses": losses,
                            "weights": [network.state_dict() for network in networks],
                            "optimizers": [optimizer.state_dict() for optimizer in optimizers],
                            "scalers": [scaler.state_dict() for scaler in scalers],
                        }
                    )
        self.state["losses"] = losses
        return [network.eval() for network in networks]

    def _epoch(
        self,
        stage: str,
        networks: Sequence[nn.Module],
        optimizers: Sequence[torch.optim.Optimizer],
        scalers: Sequence[torch.amp.GradScaler],
        rates: Sequence[float],
        rows: Rows,
        epoch: int,
        epochs: int,
        bar: "tqdm[None]",
    ) -> float:
        """One pass over `rows`; the mean loss of the first network. Every epoch has random numbers of its own."""
        generator = np.random.default_rng([self.schedule.seed, epoch, stage == "refit"])
        order = rows[generator.permutation(len(rows))]
        size = self.schedule.batch_size
        starts = range(0, len(order), size)
        total = 0.0
        for network in networks:
            network.train()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(generator.integers(2**31)))
            for step, low in enumerate(starts):
                inputs, masks = self.task.read(order[low : low + size], generator)
                masks = masks.to(self.device)
                share = (epoch * len(starts) + step) / (epochs * len(starts))
                for k, (network, optimizer, scaler) in enumerate(zip(networks, optimizers, scalers, strict=True)):
                    # a plain float: a checkpoint with one of numpy's could not be read again
                    optimizer.param_groups[0]["lr"] = float(rates[k] * 0.5 * (1 + np.cos(np.pi * share)))
                    value = loss(self.schedule.loss, forward(self.task, network, inputs, self.device), masks)
                    optimizer.zero_grad()
                    scaler.scale(value).backward()
                    scaler.step(optimizer)
                    scaler.update()
                    total += float(value.detach()) * len(masks) if k == 0 else 0.0
                bar.update()
        return total / len(order)

    def _scores(self, networks: Sequence[nn.Module]) -> list[float | None]:
        """Validation score of each network, None where its weights are no longer finite."""
        counts = self._counts(networks, self.task.split.validation)
        pairs = zip(counts, networks, strict=True)
        return [overlap.pooled(one).score if _finite(network) else None for one, network in pairs]

    def _counts(self, networks: Sequence[nn.Module], rows: Rows) -> list[NDArray[np.int64]]:
        """Counts of `rows` by each network; every picture is read once for all of them."""
        started = time.perf_counter()
        found: list[list[NDArray[np.int64]]] = [[] for _ in networks]
        for low in range(0, len(rows), self.schedule.batch_size):
            inputs, masks = self.task.read(rows[low : low + self.schedule.batch_size], None)
            for k, network in enumerate(networks):
                predicted = predict(self.task, network, inputs, self.device).argmax(dim=1).to(torch.uint8).cpu()
                found[k].append(overlap.counts(predicted.numpy(), masks.numpy(), self.task.classes))
        self.state["seconds"] += time.perf_counter() - started
        return [np.concatenate(parts) for parts in found]

    def _network(self) -> nn.Module:
        """A network with the same first weights every time."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.schedule.seed)
            network = self.task.make()
        return network.to(self.device, memory_format=torch.channels_last)

    def _keep(self, stage: dict[str, Any] | None) -> None:
        """Write a checkpoint; `stage` is a fit under way."""
        self.state["stage"] = stage
        checkpoint.write(self.saved, self.agrees, self.state)
        self.since = time.perf_counter()

    def _remember(self, held_mb: float) -> None:
        """The memory an epoch held counts when it is the most so far."""
        if self.device.type == "cuda":
            held_mb = torch.cuda.max_memory_allocated(self.device) / memory.MB
        self.state["peak_mb"] = max(self.state["peak_mb"], held_mb)


def _finite(network: nn.Module) -> bool:
    """Whether all weights and running means are numbers."""
    return all(bool(tensor.isfinite().all()) for tensor in network.state_dict().values())


def _key(rate: float) -> str:
    return repr(rate)
