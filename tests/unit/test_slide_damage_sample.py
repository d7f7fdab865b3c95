"""A sample of scripts/measure_damage.py: damaged slides, each opened in a process of its own."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"
FILES = 8


@pytest.fixture(scope="module")
def damage() -> ModuleType:
    sys.path.insert(0, str(SCRIPTS))  # the processes that are started look there too
    return importlib.import_module("measure_damage")


@pytest.mark.parametrize("family", ["svs", "stack.ome.tif", "zarr-3", "mrxs", "dicom"])
def test_damaged_slides_are_refused_or_opened(damage: ModuleType, family: str) -> None:
    outcomes = damage.try_family(family, FILES, seed=11)
    assert len(outcomes) == FILES
    bad = [outcome for outcome in outcomes if outcome.kind not in ("refused", "opened")]
    assert bad == []
    assert any(outcome.kind == "refused" for outcome in outcomes)


def test_what_it_counts_as_bad(damage: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    context = damage.quick_context()
    assert damage.try_one(Path("no/such/slide.svs"), context).kind == "refused"
    monkeypatch.setattr(damage, "MAX_MB", 1)
    assert damage.try_one(Path("no/such/slide.svs"), context).kind == "memory"
    monkeypatch.setattr(damage, "MAX_S", 0.0)
    assert damage.try_one(Path("no/such/slide.svs"), context).kind == "hang"
