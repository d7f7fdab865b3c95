"""Small files in the scanners' own formats, written from a picture, to be read by OpenSlide."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image

RGB = npt.NDArray[np.uint8]
TILE = 256
MPP = 0.5


def halved(picture: RGB) -> RGB:
    height, width = (side // 2 * 2 for side in picture.shape[:2])
    blocks = picture[:height, :width].reshape(height // 2, 2, width // 2, 2, 3)
    return blocks.mean(axis=(1, 3)).round().astype(np.uint8)


def jpeg(pixels: RGB, **options: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(out, "JPEG", quality=90, **options)
    return out.getvalue()


def tiles(picture: RGB, side: int) -> Iterator[tuple[int, int, RGB]]:
    """(row, column, tile), padded to whole tiles with white."""
    height, width = picture.shape[:2]
    for y in range(0, height, side):
        for x in range(0, width, side):
            tile = np.full((side, side, 3), 255, np.uint8)
            part = picture[y : y + side, x : x + side]
            tile[: part.shape[0], : part.shape[1]] = part
            yield y // side, x // side, tile


def write_scn(path: Path, picture: RGB) -> Path:
    """Leica: a BigTIFF whose XML says which page is what; the pages are not named otherwise."""
    levels = [picture, halved(picture), halved(halved(picture))]
    height, width = picture.shape[:2]
    nm_y, nm_x = round(height * MPP * 1000), round(width * MPP * 1000)
    dims = "".join(
        f'<dimension sizeX="{level.shape[1]}" sizeY="{level.shape[0]}" r="{i}" ifd="{i}"/>'
        for i, level in enumerate(levels)
    )
    macro = halved(levels[-1])
    text = (
        '<?xml version="1.0"?><scn xmlns="http://www.leica-microsystems.com/scn/2010/10/01">'
        f'<collection name="c" sizeX="{nm_x * 2}" sizeY="{nm_y * 2}"><barcode>x</barcode>'
        f'<image name="main"><pixels sizeX="{width}" sizeY="{height}">{dims}</pixels>'
        f'<view sizeX="{nm_x}" sizeY="{nm_y}" offsetX="0" offsetY="0" spacingZ="0"/>'
        "<scanSettings><objectiveSettings><objective>20</objective></objectiveSettings>"
        "<illuminationSettings><numericalAperture>0.4</numericalAperture>"
        "<illuminationSource>brightfield</illuminationSource></illuminationSettings>"
        "</scanSettings></image>"
        f'<image name="macro"><pixels sizeX="{macro.shape[1]}" sizeY="{macro.shape[0]}">'
        f'<dimension sizeX="{macro.shape[1]}" sizeY="{macro.shape[0]}" r="0" ifd="3"/></pixels>'
        f'<view sizeX="{nm_x * 2}" sizeY="{nm_y * 2}" offsetX="0" offsetY="0" spacingZ="0"/>'
        "<scanSettings><objectiveSettings><objective>1</objective></objectiveSettings>"
        "<illuminationSettings><numericalAperture>0.1</numericalAperture>"
        "<illuminationSource>brightfield</illuminationSource></illuminationSettings>"
        "</scanSettings></image></collection></scn>"
    )
    with tifffile.TiffWriter(path, bigtiff=True) as tif:
        for index, level in enumerate([*levels, macro]):
            tif.write(
                level,
                tile=(TILE, TILE),
                photometric="rgb",
                compression="jpeg",
                metadata=None,
                description=text if index == 0 else None,
                resolution=(1e4 / (MPP * 2**index), 1e4 / (MPP * 2**index)),
                resolutionunit="CENTIMETER",
            )
    return path


def write_philips(path: Path, picture: RGB) -> Path:
    """Philips: TIFF pages padded to whole tiles; the XML tells the true scale of each."""
    side = TILE
    levels = [picture, halved(picture)]

    def padded(level: RGB) -> RGB:
        height, width = (-(-length // side) * side for length in level.shape[:2])
        out = np.full((height, width, 3), 255, np.uint8)
        out[: level.shape[0], : level.shape[1]] = level
        return out

    def attribute(name: str, text: str) -> str:
        return (
            f'<Attribute Name="{name}" Group="0x0" Element="0x0" PMSVR="IString">{text}</Attribute>'
        )

    spacings = [f"&quot;{MPP * 2**i / 1000:.6f}&quot; " * 2 for i in range(len(levels))]
    pages = "".join(
        f'<DataObject ObjectType="PixelDataRepresentation">'
        f"{attribute('DICOM_PIXEL_SPACING', spacing.strip())}</DataObject>"
        for spacing in spacings
    )
    text = (
        '<?xml version="1.0" encoding="UTF-8" ?><DataObject ObjectType="DPUfsImport">'
        f"{attribute('DICOM_MANUFACTURER', 'PHILIPS')}"
        f"{attribute('DICOM_PIXEL_SPACING', spacings[0].strip())}"
        '<Attribute Name="PIM_DP_SCANNED_IMAGES" Group="0x301D" Element="0x1003" '
        'PMSVR="IDataObjectArray"><Array><DataObject ObjectType="DPScannedImage">'
        f"{attribute('PIM_DP_IMAGE_TYPE', 'WSI')}"
        f"{attribute('DICOM_PIXEL_SPACING', spacings[0].strip())}"
        '<Attribute Name="PIIM_PIXEL_DATA_REPRESENTATION_SEQUENCE" Group="0x1001" '
        f'Element="0x8B01" PMSVR="IDataObjectArray"><Array>{pages}</Array></Attribute>'
        "</DataObject></Array></Attribute></DataObject>"
    )
    with tifffile.TiffWriter(path) as tif:
        for index, level in enumerate(levels):
            tif.write(
                padded(level),
                tile=(side, side),
                photometric="rgb",
                compression="jpeg",
                metadata=None,
                software="Philips DP v1.0",
                subfiletype=0 if index == 0 else 1,
                description=text if index == 0 else f"level={index}",
            )
    return path


def write_bif(path: Path, picture: RGB) -> Path:
    """Ventana: whole tiles in rows that are numbered to and fro from the bottom, with overlaps."""
    height, width = (-(-side // TILE) * TILE for side in picture.shape[:2])
    whole = np.full((height, width, 3), 255, np.uint8)
    whole[: picture.shape[0], : picture.shape[1]] = picture
    levels = [whole, halved(whole)]
    scan = f'<iScan Magnification="20" ScanRes="{MPP}" Z-layers="1" ScannerModel="made"/>'
    plain = {"photometric": "rgb", "metadata": None}
    tiled = {"tile": (TILE, TILE), "compression": "jpeg", **plain}
    tags = [_xmp(_stitched(height // TILE, width // TILE))]
    with tifffile.TiffWriter(path, bigtiff=True) as tif:
        macro = halved(levels[-1])
        tif.write(macro, description="Label_Image", extratags=[_xmp(scan)], **plain)
        for index, level in enumerate(levels):
            told = f"level={index} mag={20 // 2**index} quality=95"
            tif.write(level, description=told, extratags=[] if index else tags, **tiled)
    return path


def _stitched(down: int, across: int) -> str:
    """How tiles of one area meet: those to the right of each, and those above."""

    def number(row: int, column: int) -> int:
        up = down - 1 - row
        return up * across + (across - 1 - column if up % 2 else column) + 1

    joint = '<TileJointInfo Confidence="99" Direction="{}" OverlapX="0" OverlapY="0" '
    joints = "".join(
        joint.format(direction) + f'Tile1="{number(row, column)}" Tile2="{number(*other)}"/>'
        for row in range(down)
        for column in range(across)
        for direction, other in (("RIGHT", (row, column + 1)), ("UP", (row - 1, column)))
        if other[0] >= 0 and other[1] < across
    )
    return (
        '<EncodeInfo Ver="2"><SlideStitchInfo><ImageInfo AOIScanned="1" AOIIndex="0" '
        f'Width="{TILE}" Height="{TILE}" NumRows="{down}" NumCols="{across}" '
        f'Pos-X="0" Pos-Y="0">{joints}</ImageInfo></SlideStitchInfo>'
        '<AoiOrigin><AOI0 OriginX="0" OriginY="0"/></AoiOrigin></EncodeInfo>'
    )


def _xmp(text: str) -> tuple[int, int, int, bytes, bool]:
    return 700, 1, len(text), text.encode(), True


def write_vms(path: Path, picture: RGB) -> Path:
    """Hamamatsu VMS: an index beside JPEG pictures with restart markers."""
    height, width = (side // 256 * 256 for side in picture.shape[:2])
    picture = picture[:height, :width]
    marked = {"subsampling": 0, "restart_marker_blocks": 8}
    path.with_name("whole.jpg").write_bytes(jpeg(picture, **marked))
    path.with_name("map.jpg").write_bytes(
        jpeg(picture[::8, ::8], subsampling=0, restart_marker_blocks=4)
    )
    path.with_name("macro.jpg").write_bytes(jpeg(picture[::16, ::16]))
    lines = [
        "[Virtual Microscope Specimen]",
        "NoLayers=1",
        "NoJpegColumns=1",
        "NoJpegRows=1",
        "ImageFile=whole.jpg",
        "MapFile=map.jpg",
        "MacroImage=macro.jpg",
        "SourceLens=20",
        f"PhysicalWidth={round(width * MPP * 1000)}",
        f"PhysicalHeight={round(height * MPP * 1000)}",
        "PhysicalMacroWidth=10000000",
        "PhysicalMacroHeight=10000000",
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


def write_mrxs(path: Path, picture: RGB) -> Path:
    """MIRAX: an index of JPEG tiles in a folder beside a small picture."""
    folder = path.with_suffix("")
    folder.mkdir()
    side, count = TILE, 2
    rows, columns = (-(-length // side) for length in picture.shape[:2])
    # Sides of a power of two, so that the level above is whole too.
    rows, columns = (-(-n // 2) * 2 for n in (rows, columns))
    whole = np.full((rows * side, columns * side, 3), 255, np.uint8)
    whole[: picture.shape[0], : picture.shape[1]] = picture
    data = bytearray(b"01.02" + b"0" * 32)
    levels: list[list[tuple[int, int, int]]] = []
    for level in range(count):
        entries = []
        for row, column, tile in tiles(whole, side):
            code = jpeg(tile)
            entries.append(
                (
                    (row * columns + column) * 2**level
                    if level == 0
                    else row * 2 * columns + column * 2,
                    len(data),
                    len(code),
                )
            )
            data += code
        levels.append(entries)
        whole = halved(whole)
    (folder / "Data0000.dat").write_bytes(data)
    index = bytearray(b"01.02" + b"0" * 32)
    start = len(index)
    index += bytes(8)  # where the roots of both hierarchies lie, filled in below
    roots = []
    for entries in levels:
        page = len(index)
        index += struct.pack("<ii", 0, page + 8)
        index += struct.pack("<ii", len(entries), 0)
        for number, offset, length in entries:
            index += struct.pack("<iiii", number, offset, length, 0)
        roots.append(page)
    hierarchy = len(index)
    for root in roots:
        index += struct.pack("<i", root)
    struct.pack_into("<ii", index, start, hierarchy, hierarchy)
    (folder / "Index.dat").write_bytes(index)
    (folder / "Slidedat.ini").write_text("﻿" + _slidedat(rows, columns, side, count), "utf-8")
    path.write_bytes(jpeg(picture[::16, ::16]))
    return path


def _slidedat(rows: int, columns: int, side: int, levels: int) -> str:
    text = [
        "[GENERAL]",
        "SLIDE_VERSION = 01.02",
        "SLIDE_ID = " + "0" * 32,
        f"IMAGENUMBER_X = {columns}",
        f"IMAGENUMBER_Y = {rows}",
        "OBJECTIVE_MAGNIFICATION = 20",
        "CameraImageDivisionsPerSide = 1",
        "[HIERARCHICAL]",
        "HIER_COUNT = 1",
        "NONHIER_COUNT = 0",
        "INDEXFILE = Index.dat",
        "HIER_0_NAME = Slide zoom level",
        f"HIER_0_COUNT = {levels}",
    ]
    for level in range(levels):
        text += [
            f"HIER_0_VAL_{level} = ZoomLevel_{level}",
            f"HIER_0_VAL_{level}_SECTION = LAYER_0_LEVEL_{level}_SECTION",
        ]
    text += ["[DATAFILE]", "FILE_COUNT = 1", "FILE_0 = Data0000.dat"]
    for level in range(levels):
        text += [
            f"[LAYER_0_LEVEL_{level}_SECTION]",
            "OVERLAP_X = 0",
            "OVERLAP_Y = 0",
            f"MICROMETER_PER_PIXEL_X = {MPP * 2**level}",
            f"MICROMETER_PER_PIXEL_Y = {MPP * 2**level}",
            f"DIGITIZER_WIDTH = {side}",
            f"DIGITIZER_HEIGHT = {side}",
            "IMAGE_FORMAT = JPEG",
            "IMAGE_FILL_COLOR_BGR = 16777215",
            f"IMAGE_CONCAT_FACTOR = {0 if level == 0 else 1}",
        ]
    return "\n".join(text) + "\n"


WSI = "1.2.840.10008.5.1.4.1.1.77.1.6"
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
LONG = {"OB", "OW", "SQ", "UN", "UT", "OF"}


def element(tag: int, vr: str, value: bytes | str | int | float) -> bytes:
    """One data element, explicit VR, little endian."""
    if isinstance(value, str):
        value = value.encode()
        value += b"\0" * (len(value) % 2) if vr == "UI" else b" " * (len(value) % 2)
    elif isinstance(value, int):
        value = struct.pack("<I" if vr == "UL" else "<H", value)
    elif isinstance(value, float):
        value = struct.pack("<f" if vr == "FL" else "<d", value)
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr.encode()
    size = struct.pack("<HI", 0, len(value)) if vr in LONG else struct.pack("<H", len(value))
    return head + size + value


def sequence(tag: int, *items: bytes) -> bytes:
    packed = b"".join(struct.pack("<HHI", 0xFFFE, 0xE000, len(item)) + item for item in items)
    return element(tag, "SQ", packed)


def write_dicom(folder: Path, picture: RGB) -> Path:
    """A series of two levels, one file each, tiles in the order of the grid."""
    folder.mkdir()
    for level, pixels in enumerate((picture, halved(picture))):
        write_dicom_level(folder / f"level-{level}.dcm", pixels, level)
    return folder


def write_dicom_level(path: Path, picture: RGB, level: int) -> None:
    height, width = picture.shape[:2]
    frames = [jpeg(tile, subsampling=0) for _, _, tile in tiles(picture, TILE)]
    uid = f"1.2.826.0.1.3680043.8.498.{level + 7}"
    kind = (
        "ORIGINAL\\PRIMARY\\VOLUME\\NONE" if level == 0 else "DERIVED\\PRIMARY\\VOLUME\\RESAMPLED"
    )
    mm = MPP * 2**level / 1000
    measures = sequence(
        0x00289110, element(0x00180050, "DS", "0.001") + element(0x00280030, "DS", f"{mm}\\{mm}")
    )
    frame_type = sequence(0x00400710, element(0x00089007, "CS", kind))
    optical = sequence(
        0x00480105,
        element(0x00480106, "SH", "1") + element(0x00480112, "DS", "20"),
    )
    dataset = b"".join(
        [
            element(0x00080008, "CS", kind),
            element(0x00080016, "UI", WSI),
            element(0x00080018, "UI", uid),
            element(0x00080060, "CS", "SM"),
            element(0x00080070, "LO", "generated"),
            element(0x0020000D, "UI", "1.2.3.4.5"),
            element(0x0020000E, "UI", "1.2.3.4.6"),
            element(0x00200052, "UI", "1.2.3.4.7"),
            element(0x00209311, "CS", "TILED_FULL"),
            element(0x00280002, "US", 3),
            element(0x00280004, "CS", "YBR_FULL_422"),
            element(0x00280006, "US", 0),
            element(0x00280008, "IS", str(len(frames))),
            element(0x00280010, "US", TILE),
            element(0x00280011, "US", TILE),
            element(0x00280100, "US", 8),
            element(0x00280101, "US", 8),
            element(0x00280102, "US", 7),
            element(0x00280103, "US", 0),
            element(0x00480001, "FL", width * mm),
            element(0x00480002, "FL", height * mm),
            element(0x00480006, "UL", width),
            element(0x00480007, "UL", height),
            optical,
            element(0x00480303, "UL", 1),
            sequence(0x52009229, measures + frame_type),
        ]
    )
    meta = b"".join(
        [
            element(0x00020001, "OB", b"\0\1"),
            element(0x00020002, "UI", WSI),
            element(0x00020003, "UI", uid),
            element(0x00020010, "UI", JPEG_BASELINE),
            element(0x00020012, "UI", "1.2.3.4.8"),
        ]
    )
    head = bytes(128) + b"DICM" + element(0x00020000, "UL", len(meta)) + meta
    path.write_bytes(head + dataset + _encapsulated(frames))


def _encapsulated(frames: list[bytes]) -> bytes:
    """Pixel data as fragments behind a table of their offsets."""
    items, offsets, place = b"", [], 0
    for frame in frames:
        frame += b"\0" * (len(frame) % 2)
        offsets.append(place)
        item = struct.pack("<HHI", 0xFFFE, 0xE000, len(frame)) + frame
        items += item
        place += len(item)
    table = struct.pack(f"<{len(offsets)}I", *offsets)
    head = struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OB", 0, 0xFFFFFFFF)
    first = struct.pack("<HHI", 0xFFFE, 0xE000, len(table)) + table
    return head + first + items + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
