"""The training loop: resumable, bounded by wall-clock time, the same on CPU and GPU."""

from __future__ import annotations

import copy
import csv
import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from napari_pathseg.classes import Term
from napari_pathseg.errors import PathsegError
from napari_pathseg.models.image_encoder import ImageEncoder, ImageMaps
from napari_pathseg.models.network import PathsegNetwork
from napari_pathseg.models.registry import load_card
from napari_pathseg.models.weights import load_matching, load_weights, read_mobile_sam
from napari_pathseg.progress import CancelToken, Progress, ProgressCallback, no_progress
from napari_pathseg.training.averaging import follow
from napari_pathseg.training.cases import Case, taught_terms
from napari_pathseg.training.curves import draw_curves
from napari_pathseg.training.kept import KeptCrops
from napari_pathseg.training.recipe import GroupRecipe, Recipe
from napari_pathseg.training.sampling import Sample, Sampler, Shown, seen_below
from napari_pathseg.training.step import TrainingStep
from napari_pathseg.training.validation import Validation

CHECKPOINT_SECONDS = 240
VALIDATION_SECONDS = 600
CLIP_NORM = 1.0
# Places cost more than words do once most of the image is encoded.
KEPT_CLICKED = 0.5

Source = Callable[[np.random.Generator], tuple[Sequence[Shown], ImageMaps]]


def build_network(cases: Sequence[Case], recipe: Recipe, start: Path) -> PathsegNetwork:
    """A network for the terms of the cases.

    Parameters
    ----------
    start : Path
        MobileSAM's checkpoint, or a model file of ours to go on from; terms that it was not
        taught start anew.
    """
    torch.manual_seed(recipe.seed)
    terms = set(taught_terms(cases))
    for dataset in recipe.datasets:
        terms |= {Term("unspecified", "nuclei", wide) for wide in dataset.unions}
    if start.suffix != ".safetensors":
        objects = sorted({(t.structure, t.object) for t in terms})
        network = PathsegNetwork(objects, sorted({t.region for t in terms}), context=recipe.context)
        load_matching(network, network.state_dict() | read_mobile_sam(start), start)
        return network
    card = load_card(start)
    known = PathsegNetwork(card.objects, card.regions, context=card.context)
    load_weights(known, start)
    new = sorted({(t.structure, t.object) for t in terms} - set(card.objects))
    regions = sorted({t.region for t in terms} - set(known.term_encoder.regions))
    network = PathsegNetwork(
        (*card.objects, *new),
        (*known.term_encoder.regions, *regions),
        context=recipe.context or card.context,
    )
    grown = network.state_dict()
    for name, value in known.state_dict().items():
        if value.ndim:
            grown[name][: len(value)] = value
    network.load_state_dict(grown)
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
        self._samplers = [
            Sampler(by_name[d.name], d, group.crop_px, context=recipe.context) for d in own
        ]

    def draw(self, rng: np.random.Generator) -> list[Sample]:
        """A batch; each image from a data set drawn by weight."""
        picks = rng.choice(len(self._samplers), self.group.batch, p=self._chance)
        return [self._samplers[i].draw(rng) for i in picks]


def _drawn(
    encoder: ImageEncoder, group: GroupSampler, rng: np.random.Generator
) -> tuple[list[Sample], ImageMaps]:
    """A new batch and what the encoder sees in it."""
    samples = group.draw(rng)
    return samples, seen_below(samples, encoder).finished(encoder)


