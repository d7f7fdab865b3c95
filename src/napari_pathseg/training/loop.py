"""The training loop: resumable, bounded by wall-clock time, the same on CPU and GPU."""

from __future__ import annotations

import copy
import csv
import math
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from napari_pathseg.classes import Term
from napari_pathseg.errors import PathsegError
from napari_pathseg.models.network import PathsegNetwork
from napari_pathseg.models.weights import load_matching, read_mobile_sam
from napari_pathseg.progress import CancelToken, Progress, ProgressCallback, no_progress
from napari_pathseg.training.cases import Case, taught_terms
from napari_pathseg.training.recipe import GroupRecipe, Recipe
from napari_pathseg.training.sampling import Sample, Sampler
from napari_pathseg.training.step import TrainingStep

CHECKPOINT_SECONDS = 240
CLIP_NORM = 1.0


def build_network(cases: Sequence[Case], recipe: Recipe, mobile_sam: Path) -> PathsegNetwork:
    """A network for the terms of the cases, started from MobileSAM's weights."""
    torch.manual_seed(recipe.seed)
    terms = set(taught_terms(cases))
    for dataset in recipe.datasets:
        terms |= {Term("unspecified", "nuclei", wide) for wide in dataset.unions}
    objects = sorted({(t.structure, t.object) for t in terms})
    network = PathsegNetwork(objects, sorted({t.region for t in terms}))
    state = network.state_dict() | read_mobile_sam(mobile_sam)
    load_matching(network, state, mobile_sam)
    return network


class GroupSampler:
    """Draws batches of one group."""

    def __init__(self, group: GroupRecipe, recipe: Recipe, cases: Sequence[Case]) -> None:
        self.group = group
        own = [d for d in recipe.datasets if d.group == group.name]
        by_name = {d.name: [c for c in cases if c.dataset == d.name] for d in own}
        own = [d for d in own if by_name[d.name]]
        if not own:
            raise PathsegError(f"No cases for the group {group.name}.", "Check the recipe.")
        weights = np.array([d.weight for d in own])
        self._chance = weights / weights.sum()
        self._samplers = [Sampler(by_name[d.name], d, group.crop_px) for d in own]

    def draw(self, rng: np.random.Generator) -> list[Sample]:
        """A batch; each image from a data set drawn by weight."""
        picks = rng.choice(len(self._samplers), self.group.batch, p=self._chance)
        return [self._samplers[i].draw(rng) for i in picks]


class Trainer:
    """One training run.

    Parameters
    ----------
    network : PathsegNetwork
    recipe : Recipe
    cases : sequence of Case
        Only those of the split "train" are used.
    folder : Path
        Holds `checkpoint.pt`, from which a stopped run goes on, and `log.csv`.
    """

    def __init__(
        self, network: PathsegNetwork, recipe: Recipe, cases: Sequence[Case], folder: Path
    ) -> None:
        self._network, self._recipe, self._folder = network, recipe, folder
        train = [c for c in cases if c.split == "train"]
        self._groups = [GroupSampler(g, recipe, train) for g in recipe.groups]
        weights = np.array([g.weight for g in recipe.groups])
        self._chance = weights / weights.sum()
        self._optimizer = self._make_optimizer()
        self._average = copy.deepcopy(network).eval()
        self._step = 0
        self._spent = 0.0
        folder.mkdir(parents=True, exist_ok=True)

    def run(
        self, progress: ProgressCallback = no_progress, cancel: CancelToken | None = None
    ) -> PathsegNetwork:
        """Train until the recipe's time is spent; the average of the weights comes back."""
        self._resume()
        rng = np.random.default_rng(self._recipe.seed + self._step)
        step = TrainingStep(self._network, rng)
        budget = self._recipe.minutes * 60
        saved = time.monotonic()
        while self._spent < budget:
            if cancel is not None and cancel.cancelled:
                break
            start = time.monotonic()
            group = self._groups[rng.choice(len(self._groups), p=self._chance)]
            self._set_rate(self._spent / budget)
            loss, parts = step(group.draw(rng))
            self._update(loss)
            self._spent += time.monotonic() - start
            self._log(group.group.name, float(loss.detach()), parts)
            if time.monotonic() - saved > CHECKPOINT_SECONDS:
                self._save()
                saved = time.monotonic()
            progress(Progress(int(self._spent), int(budget), f"step {self._step}"))
        self._save()
        return self._average

    def _make_optimizer(self) -> torch.optim.AdamW:
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}
        for name, parameter in self._network.named_parameters():
            parameter.requires_grad_(self._is_trainable(name))
            if parameter.requires_grad:
                decay = self._recipe.weight_decay if parameter.ndim > 1 else 0.0
                groups.setdefault((self._recipe.rate(name), decay), []).append(parameter)
        self._network.train()
        for module in self._network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return torch.optim.AdamW(
            [
                {"params": ps, "lr": rate, "peak": rate, "weight_decay": decay}
                for (rate, decay), ps in groups.items()
            ]
        )

    def _is_trainable(self, name: str) -> bool:
        prefix = "image_encoder."
        if not name.startswith(prefix):
            return True
        return name.removeprefix(prefix).startswith(self._recipe.trainable)

    def _set_rate(self, fraction: float) -> None:
        warm = min(1.0, (self._step + 1) / self._recipe.warmup_steps)
        factor = warm * (0.5 * (1 + math.cos(math.pi * min(fraction, 1.0))) + 0.01)
        for group in self._optimizer.param_groups:
            group["lr"] = group["peak"] * factor

    def _update(self, loss: Tensor) -> None:
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        trained = [p for p in self._network.parameters() if p.grad is not None]
        nn.utils.clip_grad_norm_(trained, CLIP_NORM)
        self._optimizer.step()
        self._step += 1
        keep = min(self._recipe.ema, (1 + self._step) / (10 + self._step))
        with torch.no_grad():
            pairs = zip(self._average.parameters(), self._network.parameters(), strict=True)
            for mean, value in pairs:
                if value.requires_grad:
                    mean.lerp_(value, 1 - keep)

    def _log(self, group: str, loss: float, parts: dict[str, float]) -> None:
        names = ("text", "click", "second_text", "second_click")
        path = self._folder / "log.csv"
        new = not path.exists()
        with path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            if new:
                writer.writerow(["step", "seconds", "group", "loss", *names])
            values = [f"{parts[n]:.4f}" if n in parts else "" for n in names]
            writer.writerow([self._step, f"{self._spent:.1f}", group, f"{loss:.4f}", *values])

    def _save(self) -> None:
        path = self._folder / "checkpoint.pt"
        part = path.with_suffix(".part")
        state = {
            "network": self._network.state_dict(),
            "average": self._average.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "step": self._step,
            "spent": self._spent,
        }
        torch.save(state, part)
        part.replace(path)

    def _resume(self) -> None:
        path = self._folder / "checkpoint.pt"
        if not path.exists():
            return
        state = torch.load(path, weights_only=True, map_location="cpu")
        load_matching(self._network, state["network"], path)
        load_matching(self._average, state["average"], path)
        self._optimizer.load_state_dict(state["optimizer"])
        self._step, self._spent = state["step"], state["spent"]
