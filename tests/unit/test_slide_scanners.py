"""The scanners' own formats, written here and read by their library, scene by scene."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from pathlib import Path

import contracts
import numpy as np
import numpy.typing as npt
import openslide
import pytest
import scanner_files
import tifffile
from PIL import Image, ImageCms

from napari_pathseg.config import SlideConfig
from napari_pathseg.errors import DamagedSlideError, SlideError, UnsupportedSlideError
from napari_pathseg.geometry import Field
from napari_pathseg.slide.backend_openslide import OpenSlideSlide
from napari_pathseg.slide.color import profile_name
from napari_pathseg.slide.info import describe
from napari_pathseg.slide.open import choose_backend, index_of, open_slide
from napari_pathseg.slide.synthetic import SyntheticSlide

RGB = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def picture() -> RGB:
    """Sides that levels of other formats than the scanners' would not divide."""
    return SyntheticSlide((600, 530), seed=3).read(Field(0, 0, 0, 600, 530, (1.0, 1.0)))


def on_white(rgba: npt.NDArray[np.uint8]) -> RGB:
    alpha = rgba[..., 3:].astype(np.float64) / 255
    return np.floor(rgba[..., :3] * alpha + 255 * (1 - alpha) + 0.5).astype(np.uint8)


def test_the_data_folder_of_a_slide_stands_for_it(tmp_path: Path, picture: RGB) -> None:
    path = scanner_files.write_mrxs(tmp_path / "a.mrxs", picture)
    with open_slide(tmp_path / "a") as slide:
        assert slide.path == path
    with pytest.raises(UnsupportedSlideError):
        choose_backend(tmp_path / "a")  # one slide in the folder of both, not two
    path.unlink()
    with pytest.raises(UnsupportedSlideError, match=r"index a\.mrxs is missing"):
        open_slide(tmp_path / "a")
    (tmp_path / "b_.vsi").touch()
    (tmp_path / "_b__").mkdir()
    assert index_of(tmp_path / "_b__") == tmp_path / "b_.vsi"
    (tmp_path / "b").mkdir()
    assert index_of(tmp_path / "b") == tmp_path / "b"
    assert index_of(Path("/")) == Path("/")


@pytest.mark.parametrize(
    ("name", "write", "vendor", "power"),
    [
        ("a.scn", scanner_files.write_scn, "leica", 20),
        ("a.tiff", scanner_files.write_philips, "philips", None),
        ("a.bif", scanner_files.write_bif, "ventana", 20),
        ("a.vms", scanner_files.write_vms, "hamamatsu", 20),
        ("a.mrxs", scanner_files.write_mrxs, "mirax", 20),
        ("dicom", scanner_files.write_dicom, "dicom", 20),
    ],
    ids=["scn", "philips", "bif", "vms", "mrxs", "dicom"],
)
def test_scanner_formats(
    tmp_path: Path,
    picture: RGB,
    name: str,
    write: Callable[[Path, RGB], Path],
    vendor: str,
    power: float | None,
) -> None:
    path = write(tmp_path / name, picture)
    slide = open_slide(path)
    assert (slide.metadata.backend, slide.metadata.vendor) == ("openslide", vendor)
    assert slide.metadata.mpp == (0.5, 0.5)
    assert slide.metadata.objective_power == power
    seen = slide.read(Field(0, 100, 100, 200, 200, (1.0, 1.0))).astype(int)
    assert np.abs(seen - picture[100:300, 100:300]).mean() < 8, "it is the picture"
    entry = sorted(path.iterdir())[0] if path.is_dir() else path
    with openslide.OpenSlide(entry) as reference:
        levels = [
            on_white(np.asarray(reference.read_region((0, 0), level, size)))
            for level, size in enumerate(reference.level_dimensions)
        ]
    contracts.check_slide(slide, levels)


def test_levels_of_a_dicom_series_are_not_shifted(tmp_path: Path, picture: RGB) -> None:
    """Of a level whose downsample is no whole number OpenSlide shifts most places."""
    folder = scanner_files.write_dicom(tmp_path / "series", picture[:-1, :-3])
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(folder / "level-1.dcm", alone)
    rng = np.random.default_rng(1)
    with (
        open_slide(folder, backend="openslide") as slide,
        openslide.OpenSlide(alone / "level-1.dcm") as reference,
    ):
        assert isinstance(slide, OpenSlideSlide)
        assert slide.levels[1].downsample[0] % 1
        assert slide.largest_shift() < 1 / 256
        for y, x in rng.integers(0, 100, (5, 2)).tolist():
            seen = slide.read(Field(1, y, x, 60, 70, slide.levels[1].downsample))
            stored = np.asarray(reference.read_region((x, y), 0, (70, 60)))
            np.testing.assert_array_equal(seen, stored[..., :3])


