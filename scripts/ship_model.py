r"""Put measured figures into a model's card and into its page of the documentation.

Run::

    pathseg train CASES.csv --out runs/default
    for p in text point points5 box; do
        m=runs/default/model.safetensors
        pathseg evaluate CASES.csv --prompt $p --model $m --out runs/eval/$p
    done
    python scripts/ship_model.py runs/default/model.safetensors runs/eval

which writes src/napari_pathseg/models/data/pathseg-default.safetensors and the tables of
docs/model.md, between its markers. What a model adds to MobileSAM is put into the same file, and
its tables between markers of its name, afterwards::

    python scripts/ship_model.py runs/permissive/model.safetensors runs/eval-permissive \
        --beside permissive --recipe src/napari_pathseg/training/recipes/permissive.toml
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from napari_pathseg.models.base import Figure
from napari_pathseg.models.network import PathsegNetwork
from napari_pathseg.models.registry import SHIPPED, load_card
from napari_pathseg.models.sources import fetch_mobile_sam
from napari_pathseg.models.weights import load_weights, read_mobile_sam, save_beside
from napari_pathseg.training.finish import card_of, write_model
from napari_pathseg.training.recipe import DEFAULT_RECIPE, load_recipe

START, STOP = "<!-- figures{}: made by scripts/ship_model.py -->", "<!-- end of figures{} -->"
HEAD = "| data set | term | asked by | n | Dice | 95 % | IoU |\n|---|---|---|---|---|---|---|\n"
ABSENT_HEAD = (
    "\n| absent term | data set | images | pixels marked | images within 0.5 % |\n"
    "|---|---|---|---|---|\n"
)


def main() -> None:
    """Write the shipped model and its page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("reports", type=Path, help="folder of folders with report.json")
    parser.add_argument("--recipe", type=Path, default=DEFAULT_RECIPE)
    parser.add_argument("--beside", metavar="NAME", help="keep only what it adds to MobileSAM")
    parser.add_argument("--out", type=Path, default=SHIPPED)
    parser.add_argument("--page", type=Path, default=Path("docs/model.md"))
    options = parser.parse_args()

    paths = sorted(options.reports.glob("*/report.json"))
    reports = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    recipe = load_recipe(options.recipe)
    rows, absent = (
        [
            row
            for report in reports
            for row in report[kind]
            if row["prompt"] != "text" or row["term"] not in recipe.withheld
        ]
        for kind in ("rows", "absent")
    )
    keys = ("dataset", "term", "prompt", "n", "dice")
    figures = [Figure(**{k: row[k] for k in keys}) for row in rows]

    card = load_card(options.model)
    network = PathsegNetwork(card.objects, card.regions, context=card.context)
    load_weights(network, options.model)
    if options.beside:
        base = read_mobile_sam(fetch_mobile_sam())
        own = card_of(network, recipe, figures)
        save_beside(network, base, options.out, options.beside, own)
    else:
        write_model(network, options.out, recipe, figures)
        print("What lay beside the model in the file is gone: ship it again.")
    name = f" of {options.beside}" if options.beside else ""
    start, stop = START.format(name), STOP.format(name)
    text = options.page.read_text(encoding="utf-8")
    before, after = text.split(start)[0], text.split(stop)[1]
    options.page.write_text(
        f"{before}{start}\n{_tables(rows, absent)}{stop}{after}", encoding="utf-8"
    )
    print(f"wrote {options.out} and {options.page}")


def _tables(rows: list[dict[str, Any]], absent: list[dict[str, Any]]) -> str:
    lines = [
        f"| {r['dataset']} | {r['term']} | {r['prompt']} | {r['n']} | {r['dice']:.3f} "
        f"| {r['low']:.2f} - {r['high']:.2f} | {r['iou']:.3f} |\n"
        for r in rows
    ]
    empty = [
        f"| {a['term']} | {a['dataset']} | {a['n']} | {a['false_area']:.2%} | {a['within']:.0%} |\n"
        for a in absent
    ]
    return HEAD + "".join(lines) + (ABSENT_HEAD + "".join(empty) if empty else "")


if __name__ == "__main__":
    main()
