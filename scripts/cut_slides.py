"""Cut a slide of every family short at many places: it is refused, or shows all that it showed.

    python scripts/cut_slides.py [FAMILY ...]

Of a slide in several files each is cut in turn. Prints how many were refused, how many gave the
same pixels, levels, names and scale as the whole slide, and which gave less without a word.
"""

from __future__ import annotations

import logging
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import measure_damage

from napari_pathseg.errors import SlideError
from napari_pathseg.geometry import Field
from napari_pathseg.slide.open import open_slide

SHARES = (0.02, 0.1, *(part / 40 for part in range(8, 40)), 0.99, 0.999)
MOST_FILES = 12
"""Of an OME-Zarr, whose chunks are files."""

REFUSED, SAME, LESS = "refused", "the same", "less, silently"


def seen(path: Path, backend: str | None) -> tuple[Any, ...]:
    """All that a slide shows: facts, and the pixels of all levels.

    Raises
    ------
    SlideError
    """
    with open_slide(path, backend=backend) as slide:
        facts = slide.metadata.mpp, slide.stack, slide.scenes, slide.associated_names
        pixels = [
            slide.read(Field(index, 0, 0, *level.shape, level.downsample)).tobytes()
            for index, level in enumerate(slide.levels)
        ]
        pictures = [slide.associated(name).tobytes() for name in slide.associated_names]
    return *facts, pixels, pictures


def cut(family: str, folder: Path) -> dict[str, list[str]]:
    """What became of the slide when each of its files was cut at each of the places."""
    backend = family if family in measure_damage.EXTRAS else None
    path = measure_damage.write_family(family, folder / family)
    whole, found = seen(path, backend), defaultdict(list)
    files = sorted(file for file in path.parent.rglob("*") if file.is_file())
    for file in files[:MOST_FILES]:
        data = file.read_bytes()
        for length in sorted({int(len(data) * share) for share in SHARES} - {0, len(data)}):
            file.write_bytes(data[:length])
            try:
                kind = SAME if seen(path, backend) == whole else LESS
            except SlideError:
                kind = REFUSED
            found[kind].append(f"{file.name} at {length}")
        file.write_bytes(data)
    return found


def main() -> None:
    """Measure and print the table."""
    logging.disable(logging.CRITICAL)
    kinds = (REFUSED, SAME, LESS)
    print(f"| family | {' | '.join(kinds)} |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as temporary:
        for family in sys.argv[1:] or measure_damage.FAMILIES:
            found = cut(family, Path(temporary))
            print(f"| {family} | {' | '.join(str(len(found[kind])) for kind in kinds)} |")
            for kind in (SAME, LESS):
                if found[kind]:
                    print(f"    {kind}: {', '.join(found[kind][:4])}", flush=True)


if __name__ == "__main__":
    main()
