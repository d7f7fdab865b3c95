"""Put another model's clicks and boxes beside ours, on the same objects, into the page of ours.

Run::

    python scripts/compare_models.py CASES.csv --limit 4 --out runs/compared

Each object is asked for near and in the whole image, as far as the model's encoder is concerned
once for all prompts. Ours is taken as a person gets it; of the other, which may tell less well
which of its answers is the surer, whichever way is the best for a data set. A run that was
stopped goes on. Writes the table of docs/model.md between its markers.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from measure_learning import Remembering

from napari_pathseg.cli.evaluate import truths_of
from napari_pathseg.config import SegmentConfig
from napari_pathseg.inference.evaluation import Truth, evaluate
from napari_pathseg.models.base import Segmenter
from napari_pathseg.models.registry import load_segmenter
from napari_pathseg.training.cases import Case, read_cases
from napari_pathseg.vocabulary import Vocabulary

START, STOP = "<!-- comparison: made by scripts/compare_models.py -->", "<!-- end of comparison -->"
PROMPTS = {"point": "one click", "points5": "five clicks", "box": "box"}
BOTH = "both"
LOOKS = {"near": ("near",), "wide": ("wide",), BOTH: ("near", "wide")}
# Count and mean Dice of each term, by the way it was looked at.
Found = dict[str, dict[str, tuple[int, float]]]


def main() -> None:
    """Measure what is not measured yet, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", type=Path)
    parser.add_argument("--other", default="mobile-sam")
    parser.add_argument("--model", default="default")
    parser.add_argument("--limit", type=int, default=4, help="images of each data set")
    parser.add_argument("--objects", type=int, default=3, help="of each image")
    parser.add_argument("--dataset", nargs="*", help="by default all with single objects")
    parser.add_argument("--out", type=Path, required=True, help="folder of what was measured")
    parser.add_argument("--page", type=Path, default=Path("docs/model.md"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    cases = [c for c in read_cases(options.cases) if c.split == "val"]
    names = options.dataset or sorted({c.dataset for c in cases})
    chosen = {
        name: _drawn([c for c in cases if c.dataset == name], options.limit) for name in names
    }
    ours, theirs = (
        _measured(model, chosen, options.objects, options.out / f"{model.replace('/', '_')}.jsonl")
        for model in (options.model, options.other)
    )
    text = options.page.read_text(encoding="utf-8")
    before, after = text.split(START)[0], text.split(STOP)[1]
    table = "\n".join(_table(ours, theirs))
    options.page.write_text(f"{before}{START}\n{table}\n{STOP}{after}", encoding="utf-8")


def _drawn(cases: Sequence[Case], limit: int) -> list[Case]:
    order = np.random.default_rng(0).permutation(len(cases))[:limit]
    return [cases[i] for i in sorted(order)]


def _measured(
    model: str, chosen: dict[str, list[Case]], objects: int, kept: Path
) -> dict[tuple[str, str], Found]:
    """By data set and prompt; each is written down as it is found."""
    known: dict[tuple[str, str], Found] = {}
    if kept.exists():
        for line in kept.read_text(encoding="utf-8").splitlines():
            dataset, prompt, found = json.loads(line)
            known[dataset, prompt] = {look: dict(own) for look, own in found}
    missing = [name for name in chosen if any((name, p) not in known for p in PROMPTS)]
    base = load_segmenter(model) if missing else None
    for name in missing:
        assert base is not None
        truths = [truth for case in chosen[name] for truth in truths_of(case)]
        segmenter = Remembering(base)
        for prompt in PROMPTS:
            found = {
                look: _asked(truths, segmenter, prompt, own, objects) for look, own in LOOKS.items()
            }
            known[name, prompt] = found
            with kept.open("a", encoding="utf-8") as file:
                file.write(json.dumps([name, prompt, list(found.items())]) + "\n")
    return known


def _asked(
    truths: Sequence[Truth],
    segmenter: Segmenter,
    prompt: str,
    looks: tuple[str, ...],
    objects: int,
) -> dict[str, tuple[int, float]]:
    dice = defaultdict(list)
    config = SegmentConfig(looks=looks)
    asked = evaluate(
        truths, segmenter, Vocabulary.load(), prompt, objects_per_image=objects, config=config
    )
    for one in asked:
        dice[one.term].append(one.dice)
    return {term: (len(values), float(np.mean(values))) for term, values in dice.items()}


def _table(ours: dict[tuple[str, str], Found], theirs: dict[tuple[str, str], Found]) -> list[str]:
    """One line for each data set and term; ours before the other's best, the better in bold."""
    lines = [f"| data set | term | n | {' | '.join(PROMPTS.values())} |"]
    lines.append("|---|---|---|" + "---|" * len(PROMPTS))
    for dataset in dict.fromkeys(name for name, _ in ours):
        for term, (count, _) in ours[dataset, "point"][BOTH].items():
            cells = []
            for prompt in PROMPTS:
                own = ours[dataset, prompt][BOTH][term][1]
                other = max(found[term][1] for found in theirs[dataset, prompt].values())
                first, second = f"{own:.3f}", f"{other:.3f}"
                better = own >= other
                cells.append(f"**{first}** / {second}" if better else f"{first} / **{second}**")
            lines.append(f"| {dataset} | {term} | {count} | {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    main()
