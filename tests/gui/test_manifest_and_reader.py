"""What napari finds of us: manifest, reader, samples."""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import scanner_files
import tifffile
from desk_slides import SHAPE, open_in
from napari.components import ViewerModel
from napari.layers import Image
from napari.settings import get_settings
from npe2 import DynamicPlugin, PluginManager, PluginManifest
from numpy.typing import NDArray

import napari_pathseg
from napari_pathseg.errors import SlideError
from napari_pathseg.gui import sample_data
from napari_pathseg.gui.controller import PathsegController
from napari_pathseg.gui.jobs import ImmediateRunner, Job
from napari_pathseg.gui.reader import get_reader, read_slides
from napari_pathseg.gui.settings import open_slides_here
from napari_pathseg.gui.sources import open_source
from napari_pathseg.progress import CancelToken

MANIFEST = Path(napari_pathseg.__file__).with_name("napari.yaml")


def test_the_manifest_is_valid_and_every_command_exists() -> None:
    manifest = PluginManifest.from_file(MANIFEST)
    manifest.validate_imports()
    for command in manifest.contributions.commands:
        module, name = command.python_name.split(":")
        assert callable(getattr(import_module(module), name))
    assert [w.display_name for w in manifest.contributions.widgets] == ["PathSeg"]


def test_the_link_at_the_top_is_the_manifest() -> None:
    link = Path(__file__).parents[2] / "napari.yaml"
    assert link.read_text(encoding="utf-8") == MANIFEST.read_text(encoding="utf-8")


def test_a_slide_is_one_layer_with_scale_and_units(marked_slide: Path) -> None:
    assert get_reader(str(marked_slide)) is read_slides
    ((levels, options, kind),) = read_slides(str(marked_slide))
    assert kind == "image"
    assert [level.shape[0] for level in levels] == [SHAPE[0] >> i for i in range(len(levels))]
    assert options["rgb"]
    assert options["scale"] == (0.5, 0.5)
    assert options["units"] == ("um", "um")
    assert options["metadata"]["pathseg"]["path"] == str(marked_slide)
    assert np.asarray(levels[0][:8, :8]).shape == (8, 8, 3)


def test_without_scale_the_units_are_pixels(slide_without_scale: Path) -> None:
    ((_, options, _),) = read_slides(str(slide_without_scale))
    assert (options["scale"], options["units"]) == ((1.0, 1.0), ("pixel", "pixel"))


def test_a_damaged_file_says_so_on_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "broken.svs"
    broken.write_bytes(b"no slide at all")
    reader = get_reader(str(broken))
    assert reader is not None
    told: list[str] = []
    monkeypatch.setattr("napari.utils.notifications.show_error", told.append)
    with pytest.raises(SlideError, match=r"broken\.svs"):
        reader(str(broken))
    assert [str(broken) in text for text in told] == [True]


@pytest.fixture
def nothing_chosen() -> Iterator[None]:
    """napari was told of no reader."""
    plugins = get_settings().plugins
    before = dict(plugins.extension2reader)
    plugins.extension2reader = {}
    yield
    plugins.extension2reader = before


@pytest.fixture
def asked_for_folders(nothing_chosen: None, npe2pm: PluginManager) -> None:
    """napari has no reader but its own and this package's, which it asks for all folders."""
    npe2pm.register(PluginManifest.from_distribution("napari"))
    npe2pm.register(PluginManifest.from_file(MANIFEST))
    open_slides_here()


@pytest.mark.usefixtures("nothing_chosen")
def test_a_folder_without_a_slide_is_left_to_other_readers(tmp_path: Path) -> None:
    assert get_reader(str(tmp_path)) is None


