"""A lesson to look at: every held-out field before and after, as pictures and as a page."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image
from scipy import ndimage

from napari_pathseg.training.lesson import RGB, Bool, Lesson, Outcome

TRUTH_COLOR, FOUND_COLOR = (0, 0, 0), (0, 158, 115)
SHOWN = 12
CURVE_WIDTH, CURVE_HEIGHT = 360, 160

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 62rem; color: #222;
       padding: 0 1rem }
table { border-collapse: collapse; margin: 1rem 0 }
th, td { padding: .25rem .7rem; text-align: left; border-bottom: 1px solid #ddd }
td.n { text-align: right; font-variant-numeric: tabular-nums }
figure { margin: 1rem 0 } img { max-width: 100%; image-rendering: auto; margin-right: 6px }
figcaption, .note { color: #555; font-size: 13px }
@media (prefers-color-scheme: dark) { body { background: #1b1b1b; color: #ddd }
  th, td { border-color: #444 } figcaption, .note { color: #aaa } }
"""


def tinted(picture: RGB, found: Bool, truth: Bool) -> RGB:
    """A picture with what was found tinted green and the true outline drawn black."""
    pixels = picture.astype(np.float32)
    pixels[found] = 0.55 * pixels[found] + 0.45 * np.array(FOUND_COLOR, dtype=np.float32)
    pixels[truth & ~ndimage.binary_erosion(truth)] = TRUTH_COLOR
    out: RGB = pixels.round().astype(np.uint8)
    return out


def side_by_side(outcome: Outcome, gap_px: int = 6) -> RGB:
    """Before and after in one picture; after alone where there was no before."""
    after = tinted(outcome.picture, outcome.found, outcome.truth)
    if outcome.found_before is None:
        before = tinted(outcome.picture, np.zeros_like(outcome.found), outcome.truth)
    else:
        before = tinted(outcome.picture, outcome.found_before, outcome.truth)
    gap = np.full((before.shape[0], gap_px, 3), 255, np.uint8)
    return np.concatenate([before, gap, after], axis=1)


def worth_a_look(lesson: Lesson, count: int = SHOWN) -> list[Outcome]:
    """Held-out fields with the term, the worst first, then some without it."""
    present = sorted(
        (o for o in lesson.outcomes if o.after is not None), key=lambda o: o.after or 0
    )
    absent = [o for o in lesson.outcomes if o.after is None]
    if len(present) > count - 2:  # from the worst to the best, evenly
        places = np.linspace(0, len(present) - 1, count - 2).round().astype(int)
        present = [present[i] for i in places]
    return [*present, *absent[: count - len(present)]]


def lesson_facts(lesson: Lesson) -> dict[str, Any]:
    """The figures of a lesson as plain values for JSON."""
    taught = lesson.taught
    return {
        "term": {"structure": taught.term.structure, "object": taught.term.object},
        "new": not taught.added,
        "working_mpp": taught.working_mpp,
        "fields": taught.fields,
        "slides": taught.slides,
        "present": taught.present,
        "dice_before": taught.before,
        "dice_after": taught.after,
        "better": lesson.better,
        "seconds": round(lesson.seconds, 1),
        "curve": [{"step": p.step, "loss": p.loss, "dice": p.dice} for p in lesson.curve],
        "held_out": [
            {"field": o.id, "slide": o.slide, "dice_before": o.before, "dice_after": o.after}
            for o in lesson.outcomes
        ],
    }


def lesson_page(lessons: Sequence[Lesson], title: str) -> str:
    """A page of HTML with everything inside."""
    return (
        "<!doctype html><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style><h1>{html.escape(title)}</h1>"
        "<p class=note>Each field was answered by a head that had not seen it; the head that is "
        "kept learned from all of them. Left before, right after. Green: found. Black line: as "
        f"corrected.</p>{''.join(_section(lesson) for lesson in lessons)}\n"
    )


def _section(lesson: Lesson) -> str:
    taught = lesson.taught
    rows = [
        ("fields (with the term)", f"{taught.fields} ({taught.present})"),
        ("slides", str(taught.slides)),
        ("looked at with", f"{taught.working_mpp:.2g} µm/px"),
        ("Dice before", "not known before" if not taught.added else figure(taught.before)),
        ("Dice after", figure(taught.after)),
        ("took", f"{lesson.seconds:.0f} s"),
    ]
    cells = "".join(f"<tr><td>{k}<td class=n>{html.escape(v)}</tr>" for k, v in rows)
    figures = "".join(_figure(outcome) for outcome in worth_a_look(lesson))
    name = html.escape(taught.term.object)
    return f"<h2>{name}</h2><table>{cells}</table>{curve_svg(lesson)}{figures}"


def figure(dice: float | None) -> str:
    """A Dice for people."""
    return "–" if dice is None else f"{dice:.2f}"


def curve_svg(lesson: Lesson) -> str:
    """Dice on held-out fields along the steps."""
    points = [(p.step, p.dice) for p in lesson.curve if p.dice is not None]
    if not points:
        return ""
    last = points[-1][0]
    line = " ".join(
        f"{CURVE_WIDTH * step / last:.1f},{CURVE_HEIGHT * (1 - max(dice, 0)):.1f}"
        for step, dice in points
    )
    return (
        f"<svg width={CURVE_WIDTH + 60} height={CURVE_HEIGHT + 40} viewBox='-40 -10 "
        f"{CURVE_WIDTH + 60} {CURVE_HEIGHT + 40}' role=img aria-label='learning curve'>"
        f"<rect width={CURVE_WIDTH} height={CURVE_HEIGHT} fill=none stroke=#999 />"
        f"<polyline points='{line}' fill=none stroke=#0072b2 stroke-width=2 />"
        "<g fill=currentColor font-size=12><text x=-6 y=8 text-anchor=end>1</text>"
        f"<text x=-6 y={CURVE_HEIGHT} text-anchor=end>0</text>"
        f"<text x={CURVE_WIDTH} y={CURVE_HEIGHT + 16} text-anchor=end>step {last}</text>"
        f"<text x=6 y={CURVE_HEIGHT - 6}>Dice, held out</text></g></svg>"
    )


def _figure(outcome: Outcome) -> str:
    file = io.BytesIO()
    Image.fromarray(side_by_side(outcome)).save(file, "JPEG", quality=82)
    data = base64.b64encode(file.getvalue()).decode("ascii")
    if outcome.after is None:
        text = "not in this field"
    else:
        text = f"Dice {figure(outcome.before)} before, {figure(outcome.after)} after"
    return (
        f"<figure><img alt='{html.escape(text, quote=True)}' src='data:image/jpeg;base64,{data}'>"
        f"<figcaption>{html.escape(text)} (field {html.escape(outcome.id)})</figcaption></figure>"
    )
