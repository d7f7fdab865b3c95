"""An evaluation as one page to look at: figures, calibration, best, median and worst cases."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from napari_pathseg.inference.evaluation import Measured

Bool = npt.NDArray[np.bool_]
PICTURE_PX = 320
TRUTH_COLOR, ANSWER_COLOR = (0, 0, 0), (0, 158, 115)

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; color: #222;
       padding: 0 1rem }
table { border-collapse: collapse; margin: 1rem 0 }
th, td { padding: .25rem .7rem; text-align: left; border-bottom: 1px solid #ddd }
td.n { text-align: right; font-variant-numeric: tabular-nums }
figure { display: inline-block; margin: .5rem 1rem .5rem 0; vertical-align: top }
figcaption { font-size: 13px; color: #555; max-width: 20rem }
.note { color: #555 }
@media (prefers-color-scheme: dark) { body { background: #1b1b1b; color: #ddd }
  th, td { border-color: #444 } figcaption, .note { color: #aaa } }
"""


@dataclass(frozen=True, slots=True)
class Shown:
    """One case to look at: its picture (height, width, 3), what is true and what was found."""

    measured: Measured
    picture: npt.NDArray[np.uint8]
    truth: Bool
    answer: Bool


def worth_a_look(measured: Sequence[Measured]) -> list[tuple[str, Measured]]:
    """The best, median and worst case of every data set and term that is there to be found."""
    groups: dict[tuple[str, str], list[Measured]] = {}
    for one in measured:
        if one.present:
            groups.setdefault((one.dataset, one.term), []).append(one)
    chosen = []
    for _, ones in sorted(groups.items()):
        ones = sorted(ones, key=lambda o: o.dice)
        places = {"best": len(ones) - 1, "median": (len(ones) - 1) // 2, "worst": 0}
        seen: set[int] = set()
        for name, place in places.items():
            if place not in seen:
                seen.add(place)
                chosen.append((name, ones[place]))
    return chosen


def page(
    report: dict[str, Any],
    measured: Sequence[Measured],
    show: Callable[[Measured], Shown],
) -> str:
    """The page as HTML, pictures inside.

    Parameters
    ----------
    report : dict
        From :func:`napari_pathseg.inference.report.summarize`, with "model", "split" and
        "working_mpp".
    show : callable
        Gives the pixels of a measured case.
    """
    protocols = "".join(
        f"<p class=note>{html.escape(name)}: {html.escape(text)}.</p>"
        for name, text in report["protocols"].items()
    )
    cases = (_figure(name, show(one)) for name, one in worth_a_look(measured))
    return (
        "<!doctype html><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>Evaluation of {html.escape(report['model'])}</title><style>{_STYLE}</style>"
        f"<h1>{html.escape(report['model'])}</h1>"
        f"<p>Split {html.escape(report['split'])}.{_looked_at(report)}</p>{protocols}"
        f"<h2>Overlap</h2>{_overlaps(report['rows'])}"
        f"{_absent(report['absent'])}"
        f"<h2>Score against truth</h2>{_calibration(report['calibration'])}"
        "<h2>Cases</h2><p class=note>Green: found. Black line: true outline.</p>"
        f"{''.join(cases)}\n"
    )


def _looked_at(report: dict[str, Any]) -> str:
    mpp = report["working_mpp"]
    return "" if mpp is None else f" All words looked for at {mpp:g} µm/px."


def _overlaps(rows: Sequence[dict[str, Any]]) -> str:
    head = ("data set", "term", "prompt", "n", "Dice", "95 %", "IoU", "panoptic quality")
    lines = [
        (
            row["dataset"],
            row["term"],
            row["prompt"],
            row["n"],
            f"{row['dice']:.3f}",
            f"{row['low']:.3f} to {row['high']:.3f}",
            f"{row['iou']:.3f}",
            f"{row['panoptic']:.3f}" if "panoptic" in row else "",
        )
        for row in rows
    ]
    return _table(head, lines, numbers_from=3)


def _absent(rows: Sequence[dict[str, Any]]) -> str:
    if not rows:
        return ""
    head = ("data set", "term", "n", "mean area marked", "images within 0.5 %")
    lines = [
        (r["dataset"], r["term"], r["n"], f"{r['false_area']:.2%}", f"{r['within']:.0%}")
        for r in rows
    ]
    return "<h2>Asked for what is not there</h2>" + _table(head, lines, numbers_from=2)


def _calibration(found: dict[str, Any]) -> str:
    side = 200
    dots = "".join(
        f"<circle cx={b['score'] * side:.1f} cy={side - b['iou'] * side:.1f} "
        f"r={2 + 6 * min(b['n'], 100) ** 0.5 / 10:.1f} fill=#0072b2><title>{b['n']} cases: score "
        f"{b['score']:.2f}, IoU {b['iou']:.2f}</title></circle>"
        for b in found["bins"]
    )
    return (
        f"<svg width={side + 40} height={side + 40} viewBox='-30 -10 {side + 40} {side + 40}' "
        f"role=img aria-label='IoU against score'><rect width={side} height={side} fill=none "
        f"stroke=#999 /><path d='M0 {side}L{side} 0' stroke=#999 stroke-dasharray=4 />{dots}"
        f"<text x={side / 2} y={side + 22} text-anchor=middle fill=currentColor>score</text>"
        f"<text x=-12 y={side / 2} text-anchor=middle fill=currentColor "
        f"transform='rotate(-90 -12 {side / 2})'>IoU</text></svg>"
        f"<p>Mean distance between score and IoU: {found['error']:.3f}.</p>"
    )


def _table(head: Sequence[str], lines: Iterable[Sequence[object]], numbers_from: int) -> str:
    cells = "".join(f"<th>{html.escape(name)}</th>" for name in head)
    body = "".join(
        "<tr>"
        + "".join(
            f"<td{' class=n' if i >= numbers_from else ''}>{html.escape(str(value))}</td>"
            for i, value in enumerate(line)
        )
        + "</tr>"
        for line in lines
    )
    return f"<table><tr>{cells}</tr>{body}</table>"


def _figure(name: str, shown: Shown) -> str:
    one = shown.measured
    text = f"{one.dataset}, {one.term}, {name}: Dice {one.dice:.2f} ({one.image})"
    return (
        f"<figure><img alt='{html.escape(text, quote=True)}' src='{_picture(shown)}'>"
        f"<figcaption>{html.escape(text)}</figcaption></figure>"
    )


def _picture(shown: Shown) -> str:
    """The case as a data URL: the answer tinted, the true outline drawn."""
    shrink = max(shown.truth.shape) / PICTURE_PX
    height, width = (max(round(side / shrink), 1) for side in shown.truth.shape)
    small = Image.fromarray(shown.picture).resize((width, height), Image.Resampling.BILINEAR)
    pixels = np.asarray(small).astype(np.float32)
    truth, answer = (
        np.asarray(Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST))
        for mask in (shown.truth, shown.answer)
    )
    pixels[answer] = 0.55 * pixels[answer] + 0.45 * np.array(ANSWER_COLOR, dtype=np.float32)
    pixels[truth & ~ndimage.binary_erosion(truth, iterations=1)] = TRUTH_COLOR
    file = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(file, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")
