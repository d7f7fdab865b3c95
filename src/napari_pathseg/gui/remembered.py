"""Small things kept between sessions: scales that a person gave, recent and favourite prompts."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import platformdirs

from napari_pathseg.errors import StoreError, describe_os_error
from napari_pathseg.geometry import Pair

RECENT = 12


class Remembered:
    """A JSON file in the user's data folder; a missing or broken one counts as empty.

    Parameters
    ----------
    path : Path, optional
        Where it lies; the user's data folder by default.
    """

    def __init__(self, path: Path | None = None) -> None:
        folder = platformdirs.user_data_path("napari-pathseg", appauthor=False)
        self.path = path or folder / "remembered.json"
        self._values: dict[str, Any] = self._read()

    def scale(self, identity: str) -> Pair | None:
        """Micrometres per level-0 pixel, (y, x), that a person gave for a slide."""
        found = self._section("scales").get(identity)
        if not (isinstance(found, list) and len(found) == 2):
            return None
        return float(found[0]), float(found[1])

    def set_scale(self, identity: str, mpp: Pair) -> None:
        """Remember a slide's scale; StoreError when it can not be saved."""
        self._section("scales")[identity] = list(mpp)
        self._write()

    @property
    def labels_folder(self) -> Path | None:
        """Where a person keeps the label stores, None for the usual place."""
        return self._folder("labels_folder")

    def set_labels_folder(self, folder: Path) -> None:
        """Remember where the label stores are; StoreError when it can not be saved."""
        self._values["labels_folder"] = str(folder)
        self._write()

    @property
    def results_folder(self) -> Path | None:
        """Where the last run over whole slides wrote its results."""
        return self._folder("results_folder")

    def set_results_folder(self, folder: Path) -> None:
        """Remember where results are; StoreError when it can not be saved."""
        self._values["results_folder"] = str(folder)
        self._write()

    @property
    def recent(self) -> tuple[str, ...]:
        """Prompts that were asked, latest first."""
        found = self._values.get("recent")
        return tuple(str(text) for text in found) if isinstance(found, list) else ()

    def add_recent(self, text: str) -> None:
        """Remember a prompt; StoreError when it can not be saved."""
        rest = [other for other in self.recent if other != text]
        self._values["recent"] = [text, *rest][:RECENT]
        self._write()

    @property
    def favourites(self) -> tuple[str, ...]:
        """Prompts with a star, in the order they got it."""
        found = self._values.get("favourites")
        return tuple(str(text) for text in found) if isinstance(found, list) else ()

    def set_favourite(self, text: str, starred: bool) -> None:
        """Give a prompt a star or take it away; StoreError when it can not be saved."""
        rest = [other for other in self.favourites if other != text]
        self._values["favourites"] = [*rest, text] if starred else rest
        self._write()

    @property
    def shown_map(self) -> str:
        """What of a proposal is shown, "" when nobody has chosen."""
        found = self._values.get("shown_map")
        return found if isinstance(found, str) else ""

    def set_shown_map(self, shown: str) -> None:
        """Remember what of a proposal is shown; StoreError when it can not be saved."""
        self._values["shown_map"] = shown
        self._write()

    @property
    def toured(self) -> bool:
        """Whether the tour was gone through or left."""
        return self._values.get("toured") is True

    def set_toured(self) -> None:
        """Do not show the tour by itself again; StoreError when it can not be saved."""
        self._values["toured"] = True
        self._write()

    def _folder(self, name: str) -> Path | None:
        found = self._values.get(name)
        return Path(found) if isinstance(found, str) else None

    def _section(self, name: str) -> dict[str, Any]:
        found = self._values.get(name)
        if not isinstance(found, dict):
            found = self._values[name] = {}
        return found

    def _read(self) -> dict[str, Any]:
        try:
            values = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return values if isinstance(values, dict) else {}

    def _write(self) -> None:
        part = self.path.with_name(f"{self.path.name}.{os.getpid()}.part")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            part.write_text(json.dumps(self._values, indent=1), encoding="utf-8")
            part.replace(self.path)
        except OSError as error:
            raise StoreError(describe_os_error(error, self.path)) from error
