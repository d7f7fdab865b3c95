"""Channels, scale and objective out of the XML that microscopes write into TIFF files."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass

from napari_pathseg.errors import DamagedSlideError
from napari_pathseg.geometry import Pair
from napari_pathseg.slide.channels import WHITE, Channel, Color, default_channels
from napari_pathseg.slide.scale import length_um, plausible_mpp, time_s

MAX_XML_CHARS = 32_000_000
FILE_NAME = re.compile(r"""FileName\s*=\s*["']([^"']*)["']""")


@dataclass(frozen=True, slots=True)
class XmlFacts:
    """What a description says of one picture; empty where it says nothing."""

    mpp: Pair | None = None
    objective_power: float | None = None
    channels: tuple[Channel, ...] = ()
    z_um: float | None = None
    t_s: float | None = None


def refuse_hostile_xml(text: str, place: str) -> None:
    """Raise DamagedSlideError for XML that declares entities or is absurdly long.

    Microscopes write neither, and entity expansion turns a few bytes into gigabytes.
    """
    if len(text) > MAX_XML_CHARS or "<!ENTITY" in text or "<!DOCTYPE" in text:
        raise DamagedSlideError(
            f"{place}: its XML description is not one that a microscope writes, and is refused.",
            "Export the slide again from its source.",
        )


def ome_facts(text: str, index: int) -> XmlFacts:
    """Facts of the `index`-th Image of an OME-XML text (OME model 2016-06)."""
    root = _parse(text)
    if root is None:
        return XmlFacts()
    images = root.findall("{*}Image")
    if not 0 <= index < len(images):
        return XmlFacts()
    image = images[index]
    pixels = image.find("{*}Pixels")
    if pixels is None:
        return XmlFacts()
    mpp = plausible_mpp(
        length_um(pixels.get("PhysicalSizeY"), pixels.get("PhysicalSizeYUnit")),
        length_um(pixels.get("PhysicalSizeX"), pixels.get("PhysicalSizeXUnit")),
    )
    return XmlFacts(
        mpp,
        _ome_objective(root, image),
        _ome_channels(pixels.findall("{*}Channel")),
        length_um(pixels.get("PhysicalSizeZ"), pixels.get("PhysicalSizeZUnit")),
        time_s(pixels.get("TimeIncrement"), pixels.get("TimeIncrementUnit")),
    )


def image_names(text: str) -> list[str]:
    """Names of all pictures of an OME-XML text, "" for one without; [] when it is broken."""
    root = _parse(text)
    return [] if root is None else [image.get("Name", "") for image in root.findall("{*}Image")]


def names_other_files(text: str) -> bool:
    """Whether an OME-XML text names files outside the slide's own folder."""
    return any("/" in name or "\\" in name for name in FILE_NAME.findall(text))


def qptiff_channel(description: str) -> Channel | None:
    """Name and colour of one page of a QPTIFF (PerkinElmer, Akoya), if it has them."""
    root = _parse(description)
    if root is None:
        return None
    name = root.findtext("Biomarker") or root.findtext("Name")
    parts = (root.findtext("Color") or "").split(",")
    if name is None:
        return None
    try:
        red, green, blue = (min(max(int(part), 0), 255) for part in parts)
    except ValueError:
        return Channel(name, WHITE)
    return Channel(name, (red, green, blue))


def qptiff_objective(description: str) -> float | None:
    """Magnification in a QPTIFF page's description, such as 20x."""
    root = _parse(description)
    text = root.findtext("Objective") if root is not None else None
    return _positive((text or "").lower().rstrip("x"))


def _ome_channels(elements: Sequence[ET.Element]) -> tuple[Channel, ...]:
    names = [
        element.get("Name") or element.get("Fluor") or f"channel {i + 1}"
        for i, element in enumerate(elements)
    ]
    defaults = default_channels(len(elements), names)
    channels = []
    for element, default in zip(elements, defaults, strict=True):
        color = _ome_color(element.get("Color"))
        channels.append(Channel(default.name, color or default.color))
    if len(channels) > 1 and len({channel.color for channel in channels}) == 1:
        return defaults
    return tuple(channels)


def _ome_color(text: str | None) -> Color | None:
    """OME keeps a colour as a signed 32-bit RGBA number."""
    try:
        value = int(text or "")
    except ValueError:
        return None
    value &= 0xFFFFFFFF
    return value >> 24, value >> 16 & 255, value >> 8 & 255


def _ome_objective(root: ET.Element, image: ET.Element) -> float | None:
    settings = image.find("{*}ObjectiveSettings")
    wanted = settings.get("ID") if settings is not None else None
    for objective in root.iterfind("{*}Instrument/{*}Objective"):
        if wanted is None or objective.get("ID") == wanted:
            return _positive(objective.get("NominalMagnification"))
    return None


def _positive(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if value > 0 else None


def _parse(text: str) -> ET.Element | None:
    refuse_hostile_xml(text, "A slide's description")
    try:
        return ET.fromstring(text)
    except ET.ParseError:
        return None
