"""Open hundreds of damaged slides of every family, each in a process of its own, and count.

    python scripts/measure_damage.py --files 300

For each family: how many were refused in one line, opened, or made the process crash, hang or
take too much memory; docs/slides.md has the table. Real slides can be named besides.
"""

from __future__ import annotations

import argparse
import multiprocessing
import shutil
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "shared"))

MAX_S = 10.0
MAX_MB = 2048
SCENE_SHAPE = (1040, 530)
EXTRAS = ("wsidicom", "slideio")
"""Families that are named after who reads them: DICOM and SVS by these libraries."""


@dataclass(frozen=True)
class Outcome:
    """What became of one damaged slide."""

    kind: str
    reason: str = ""
    seconds: float = 0.0
    """Of the processor; a hang is told by the clock."""

    peak_mb: float = 0.0


def write_family(family: str, folder: Path) -> Path:
    """A sound slide of a family; returns what to open."""
    import scanner_files
    from PIL import Image

    from napari_pathseg.geometry import Field
    from napari_pathseg.slide.synthetic import SyntheticSlide
    from napari_pathseg.slide.write import write_pyramid

    folder.mkdir(parents=True)
    scene = SyntheticSlide(SCENE_SHAPE, seed=5)
    picture = scene.read(Field(0, 0, 0, *SCENE_SHAPE, (1.0, 1.0)))
    if family in ("png", "jpg", "bmp", "webp"):
        path = folder / f"a.{family}"
        Image.fromarray(picture[:300, :300]).save(path)
        return path
    if family.startswith("zarr"):
        return _write_zarr(family, folder, picture)
    if family in ("stack.ome.tif", "strips.tif", "palette.tif"):
        return _write_tiff(family, folder, picture)
    if family == "czi":
        return _write_czi(folder / "a.czi", picture)
    scanners: dict[str, Callable[[Path, np.ndarray], Path]] = {
        "scn": scanner_files.write_scn,
        "bif": scanner_files.write_bif,
        "vms": scanner_files.write_vms,
        "mrxs": scanner_files.write_mrxs,
        "philips.tiff": scanner_files.write_philips,
        "dicom": scanner_files.write_dicom,
        "wsidicom": scanner_files.write_dicom,
    }
    if family in scanners:
        name = "a" if family in ("dicom", "wsidicom") else f"a.{family}"
        return scanners[family](folder / name, picture)
    layout = {"svs": "svs", "slideio": "svs", "ome.tif": "ome", "tif": "generic"}[family]
    compression = "deflate" if family == "ome.tif" else "jpeg"
    path = folder / f"a.{layout if family == 'slideio' else family}"
    return write_pyramid(scene, path, layout=layout, compression=compression)


def _write_zarr(family: str, folder: Path, picture: np.ndarray) -> Path:
    import zipfile

    import zarr

    version = 2 if family.endswith("2") else 3
    path = folder / "a.zarr"
    group = zarr.open_group(path, mode="w", zarr_format=version)
    levels = [picture, picture[::2, ::2]]
    for index, level in enumerate(levels):
        options = {"shards": (512, 512, 3)} if version == 3 else {}
        array = group.create_array(
            str(index), shape=level.shape, chunks=(256, 256, 3), dtype=np.uint8, **options
        )
        array[:] = level
    axes = [{"name": n, "type": "space", "unit": "micrometer"} for n in "yx"]
    axes.append({"name": "c", "type": "channel"})
    datasets = [
        {
            "path": str(i),
            "coordinateTransformations": [
                {"type": "scale", "scale": [0.5 * 2**i, 0.5 * 2**i, 1.0]}
            ],
        }
        for i in range(len(levels))
    ]
    facts = {"multiscales": [{"axes": axes, "datasets": datasets}]}
    group.attrs.update({"ome": {"version": "0.5", **facts}} if version == 3 else facts)
    if "zip" not in family:
        return path
    packed = folder / "a.zarr.zip"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for file in sorted(path.rglob("*")):
            if file.is_file():
                archive.write(file, file.relative_to(path).as_posix())
    shutil.rmtree(path)
    return packed


