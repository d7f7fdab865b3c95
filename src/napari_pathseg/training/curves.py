"""A training run as a picture: loss of each group, and Dice on held-out crops."""

from __future__ import annotations

import csv
import html
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

Points = Sequence[tuple[float, float]]
WIDTH, HEIGHT, MARGIN, GAP = 460, 260, 50, 70
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#666666", "#8b5a2b")
SMOOTH = 0.05


def draw_curves(log: Path, validation: Path, out: Path) -> None:
    """Write an SVG of `log.csv` and, where it exists, `validation.csv`."""
    losses: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for row in _rows(log):
        known = losses[row["group"]]
        before = known[-1][1] if known else float(row["loss"])
        value = before + SMOOTH * (float(row["loss"]) - before)
        known.append((float(row["seconds"]) / 60, value))
    dice: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for row in _rows(validation):
        dice[row["object"]].append((float(row["seconds"]) / 60, float(row["dice"])))
    charts = [_chart(losses, "loss", None)] + ([_chart(dice, "Dice", 1.0)] if dice else [])
    width = len(charts) * (WIDTH + MARGIN + 3 * GAP)
    placed = "".join(
        f"<g transform='translate({MARGIN + i * (WIDTH + MARGIN + 3 * GAP)} 20)'>{chart}</g>"
        for i, chart in enumerate(charts)
    )
    out.write_text(
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{HEIGHT + 70}' "
        f"font-family='sans-serif' font-size='12'><rect width='100%' height='100%' fill='white'/>"
        f"{placed}</svg>\n",
        encoding="utf-8",
    )


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _chart(curves: Mapping[str, Points], name: str, top: float | None) -> str:
    last = max((x for points in curves.values() for x, _ in points), default=1.0) or 1.0
    highest = top or max((y for points in curves.values() for _, y in points), default=1.0)
    parts = [
        f"<rect width='{WIDTH}' height='{HEIGHT}' fill='none' stroke='#999'/>",
        f"<text x='{WIDTH / 2}' y='{HEIGHT + 35}' text-anchor='middle'>minutes</text>",
    ]
    for share in (0.0, 0.5, 1.0):
        y = HEIGHT * (1 - share)
        parts.append(f"<text x='-6' y='{y + 4}' text-anchor='end'>{share * highest:.2g}</text>")
        x = WIDTH * share
        parts.append(
            f"<text x='{x}' y='{HEIGHT + 16}' text-anchor='middle'>{share * last:.0f}</text>"
        )
    parts.append(f"<text x='4' y='14' fill='#666'>{name}</text>")
    for i, (label, points) in enumerate(sorted(curves.items())):
        color = COLORS[i % len(COLORS)]
        line = " ".join(
            f"{WIDTH * x / last:.1f},{HEIGHT * (1 - min(y / highest, 1.0)):.1f}" for x, y in points
        )
        parts.append(f"<polyline points='{line}' fill='none' stroke='{color}'/>")
        parts.append(
            f"<text x='{WIDTH + 8}' y='{14 + 16 * i}' fill='{color}'>{html.escape(label)}</text>"
        )
    return "".join(parts)
