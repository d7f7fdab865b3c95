"""Any file of labels, known by its content."""

from __future__ import annotations

from pathlib import Path

from napari_pathseg.errors import ExportError, describe_os_error
from napari_pathseg.export.incoming.frame import Frame, Incoming, Where
from napari_pathseg.export.incoming.raster import (
    incoming_bundle,
    incoming_dicom,
    incoming_png,
    incoming_tiff,
    incoming_zarr,
)
from napari_pathseg.export.incoming.vector import incoming_coco, incoming_geojson
from napari_pathseg.export.ome_zarr_read import is_label_zarr

KINDS = "GeoJSON, COCO, label TIFF or PNG, OME-Zarr labels, DICOM SEG or a training bundle"
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def read_incoming(path: Path, frame: Frame, where: Where | None = None) -> Incoming:
    """Read a file or folder of labels for a slide; nothing is stored.

    Parameters
    ----------
    path : Path
        GeoJSON of QuPath and others, COCO, label TIFF or OME-TIFF, mask PNG, OME-Zarr with
        labels, DICOM SEG, training bundle.
    frame : Frame
        The slide.
    where : Where, optional

    Raises
    ------
    ExportError
        When it is none of these, damaged, of another slide, or lies outside the slide; names the
        file and the way out.
    """
    where = where or Where()
    try:
        incoming = _read(path, frame, where)
    except OSError as error:
        raise ExportError(describe_os_error(error, path), "Check the path.") from error
    # A field of ours without a label says that somebody looked and found none.
    if not any(field.record is not None or field.mask.any() for field in incoming.fields):
        raise ExportError(
            f"{path} labels no pixel of {frame.name}.",
            "Check that there is something in it, and that it is in level-0 pixels.",
        )
    return incoming


def _read(path: Path, frame: Frame, where: Where) -> Incoming:
    if path.is_dir():
        if (path / "metadata.jsonl").is_file():
            return incoming_bundle(path, frame, where)
        if (path / "annotations.json").is_file():
            return incoming_coco(path / "annotations.json", frame, where)
        if is_label_zarr(path):
            return incoming_zarr(path, frame, where)
        raise ExportError(f"{path} holds no labels that are known.", f"Choose {KINDS}.")
    with path.open("rb") as file:
        head = file.read(4096)
    if not head:
        raise ExportError(f"{path} is empty.", "Copy it again from its source.")
    if head.startswith(b"\x89PNG"):
        return incoming_png(path, frame, where)
    if head.startswith(_TIFF):
        return incoming_tiff(path, frame, where)
    if head[128:132] == b"DICM":
        return incoming_dicom(path, frame, where)
    if head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"["):
        return _json(path, frame, where, head)
    raise ExportError(f"{path} holds no labels that are known.", f"Choose {KINDS}.")


def _json(path: Path, frame: Frame, where: Where, head: bytes) -> Incoming:
    """COCO where it speaks of annotations and images before any Feature, GeoJSON otherwise."""
    text = head.decode("utf-8", "replace")
    if '"Feature' in text:
        return incoming_geojson(path, frame, where)
    if any(key in text for key in ('"annotations"', '"images"', '"categories"')):
        return incoming_coco(path, frame, where)
    return incoming_geojson(path, frame, where)
