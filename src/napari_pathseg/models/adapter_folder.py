"""The adapters on this computer: which there are, and which are switched on, in which order."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from napari_pathseg.errors import ModelError, describe_os_error
from napari_pathseg.models.adapter_card import SUFFIX, AdapterCard, read_adapter_card
from napari_pathseg.models.base import ModelCard

if TYPE_CHECKING:
    from napari_pathseg.models.adapter import Adapter

SWITCHES = "switched-on.json"


def default_folder() -> Path:
    """The user's data folder for adapters."""
    return platformdirs.user_data_path("napari-pathseg", appauthor=False) / "adapters"


def file_stem(name: str) -> str:
    """An adapter's name as the start of a file name on every system."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60] or "adapter"


@dataclass(frozen=True, slots=True)
class Installed:
    """One adapter that is there.

    Attributes
    ----------
    card : AdapterCard or None
        None where the file can not be read; `trouble` says why.
    on : bool
        Whether the person wants it used.
    trouble : str
        Why it can not be used whatever is wanted: damaged, or learned on another model.
    """

    path: Path
    card: AdapterCard | None
    on: bool
    trouble: str = ""

    @property
    def name(self) -> str:
        """As on its card, else the file's."""
        return self.card.name if self.card is not None else self.path.name


class AdapterFolder:
    """A folder of adapter files and one small file that says which are on.

    Parameters
    ----------
    folder : Path, optional
        The user's own by default; made when something is installed.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or default_folder()

    def installed(self, base: ModelCard | None = None) -> tuple[Installed, ...]:
        """All adapters: those that are on first, in their order.

        Parameters
        ----------
        base : ModelCard, optional
            The model in use; an adapter of another one is in trouble.
        """
        on = self._on()
        files = sorted(self.folder.glob(f"*{SUFFIX}")) if self.folder.is_dir() else []
        files.sort(key=lambda path: on.index(path.name) if path.name in on else len(on))
        return tuple(_look(path, path.name in on, base) for path in files)

    def in_use(self, base: ModelCard) -> tuple[Adapter, ...]:
        """The adapters that are on and belong to a model, in their order."""
        from napari_pathseg.models.adapter import load_adapter

        return tuple(
            load_adapter(one.path) for one in self.installed(base) if one.on and not one.trouble
        )

    def keep(self, adapter: Adapter) -> Path:
        """Write an adapter into the folder and switch it on as the last of all.

        Raises
        ------
        ModelError
            When the folder can not be written.
        """
        from napari_pathseg.models.adapter import save_adapter

        path = self._free(adapter.card.name)
        save_adapter(adapter, path)
        self.switch(path, on=True)
        return path

    def install(self, path: Path) -> Path:
        """Take over an adapter's file from elsewhere, checked, and switch it on."""
        from napari_pathseg.models.adapter import load_adapter

        return self.keep(load_adapter(path))

    def share(self, path: Path, target: Path) -> Path:
        """Copy an adapter's file for others, whole or not at all; gives the file's path.

        Raises
        ------
        ModelError
            When it can not be read or written.
        """
        whole = target if target.name.endswith(SUFFIX) else target.with_name(target.name + SUFFIX)
        part = whole.with_name(whole.name + ".part")
        try:
            shutil.copyfile(path, part)
            part.replace(whole)
        except OSError as error:
            raise ModelError(describe_os_error(error, whole), "Choose another place.") from error
        return whole

    def switch(self, path: Path, *, on: bool) -> None:
        """Use an adapter from now on, as the last of all, or not."""
        names = [name for name in self._on() if name != path.name]
        self._write([*names, path.name] if on else names)

    def remove(self, path: Path) -> None:
        """Delete an adapter of the folder."""
        self.switch(path, on=False)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise ModelError(describe_os_error(error, path), "Delete it by hand.") from error

    def _free(self, name: str) -> Path:
        stem = file_stem(name)
        for number in range(1, 10_000):
            suffix = "" if number == 1 else f"-{number}"
            path = self.folder / f"{stem}{suffix}{SUFFIX}"
            if not path.exists():
                return path
        raise ModelError(f"{self.folder} has too many adapters named {name}.", "Remove some.")

    def _on(self) -> list[str]:
        file = self.folder / SWITCHES
        try:
            names = json.loads(file.read_bytes())
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            raise ModelError(f"{file} can not be read: {error}.", "Delete this file.") from error
        return [name for name in names if isinstance(name, str)]

    def _write(self, names: Sequence[str]) -> None:
        file = self.folder / SWITCHES
        part = file.with_suffix(".part")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            part.write_text(json.dumps(list(names), indent=1) + "\n", encoding="utf-8")
            part.replace(file)
        except OSError as error:
            raise ModelError(describe_os_error(error, file), "Make room there.") from error


def _look(path: Path, on: bool, base: ModelCard | None) -> Installed:
    try:
        card = read_adapter_card(path)
    except ModelError as error:
        return Installed(path, None, on, error.what)
    if base is not None and card.base_sha256 != base.sha256:
        return Installed(path, card, on, f"learned on another model: {card.base_name}")
    return Installed(path, card, on)
