"""The user's words: favourites, own terms, and colours and resolutions that hold on every slide."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from psygnal import Signal

from napari_pathseg.classes import Color
from napari_pathseg.errors import ExportError, PathsegError, describe_os_error
from napari_pathseg.gui.host import Host
from napari_pathseg.gui.messages import OPEN_FIRST, Message, of_error
from napari_pathseg.vocabulary import Entry, Vocabulary
from napari_pathseg.vocabulary.importer import (
    NamedColor,
    format_qupath_classes,
    map_classes,
    read_classes,
)
from napari_pathseg.vocabulary.termfile import is_term_file, read_terms

USUAL_MPPS = (0.25, 0.5, 1.0, 2.0, 4.0)


class WordBook:
    """What a person adds to the vocabulary and chooses for its terms.

    Parameters
    ----------
    host : Host

    Attributes
    ----------
    changed : Signal()
        A term, colour, resolution or favourite has changed.
    wanted : Signal(str)
        A text was chosen that is to stand in the line to type into.
    """

    changed = Signal()
    wanted = Signal(str)

    def __init__(self, host: Host) -> None:
        self._host = host
        self._path: Path | None = None

    def load(self, path: Path) -> None:
        """Take up what is kept in a file, and keep changes there from now on."""
        try:
            if path.exists():
                self._use(self._host.vocabulary.with_terms(read_terms(path)))
        except PathsegError as error:
            self._host.say(of_error(error))
            return
        self._path = path

    def warm_up(self) -> None:
        """Read the text encoder before a phrase needs it."""
        self._host.vocabulary.meaning("tissue")

    # Favourites and recent prompts.

    @property
    def favourites(self) -> tuple[str, ...]:
        """Prompts with a star, in the order they got it."""
        return self._host.remembered.favourites

    @property
    def recent(self) -> tuple[str, ...]:
        """Prompts that were asked, latest first."""
        return self._host.remembered.recent

    def star(self, text: str, starred: bool) -> None:
        """Give a prompt a star, or take it away."""
        self._try(lambda: self._host.remembered.set_favourite(text.strip(), starred))
        self.changed.emit()

    # Terms.

    def mpp(self, entry: Entry) -> float:
        """Micrometres per pixel at which a term is looked at: chosen, the model's, or usual."""
        chosen = self._host.vocabulary.chosen_mpp(entry.name)
        model = self._host.model.loaded
        if chosen is None and model is not None:
            return float(model.card.working_mpp.get(entry.name, entry.mpp))
        return entry.mpp if chosen is None else chosen

    def set_mpp(self, name: str, mpp: float) -> None:
        """Look at a term with so many micrometres per pixel from now on."""
        self._change(lambda: self._host.vocabulary.with_mpp(name, mpp))

    def add(self, entry: Entry) -> bool:
        """Add a term of one's own; False, with a message, when its name is taken."""
        return self._change(lambda: self._host.vocabulary.add(entry))

    def remove(self, name: str) -> None:
        """Remove a term of one's own."""
        self._change(lambda: self._host.vocabulary.without(name))

    def set_color(self, name: str, color: Color) -> None:
        """Give a term or class a colour, here, on every open slide and on all to come."""
        if self._host.vocabulary.own.colors.get(name) == color or not self._change(
            lambda: self._host.vocabulary.with_color(name, color)
        ):
            return
        for desk in self._host.desks:
            found = desk.classes.named(name)
            if found is None or found.color == color:
                continue
            if desk is self._host.desk:
                self._host.classing.recolor(found, color)
            else:
                desk.classes = desk.classes.with_changed(replace(found, color=color))
                self._host.stage.recolor(desk)

    # Files.

    def take(self, path: Path) -> None:
        """Take over a term file, or the classes of a class list for the slide in work."""
        self._try(lambda: self._take_terms(path) if is_term_file(path) else self._take_list(path))

    def share(self, path: Path) -> None:
        """Write one's own terms, colours and resolutions to a file for others."""
        if self._try(lambda: self._host.vocabulary.save(path)):
            own = self._host.vocabulary.own
            self._host.say(Message(f"{len(own.entries)} terms of your own are in {path}.", "good"))

    def export_classes(self, path: Path) -> None:
        """Write the classes of the slide in work as QuPath reads them."""
        desk = self._host.desk
        if desk is None:
            self._host.say(Message(OPEN_FIRST, "warning"))
            return
        named = [NamedColor(c.name, c.color) for c in desk.classes]
        if self._try(lambda: _write(path, format_qupath_classes(named))):
            self._host.say(Message(f"{len(named)} classes are in {path}.", "good"))

    def _take_terms(self, path: Path) -> None:
        content = read_terms(path)
        if self._change(lambda: self._host.vocabulary.with_terms(content)):
            self._host.say(Message(f"{len(content.entries)} terms taken from {path.name}.", "good"))

    def _take_list(self, path: Path) -> None:
        classes = read_classes(path)
        if self._host.desk is None:
            self._host.say(Message(OPEN_FIRST, "warning"))
            return
        report = map_classes([item.name for item in classes], self._host.vocabulary)
        for item, row in zip(classes, report.rows, strict=True):
            name = row.match.entry.name if row.match else item.name
            self._host.classing.add(name)
            if item.color:
                self.set_color(name, item.color)
        own = ", ".join(row.name for row in report.unmapped[:3])
        text = f"{len(classes)} classes from {path.name}, {len(report.mapped)} of them terms."
        more = f" Not terms, but classes to draw: {own}." if own else ""
        self._host.say(Message(text + more, "good" if not own else "warning"))

    def _change(self, make: Callable[[], Vocabulary]) -> bool:
        """Use another vocabulary and keep it; False, with a message, when it can not be made."""
        return self._try(lambda: self._keep(make()))

    def _keep(self, vocabulary: Vocabulary) -> None:
        if self._path is not None:
            vocabulary.save(self._path)
        self._use(vocabulary)

    def _use(self, vocabulary: Vocabulary) -> None:
        self._host.vocabulary = vocabulary
        for desk in self._host.desks:
            if desk.session is not None:
                desk.session.vocabulary = vocabulary
        self.changed.emit()

    def _try(self, action: Callable[[], None]) -> bool:
        try:
            action()
        except PathsegError as error:
            self._host.say(of_error(error))
            return False
        return True


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ExportError(describe_os_error(error, path), "Choose another folder.") from error
