"""What a person has set: kept by napari with its own settings, shown in its Preferences."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from psygnal import Signal

if TYPE_CHECKING:
    from napari_pathseg.gui.controller import PathsegController

PLUGIN = "napari-pathseg"
KEYS = "keys"
SLIDE_PATTERNS = ("*.svs", "*.ndpi", "*.scn", "*.bif", "*.qptiff")
"""Suffixes of scanners that napari's own reader claims too."""

FOLDERS = f"*?{os.sep}"
"""All folders: of DICOM and MIRAX slides no name tells. Of all patterns that match napari takes the
most specific, and this one is less so than any that a person would write."""

SHARED_PATTERNS = (f"*.zarr{os.sep}", "*.dcm", FOLDERS)
"""What other sciences use, too: theirs, where a reader of theirs is installed."""

PLACES = {
    "threshold": "segmenting",
    "model": "segmenting",
    "kept_mb": "segmenting",
    "context": "segmenting",
    "ahead": "segmenting",
    "opacity": "look",
    "outline_px": "look",
    "go_on": "review",
    "stains": "measure",
    "color_managed": "slides",
    "cache_mb": "slides",
    "overviews_mb": "slides",
}
"""The group of each setting in the manifest."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of the panel; names, bounds and defaults are those of the manifest.

    Attributes
    ----------
    threshold : float
        Probability above which a pixel belongs to a class.
    model : str
        Name in the registry, or path of a model file.
    kept_mb : int
        Disk space for embeddings of places seen before.
    context : bool
        The model takes what lies around each input into account, where it can.
    ahead : bool
        What lies beside a field is encoded while nobody does anything.
    opacity : float
        Of filled masks.
    outline_px : int
        Mask pixels.
    go_on : bool
        Accepting shows the next field of the review queue while that is open.
    stains : str
        Name of a stain pair.
    color_managed : bool
        The scanner's colours are turned to sRGB.
    cache_mb : int
        Memory for decoded pixels of all slides in view.
    overviews_mb : int
        On the disk, for overviews of pictures that have none.
    keys : mapping of str to str
        Key by the name of an action.
    """

    threshold: float = 0.5
    model: str = "default"
    kept_mb: int = 1000
    context: bool = False
    ahead: bool = True
    opacity: float = 0.45
    outline_px: int = 2
    go_on: bool = True
    stains: str = "H&E"
    color_managed: bool = False
    cache_mb: int = 512
    overviews_mb: int = 2048
    keys: Mapping[str, str] = field(default_factory=dict)


class SettingsStore:
    """Settings for as long as this object lives.

    Attributes
    ----------
    changed : Signal(Settings)
    """

    changed = Signal(object)

    def __init__(self, settings: Settings | None = None) -> None:
        self.value = settings or Settings()

    def put(self, **values: Any) -> None:
        """Change settings."""
        self._take(replace(self.value, **values))

    def close(self) -> None:
        """Listen to nothing any more."""

    def _take(self, settings: Settings) -> None:
        if settings != self.value:
            self.value = settings
            self.changed.emit(settings)


class NapariSettings(SettingsStore):
    """Settings that napari keeps and that its Preferences can change."""

    def __init__(self) -> None:
        from napari.settings import get_plugin_settings

        self._groups = get_plugin_settings(PLUGIN)
        super().__init__(self._read())
        self._listened = [getattr(self._groups, name) for name in {*PLACES.values(), KEYS}]
        for group in self._listened:
            group.events.connect(self._read_again)

    def put(self, **values: Any) -> None:
        """Change settings, remembered by napari."""
        for name, value in values.items():
            setattr(getattr(self._groups, PLACES[name]), name, value)
        self._read_again()

    def close(self) -> None:
        """Listen to napari no more."""
        for group in self._listened:
            group.events.disconnect(self._read_again)
        self._listened.clear()

    def _read_again(self, _event: object = None) -> None:
        self._take(self._read())

    def _read(self) -> Settings:
        found = {name: getattr(getattr(self._groups, at), name) for name, at in PLACES.items()}
        return Settings(**found, keys=getattr(self._groups, KEYS).model_dump())


def kept_settings() -> SettingsStore:
    """The settings that napari keeps; the defaults where the plugin is not installed in it."""
    try:
        settings = NapariSettings()
    except KeyError:
        return SettingsStore()
    open_slides_here()
    return settings


def open_slides_here() -> None:
    """Let slides that are dropped on napari be opened by this package, without being asked.

    napari's own reader claims the same suffixes and all folders, would load them whole, and so
    napari asks which reader to take. What a person chose for a suffix is left as it is. Folders
    that hold no slide are handed on to napari's own reader, see `gui/reader.py`.
    """
    from napari.settings import get_settings

    plugins = get_settings().plugins
    known = dict(plugins.extension2reader)
    shared = (pattern for pattern in SHARED_PATTERNS if not is_read_elsewhere(pattern))
    wanted = dict.fromkeys((*SLIDE_PATTERNS, *shared), PLUGIN) | known
    if wanted != known:
        plugins.extension2reader = wanted


def is_read_elsewhere(pattern: str) -> bool:
    """Whether another plugin than napari's own and this one reads such files or folders."""
    from npe2 import PluginManager

    others = (
        reader
        for manifest in PluginManager.instance().iter_manifests(disabled=False)
        if manifest.name not in ("napari", PLUGIN)
        for reader in manifest.contributions.readers or ()
    )
    if pattern.endswith(os.sep):
        return any(reader.accepts_directories for reader in others)
    return any(pattern in reader.filename_patterns for reader in others)


def apply(controller: PathsegController, settings: Settings) -> None:
    """Let the desk look and work as set."""
    controller.config = replace(
        controller.config,
        threshold=settings.threshold,
        kept_mb=settings.kept_mb,
        context=settings.context,
    )
    controller.stage.set_look(controller.desks, settings.opacity, settings.outline_px)
