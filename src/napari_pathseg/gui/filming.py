"""Pictures and a moving picture of what a hand does in the viewer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from napari_pathseg.errors import ExportError
from napari_pathseg.slide.base import RGB

if TYPE_CHECKING:
    from napari_pathseg.gui.widgets.hand import Hand

STILL_QUALITY = 84
FILM_WIDTH_PX = 960
FILM_QUALITIES = (70, 60, 50, 40, 30, 20)
CAPTION_PX = 30
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
        Image.fromarray(np.ascontiguousarray(picture)).save(
            path, quality=STILL_QUALITY, optimize=True
        )
        return path