def _write_tiff(family: str, folder: Path, picture: np.ndarray) -> Path:
    import tifffile

    path = folder / f"a.{family}"
    if family == "stack.ome.tif":
        data = np.random.default_rng(0).integers(0, 4000, (3, 2, 200, 220), dtype=np.uint16)
        tifffile.imwrite(
            path, data, ome=True, photometric="minisblack", metadata={"axes": "ZCYX"},
            compression="lzw", tile=(64, 64),
        )  # fmt: skip
    elif family == "strips.tif":
        tifffile.imwrite(path, picture, photometric="rgb", rowsperstrip=32)
    else:
        colors = np.random.default_rng(0).integers(0, 65535, (3, 256), dtype=np.uint16)
        tifffile.imwrite(
            path, picture[..., 0], photometric="palette", colormap=colors, compression="zlib"
        )
    return path


def _write_czi(path: Path, picture: np.ndarray) -> Path:
    from pylibCZIrw import czi

    with czi.create_czi(str(path)) as document:
        for scene, place_xy in enumerate(((0, 0), (4000, 0))):
            part = np.ascontiguousarray(picture[: 600 - 200 * scene, :, ::-1])
            plane = {"C": 0, "T": 0, "Z": 0}
            document.write(data=part, plane=plane, location=place_xy, scene=scene)
        document.write_metadata("slide", scale_x=0.5e-6, scale_y=0.5e-6)
    return path


FAMILIES = (
    "svs", "ome.tif", "tif", "stack.ome.tif", "strips.tif", "palette.tif", "scn", "bif",
    "philips.tiff", "vms", "mrxs", "dicom", "zarr-2", "zarr-3", "zarr-zip-2", "zarr-zip-3",
    "png", "jpg", "bmp", "webp", *(("czi",) if find_spec("pylibCZIrw") else ()),
    *(backend for backend in EXTRAS if find_spec(backend)),
)  # fmt: skip


def damages(data: bytes, count: int, seed: int) -> Iterator[bytes]:
    """Copies of a file: cut short, bytes flipped anywhere, and damage in the first kilobytes."""
    rng = np.random.default_rng(seed)
    for index in range(count):
        kind = index % 6
        broken = bytearray(data)
        head = min(len(data), 4096)
        if kind == 0:
            broken = broken[: int(rng.integers(1, max(len(data), 2)))]
        elif kind in (1, 2):
            for place in rng.integers(0, len(data), 1 + int(rng.integers(60))):
                broken[place] ^= int(rng.integers(1, 256))
        elif kind in (3, 4):
            for place in rng.integers(0, head, 1 + int(rng.integers(4))):
                broken[place] ^= int(rng.integers(1, 256))
        else:
            place, size = int(rng.integers(0, head)), int(rng.integers(1, 9))
            broken[place : place + size] = (b"\xff", b"\0")[index % 2] * size
        yield bytes(broken)


def damaged_slides(sound: Path, count: int, seed: int, folder: Path) -> Iterator[Path]:
    """Damaged copies of a slide, one after the other in the same place, each in one file of it."""
    root = sound.parent
    members = sorted(file for file in root.rglob("*") if file.is_file())
    contents = {file: file.read_bytes() for file in members}
    streams = {
        file: damages(data, count, seed + index)
        for index, (file, data) in enumerate(contents.items())
    }
    for index in range(count):
        copy = folder / str(index)
        shutil.copytree(root, copy)
        victim = members[index % len(members)]
        (copy / victim.relative_to(root)).write_bytes(next(streams[victim]))
        yield copy / sound.relative_to(root)
        shutil.rmtree(copy)


