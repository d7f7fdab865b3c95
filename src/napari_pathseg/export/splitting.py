"""Which fields are for training and which for validation: all of a slide on the same side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from napari_pathseg.export.fields import hidden_name
from napari_pathseg.geometry import Region

Splits = dict[str, list[str]]

# Of five slides one is for validation, and of fewer one too.
_PER_VALIDATION = 5


def splits_of(lines: Sequence[Mapping[str, Any]], before: Mapping[str, Any]) -> Splits:
    """Ids of fields by side: "train" and "val"; "by" says what is never torn apart.

    Parameters
    ----------
    lines : sequence of mappings
        `FieldRecord.to_json` of each field.
    before : mapping
        The splits until now: a slide, or a place of a single slide, stays on its side.
    """
    slides = {line["slide"]["identity"] for line in lines}
    if len(slides) > 1:
        old = before if before.get("by") != ["field"] else {}
        side_of = _sides(lines, old, lambda line: str(line["slide"]["identity"]))
        group = [side_of[line["slide"]["identity"]] for line in lines]
    else:
        places = _places(lines)
        side_of = _sides(lines, before, lambda line: places[line["id"]])
        group = [side_of[places[line["id"]]] for line in lines]
    found: Splits = {"by": ["slide" if len(slides) > 1 else "field"]}
    for side in ("train", "val"):
        pairs = zip(lines, group, strict=True)
        found[side] = [line["id"] for line, of in pairs if of == side]
    return found


def _sides(
    lines: Sequence[Mapping[str, Any]],
    before: Mapping[str, Any],
    group_of: Callable[[Mapping[str, Any]], str],
) -> dict[str, str]:
    """The side of each group. One stays where it was; new ones come in the order of hashes."""
    known = {field_id: side for side in ("train", "val") for field_id in before.get(side, ())}
    side_of: dict[str, str] = {}
    for line in lines:
        if line["id"] in known:
            side_of.setdefault(group_of(line), known[line["id"]])
    new = {group_of(line) for line in lines} - set(side_of)
    for group in sorted(new, key=hidden_name):
        count = len(side_of) + 1
        wanted = max(1, count // _PER_VALIDATION) if count > 1 else 0
        side_of[group] = "val" if list(side_of.values()).count("val") < wanted else "train"
    return side_of


def _places(lines: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """For each field one of those that it shares a pixel with, directly or by others."""
    above: dict[str, str] = {line["id"]: line["id"] for line in lines}

    def top(field_id: str) -> str:
        while above[field_id] != field_id:
            field_id = above[field_id]
        return field_id

    near: list[tuple[str, Region]] = []  # those that reach down to the present row
    ordered = sorted(lines, key=lambda line: (line["region"][0], line["id"]))
    for line in ordered:
        region = Region(*line["region"])
        near = [(other, beside) for other, beside in near if beside.stop_y > region.y]
        for other, beside in near:
            if region.intersection(beside):
                above[top(line["id"])] = top(other)
        near.append((line["id"], region))
    return {field_id: top(field_id) for field_id in above}
