"""Labels of a whole slide in the viewer: live and coarse while they are made, then the file's."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from napari_pathseg.classes import ClassList
from napari_pathseg.geometry import Field, Pair, exact_downsample
from napari_pathseg.gui.layers import (
    FIELD_OPACITY,
    KEY,
    mask_colormap,
    place_field,
    whole_slide_key,
    whole_slide_of,
)
from napari_pathseg.gui.lazy_labels import LazyLabels, Places
from napari_pathseg.inference.whole_slide import LiveTile
from napari_pathseg.slide.tiff_segments import Page, SegmentReader

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Labels, Layer

    from napari_pathseg.slide.base import Slide

LIVE_PX = 2048


class LiveLabels:
    """A coarse label layer over a slide, into which tiles are painted as they are done.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    slide : Slide
    mpp : (float, float) or None
        Of a level-0 pixel.
    classes : ClassList
    above : Layer, optional
        What it lies directly on: the slide, so that another slide covers both.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        slide: Slide,
        mpp: Pair | None,
        classes: ClassList,
        above: Layer | None = None,
    ) -> None:
        from napari.layers import Labels

        self._viewer, self._mpp, self._classes = viewer, mpp, classes
        shape, key = slide.shape, whole_slide_key(slide)
        step = max(max(shape) / LIVE_PX, 1.0)
        coarse = max(round(shape[0] / step), 1), max(round(shape[1] / step), 1)
        self._field = Field(0, 0, 0, *coarse, exact_downsample(shape, coarse))
        self._data = np.zeros(coarse, dtype=np.uint16)
        for old in whole_slide_of(viewer, slide):
            viewer.layers.remove(old)
        self.layer: Labels = Labels(
            self._data,
            name=f"{slide.name} whole slide",
            opacity=FIELD_OPACITY,
            metadata={KEY: key},
            colormap=mask_colormap(classes),
            visible=above is None or above.visible,
        )
        self.layer.editable = False
        place_field(self.layer, self._field, mpp)
        active = viewer.layers.selection.active
        on_top = above is None or above not in viewer.layers
        place = len(viewer.layers) if on_top else viewer.layers.index(above) + 1
        viewer.layers.insert(place, self.layer)
        viewer.layers.selection.active = active  # keys and clicks stay with the slide

    def paint(self, tiles: Sequence[LiveTile]) -> None:
        """Show tiles that are done."""
        for tile in tiles:
            self._paint(tile)
        if tiles:
            self.layer.refresh()

    def show_file(self, path: Path, field: Field) -> None:
        """The exact labels of a file in place of the coarse ones."""
        from napari.layers import Labels

        if self.layer not in self._viewer.layers:
            return  # it was taken away: nobody wants to see it
        levels = label_levels(path)
        layer = Labels(
            levels if len(levels) > 1 else levels[0][:, :],
            multiscale=len(levels) > 1,
            name=self.layer.name,
            opacity=self.layer.opacity,
            metadata=dict(self.layer.metadata),
            colormap=mask_colormap(self._classes),
            visible=self.layer.visible,
        )
        layer.editable = False
        place_field(layer, field, self._mpp)
        place = self._viewer.layers.index(self.layer)
        self._viewer.layers.remove(self.layer)
        active = self._viewer.layers.selection.active
        self._viewer.layers.insert(place, layer)
        self._viewer.layers.selection.active = active
        self.layer = layer

    def _paint(self, tile: LiveTile) -> None:
        rows = self._span(tile.region.y, tile.region.stop_y, axis=0)
        columns = self._span(tile.region.x, tile.region.stop_x, axis=1)
        height, width = tile.labels.shape
        at_y = ((np.arange(rows.start, rows.stop) - rows.start + 0.5) * height) // _count(rows)
        at_x = ((np.arange(columns.start, columns.stop) - columns.start + 0.5) * width) // _count(
            columns
        )
        part = tile.labels[np.ix_(at_y.astype(np.intp), at_x.astype(np.intp))]
        target = self._data[rows, columns]
        # What overlaps is of neighbours, or of a look at other classes: nothing is taken away.
        self._data[rows, columns] = np.where(part > 0, part, target)

    def _span(self, start: int, stop: int, axis: int) -> slice:
        down = self._field.downsample[axis]
        first = min(int(start / down), self._data.shape[axis] - 1)
        return slice(first, max(min(round(stop / down), self._data.shape[axis]), first + 1))


def label_levels(path: Path) -> list[LazyLabels]:
    """The levels of a label TIFF, finest first; the file stays open as long as they are used."""
    tif = tifffile.TiffFile(path)
    reader = SegmentReader(path)
    pages = [level.keyframe for level in tif.series[0].levels]
    return [
        LazyLabels((p.shape[0], p.shape[1]), np.dtype(p.dtype), partial(_read, reader, p))
        for p in pages
    ]


def _read(reader: SegmentReader, page: Page, rows: Places, columns: Places) -> Any:
    top, left = int(rows.min()), int(columns.min())
    height, width = int(rows.max()) - top + 1, int(columns.max()) - left + 1
    window = reader.window(page, top, left, height, width, 0)[..., 0]
    return window[np.ix_(rows - top, columns - left)]


def _count(span: slice) -> int:
    return int(span.stop - span.start)
