"""What lies beside the field is encoded while nobody does anything, so that words are answered
there at once.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from napari_pathseg.errors import CancelledError, PathsegError
from napari_pathseg.geometry import Region
from napari_pathseg.gui.jobs import Runner
from napari_pathseg.progress import CancelToken, Progress
from napari_pathseg.prompts import TextPrompt

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_pathseg.inference.session import Session

REST_S = 1.0
"""So long after the last movement over the canvas a person counts as resting."""
GLANCE_S = 0.1
_log = logging.getLogger(__name__)


class Ahead:
    """Looks beside the field that was asked last.

    Parameters
    ----------
    viewer : ViewerModel
        What moves in it tells that somebody works.
    runner : Runner
        The one that asks the model.
    """

    def __init__(self, viewer: ViewerModel, runner: Runner) -> None:
        self._runner = runner
        self._token: CancelToken | None = None
        self._moved = 0.0
        self._listened = (viewer.cursor.events.position, viewer.scene.camera.events)
        for events in self._listened:
            events.connect(self._note)

    def begin(
        self, session: Callable[[], Session], region: Region, texts: tuple[TextPrompt, ...]
    ) -> None:
        """Look beside a region, in place of what was begun before."""
        self.stop()
        self._note()

        def work(cancel: CancelToken) -> None:
            try:
                session().look_ahead(region, texts, lambda step: self._rest(step, cancel), cancel)
            except CancelledError:
                return
            except PathsegError as error:
                # Who asks there is told; nobody has asked yet.
                _log.info("nothing was looked at beside the field: %s", error)

        self._token = self._runner.idle(work)

    def stop(self) -> None:
        """Within one tile."""
        if self._token is not None:
            self._token.cancel()
            self._token = None

    def close(self) -> None:
        """Stop, and listen to nothing any more."""
        self.stop()
        for events in self._listened:
            events.disconnect(self._note)

    def _note(self, _event: object = None) -> None:
        self._moved = time.monotonic()

    def _rest(self, _step: Progress, cancel: CancelToken) -> None:
        """Wait until nothing has moved for a while."""
        while time.monotonic() - self._moved < REST_S:
            cancel.raise_if_cancelled()
            time.sleep(GLANCE_S)
