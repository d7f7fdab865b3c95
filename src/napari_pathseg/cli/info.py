"""`pathseg info`: what a slide is, without reading its pixels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from napari_pathseg.cli.console import print_json, print_table


@click.command()
@click.argument("slide", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--properties",
    is_flag=True,
    help="Also all that the file says of itself; this can name the patient.",
)
@click.option(
    "--scene", type=click.IntRange(min=0), help="Which of several slides in the file; from 0."
)
def info(slide: Path, as_json: bool, properties: bool, scene: int | None) -> None:
    """Tell backend, vendor, resolution, levels, channels and scenes of SLIDE."""
    from napari_pathseg.slide.info import describe
    from napari_pathseg.slide.open import open_slide

    with open_slide(slide, scene=scene) as opened:
        facts = describe(opened, properties=properties)
    if as_json:
        print_json(facts)
    else:
        _print(facts)


def _print(facts: Mapping[str, Any]) -> None:
    height, width = facts["shape"]
    power = facts["objective_power"]
    print_table(
        [
            ("slide", str(facts["path"])),
            ("backend", str(facts["backend"])),
            ("vendor", str(facts["vendor"])),
            ("size", f"{height} x {width} px (height x width)"),
            ("resolution", _resolution(facts["mpp"])),
            *_millimetres(facts["size_mm"]),
            ("objective", "unknown" if power is None else f"{power:g}x"),
            ("colours", _colors(facts)),
            *_planes(facts["stack"]),
            *_scenes(facts),
            ("associated", ", ".join(facts["associated"]) or "none"),
        ]
    )
    click.echo("levels")
    print_table([_level(level) for level in facts["levels"]], indent="  ")
    for key, value in sorted(facts.get("properties", {}).items()):
        click.echo(f"{key} = {value}")


def _resolution(mpp: list[float] | None) -> str:
    if mpp is None:
        return "unknown: give it with --mpp where it is needed"
    return f"{mpp[0]:.6g} x {mpp[1]:.6g} µm per pixel (y, x)"


def _millimetres(size: list[float] | None) -> list[tuple[str, str]]:
    return [] if size is None else [("", f"{size[0]:.4g} x {size[1]:.4g} mm")]


def _colors(facts: Mapping[str, Any]) -> str:
    if facts["channels"]:
        return ", ".join(channel["name"] for channel in facts["channels"]) + f" ({facts['dtype']})"
    profile = facts["color_profile"]
    return "RGB" if profile is None else f"RGB, profile: {profile}"


def _planes(stack: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows = []
    if stack["z"] > 1:
        step = "" if stack["z_um"] is None else f", {stack['z_um']:.4g} µm apart"
        rows.append(("focus", f"{stack['z']} planes{step}"))
    if stack["t"] > 1:
        step = "" if stack["t_s"] is None else f", {stack['t_s']:.4g} s apart"
        rows.append(("time", f"{stack['t']} points{step}"))
    return rows


def _scenes(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    scenes = facts["scenes"]
    if len(scenes) == 1:
        return []
    named = [f"{index}{' ' + name if name else ''}" for index, name in enumerate(scenes)]
    return [("scenes", f"{', '.join(named)}; this is {facts['scene']}")]


def _level(level: Mapping[str, Any]) -> tuple[str, ...]:
    (height, width), (down_y, down_x) = level["shape"], level["downsample_yx"]
    scale = "" if level["mpp"] is None else f"{level['mpp'][0]:.4g} x {level['mpp'][1]:.4g} µm/px"
    return (
        str(level["index"]),
        f"{height} x {width} px",
        f"downsample {down_y:.10g} x {down_x:.10g}",
        f"tile {level['tile'][0]} x {level['tile'][1]}",
        scale,
    )
