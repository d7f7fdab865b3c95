"""The image encoder compiled by OpenVINO for this CPU: same masks, a third of the time.

The compiled form is made once for a model file, kept in the user's cache folder and found again
by the file's hash. Everything else, and any other size of tile, stays with torch.
"""

from __future__ import annotations

import logging
import os
import tempfile
import threading
import warnings
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
import numpy.typing as npt
import platformdirs
import torch
from torch import Tensor, nn

from napari_pathseg.models.context import COARSER, WIDER
from napari_pathseg.models.network import PathsegNetwork

COMPILED_TILE_PX = 448
LAYOUT = 4  # raised when the network changes, so that what was kept is not mistaken for it
RUNTIME_VARIABLE = "PATHSEG_RUNTIME"
_log = logging.getLogger(__name__)

ALL = (0, 1, 2, 3)
FOR_WORDS = (0, 3)
"""Tokens and pixels, of all outputs: tokens, sharp maps of stride 8 and 4, pixels."""


class CompiledEncoder:
    """Encodes tiles of 448 x 448 pixels, with or without their context.

    Parameters
    ----------
    network : PathsegNetwork
        In evaluation mode, on the CPU.
    sha256 : str
        Of its file.
    folder : Path, optional
        Where the compiled form is kept.
    outputs : tuple of int
        `ALL` or `FOR_WORDS`.
    at_once : int
        For so many tiles at the same time, from as many threads, which share the cores; each
        takes longer, and all together less time than one after the other with all threads.

    Raises
    ------
    ImportError
        Without OpenVINO.
    RuntimeError
        Where OpenVINO can not compile for this computer.
    """

    def __init__(
        self,
        network: PathsegNetwork,
        sha256: str,
        folder: Path | None = None,
        *,
        outputs: tuple[int, ...] = ALL,
        at_once: int = 1,
    ) -> None:
        self._network, self._sha256, self._folder = network, sha256, folder
        self._outputs, self.at_once = outputs, at_once
        self._lock = threading.Lock()
        self._free: dict[bool, SimpleQueue[Any]] = {}
        # A computer for which nothing can be compiled shows here. No other thread knows this yet.
        self._requests(with_context=False)

    def __call__(
        self, image: npt.NDArray[np.uint8], around: npt.NDArray[np.uint8] | None = None
    ) -> tuple[Tensor, ...]:
        """The outputs, in half precision, of a tile (448, 448, 3), seen with its context
        (224, 224, 3) or without.
        """
        seen = [np.ascontiguousarray(each)[None] for each in (image, around) if each is not None]
        free = self._requests(with_context=around is not None)
        request = free.get()
        try:
            found = request.infer(seen, share_inputs=True, share_outputs=True)
            # Copies, as the request's memory is used again.
            return tuple(torch.from_numpy(found[i]).half() for i in range(len(self._outputs)))
        finally:
            free.put(request)

    def _requests(self, *, with_context: bool) -> SimpleQueue[Any]:
        """What runs the form for tiles with or without context; made when first asked for."""
        with self._lock:
            if with_context not in self._free:
                compiled = self._compile(with_context)
                self._free[with_context] = SimpleQueue()
                for _ in range(self.at_once):
                    self._free[with_context].put(_ready_request(compiled))
            return self._free[with_context]

    def _compile(self, with_context: bool) -> Any:
        import openvino

        core = openvino.Core()
        path = _place(self._sha256, openvino.__version__, self._folder, with_context)
        if not path.exists():
            _convert(self._network, path, with_context)
        model = core.read_model(path)
        if self._outputs != ALL:
            wanted = [model.outputs[i] for i in self._outputs]
            model = openvino.Model(wanted, model.get_parameters(), model.get_friendly_name())
        threads = torch.get_num_threads()
        settings = {
            # The default precision may be half, which gives other masks.
            "INFERENCE_PRECISION_HINT": "f32",
            # As torch is told by OMP_NUM_THREADS: workers beside each other share the cores.
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": self.at_once,
            # Threads are bound to cores from the first on, the same in every process: workers
            # with a thread each would all wait for one core.
            "ENABLE_CPU_PINNING": self.at_once == 1 and threads >= (os.cpu_count() or 1),
        }
        return core.compile_model(model, "CPU", settings)


def _ready_request(compiled: Any) -> Any:
    """A request that has made a pass. What OpenVINO needs for arrays is made in the first of a
    process, where two threads at once would wait for each other without end.
    """
    request = compiled.create_infer_request()
    request.infer([np.zeros(tuple(port.shape), np.uint8) for port in compiled.inputs])
    return request


def compile_encoder(
    network: PathsegNetwork, sha256: str, *, outputs: tuple[int, ...] = ALL, at_once: int = 1
) -> CompiledEncoder | None:
    """The compiled encoder, or None where torch has to do (`PATHSEG_RUNTIME=torch` asks for it)."""
    if os.environ.get(RUNTIME_VARIABLE, "openvino") == "torch":
        return None
    try:
        return CompiledEncoder(network, sha256, outputs=outputs, at_once=at_once)
    except (ImportError, RuntimeError, OSError) as error:
        _log.warning("OpenVINO is not used, the model will be slower: %s", error)
        return None


class _Exported(nn.Module):
    """What is compiled: pixels in, all maps of the embedding out."""

    def __init__(self, network: PathsegNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor, around: Tensor | None = None) -> tuple[Tensor, ...]:
        made = self.network.embed(_planes(image), None if around is None else _planes(around))
        return made.tokens, *made.sharp, made.pixels


def _planes(image: Tensor) -> Tensor:
    return image.permute(0, 3, 1, 2).float()


def _place(sha256: str, version: str, folder: Path | None, with_context: bool) -> Path:
    if folder is None:
        folder = platformdirs.user_cache_path("napari-pathseg", appauthor=False) / "compiled"
    release = version.split("-")[0]
    kind = "context" if with_context else "alone"
    name = f"{sha256[:16]}-{LAYOUT}-{COMPILED_TILE_PX}-{kind}-openvino-{release}.xml"
    return folder / name


def _convert(network: PathsegNetwork, path: Path, with_context: bool) -> None:
    """Write the compiled form, whole or not at all: the weights first, then what names them."""
    import openvino

    sides = [COMPILED_TILE_PX]
    if with_context:
        sides.append(COMPILED_TILE_PX * WIDER // COARSER)
    sizes = [[1, side, side, 3] for side in sides]
    examples = tuple(torch.zeros(size, dtype=torch.uint8) for size in sizes)
    with warnings.catch_warnings():  # the tracer's, about sizes, which are fixed here
        warnings.simplefilter("ignore")
        model = openvino.convert_model(_Exported(network), example_input=examples, input=sizes)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as made:
        new = Path(made) / path.name
        openvino.save_model(model, new, compress_to_fp16=True)
        new.with_suffix(".bin").replace(path.with_suffix(".bin"))
        new.replace(path)
