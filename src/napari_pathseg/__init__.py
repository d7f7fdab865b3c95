"""napari-pathseg: text, points and boxes become editable masks on whole-slide images."""

from __future__ import annotations

from importlib.metadata import version

__version__ = version("napari-pathseg")