class Trainer:
    """One training run.

    Parameters
    ----------
    network : PathsegNetwork
    recipe : Recipe
    cases : sequence of Case
        It learns from the split "train"; "val" says which state of the network is the best.
    folder : Path
        Holds `checkpoint.pt`, from which a stopped run goes on, `best.pt`, `log.csv`,
        `validation.csv` and their picture `curves.svg`.
    kept_crops : int
        When not 0, so many crops are seen once by the part of the image encoder that never
        learns, and all the rest is trained on them.
    of_start : float
        Share of the weights that it starts from in those that come out (Wortsman et al., Robust
        fine-tuning, arXiv 2109.01903, section 3); for a start that was taught the same terms.
    """

    def __init__(
        self,
        network: PathsegNetwork,
        recipe: Recipe,
        cases: Sequence[Case],
        folder: Path,
        *,
        kept_crops: int = 0,
        of_start: float = 0.0,
    ) -> None:
        self._kept_crops, self._of_start = kept_crops, of_start
        recipe = recipe.taught(network.term_encoder.objects)
        self._network, self._recipe, self._folder = network, recipe, folder
        train = [c for c in cases if c.split == "train"]
        self._groups = [GroupSampler(g, recipe, train) for g in recipe.groups]
        weights = np.array([g.weight for g in recipe.groups])
        self._chance = weights / weights.sum()
        self._validation = Validation(cases, recipe)
        self._best = 0.0
        self._optimizer = self._make_optimizer()
        self._average = copy.deepcopy(network).eval()
        self._start = {n: p.detach().clone() for n, p in network.named_parameters()}
        self._step = 0
        self._spent = 0.0
        folder.mkdir(parents=True, exist_ok=True)

    def run(
        self, progress: ProgressCallback = no_progress, cancel: CancelToken | None = None
    ) -> PathsegNetwork:
        """Train until the recipe's time is spent; the average of the weights comes back, as it
        was when it did best on the cases of the split "val", with its share of the start.

        Raises
        ------
        KeyboardInterrupt
            When the person stops it; the checkpoint is then of this moment.
        """
        self._resume()
        try:
            self._train(progress, cancel)
        except KeyboardInterrupt:
            self._save()
            raise
        self._save()
        self._validate()
        best = self._folder / "best.pt"
        if best.exists():
            load_matching(self._average, torch.load(best, weights_only=True), best)
        with torch.no_grad():
            for name, parameter in self._average.named_parameters():
                parameter.lerp_(self._start[name], self._of_start)
        return self._average

    def _train(self, progress: ProgressCallback, cancel: CancelToken | None) -> None:
        rng = np.random.default_rng(self._recipe.seed + self._step)
        sources = self._sources(rng)
        step = TrainingStep(self._network, rng, KEPT_CLICKED if self._kept_crops else 1.0)
        budget = self._recipe.minutes * 60
        saved = validated = time.monotonic()
        while self._spent < budget:
            if cancel is not None and cancel.cancelled:
                break
            start = time.monotonic()
            chosen = int(rng.choice(len(self._groups), p=self._chance))
            self._set_rate(self._spent / budget)
            loss, parts = step(*sources[chosen](rng))
            self._update(loss)
            self._spent += time.monotonic() - start
            self._log(self._groups[chosen].group.name, float(loss.detach()), parts)
            if time.monotonic() - saved > CHECKPOINT_SECONDS:
                self._save()
                saved = time.monotonic()
            if time.monotonic() - validated > VALIDATION_SECONDS:
                self._validate()
                validated = time.monotonic()
            done = int(min(self._spent, budget))
            progress(Progress(done, int(budget), f"step {self._step}"))

    def _sources(self, rng: np.random.Generator) -> list[Source]:
        """What gives the batches of each group."""
        encoder = self._network.image_encoder
        if not self._kept_crops:
            return [partial(_drawn, encoder, group) for group in self._groups]
        counts = [
            max(round(self._kept_crops * c), g.group.batch)
            for c, g in zip(self._chance, self._groups, strict=True)
        ]
        return [
            KeptCrops(encoder, group.draw, count, rng).draw
            for group, count in zip(self._groups, counts, strict=True)
        ]

    def _validate(self) -> None:
        """Measure the average of the weights; keep it where it is the best so far."""
        # Out of training, timm's attention keeps the biases of its first call.
        self._average.train().eval()
        found = self._validation.dice(self._average) if self._validation else {}
        _append(
            self._folder / "validation.csv",
            ["step", "seconds", "object", "dice"],
            [[self._step, f"{self._spent:.1f}", n, f"{d:.4f}"] for n, d in found.items()],
        )
        mean = float(np.mean(list(found.values()))) if found else 0.0
        if mean > self._best:
            self._best = mean
            _save_whole(self._average.state_dict(), self._folder / "best.pt")
        log = self._folder / "log.csv"
        draw_curves(log, self._folder / "validation.csv", self._folder / "curves.svg")

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
            return self._recipe.rate(name) > 0
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
        follow(self._average, self._network, self._step, self._recipe.ema)

    def _log(self, group: str, loss: float, parts: dict[str, float]) -> None:
        names = ("words", "presence", "click", "words_click", "correction")
        values = [f"{parts[n]:.4f}" if n in parts else "" for n in names]
        row = [self._step, f"{self._spent:.1f}", group, f"{loss:.4f}", *values]
        _append(self._folder / "log.csv", ["step", "seconds", "group", "loss", *names], [row])

    def _save(self) -> None:
        state = {
            "network": self._network.state_dict(),
            "average": self._average.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "step": self._step,
            "spent": self._spent,
            "best": self._best,
        }
        _save_whole(state, self._folder / "checkpoint.pt")

    def _resume(self) -> None:
        path = self._folder / "checkpoint.pt"
        if not path.exists():
            return
        state = torch.load(path, weights_only=True, map_location="cpu")
        load_matching(self._network, state["network"], path)
        load_matching(self._average, state["average"], path)
        self._optimizer.load_state_dict(state["optimizer"])
        self._step, self._spent = state["step"], state["spent"]
        self._best = state["best"]


def _append(path: Path, names: list[str], rows: list[list[object]]) -> None:
    """Add rows to a CSV, which gets its line of names when it is new."""
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([*([names] if new else []), *rows])


def _save_whole(state: object, path: Path) -> None:
    """Save so that a crash leaves the old file or the new one."""
    part = path.with_suffix(".part")
    torch.save(state, part)
    part.replace(path)
