"""What came of a batch: a table, a page with thumbnails, and all that must be known of the run."""

from __future__ import annotations

import csv
import html
import json
import platform
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import quote

from napari_pathseg import __version__
from napari_pathseg.batch.settings import BatchSettings
from napari_pathseg.export.atomic import whole_file

Facts = dict[str, Any]

TABLE, RUN, PAGE = "report.csv", "run.json", "report.html"
PACKAGES = ("torch", "numpy", "tifffile", "zarr", "openslide-python", "distributed")
SHOWN_PX = 180, 240
"""Height and width of a picture on the page, at the most."""

COLUMNS = (
    "name",
    "slide",
    "status",
    "error",
    "height_px",
    "width_px",
    "mpp",
    "looked_at_mm2",
    "tiles",
    "seconds",
    "model_seconds",
    "mm2_per_s",
    "labels",
    "warnings",
)
OF_CLASS = ("objects", "area_px", "area_um2", "presence", "score")


def write_reports(
    out: Path, rows: Sequence[Facts], settings: BatchSettings, run: Mapping[str, Any]
) -> Facts:
    """Write report.csv, report.html and run.json; what run.json holds.

    Parameters
    ----------
    rows : sequence of dict
        Facts of each slide, done or failed, in the order of the inputs.
    run : mapping
        What is known of the run besides: times, model, workers.

    Raises
    ------
    ExportError
    """
    facts = _run(rows, settings, run)
    with whole_file(out / RUN) as part:
        text = json.dumps(facts, indent=2, allow_nan=False) + "\n"
        part.write_text(text, encoding="utf-8", newline="\n")
    names = class_names(rows)
    with whole_file(out / TABLE) as part, part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*COLUMNS, *(f"{name} {what}" for name in names for what in OF_CLASS)])
        for row in rows:
            writer.writerow([_plain(cell) for cell in _cells(row, names)])
    with whole_file(out / PAGE) as part:
        part.write_text(page(rows, facts), encoding="utf-8", newline="\n")
    return facts


