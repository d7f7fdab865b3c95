"""Pictures and a moving picture of what a hand does in the viewer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from napari_pathseg.errors import ExportError
from napari_pathseg.slide.base import RGB

if TYPE_CHECKING:
    from napari_pathseg.gui.widgets.hand import Hand

STILL_QUALITIES, MAX_STILL_BYTES = (84, 74, 64, 54), 150_000
FILM_WIDTH_PX = 960
FILM_QUALITIES = (70, 60, 50, 40, 30, 20)
CAPTION_PX = 30
ROW_PX, GAP_PX, PAPER = 1000, 12, (255, 255, 255)
INK, GROUND = (255, 255, 255), (24, 26, 32)


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """A picture and how long it stands."""

    picture: Image.Image
    seconds: float


class Film:
    """Takes stills and frames of the viewer's window.

    Parameters
    ----------
    hand : Hand
    folder : Path
        Of the stills.
    suffix : str
        Their format: ".png", or ".jpg" where they must be small.
    """

    def __init__(self, hand: Hand, folder: Path, suffix: str = ".png") -> None:
        self._hand = hand
        self._folder = folder
        self._suffix = suffix
        self.frames: list[Frame] = []

    @property
    def seconds(self) -> float:
        """How long the film is."""
        return sum(frame.seconds for frame in self.frames)

    def still(self, name: str) -> Path:
        """Save a picture of the window."""
        return self._save(name, self._hand.picture())

    def part(self, name: str, widget: object) -> Path:
        """Save a picture of one widget alone."""
        return self._save(name, self._hand.picture(widget))

    def shot(self) -> RGB:
        """A picture of the canvas alone, (height, width, 3)."""
        self._hand.wait()
        shot: RGB = self._hand.viewer.screenshot(canvas_only=True, flash=False)[..., :3]
        return shot

    def row(self, name: str, pictures: Sequence[RGB]) -> Path:
        """Save pictures beside each other, together as wide as a page."""
        width = (ROW_PX - GAP_PX * (len(pictures) - 1)) // len(pictures)
        small = [
            Image.fromarray(np.ascontiguousarray(picture)).resize(
                (width, round(picture.shape[0] * width / picture.shape[1])),
                Image.Resampling.LANCZOS,
            )
            for picture in pictures
        ]
        row = Image.new("RGB", (ROW_PX, small[0].height), PAPER)
        for number, picture in enumerate(small):
            row.paste(picture, (number * (width + GAP_PX), 0))
        return self._save(name, np.asarray(row))

    def frame(self, caption: str, seconds: float = 1.0) -> None:
        """Add what is shown now to the film, with a line below."""
        picture = Image.fromarray(self._hand.picture())
        height = round(picture.height * FILM_WIDTH_PX / picture.width)
        small = picture.resize((FILM_WIDTH_PX, height), Image.Resampling.LANCZOS)
        framed = Image.new("RGB", (FILM_WIDTH_PX, height + CAPTION_PX), GROUND)
        framed.paste(small, (0, 0))
        font = ImageFont.load_default(size=CAPTION_PX * 0.55)
        place = FILM_WIDTH_PX / 2, height + CAPTION_PX / 2
        ImageDraw.Draw(framed).text(place, caption, INK, font, anchor="mm")
        self.frames.append(Frame(framed, seconds))

    def save(self, path: Path, max_bytes: int) -> None:
        """Write the frames as an animated WebP, as fine as the size allows.

        Raises
        ------
        ExportError
            When there are no frames, or they do not fit.
        """
        if not self.frames:
            raise ExportError(f"{path}: there are no frames.", "Film something first.")
        path.parent.mkdir(parents=True, exist_ok=True)
        first, *rest = (frame.picture for frame in self.frames)
        times = [round(1000 * frame.seconds) for frame in self.frames]
        for quality in FILM_QUALITIES:
            first.save(
                path,
                save_all=True,
                append_images=rest,
                duration=times,
                loop=0,
                quality=quality,
                method=4,
            )
            if path.stat().st_size <= max_bytes:
                return
        raise ExportError(
            f"{path}: {len(self.frames)} frames do not fit into {max_bytes} bytes.",
            "Take fewer of them.",
        )

    def _save(self, name: str, picture: RGB) -> Path:
        path = self._folder / f"{name}{self._suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(np.ascontiguousarray(picture))
        for quality in STILL_QUALITIES:
            image.save(path, quality=quality, optimize=True)
            if path.stat().st_size <= MAX_STILL_BYTES or self._suffix != ".jpg":
                break
        return path
