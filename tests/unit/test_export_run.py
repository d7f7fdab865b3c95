"""What is chosen goes out, at the scale that was asked for; together, again, and after a break."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_pathseg.classes import ClassList
from napari_pathseg.config import ExportConfig
from napari_pathseg.errors import CancelledError, ExportError
from napari_pathseg.export import objects
from napari_pathseg.export.bundle import read_bundle, read_splits
from napari_pathseg.export.fields import ExportField
from napari_pathseg.export.objects import objects_of
from napari_pathseg.export.ome_zarr_read import read_ome_zarr
from napari_pathseg.export.run import export_labels, look_ahead
from napari_pathseg.export.selecting import select, starts
from napari_pathseg.export.sources import SlideSource
from napari_pathseg.export.splitting import splits_of
from napari_pathseg.export.staging import FOLDER, recover_set, stage
from napari_pathseg.geometry import Field, Pair, Region, Shape
from napari_pathseg.labels.measure import measure_objects
from napari_pathseg.labels.raster import Ints, outlines
from napari_pathseg.labels.record import FieldRecord
from napari_pathseg.labels.scan import fill
from napari_pathseg.progress import CancelToken, Progress
from napari_pathseg.slide.open import open_slide

CLASSES = ClassList.from_names(["gland", "stroma"], [(1, 2, 3), (200, 10, 20)])
SHAPE = (512, 768)


def picture(grid: Field) -> np.ndarray:
    """A slide in which each pixel says where it is."""
    y = (grid.y + np.arange(grid.height) + 0.5) * grid.downsample[0]
    x = (grid.x + np.arange(grid.width) + 0.5) * grid.downsample[1]
    found = np.zeros((*grid.shape, 3))
    found[..., 0], found[..., 1] = np.minimum(y[:, None] / 2, 255), np.minimum(x / 3, 255)
    return found.round().astype(np.uint8)


@dataclass(frozen=True, eq=False)
class Memory:
    """A slide with labels, in memory."""

    fields: tuple[tuple[FieldRecord, np.ndarray], ...]
    name: str = "Jane Doe.svs"
    identity: str = "abc"
    levels: tuple[tuple[Shape, Pair], ...] = (
        (SHAPE, (1.0, 1.0)),
        ((256, 384), (2.0, 2.0)),
        ((128, 192), (4.0, 4.0)),
    )

    def records(self) -> tuple[FieldRecord, ...]:
        return tuple(record for record, _ in self.fields)

    def masks(self, field_id: str) -> tuple[Ints, Ints | None]:
        return next(mask for record, mask in self.fields if record.id == field_id), None

    def before(self, field_id: str) -> Ints | None:
        return self.masks(field_id)[0] * 0

    def image(self, field_id: str, grid: Field) -> np.ndarray:
        return picture(grid)


def labelled(
    mask: np.ndarray, y: int = 10, x: int = 20, level: int = 1, **values: object
) -> tuple[FieldRecord, np.ndarray]:
    down = 2.0**level
    options: dict[str, object] = {"slide_identity": "abc", "slide_name": "Jane Doe.svs"}
    record = FieldRecord.new(
        Field(level, y, x, *mask.shape, (down, down)),
        CLASSES,
        mpp=(0.5 * down, 0.5 * down),
        **(options | values),
    )
    return record, mask


def blobs(seed: int = 0, shape: Shape = (96, 120)) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.kron(rng.integers(0, 3, (shape[0] // 8, shape[1] // 8)), np.ones((8, 8))).astype(
        np.uint16
    )


def contents(folder: Path) -> dict[str, str]:
    return {
        str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest()
        for f in folder.rglob("*")
        if f.is_file()
    }


masks = hnp.arrays(
    np.uint16,
    st.tuples(st.integers(1, 40), st.integers(1, 9)),
    elements=st.sampled_from([0, 0, 1, 2]),
)


@given(masks, st.integers(1, 30))
@settings(deadline=None, max_examples=60)
def test_objects_traced_in_bands_are_the_objects(mask: np.ndarray, rows: int) -> None:
    record, _ = labelled(mask)
    field = ExportField(record, mask)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(objects, "BAND_PX", 1)
        patch.setattr(objects, "MIN_ROWS", rows)
        found = sorted(objects_of(field), key=lambda item: item.outline.value)
    whole = field.objects()
    assert [f.measure for f in found] == list(measure_objects(whole, mask, record.mpp))
    rings = [[r for p in f.outline.polygons for r in (p.exterior, *p.holes)] for f in found]
    np.testing.assert_array_equal(fill(mask.shape, rings, [f.outline.value for f in found]), whole)
    assert [f.outline.value for f in found] == [o.value for o in outlines(whole)]


def test_tiles_cover_the_field_and_keep_objects_across_borders(tmp_path: Path) -> None:
    record, mask = labelled(blobs())
    config = ExportConfig(tile_px=40, overlap_px=10)
    export_labels([Memory(((record, mask),))], tmp_path, config)
    fields = read_bundle(tmp_path / "training")
    shown, numbers = np.zeros_like(mask), np.zeros(mask.shape, np.uint32)
    for field in fields:
        y, x = field.record.field.y - 10, field.record.field.x - 20
        assert field.mask.shape == (40, 40)
        np.testing.assert_array_equal(field.image, picture(field.record.field))
        shown[y : y + 40, x : x + 40] = field.mask
        numbers[y : y + 40, x : x + 40] = field.instances
    np.testing.assert_array_equal(shown, mask)
    np.testing.assert_array_equal(numbers, ExportField(record, mask).classed_objects())
    assert starts(96, 40, 10) == [0, 30, 56]
    assert len(fields) == len(starts(96, 40, 10)) * len(starts(120, 40, 10))


def test_region_classes_review_and_background_choose(tmp_path: Path) -> None:
    empty = np.zeros((64, 64), np.uint16)
    source = Memory(
        (
            labelled(blobs(), status="accepted"),
            labelled(blobs(1), y=120, x=200),
            *(labelled(empty, y=120, x=70 * i, status="accepted") for i in range(4)),
        )
    )
    chosen = select([source], ExportConfig(reviewed_only=True, background_ratio=2))
    assert len(chosen.whole) == 5
    assert [p.objects > 0 for p in chosen.tiles].count(False) == 2
    assert chosen.left_out == {"not reviewed": 1, "background tiles": 2}
    again = select([source], ExportConfig(reviewed_only=True, background_ratio=2))
    assert [p.record.id for p in again.tiles] == [p.record.id for p in chosen.tiles]

    region = Region(30, 50, 41, 60)  # pixels whose centres lie inside
    (piece,) = select([source], ExportConfig(region=region)).whole
    place = piece.record.field
    assert (place.y, place.x, place.height, place.width) == (15, 25, 20, 30)
    np.testing.assert_array_equal(piece.load().mask, blobs()[5:25, 5:35])

    piece = select([source], ExportConfig(classes=("stroma",))).whole[0]
    assert [c.name for c in piece.record.classes] == ["stroma"]
    np.testing.assert_array_equal(piece.load().mask, np.where(blobs() == 2, 2, 0))
    assert piece.record.slide_name.startswith("slide-")


def test_another_scale_shows_what_lies_under_each_pixel(tmp_path: Path) -> None:
    record, mask = labelled(blobs())
    source = Memory(((record, mask),))
    (finer,) = select([source], ExportConfig(level=0)).whole
    np.testing.assert_array_equal(finer.load().mask, np.kron(mask, np.ones((2, 2))))
    assert finer.record.mpp == (0.5, 0.5)
    (odd,) = select([source], ExportConfig(mpp=1.25)).whole
    field = odd.load(image=True)
    place = odd.record.field
    assert place.downsample == (2.5, 2.5)
    y = ((place.y + np.arange(place.height) + 0.5) * 2.5 / 2).astype(int) - 10
    x = ((place.x + np.arange(place.width) + 0.5) * 2.5 / 2).astype(int) - 20
    np.testing.assert_array_equal(field.mask, mask[np.ix_(y, x)])
    assert field.image.shape == (*place.shape, 3)
    with pytest.raises(ExportError, match="does not say its scale"):
        select([Memory(((FieldRecord.from_json(record.to_json() | {"mpp": None}), mask),))],
               ExportConfig(mpp=1.0))  # fmt: skip


def test_everything_appears_together_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    source = Memory((labelled(blobs()), labelled(blobs(1), y=120)))
    config = ExportConfig(formats=("tif", "csv", "geojson"))
    export_labels([source], out, config)
    (out / "mine.txt").write_text("mine")
    before = contents(out)
    changed = Memory((labelled(blobs(2)),))

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("napari_pathseg.export.formats.write_features", full)
        with pytest.raises(ExportError, match="no space in"):
            export_labels([changed], out, config)
    assert contents(out) == before

    real, calls = Path.rename, []

    def busy(self: Path, target: Path) -> Path:
        calls.append(self)
        if len(calls) == 4:
            raise PermissionError(13, "is open elsewhere")
        return real(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", busy)
        with pytest.raises(ExportError, match="is open elsewhere"):
            export_labels([changed], out, config)
    assert contents(out) == before
    fresh = tmp_path / "new"
    with pytest.raises(ExportError, match="not chosen"):
        export_labels([source], fresh, ExportConfig(fields=("nothing",)))
    assert not fresh.exists()


def test_results_that_were_being_moved_are_finished_by_the_next(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.txt").write_text("old")
    died = out / FOLDER
    for folder in ("new", "old", "done"):
        (died / folder).mkdir(parents=True)
    (died / "new" / "a.txt").write_text("new")
    (died / "new" / "b.txt").write_text("new")
    (died / "commit.json").write_text(json.dumps(["a.txt", "b.txt"]))
    (out / "a.txt").rename(died / "old" / "a.txt")  # and here the power went
    recover_set(out)
    assert {f.name: f.read_text() for f in out.iterdir()} == {"a.txt": "new", "b.txt": "new"}


def test_a_cancelled_export_goes_on_where_it_was(tmp_path: Path) -> None:
    source = Memory(tuple(labelled(blobs(i), x=2 * i) for i in range(6)))
    config = ExportConfig(formats=("bundle", "nnunet", "imagefolder", "tif", "coco"))
    token, read = CancelToken(), []

    class Watched(Memory):
        def image(self, field_id: str, grid: Field) -> np.ndarray:
            read.append(field_id)
            return super().image(field_id, grid)

    watched = Watched(source.fields)

    def stop(step: Progress) -> None:
        if "nnU-Net" in step.message and step.done == 3:
            token.cancel()

    with pytest.raises(CancelledError):
        export_labels([watched], tmp_path / "out", config, progress=stop, cancel=token)
    assert len(read) == 6 + 4
    assert [p.name for p in (tmp_path / "out").iterdir()] == [FOLDER]
    export_labels([watched], tmp_path / "out", config)
    assert len(read) == 4 * 6  # bundle, nnU-Net, folder and COCO, each field once
    export_labels([source], tmp_path / "whole", config)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    assert "Jane" not in "".join(contents(tmp_path / "out"))


@pytest.mark.parametrize("form", ["geojson", "coco", "csv", "parquet"])
def test_a_file_of_many_fields_goes_on_too(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if form == "parquet":
        pytest.importorskip("pyarrow")
    monkeypatch.setattr("napari_pathseg.export.imagefolder.SHARD", 2)
    monkeypatch.setattr("napari_pathseg.export.task.TELL_EVERY", 1)
    source = Memory(tuple(labelled(blobs(i), x=2 * i) for i in range(6)))
    traced: list[str] = []

    class Watched(Memory):
        def masks(self, field_id: str) -> tuple[np.ndarray, None]:
            traced.append(field_id)
            return super().masks(field_id)

    watched, token = Watched(source.fields), CancelToken()
    config = ExportConfig(formats=(form,))
    parts = select([watched], config).objects if form != "parquet" else 6

    def stop(step: Progress) -> None:
        looked = step.message.startswith("Looking")
        if not looked and step.done >= parts * 4 // 6:
            token.cancel()

    with pytest.raises(CancelledError):
        export_labels([watched], tmp_path / "out", config, progress=stop, cancel=token)
    traced.clear()
    export_labels([watched], tmp_path / "out", config)
    assert 6 < len(traced) <= 6 + 3  # each is looked at; few are written
    export_labels([source], tmp_path / "whole", config)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_a_stage_of_another_export_is_thrown_away(tmp_path: Path) -> None:
    done = []

    def cancelled() -> None:
        with stage(tmp_path, "one") as begun:
            done.append(begun.done("a"))
            (begun.folder / "a").write_text("a")
            begun.mark("a")
            raise CancelledError

    for _ in range(2):
        with pytest.raises(CancelledError):
            cancelled()
    assert done == [False, True]
    with stage(tmp_path, "two") as begun:
        assert not begun.done("a")
        assert list(begun.folder.iterdir()) == []
    assert list(tmp_path.iterdir()) == []


def test_looking_ahead_counts_and_comes_near_the_size(tmp_path: Path) -> None:
    source = Memory(tuple(labelled(blobs(i), x=2 * i) for i in range(9)))
    config = ExportConfig(formats=("bundle", "geojson", "tif"), tile_px=48)
    outlook = look_ahead([source], config)
    assert (outlook.slides, outlook.fields, outlook.tiles) == (1, 9, 9 * 2 * 3)
    done = export_labels([source], tmp_path / "out", config)
    assert outlook.objects == done.objects
    written = sum(f.stat().st_size for f in (tmp_path / "out").rglob("*") if f.is_file())
    assert 0.5 < outlook.total_bytes / written < 2


def test_labels_of_the_whole_slide_beside_and_inside_the_image(tmp_path: Path) -> None:
    first, second = labelled(blobs()), labelled(blobs(1), y=120, x=200)
    source = Memory((first, second))
    config = ExportConfig(formats=("ome-tiff", "ome-zarr"), extent="slide", zarr="beside")
    done = export_labels([source], tmp_path, config)
    whole = np.zeros((256, 384), np.uint16)
    whole[10:106, 20:140], whole[120:216, 200:320] = blobs(), blobs(1)
    pyramid, classes, instances = sorted(done.paths, key=lambda p: p.suffix == ".zarr")
    with tifffile.TiffFile(pyramid) as tiff:
        assert [s.shape for s in tiff.series] == [(256, 384)] * 2
        np.testing.assert_array_equal(tiff.series[0].asarray(), whole)
        numbers = tiff.series[1].asarray()
    np.testing.assert_array_equal(numbers > 0, whole > 0)
    counts = [int(ExportField(*pair).classed_objects().max()) for pair in (first, second)]
    assert len(np.unique(numbers)) - 1 == sum(counts)
    np.testing.assert_array_equal(read_ome_zarr(classes)[0].mask, whole)
    np.testing.assert_array_equal(zarr.open_group(instances, mode="r")["0"][...], numbers)
    with pytest.raises(ExportError, match="can not go inside"):
        export_labels([source], tmp_path, ExportConfig(formats=("ome-zarr",), zarr="inside"))


def lines_of(*slides: str) -> list[dict[str, object]]:
    return [
        {"id": f"{slide}{i}", "slide": {"identity": slide}, "region": [100 * i, 0, 100, 100]}
        for slide in slides
        for i in range(3)
    ]


@pytest.mark.parametrize("count", [2, 3, 4, 5, 11, 20])
def test_some_slides_are_for_validation_from_the_second_on(count: int) -> None:
    splits = splits_of(lines_of(*"abcdefghijklmnopqrst"[:count]), {})
    assert splits["by"] == ["slide"]
    assert len({i[0] for i in splits["val"]}) == max(1, count // 5)
    assert not {i[0] for i in splits["val"]} & {i[0] for i in splits["train"]}


def test_fields_of_a_single_slide_are_parted_by_their_places(tmp_path: Path) -> None:
    splits = splits_of(lines_of("a"), {})
    assert splits["by"] == ["field"]
    assert (len(splits["train"]), len(splits["val"])) == (2, 1)
    overlapping = [line | {"region": [50 * i, 0, 100, 100]} for i, line in enumerate(lines_of("a"))]
    assert splits_of(overlapping, {})["val"] == []
    later = splits_of(lines_of("a", "b"), splits)
    assert later["by"] == ["slide"]
    export_labels(
        [Memory((labelled(blobs()), labelled(blobs(1), y=120)))], tmp_path, ExportConfig()
    )
    found = read_splits(tmp_path / "training")
    assert sorted(found) == ["train", "val"]
    assert (len(found["train"]), len(found["val"])) == (1, 1)


def test_labels_inside_an_ome_zarr_slide(tmp_path: Path) -> None:
    path = write_zarr_slide(tmp_path / "slide.ome.zarr")
    with open_slide(path) as slide:
        record, mask = labelled(blobs(), level=0, slide_identity=slide.metadata.identity)

        class One:
            def fields(self) -> tuple[FieldRecord, ...]:
                return (record,)

            def load(self, _: str) -> tuple[FieldRecord, np.ndarray]:
                return record, mask

            def numbers(self, _: str) -> None:
                return None

            def proposal(self, _: str) -> None:
                return None

        config = ExportConfig(formats=("ome-zarr",), zarr="inside")
        for _ in range(2):
            export_labels([SlideSource(slide, One())], tmp_path / "out", config)
    group = zarr.open_group(path, mode="r")
    assert group["labels"].attrs["ome"]["labels"] == ["pathseg-classes", "pathseg-instances"]
    shown = np.asarray(group["labels/pathseg-classes/0"][10:106, 20:140])
    np.testing.assert_array_equal(shown, mask)
    with open_slide(path) as slide:
        assert slide.metadata.identity == record.slide_identity
    yaozarrs = pytest.importorskip("yaozarrs")
    yaozarrs.validate_zarr_store(str(path))


def write_zarr_slide(path: Path) -> Path:
    """A slide of three channels."""
    root = zarr.open_group(path, mode="w", zarr_format=3)
    pixels = np.moveaxis(picture(Field(0, 0, 0, *SHAPE, (1.0, 1.0))), 2, 0)
    root.create_array("0", data=pixels, chunks=(3, 256, 256), dimension_names=["c", "y", "x"])
    axes = [{"name": "c", "type": "channel"}] + [
        {"name": name, "type": "space", "unit": "micrometer"} for name in "yx"
    ]
    scale = [{"type": "scale", "scale": [1.0, 0.5, 0.5]}]
    image = {"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": scale}]}
    root.attrs["ome"] = {"version": "0.5", "multiscales": [image]}
    return path