@pytest.mark.usefixtures("asked_for_folders")
def test_folders_open_without_a_question_whatever_they_hold(tmp_path: Path) -> None:
    slide = tmp_path / "series"
    picture = np.full((300, 260, 3), 200, np.uint8)
    picture[100:] = 90, 20, 120
    scanner_files.write_dicom(slide, picture)
    (dicom,) = ViewerModel().open(slide, plugin=None)
    assert dicom.metadata["pathseg"]["path"] == str(slide)
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for index in range(3):
        PIL.Image.fromarray(picture // (index + 1)).save(pictures / f"{index}.png")
    (stack,) = ViewerModel().open(pictures, plugin=None)
    assert stack.data.shape == (3, 300, 260, 3)
    assert "pathseg" not in stack.metadata
    other = DynamicPlugin("other-reader")
    with other:

        @other.contribute.reader(filename_patterns=["*.x"], accepts_directories=True)
        def read(path: str) -> None:
            return None

        assert get_reader(str(pictures)) is None, "napari may ask which of them"


@pytest.mark.usefixtures("asked_for_folders")
def test_a_folder_of_slides_is_not_loaded_whole(marked_slide: Path) -> None:
    marked_slide.rename(marked_slide.with_suffix(".svs"))
    reader = get_reader(str(marked_slide.parent))
    assert reader is not None
    with pytest.raises(SlideError, match="Open a slide file inside it"):
        reader(str(marked_slide.parent))


def test_the_data_folder_of_a_slide_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "Slidedat.ini").touch()
    reader = get_reader(str(tmp_path))
    assert reader is read_slides
    told: list[str] = []
    monkeypatch.setattr("napari.utils.notifications.show_error", told.append)
    with pytest.raises(SlideError):
        reader(str(tmp_path))
    assert [f"{tmp_path.name}.mrxs is missing" in text for text in told] == [True]


def test_a_generated_slide_is_opened_by_its_name() -> None:
    slide = open_source(Path("synthetic-2000x3000-0.5-7"))
    assert (slide.shape, slide.metadata.mpp) == ((2000, 3000), (0.5, 0.5))


def test_the_picture_sample_needs_no_network() -> None:
    ((data, options, kind),) = sample_data.ihc_picture()
    assert (kind, options["rgb"], data.shape) == ("image", True, (512, 512, 3))


def write_stack(path: Path) -> NDArray[np.uint16]:
    """Two time points, three focal planes and two channels that name their colours."""
    pixels = np.random.default_rng(4).integers(0, 4000, (2, 3, 2, 70, 90), dtype=np.uint16)
    facts = {
        "axes": "TZCYX",
        "PhysicalSizeX": 0.5,
        "PhysicalSizeY": 0.25,
        "PhysicalSizeZ": 1.5,
        "TimeIncrement": 3.0,
        "TimeIncrementUnit": "s",
        "Channel": {"Name": ["DAPI", "CK"], "Color": [0x0000FFFF, 0x00FF00FF]},
    }
    tifffile.imwrite(path, pixels, photometric="minisblack", ome=True, metadata=facts)
    return pixels


def test_channels_are_layers_and_planes_are_axes(tmp_path: Path) -> None:
    path = tmp_path / "stack.ome.tif"
    pixels = write_stack(path)
    viewer = ViewerModel()
    for data, options, _ in read_slides(str(path)):
        viewer.add_layer(Image(data, **options))
    keratin, dapi = viewer.layers
    assert (dapi.name, keratin.name) == ("stack.ome.tif DAPI", "stack.ome.tif CK")
    assert dapi.colormap.colors[-1, :3].tolist() == [0, 0, 1]
    assert keratin.colormap.colors[-1, :3].tolist() == [0, 1, 0]
    assert str(keratin.blending) == "additive"
    assert tuple(dapi.scale) == (3.0, 1.5, 0.25, 0.5)
    assert [str(unit) for unit in dapi.units] == ["second", *["micrometer"] * 3]
    assert dapi.axis_labels == ("t", "z", "y", "x")
    assert keratin.data.dtype == np.uint16
    np.testing.assert_array_equal(np.asarray(keratin.data), pixels[:, :, 1])
    viewer.dims.current_step = (1, 2, 0, 0)
    np.testing.assert_array_equal(keratin._slice.image.raw, pixels[1, 2, 1])
    assert "path" in dapi.metadata["pathseg"]
    assert "path" not in keratin.metadata["pathseg"]


def test_channels_go_with_their_slide(controller: PathsegController, marked_slide: Path) -> None:
    path = marked_slide.with_name("fluorescence.ome.tif")
    pixels = np.random.default_rng(1).integers(0, 4000, (3, 70, 90), dtype=np.uint16)
    facts = {"axes": "CYX", "Channel": {"Name": ["DAPI", "CD3", "CK"]}}
    tifffile.imwrite(path, pixels, photometric="minisblack", ome=True, metadata=facts)
    open_in(controller, path)
    layers = controller.viewer.layers
    dapi, cd3, keratin = (layers[f"{path.name} {name}"] for name in ("DAPI", "CD3", "CK"))
    labels = [layers.index(layer) for layer in controller.desk.label_layers()]
    assert min(labels) > max(layers.index(layer) for layer in (dapi, cd3, keratin))
    controller.set_mpp((0.5, 0.5))
    for layer in (dapi, cd3, keratin):
        assert tuple(layer.scale) == (0.5, 0.5)
        assert str(layer.units[-1]) == "micrometer"
    first, cd3.visible = controller.desk, False
    open_in(controller, marked_slide)
    assert [layer.visible for layer in (dapi, cd3, keratin)] == [False] * 3
    controller.desks.go_to(first)
    assert [layer.visible for layer in (dapi, cd3, keratin)] == [True, False, True]
    layers.clear()
    open_in(controller, path)
    assert [tuple(layer.scale) for layer in layers[:3]] == [(0.5, 0.5)] * 3, "as it is remembered"


