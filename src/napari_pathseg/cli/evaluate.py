"""`pathseg evaluate`: how good the model is on images with known masks."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from napari_pathseg.cli.console import print_json, print_table, progress_line
from napari_pathseg.cli.fetching import fetch_for
from napari_pathseg.cli.options import context_option, model_option, working_mpp_option
from napari_pathseg.errors import PathsegError
from napari_pathseg.progress import Progress

if TYPE_CHECKING:
    from napari_pathseg.config import SegmentConfig
    from napari_pathseg.inference.evaluation import Measured, Truth
    from napari_pathseg.inference.report_page import Shown
    from napari_pathseg.models.base import Segmenter
    from napari_pathseg.training.cases import Case
    from napari_pathseg.vocabulary.vocabulary import Vocabulary

_KINDS = ("text", "point", "points5", "box")


@click.command()
@click.argument("cases", type=click.Path(path_type=Path))
@click.option("--prompt", type=click.Choice(_KINDS), default="text", help="How the model is asked.")
@click.option("--split", default="val", help="Which cases, by their column split.")
@click.option("--dataset", "datasets", multiple=True, help="Only this data set; may be repeated.")
@click.option("--limit", type=int, metavar="N", help="At most N images of each data set.")
@model_option
@context_option
@working_mpp_option
@click.option("--seed", type=int, default=0, help="For the choice of images and objects.")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), required=True, metavar="DIR"
)
@click.option("--json", "as_json", is_flag=True, help="Print DIR/report.json.")
def evaluate(
    cases: Path,
    prompt: str,
    split: str,
    datasets: Sequence[str],
    limit: int | None,
    model: str,
    context: bool,
    working_mpp: float | None,
    seed: int,
    out: Path,
    as_json: bool,
) -> None:
    """Measure Dice and IoU on the images of CASES, a CSV; write DIR/report.json and report.html.

    Columns of CASES: id, dataset, case, split, image, mask, kind, terms, ignore, organ, mpp. Or
    CASES is a training bundle; its split "val" is the fields kept for that. A point or box comes
    from the true mask (an oracle); the report says how.
    """
    from napari_pathseg.cli.learning import cases_of_bundle
    from napari_pathseg.config import SegmentConfig
    from napari_pathseg.inference.adapting import adapted
    from napari_pathseg.inference.evaluation import evaluate as ask
    from napari_pathseg.inference.report import summarize
    from napari_pathseg.inference.report_page import page
    from napari_pathseg.models.registry import load_segmenter
    from napari_pathseg.training.cases import read_cases
    from napari_pathseg.vocabulary.vocabulary import Vocabulary

    known = cases_of_bundle(cases) if cases.is_dir() else read_cases(cases)
    chosen = _choose(known, split, datasets, limit, seed)
    if not chosen:
        raise PathsegError(f"{cases}: no case has split '{split}'.", "Give --split or --dataset.")
    fetch_for(model)
    segmenter, vocabulary = adapted(load_segmenter(model), Vocabulary.load(), [])
    config = SegmentConfig(context=context, working_mpp=working_mpp)
    measured: list[Measured] = []
    case_of: dict[int, Case] = {}
    with progress_line() as progress:
        for number, case in enumerate(chosen):
            progress(Progress(number, len(chosen), case.id))
            for one in ask(
                truths_of(case), segmenter, vocabulary, prompt, seed=seed, config=config
            ):
                case_of[id(one)] = case
                measured.append(one)
    report = summarize(measured, seed) | {
        "model": segmenter.card.identity,
        "split": split,
        "working_mpp": working_mpp,
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / "report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    lines = [json.dumps(asdict(one)) for one in measured]
    (out / "images.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def show(one: Measured) -> Shown:
        return _show(one, case_of[id(one)], segmenter, vocabulary, config)

    (out / "report.html").write_text(page(report, measured, show), encoding="utf-8")
    if as_json:
        print_json(report)
    else:
        _print(report)


def _choose(
    cases: Sequence[Case], split: str, datasets: Sequence[str], limit: int | None, seed: int
) -> list[Case]:
    """Cases of a split, at most `limit` of each data set, drawn by `seed`."""
    import numpy as np

    rng = np.random.default_rng(seed)
    chosen = []
    for name in sorted({c.dataset for c in cases}):
        own = [c for c in cases if c.dataset == name and c.split == split]
        if datasets and name not in datasets:
            continue
        chosen += [own[i] for i in sorted(rng.permutation(len(own))[:limit])]
    return chosen


def truths_of(case: Case) -> Iterator[Truth]:
    """Each term of a case with its mask."""
    import numpy as np
    from scipy import ndimage

    from napari_pathseg.inference.evaluation import Truth

    mask = case.read_mask()
    single = case.kind == "instance"
    for term in dict.fromkeys(term for _, term in case.terms):
        inside = case.term_mask(mask, term)
        objects = np.where(inside, mask, 0) if single else ndimage.label(inside)[0]
        yield Truth(
            dataset=case.dataset,
            image=case.image,
            mpp=case.mpp,
            term=term,
            mask=inside,
            known=case.known(mask),
            objects=objects.astype(np.int32),
            single=single,
        )


def _show(
    one: Measured,
    case: Case,
    segmenter: Segmenter,
    vocabulary: Vocabulary,
    config: SegmentConfig,
) -> Shown:
    """The pixels behind a figure, asked again: few are looked at, and masks are large."""
    from napari_pathseg.inference.evaluation import answer_again, session_for
    from napari_pathseg.inference.report_page import Shown

    truth = next(t for t in truths_of(case) if t.term.object == one.term)
    with session_for(truth, segmenter, vocabulary, config) as session:
        answer = answer_again(session, truth, one)
    mask = truth.objects == one.target if one.target else truth.mask
    return Shown(one, case.read_image(), mask, answer)


def _print(report: dict[str, Any]) -> None:
    rows = [["data set", "term", "prompt", "n", "Dice", "95 %", "IoU"]]
    rows += [
        [
            r["dataset"],
            r["term"],
            r["prompt"],
            str(r["n"]),
            f"{r['dice']:.3f}",
            f"{r['low']:.2f}-{r['high']:.2f}",
            f"{r['iou']:.3f}",
        ]
        for r in report["rows"]
    ]
    print_table(rows)
    for a in report["absent"]:
        click.echo(
            f"absent: {a['term']} in {a['n']} images of {a['dataset']}: "
            f"{a['false_area']:.2%} marked, within 0.5 % in {a['within']:.0%}"
        )