def test_identity_of_a_series_is_that_of_each_of_its_files(tmp_path: Path, picture: RGB) -> None:
    folder = scanner_files.write_dicom(tmp_path / "series", picture)
    identities = set()
    for path in (folder, *sorted(folder.iterdir())):
        with open_slide(path) as slide:
            identities.add(slide.metadata.identity)
    assert len(identities) == 1


def test_a_wrong_table_of_frames_is_refused(tmp_path: Path, picture: RGB) -> None:
    folder = scanner_files.write_dicom(tmp_path / "series", picture)
    file = folder / "level-1.dcm"
    data = bytearray(file.read_bytes())
    table = data.index(b"\xe0\x7f\x10\x00OB") + 20
    data[table + 2] = 126
    file.write_bytes(data)
    with pytest.raises(DamagedSlideError, match="table of frames"):
        open_slide(folder, backend="openslide")


def with_profile() -> bytes:
    """A colour space in which all colours are much less saturated than they look."""
    space = ImageCms.createProfile("sRGB")
    data = bytearray(ImageCms.ImageCmsProfile(space).tobytes())
    place = data.index(b"rXYZ")
    red = int.from_bytes(data[place + 4 : place + 8], "big")
    blue = data.index(b"bXYZ")
    data[blue + 4 : blue + 8], data[place + 4 : place + 8] = (
        red.to_bytes(4, "big"),
        data[blue + 4 : blue + 8],
    )
    return bytes(data)


@pytest.mark.parametrize("suffix", ["tif", "svs", "png"])
def test_colours_are_turned_to_srgb_on_request(tmp_path: Path, picture: RGB, suffix: str) -> None:
    profile = with_profile()
    path = tmp_path / f"a.{suffix}"
    if suffix == "png":
        Image.fromarray(picture).save(path, icc_profile=profile)
    else:
        tifffile.imwrite(
            path,
            picture,
            photometric="rgb",
            tile=(128, 128),
            compression="jpeg",
            iccprofile=profile,
            metadata=None,
            description="Aperio Image Library\r\n530x600|MPP = 0.5" if suffix == "svs" else None,
        )
    field = Field(0, 478, 435, 200, 200, (1.0, 1.0))
    with open_slide(path) as slide:
        stored = slide.read(field)
        assert describe(slide)["color_profile"] == profile_name(slide)
        assert len(slide.icc_profile() or b"") == len(profile)
    with open_slide(path, config=SlideConfig(color_managed=True)) as slide:
        seen = slide.read(field)
        contracts.check_slide_travels(slide)
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    transform = ImageCms.buildTransform(
        source, ImageCms.createProfile("sRGB"), "RGB", "RGB", ImageCms.Intent.RELATIVE_COLORIMETRIC
    )
    wanted = ImageCms.applyTransform(Image.fromarray(stored[:122, :95]), transform)
    assert wanted is not None
    np.testing.assert_array_equal(seen[:122, :95], np.asarray(wanted))
    assert (seen[:122, :95] != stored[:122, :95]).any()
    assert (seen[122:] == 255).all(), "outside the slide stays white"


def test_a_slide_without_a_profile_is_itself(tmp_path: Path, picture: RGB) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(picture).save(path)
    with open_slide(path, config=SlideConfig(color_managed=True)) as slide:
        assert slide.metadata.backend == "pillow"
        assert type(slide).__name__ == "PictureSlide"


def test_scenes_are_slides_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "scenes.ome.tif"
    shapes = {"left": (200, 300), "right": (220, 310), "macro image": (50, 60)}
    with tifffile.TiffWriter(path, ome=True) as tif:
        for index, (name, shape) in enumerate(shapes.items()):
            pixels = np.full((*shape, 3), 40 * (index + 1), np.uint8)
            tif.write(pixels, photometric="rgb", metadata={"axes": "YXS", "Name": name})
    seen = {}
    for scene in (None, 0, 1):
        with open_slide(path, scene=scene) as slide:
            seen[scene] = (slide.shape, slide.metadata.identity, slide.name)
            assert slide.scenes == ("left", "right")
            assert slide.associated_names == ("macro image",)
            assert (slide.associated("macro image") == 120).all()
    assert seen[None] == seen[1]
    assert seen[0][0] == (200, 300)
    assert seen[0][1] != seen[1][1]
    assert seen[0][2] == "scenes.ome.tif left"
    with pytest.raises(UnsupportedSlideError, match="no scene 2"):
        open_slide(path, scene=2)


def test_small_pictures_without_a_name_may_be_labels(tmp_path: Path) -> None:
    path = tmp_path / "slide.tif"
    rng = np.random.default_rng(0)
    with tifffile.TiffWriter(path) as tif:
        for shape in ((600, 800), (60, 70)):
            pixels = rng.integers(0, 255, (*shape, 3), dtype=np.uint8)
            tif.write(pixels, photometric="rgb", metadata=None)
    with open_slide(path) as slide:
        assert slide.scenes == ("",)
        assert slide.associated_names == ("picture 2",)
        assert slide.associated("picture 2").shape == (60, 70, 3)
        with pytest.raises(SlideError, match="no associated picture"):
            slide.associated("label")