def rows_before(out: Path) -> list[Facts]:
    """Facts of the slides of earlier runs into the same folder, done or not."""
    try:
        facts = json.loads((out / RUN).read_text(encoding="utf-8"))
        return [row for row in facts["slides"] if row["slide"] and row["name"] and row["status"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def names_before(out: Path) -> dict[str, str]:
    """Name of each slide (absolute path) in earlier runs into the same folder."""
    return {row["slide"]: row["name"] for row in rows_before(out)}


def class_names(rows: Iterable[Facts]) -> list[str]:
    """The classes of a batch, in the order of their values."""
    names: dict[str, None] = {}
    for row in rows:
        names |= {term["name"]: None for term in row.get("terms", ())}
    return list(names)


def counts(rows: Sequence[Facts]) -> dict[str, int]:
    """How many slides there are, are done and failed, and were done in this run."""
    done = [row for row in rows if row["status"] == "done"]
    kept = sum(bool(row.get("kept")) for row in done)
    return {
        "slides": len(rows),
        "done": len(done),
        "failed": sum(row["status"] == "failed" for row in rows),
        "waiting": sum(row["status"] == "waiting" for row in rows),
        "kept": kept,
        "segmented": len(done) - kept,
    }


def _run(rows: Sequence[Facts], settings: BatchSettings, run: Mapping[str, Any]) -> Facts:
    return {
        "program": "napari-pathseg",
        "version": __version__,
        "versions": {
            "python": platform.python_version(),
            "platform": platform.platform(),
            **{package: version(package) for package in PACKAGES},
        },
        **run,
        "written": datetime.now(UTC).isoformat(),
        "prompts": list(settings.prompts),
        "settings": {
            "mpp": settings.mpp,
            "where": settings.where,
            "instances": settings.instances,
            "formats": list(settings.formats),
            "working_mpp": settings.working_mpp,
        },
        "counts": counts(rows),
        "failed": [
            {"slide": row["slide"], "error": row["error"]}
            for row in rows
            if row["status"] == "failed"
        ],
        "slides": list(rows),
    }


def _cells(row: Facts, names: Sequence[str]) -> list[object]:
    height, width = row.get("slide_shape", ("", ""))
    area, seconds = row.get("looked_at_mm2"), row.get("segment_seconds")
    mpp = row.get("mpp")
    own: dict[str, object] = {
        **{key: row.get(key, "") for key in COLUMNS},
        "height_px": height,
        "width_px": width,
        "mpp": "" if mpp is None else round(mpp[0], 6),
        "mm2_per_s": round(area / seconds, 4) if area and seconds else "",
        "labels": row.get("files", {}).get("tif", ""),
        "warnings": " ".join(row.get("warnings", ())),
    }
    terms = {term["name"]: term for term in row.get("terms", ())}
    cells = [own[key] for key in COLUMNS]
    for name in names:
        term = terms.get(name)
        values = {} if term is None else term | {"area_px": term["pixels"]}
        cells += [values.get(what, "") for what in OF_CLASS]
    return ["" if cell is None else cell for cell in cells]


def _plain(cell: object) -> object:
    """A text that a spreadsheet would take for a formula begins with an apostrophe."""
    formula = isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    return f"'{cell}" if formula else cell


_STYLE = """
body{font:14px/1.45 system-ui,sans-serif;margin:2em auto;max-width:1100px;color:#222;padding:0 1em}
h1{font-size:1.4em}table{border-collapse:collapse;width:100%}
td,th{border-bottom:1px solid #ddd;padding:.5em;text-align:left;vertical-align:top}
th{color:#666;font-weight:500}th:last-child,td.n{text-align:right;white-space:nowrap}
td.n{font-variant-numeric:tabular-nums}td:first-child{width:28%;overflow-wrap:anywhere}
th:nth-child(2){width:252px}.w{white-space:nowrap}img{display:block}.failed{background:#fdf0ee}
.sw{display:inline-block;width:.8em;height:.8em;margin-right:.4em}small{color:#666}
"""


def page(rows: Sequence[Facts], run: Facts) -> str:
    """The report as one HTML page beside the folder of thumbnails; it loads nothing else."""
    number = counts(rows)
    prompts = dict.fromkeys([*run["prompts"], *(p for row in rows for p in row.get("prompts", ()))])
    title = f"{number['done']} of {number['slides']} slides: {'; '.join(prompts)}"
    body = "\n".join(_row(row) for row in rows)
    model = html.escape(f"{run.get('model', '')}, {run.get('model_license', '')}")
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>
<style>{_STYLE}</style>
<h1>{html.escape(title)}</h1>
<p>napari-pathseg {__version__}, model {model}; {run["written"][:16].replace("T", " ")} UTC.
Failed: {number["failed"]}. Done before: {number["kept"]}. Not for diagnosis.</p>
<table><tr><th>Slide</th><th>Result</th><th>Classes</th><th>Time</th></tr>
{body}
</table></html>
"""


def _row(row: Facts) -> str:
    name, slide = html.escape(row["name"]), html.escape(row["slide"])
    if row["status"] != "done":
        error = html.escape(row.get("error", "Not done yet."))
        return (
            f'<tr class="{row["status"]}"><td><b>{name}</b><br><small>{slide}</small></td>'
            f'<td colspan="2">{error}</td><td class="n">{row.get("seconds", 0):.1f} s</td></tr>'
        )
    picture, labels = (quote(row["files"][kind]) for kind in ("thumbnail", "tif"))
    height, width = row["slide_shape"]
    # The page does not jump where a picture's size is known before it is there.
    scale = min(SHOWN_PX[0] / height, SHOWN_PX[1] / width)
    size = f"width={max(round(width * scale), 1)} height={max(round(height * scale), 1)}"
    mpp = "no scale" if row["mpp"] is None else f"{row['mpp'][0]:.3g} µm/px"
    area = "" if row["looked_at_mm2"] is None else f"<br>{row['looked_at_mm2']:.1f} mm² looked at"
    warnings = "".join(f"<br><small>{html.escape(text)}</small>" for text in row["warnings"])
    return (
        f"<tr><td><b>{name}</b><br><small>{slide}</small>"
        f'<br><span class="w">{height:,} x {width:,} px, {mpp}</span>{area}</td>'
        f'<td><a href="{labels}"><img loading="lazy" {size} src="{picture}" alt="{name}"></a></td>'
        f"<td>{'<br>'.join(_term(term) for term in row['terms'])}{warnings}</td>"
        f'<td class="n">{row["seconds"]:.1f} s<br><small>{row["tiles"]:,} tiles</small></td></tr>'
    )


def _term(term: Facts) -> str:
    size = f"{term['pixels']:,} px"
    if term["area_um2"] is not None:
        size = f"{term['area_um2'] / 1e6:.3f} mm²"
    color = ",".join(str(part) for part in term.get("color", ()))
    return (
        f'<span class="sw" style="background:rgb({color})"></span>'
        f"{term['value']} {html.escape(term['name'])}: {term['objects']:,} objects, {size}, "
        f"presence {term['presence']:.2f}"
    )