def test_scenes_are_layers_and_the_label_is_none(tmp_path: Path) -> None:
    path = tmp_path / "scenes.ome.tif"
    pictures = {"left": (200, 300), "right": (220, 310), "label image": (50, 60)}
    with tifffile.TiffWriter(path, ome=True) as tif:
        for index, (name, shape) in enumerate(pictures.items()):
            pixels = np.full((*shape, 3), 40 * (index + 1), np.uint8)
            tif.write(pixels, photometric="rgb", metadata={"axes": "YXS", "Name": name})
    left, right = read_slides(str(path))
    assert (left[1]["name"], right[1]["name"]) == ("scenes.ome.tif left", "scenes.ome.tif right")
    assert (left[1]["visible"], "visible" in right[1]) == (False, False)
    assert (left[0].shape[:2], right[0].shape[:2]) == ((200, 300), (220, 310))
    assert left[1]["metadata"]["pathseg"]["identity"] != right[1]["metadata"]["pathseg"]["identity"]
    assert (int(np.asarray(left[0])[0, 0, 0]), int(np.asarray(right[0])[0, 0, 0])) == (40, 80)


def test_nothing_of_a_hidden_scene_is_seen(
    make_controller: Callable[..., PathsegController], tmp_path: Path
) -> None:
    class Later(ImmediateRunner):
        """Runs jobs when there is time."""

        def __init__(self) -> None:
            self.jobs: deque[Job[Any]] = deque()

        def submit(self, job: Job[Any]) -> CancelToken:
            self.jobs.append(job)
            return CancelToken()

        def go(self) -> None:
            while self.jobs:
                super().submit(self.jobs.popleft())

    path = tmp_path / "scenes.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as tif:
        for name, side in (("left", 200), ("right", 220)):
            pixels = np.full((side, side, 3), 90, np.uint8)
            tif.write(pixels, photometric="rgb", metadata={"axes": "YXS", "Name": name})
    mender = Later()
    controller = make_controller(mender=mender)
    open_in(controller, path)
    mender.go()
    left, right = controller.desks
    prompts = {f"{desk.name} {kind}" for desk in (left, right) for kind in ("points", "boxes")}
    layers = controller.viewer.layers
    assert prompts < {layer.name for layer in layers}
    seen = {layer.name for layer in layers if layer.visible}
    assert seen == {layer.name for layer in layers if layer.name.startswith(right.name)}
    controller.desks.go_to(left)
    assert left.field_layer is not None
    assert left.field_layer.visible


def test_all_of_the_scene_that_is_seen_is_in_view(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "scenes.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as tif:
        for shape in ((100, 90), (400, 1000)):
            pixels = np.zeros((*shape, 3), np.uint8)
            tif.write(pixels, photometric="rgb", metadata={"axes": "YXS", "Name": str(shape)})
    viewer = ViewerModel()
    monkeypatch.setattr("napari.current_viewer", lambda: viewer)
    for data, options, _ in read_slides(str(path)):
        viewer.add_layer(Image(data, **options))
    camera = viewer.scene.camera
    assert camera.center[-2:] == pytest.approx((200, 500), abs=1)
    camera.zoom = 7
    viewer.add_layer(Image(np.zeros((9, 9))))
    assert camera.zoom == 7, "only once"


def test_slides_of_layers_that_are_gone_are_closed(tmp_path: Path) -> None:
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("this system does not list open files")
    path = tmp_path / "stack.ome.tif"
    write_stack(path)

    def opened() -> int:
        links = [link for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
        return sum("stack.ome.tif" in str(link.readlink()) for link in links)

    viewer = ViewerModel()
    for data, options, _ in read_slides(str(path)):
        viewer.add_layer(Image(data, **options))
    assert opened() >= 1
    viewer.layers.clear()
    del data, options, viewer
    gc.collect()
    assert opened() == 0
