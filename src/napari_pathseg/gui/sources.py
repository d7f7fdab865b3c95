"""Slides as napari layers: by name, as set, with every channel, plane and scene."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from napari_pathseg.config import SlideConfig
from napari_pathseg.errors import DamagedSlideError, SlideError
from napari_pathseg.geometry import Field, world_scale
from napari_pathseg.gui.layers import KEY, units
from napari_pathseg.slide.base import RGB, Slide
from napari_pathseg.slide.cache import ChunkCache
from napari_pathseg.slide.channels import WHITE, Channel
from napari_pathseg.slide.open import open_slide
from napari_pathseg.slide.planes import PlaneSlide

LayerData = tuple[Any, dict[str, Any], str]

PLUGIN, GROUP = "napari-pathseg", "slides"
MEGABYTE = 1 << 20
LOOK_PIXELS = 2048 * 2048
"""Of a level that is read at once."""

GLIMPSE_S = 2.0
"""A large JPEG shows all of itself within so long, a PNG its first rows, on a slow computer too:
before the layer comes, which takes longer, nothing else is seen."""

_GENERATED = re.compile(r"synthetic-(\d+)x(\d+)-([0-9.]+)-(\d+)")

CHUNKS = ChunkCache(SlideConfig().cache_mb * MEGABYTE)
"""Decoded pixels of all slides in this process: the memory is one, and so is its bound."""


def slide_config() -> SlideConfig:
    """What the person set for slides; the cache is made to fit at once.

    napari has no settings of ours when the plugin is not installed in it: the defaults count. They
    do, too, where napari keeps no file of them: to make their models it would read the manifests
    of all plugins, a tenth of the time in which the first slide appears.
    """
    from napari.settings import get_plugin_settings, get_settings

    own = get_settings().config_path
    if own is not None and not Path(own).with_name(f"{PLUGIN}.yaml").exists():
        return SlideConfig()
    try:
        group = getattr(get_plugin_settings(PLUGIN), GROUP)
    except KeyError:
        return SlideConfig()
    config = SlideConfig(group.color_managed, group.cache_mb, group.overviews_mb)
    CHUNKS.resize(config.cache_mb * MEGABYTE)
    return config


def open_source(path: Path, scene: int | None = None, *, settled: bool = True) -> Slide:
    """A slide file, or the generated slide of that name.

    Parameters
    ----------
    path, scene, settled
        As for `open_slide`.

    Raises
    ------
    SlideError
        As `open_slide`.
    """
    found = _GENERATED.fullmatch(path.name)
    if found is None or path.exists():
        return open_slide(path, scene=scene, config=slide_config(), settled=settled)
    from napari_pathseg.slide.synthetic import SyntheticSlide

    height, width, mpp, seed = found.groups()
    return SyntheticSlide((int(height), int(width)), float(mpp), int(seed))


def read_file(path: Path) -> list[LayerData]:
    """All layers of a file: its largest scene in view, the others hidden.

    A scene that can not be opened is left out with a warning that says why.

    Raises
    ------
    SlideError
        When the file can not be opened.
    """
    first = open_source(path, settled=False)
    first.glimpse()  # what has to be decoded as a whole is begun now, beside all that follows
    if len(first.scenes) > 1:
        _look_at_all_when_there()
    layers = {first.scene: slide_layers(first)}
    _show_at_once(first, layers[first.scene][-1][0])
    for scene in range(len(first.scenes)):
        if scene != first.scene:
            try:
                other = open_source(path, scene)
            except SlideError as error:
                _warn(str(error))
                continue
            layers[scene] = [
                (data, options | {"visible": False}, kind)
                for data, options, kind in slide_layers(other)
            ]
    shown = layers.pop(first.scene)
    first.settle()
    # The last layer lies on top.
    return [layer for scene in sorted(layers) for layer in layers[scene]] + shown


def _show_at_once(slide: Slide, data: Any) -> None:
    """What is read now of the first slide is seen while napari makes its first layer.

    Parameters
    ----------
    slide : Slide
    data : array or list of arrays
        Of the layer that lies on top.
    """
    from napari import current_viewer

    viewer = current_viewer()
    if getattr(viewer, "window", None) is None:
        return
    from napari_pathseg.gui.widgets.first_look import FirstLook, is_wanted

    if not is_wanted(viewer):
        return
    slide.glimpse(GLIMPSE_S)
    pixels = _coarsest(slide, data[-1] if isinstance(data, list) else data)
    if pixels is not None and pixels.min() < pixels.max():
        height, width = slide.shape
        mpp = slide.metadata.mpp or (1.0, 1.0)
        FirstLook(viewer, pixels, (height * mpp[0], width * mpp[1]))


def _coarsest(slide: Slide, array: Any) -> RGB | None:
    """All of a slide in colours, None where that would take long or some of it is broken."""
    level = slide.levels[-1]
    try:
        if slide.stack.is_flat and not slide.stack.channels:
            return np.asarray(array) if array.size <= 3 * LOOK_PIXELS else None  # and it is kept
        if level.shape[0] * level.shape[1] > LOOK_PIXELS:
            return None
        return slide.read(Field(len(slide.levels) - 1, 0, 0, *level.shape, level.downsample))
    except DamagedSlideError:
        return None  # the layer shows what is whole, and it is told


def _look_at_all_when_there() -> None:
    """An empty viewer fits the first layer that it is given, here a hidden scene: fit the seen."""
    from napari import current_viewer

    viewer = current_viewer()
    if viewer is None or viewer.layers:
        return
    inserted = viewer.layers.events.inserted

    def look(event: Any) -> None:
        if event.value.visible:
            inserted.disconnect(look)
            viewer.reset_view()

    inserted.connect(look, position="last")


def slide_layers(slide: Slide) -> list[LayerData]:
    """What napari needs to show one slide: a layer in colours, or one for each channel.

    The pixels are read when they come into view; the scale is in micrometres, or in level-0
    pixels where the slide does not say its resolution. Time and focus are leading axes. The first
    channel lies on top: it is the one that is worked on, and labels come over it and all others.
    """
    channels = slide.stack.channels
    if not channels:
        return [_layer(slide, None, {"name": slide.name, "rgb": True})]
    windows = slide.display_windows() if isinstance(slide, PlaneSlide) else [None] * len(channels)
    layers = []
    for index, (channel, window) in enumerate(zip(channels, windows, strict=True)):
        single = len(channels) == 1
        options = {
            "name": slide.name if single else f"{slide.name} {channel.name}",
            "rgb": False,
            "colormap": _colormap(channel),
            "contrast_limits": window or _range(slide.stack.dtype),
            "blending": "translucent" if single else "additive",
        }
        layers.append(_layer(slide, index, options))
    return layers[::-1]


def _layer(slide: Slide, channel: int | None, options: dict[str, Any]) -> LayerData:
    levels = _pyramid(slide, channel)
    mpp, stack = slide.metadata.mpp, slide.stack
    # Focus in pixels would not do beside height and width in micrometres, and the reverse.
    z_known = stack.z_um is not None and mpp is not None
    lead = [
        ("t", stack.t, stack.t_s or 1.0, "second" if stack.t_s else "pixel"),
        ("z", stack.z, stack.z_um if z_known else 1.0, "um" if z_known else "pixel"),
    ]
    axes = [axis for axis in lead if axis[1] > 1]
    placed = options | {
        "multiscale": len(levels) > 1,
        "scale": (*(axis[2] for axis in axes), *world_scale((1.0, 1.0), mpp)),
        "units": (*(axis[3] for axis in axes), *units(mpp)),
        # Decoded chunks are held in our own cache, whose size is a setting: not twice.
        "cache": False,
        "metadata": {KEY: _origin(slide, channel)},
    }
    if axes:
        placed["axis_labels"] = (*(axis[0] for axis in axes), "y", "x")
    return (levels if len(levels) > 1 else levels[0]), placed, "image"


def _pyramid(slide: Slide, channel: int | None) -> list[Any]:
    """Levels as a viewer wants them, or exact ones where there is no viewer to show more later."""
    from napari import current_viewer

    from napari_pathseg.slide.pyramid import dask_pyramid, viewer_pyramid

    viewer = current_viewer()
    if viewer is None:
        return dask_pyramid(slide, channel=channel, cache=CHUNKS)
    from napari_pathseg.gui.late_layers import patience_s, watch_late
    from napari_pathseg.gui.overview_watch import watch

    shown = viewer_pyramid(
        slide,
        channel=channel,
        cache=CHUNKS,
        keep_bytes=slide_config().overviews_mb * MEGABYTE,
        patience=patience_s,
    )
    name = shown.levels[-1].name
    if shown.coarse is not None:
        watch(viewer, shown.coarse, name, slide.name)
    watch_late(viewer, shown.late, name)
    text = f"A part of {slide.name} can not be read and is grey."
    shown.damage.on_found = lambda error: _warn(f"{text} {error}")
    return shown.levels


def file_of(origin: Any) -> Slide | None:
    """The slide that a layer shows, opened anew, by its metadata; None where it shows none.

    Raises
    ------
    SlideError
        When it can not be opened.
    """
    if not isinstance(origin, Mapping) or "path" not in origin:
        return None
    return open_source(Path(origin["path"]), origin.get("scene"))


def _origin(slide: Slide, channel: int | None) -> dict[str, Any]:
    """Where a layer comes from; the first layer of a slide is the one that the desk takes."""
    origin: dict[str, Any] = {"identity": slide.metadata.identity}
    origin["path" if channel in (None, 0) else "channel_of"] = str(slide.path)
    if len(slide.scenes) > 1:
        origin["scene"] = slide.scene
    if channel is not None:
        origin["channel"] = channel
    return origin


def _colormap(channel: Channel) -> Any:
    from napari.utils import Colormap

    if channel.color == WHITE:
        return "gray"
    full = [part / 255 for part in channel.color]
    return Colormap([[0.0, 0.0, 0.0], full], name="#{:02x}{:02x}{:02x}".format(*channel.color))


def _range(dtype: str) -> tuple[float, float]:
    kind = np.dtype(dtype)
    if kind.kind in "iu":
        return float(np.iinfo(kind).min), float(np.iinfo(kind).max)
    return 0.0, 1.0


def _warn(text: str) -> None:
    from napari.utils.notifications import show_warning

    show_warning(text)
