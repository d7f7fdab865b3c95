"""The error tree: every failure a user can meet, with the place and the way out."""

from __future__ import annotations

from pathlib import Path


class PathsegError(Exception):
    """Base of all errors that are shown to the user as one line.

    Parameters
    ----------
    what : str
        What went wrong, naming the file, level or region concerned.
    remedy : str, optional
        What the user can do about it, as an imperative sentence.
    """

    def __init__(self, what: str, remedy: str = "") -> None:
        self.what = what
        self.remedy = remedy
        super().__init__(f"{what} {remedy}".strip())

    def __reduce__(self) -> tuple[type[PathsegError], tuple[str, str]]:
        return type(self), (self.what, self.remedy)


class SlideError(PathsegError):
    """A slide can not be opened or read."""


class UnsupportedSlideError(SlideError):
    """No backend knows this kind of file."""


class DamagedSlideError(SlideError):
    """The file is of a known kind, but its content is broken or cut short."""


class UnknownScaleError(SlideError):
    """The slide does not say its micrometres per pixel and the operation needs them."""


class RegionError(PathsegError):
    """A region, point or box lies outside the slide or has no area."""


class PromptError(PathsegError):
    """A prompt is empty, too long or can not be understood."""


class UnknownTermError(PromptError):
    """A word is not in the vocabulary, or the model was not taught it.

    Attributes
    ----------
    unknown : tuple of str
        The words that were not understood.
    suggestions : tuple of str
        The nearest terms that can be asked.
    """

    def __init__(
        self,
        what: str,
        remedy: str = "",
        unknown: tuple[str, ...] = (),
        suggestions: tuple[str, ...] = (),
    ) -> None:
        super().__init__(what, remedy)
        self.unknown = unknown
        self.suggestions = suggestions

    def __reduce__(self) -> tuple[type[PathsegError], tuple[object, ...]]:  # type: ignore[override]
        return type(self), (self.what, self.remedy, self.unknown, self.suggestions)


class ModelError(PathsegError):
    """Model weights are missing, damaged or of another layout."""


class StoreError(PathsegError):
    """Labels can not be stored or read back."""


class ReadOnlyStoreError(StoreError):
    """The store can be read but not written (another window has it, or no permission)."""


class ExportError(PathsegError):
    """Labels can not be written out or read in."""


class FetchError(PathsegError):
    """A file could not be fetched, or is not the one that was pinned."""


class CancelledError(PathsegError):
    """The user cancelled the operation; nothing was changed."""

    def __init__(self, what: str = "Cancelled.", remedy: str = "") -> None:
        super().__init__(what, remedy)


def one_line(error: BaseException) -> str:
    """The reason that an outside library gives, on one line."""
    if isinstance(error, LookupError):  # its text is only a key
        return "a part that it refers to is missing"
    return " ".join(str(error).split()).rstrip(".")[:200] or type(error).__name__


def os_reason(error: OSError) -> str:
    """The reason that the operating system gives, to go on in a sentence."""
    return (error.strerror or str(error) or type(error).__name__).lower()


def describe_os_error(error: OSError, path: Path) -> str:
    """One plain sentence for an operating system error at `path`."""
    return f"{path}: {os_reason(error)}."