def look(path: Path, backend: str | None = None) -> str:
    """Open a slide as the viewer does: a glimpse, some of every level, corners, the description."""
    from napari_pathseg.errors import SlideError
    from napari_pathseg.geometry import Field
    from napari_pathseg.slide.info import describe
    from napari_pathseg.slide.open import open_slide

    try:
        with open_slide(path, backend=backend, settled=False) as slide:
            slide.glimpse()
            describe(slide, properties=True)
            slide.icc_profile()
            for index, level in enumerate(slide.levels[:12]):
                height, width = level.shape
                for y, x in ((0, 0), (height - 64, width - 64), (height // 2, width // 2)):
                    slide.read(Field(index, y, x, 96, 96, level.downsample))
            for name in slide.associated_names[:4]:
                slide.associated(name)
    except SlideError as error:
        return str(error)
    return ""


def _child(path: Path, backend: str | None, answer: Connection) -> None:
    from napari_pathseg.slide import backend_picture, unpacking

    backend_picture.AT_ONCE_PIXELS = 0  # as large ones, which are looked into before
    leaked: list[BaseException] = []
    threading.excepthook = lambda hook: leaked.append(hook.exc_value or SystemExit())
    try:
        reason = look(path, backend)
        for thread in threading.enumerate():
            if thread.name == unpacking.THREAD:
                thread.join()
        for error in leaked:
            raise error
        answer.send((reason, None))
    except BaseException:  # noqa: BLE001 - what leaks is what is measured
        answer.send(("", traceback.format_exc()))


def try_one(
    path: Path, context: multiprocessing.context.BaseContext, backend: str | None = None
) -> Outcome:
    """Look at one slide in a process of its own."""
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_measured_child, args=(path, backend, sender))
    start = time.monotonic()
    process.start()
    sender.close()
    try:
        answered = receiver.poll(MAX_S)
        reason, leaked, most_mb, seconds = receiver.recv() if answered else ("", None, 0.0, 0.0)
    except EOFError:
        answered, reason, leaked, most_mb, seconds = True, "", None, -1.0, 0.0
    if not answered:
        process.kill()
        process.join()
        return Outcome("hang", "", time.monotonic() - start)
    process.join(5)
    if most_mb < 0:
        return Outcome("crash", f"exit code {process.exitcode}", seconds)
    if leaked:
        return Outcome("leak", leaked, seconds, most_mb)
    if most_mb > MAX_MB:
        return Outcome("memory", reason, seconds, most_mb)
    if not reason:
        return Outcome("opened", "", seconds, most_mb)
    good = "\n" not in reason and path.name.split(".")[0] in reason
    return Outcome("refused" if good else "unclear", reason, seconds, most_mb)


def _measured_child(path: Path, backend: str | None, answer: Connection) -> None:
    class Counted:
        def send(self, pair: tuple[str, str | None]) -> None:
            answer.send((*pair, peak_mb(), time.process_time()))

    _child(path, backend, Counted())  # type: ignore[arg-type]


def peak_mb() -> float:
    """Largest memory of this process so far."""
    if sys.platform == "win32":
        import psutil

        return float(psutil.Process().memory_info().peak_wset) / 1e6
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)


def quick_context() -> multiprocessing.context.BaseContext:
    """Processes forked from one that has the libraries loaded and nothing open, where that goes."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    names = ["backend_tiff", "backend_zarr", "backend_openslide", "backend_picture"]
    extras = {"wsidicom": "backend_dicom", "slideio": "backend_slideio"}
    names += [extras[package] for package in EXTRAS if find_spec(package)]
    modules = (*names, "color", "info", "zarr_scenes", "zarr_store", "aperio")
    context.set_forkserver_preload(
        [
            "__main__" if __name__ == "__main__" else __name__,
            "imagecodecs._jpeg8",
            "imagecodecs._deflate",
            "imagecodecs._lzw",
        ]
        + [f"napari_pathseg.slide.{name}" for name in modules]
    )
    return context


def try_family(family: str, count: int, seed: int = 0, sound: Path | None = None) -> list[Outcome]:
    """Damage a slide `count` times and look at each."""
    context = quick_context()
    backend = family if family in EXTRAS else None
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if sound is None:
            sound = write_family(family, folder / "sound")
        else:
            (folder / "sound").mkdir()
            sound = Path(shutil.copy(sound, folder / "sound"))
        assert look(sound, backend) == "", look(sound, backend)
        return [
            try_one(path, context, backend)
            for path in damaged_slides(sound, count, seed, folder / "damaged")
        ]


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=300, help="damaged files a family")
    parser.add_argument("--seed", type=int, default=0, help="other damage")
    parser.add_argument("--families", nargs="*", default=FAMILIES)
    parser.add_argument("--slides", nargs="*", type=Path, default=[], help="real slides besides")
    options = parser.parse_args()
    wanted = [(family, None) for family in options.families]
    wanted += [(path.name, path) for path in options.slides]
    print(
        "| family | refused | opened | bad | longest CPU s | most MB |\n|---|---|---|---|---|---|"
    )
    for family, sound in wanted:
        outcomes = try_family(family, options.files, options.seed, sound)
        kinds = Counter(outcome.kind for outcome in outcomes)
        bad = {kind: n for kind, n in kinds.items() if kind not in ("refused", "opened")}
        longest = max(outcome.seconds for outcome in outcomes)
        most = max(outcome.peak_mb for outcome in outcomes)
        print(
            f"| {family} | {kinds['refused']} | {kinds['opened']} | {bad or 0} | "
            f"{longest:.1f} | {most:.0f} |",
            flush=True,
        )
        for outcome in [o for o in outcomes if o.kind in bad][:4]:
            print(f"    {outcome.kind}: {outcome.reason[-600:]}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