def test_parts_in_other_folders_are_left_alone(tmp_path: Path) -> None:
    secret = tmp_path / "secret.tif"
    tifffile.imwrite(secret, np.full((64, 64), 7, np.uint8), ome=True)
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / "slide.ome.tif"
    tifffile.imwrite(path, np.zeros((64, 64), np.uint8), ome=True, metadata={"axes": "YX"})
    with tifffile.TiffFile(path, mode="r+") as tif:
        text = tif.pages.first.description
        uuid = '<UUID FileName="../secret.tif">urn:uuid:00000000-0000-0000-0000-000000000000</UUID>'
        head, _, rest = text.partition("<TiffData")
        tail = (
            rest.partition("</TiffData>")[2] if "</TiffData>" in rest else rest.partition("/>")[2]
        )
        tif.pages.first.tags["ImageDescription"].overwrite(
            f'{head}<TiffData IFD="0" PlaneCount="1">{uuid}</TiffData>{tail}'
        )
    with open_slide(path) as slide:
        assert int(slide.read(Field(0, 0, 0, 64, 64, (1.0, 1.0))).max()) == 0


def write_czi(path: Path, picture: RGB) -> None:
    czi = pytest.importorskip("pylibCZIrw.czi", reason="an optional extra")
    with czi.create_czi(str(path)) as document:
        for scene, x in enumerate((0, 4000)):
            part = picture[: 500 - 100 * scene]
            document.write(
                data=np.ascontiguousarray(part[..., ::-1]),
                plane={"C": 0, "T": 0, "Z": 0},
                location=(x, 0),
                scene=scene,
            )
        document.write_metadata("slide", scale_x=0.5e-6, scale_y=0.25e-6)


def test_czi_scenes(tmp_path: Path, picture: RGB) -> None:
    path = tmp_path / "a.czi"
    write_czi(path, picture)
    for scene, height in ((None, 500), (0, 500), (1, 400)):
        slide = open_slide(path, scene=scene)
        assert (slide.metadata.backend, slide.metadata.mpp) == ("pylibCZIrw", (0.25, 0.5))
        assert slide.scenes == ("scene 1", "scene 2")
        contracts.check_slide(slide, [picture[:height]])


def test_czi_channels_and_planes(tmp_path: Path) -> None:
    czi = pytest.importorskip("pylibCZIrw.czi", reason="an optional extra")
    path = tmp_path / "b.czi"
    pixels = np.random.default_rng(0).integers(0, 60_000, (2, 3, 90, 110), dtype=np.uint16)
    with czi.create_czi(str(path)) as document:
        for c, z in np.ndindex(2, 3):
            document.write(data=pixels[c, z, ..., None].copy(), plane={"C": c, "T": 0, "Z": z})
        names = {0: "DAPI", 1: "FITC"}
        document.write_metadata("b", names, scale_x=5e-7, scale_y=5e-7, scale_z=1e-6)
    with open_slide(path) as slide:
        facts = describe(slide)
        assert [channel["name"] for channel in facts["channels"]] == ["DAPI", "FITC"]
        assert facts["stack"] == {"z": 3, "t": 1, "z_um": pytest.approx(1.0), "t_s": None}
        contracts.check_planes(slide, pixels.swapaxes(0, 1)[None])


def test_wsidicom_reads_what_openslide_reads(tmp_path: Path, picture: RGB) -> None:
    pytest.importorskip("wsidicom", reason="an optional extra")
    folder = scanner_files.write_dicom(tmp_path / "series", picture)
    with open_slide(folder) as slide:
        references = [
            slide.read(Field(i, 0, 0, *level.shape, level.downsample))
            for i, level in enumerate(slide.levels)
        ]
    slide = open_slide(folder, backend="wsidicom")
    assert slide.metadata.mpp == pytest.approx((0.5, 0.5))
    contracts.check_slide(slide, references)


@pytest.mark.parametrize("package", ["pylibCZIrw", "wsidicom"])
def test_the_hint_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setattr("napari_pathseg.slide.open.find_spec", lambda _: None)
    path = tmp_path / ("a.czi" if package == "pylibCZIrw" else "a.dcm")
    path.write_bytes(b"ZISRAWFILE" + bytes(2000) if "CZI" in package else bytes(128) + b"DICM12")
    extra = "czi" if package == "pylibCZIrw" else "dicom"
    with pytest.raises(SlideError, match=rf"pip install napari-pathseg\[{extra}\]"):
        open_slide(path)
