"""What the desk says, in the words of the person who uses it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from napari_pathseg.errors import CancelledError, PathsegError
from napari_pathseg.geometry import Pair
from napari_pathseg.inference.segmentation import DOUBTS, Segmentation

Kind = Literal["info", "good", "busy", "warning", "error"]
SURE, FAIRLY_SURE = 0.8, 0.6
OPEN_FIRST = "Open a slide (drag it here) or try a sample: File > Open Sample."
NO_SCALE = "This file does not say its resolution, and words need it. Choose or set its scale."


@dataclass(frozen=True, slots=True)
class Action:
    """Something the person can do about a message: a small button under it."""

    label: str
    run: Callable[[], None]
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """One message in the panel; the next one replaces it."""

    text: str
    kind: Kind = "info"
    actions: tuple[Action, ...] = ()


def scale_wanted(choose: Callable[[Pair], None]) -> Message:
    """The slide's scale is unknown; `choose` takes one of the usual (micrometres per pixel)."""
    return Message(NO_SCALE, "warning", _usual_scales(choose))


def scales_differ(without: str, other: str, choose: Callable[[Pair], None]) -> Message:
    """One of two slides has no scale; `choose` takes one for it (micrometres per pixel)."""
    text = (
        f"{without} does not say its resolution, {other} does: beside each other they have no"
        f" common unit, and no scale bar. Choose or set the scale of {without}."
    )
    return Message(text, "warning", _usual_scales(choose))


def _usual_scales(choose: Callable[[Pair], None]) -> tuple[Action, ...]:
    return tuple(
        Action(f"{um} as for {lens}", lambda um=um: choose((um, um)), "µm per pixel")  # type: ignore[misc]
        for um, lens in ((0.25, "40x"), (0.5, "20x"))
    )


def of_error(error: PathsegError, actions: Sequence[Action] = ()) -> Message:
    """An error as the panel shows it: what went wrong and the way out."""
    return Message(str(error), "error", tuple(actions))


def tell_failure(error: BaseException, say: Callable[[Message], None], cancelled: str = "") -> None:
    """Say why a job failed; one that was cancelled has its own words, or none.

    Raises
    ------
    BaseException
        The error itself where it is none of ours.
    """
    if isinstance(error, CancelledError):
        if cancelled:
            say(Message(cancelled))
    elif isinstance(error, PathsegError):
        say(of_error(error))
    else:
        raise error


def read_and_found(segmentation: Segmentation) -> Message:
    """What was read, how long it took and how sure the model is; or that nothing was found."""
    found = set(np.flatnonzero(np.bincount(segmentation.mask.ravel())).tolist())
    missing = [c.name for c in segmentation.classes if c.value not in found]
    if missing and len(missing) == len(segmentation.classes):
        return Message(_found_nothing(segmentation, missing), "warning")
    parts = [_extent(segmentation), f"{segmentation.seconds:.1f} s", _certainty(segmentation)]
    text = " · ".join(part for part in parts if part)
    if missing:
        text += f"\nNo {' and no '.join(missing)} here."
    if doubts := [note for note in segmentation.notes if note in DOUBTS]:
        return Message("\n".join([text, *doubts]), "warning")
    return Message(text, "good" if _score(segmentation) >= FAIRLY_SURE else "info")


def _extent(segmentation: Segmentation) -> str:
    height, width = segmentation.field.shape
    if segmentation.mpp is None:
        return f"{width} × {height} px"
    tall, wide = height * segmentation.mpp[0], width * segmentation.mpp[1]
    text = (
        f"{wide:.0f} × {tall:.0f} µm" if wide < 2000 else f"{wide / 1e3:.1f} × {tall / 1e3:.1f} mm"
    )
    looked_at = segmentation.working_mpp or segmentation.mpp[0]
    return f"{text} at {looked_at:.2g} µm/px"


def _certainty(segmentation: Segmentation) -> str:
    score = _score(segmentation)
    word = "sure" if score >= SURE else "fairly sure" if score >= FAIRLY_SURE else "unsure"
    return f"{word} ({score:.2f})"


def _score(segmentation: Segmentation) -> float:
    return min((answer.score for answer in segmentation.answers), default=0.0)


def _found_nothing(segmentation: Segmentation, names: Sequence[str]) -> str:
    presence = max((answer.presence for answer in segmentation.answers), default=0.0)
    what = f"No {' and no '.join(names)} in this field (presence {presence:.2f})."
    advice = "Lower the threshold"
    if segmentation.working_mpp is not None:
        advice += f", or look at {segmentation.working_mpp / 2:.2g} µm/px"
    return f"{what} {advice}, or click on one to show it."


def scale_of(mpp: Pair | None, shape: tuple[int, int]) -> str:
    """The slide line: resolution and size, or that the resolution is unknown."""
    height, width = shape
    if mpp is None:
        return f"{width} × {height} px, scale unknown"
    mean = (mpp[0] + mpp[1]) / 2
    tall, wide = height * mpp[0] / 1e3, width * mpp[1] / 1e3
    digits = 0 if wide >= 10 else 1
    return f"{mean:.3g} µm/px · {wide:.{digits}f} × {tall:.{digits}f} mm"


def area(um2: float | None, pixels: int) -> str:
    """An area in the unit that suits it, or in pixels without a scale."""
    if um2 is None:
        return f"{pixels:,} px"
    return f"{um2 / 1e6:.2f} mm²" if um2 >= 1e5 else f"{um2:,.0f} µm²"
