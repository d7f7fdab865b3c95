"""A training recipe: which data sets, at which scale and weight, for how long; read from TOML."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from napari_pathseg.errors import PathsegError

DEFAULT_RECIPE = Path(__file__).parent / "recipes" / "default.toml"


@dataclass(frozen=True, slots=True)
class DatasetRecipe:
    """How one data set is shown to the network.

    Attributes
    ----------
    name : str
    group : str
        Crops of one group share a size and so a batch.
    weight : float
        Chance within the group.
    mpp : (float, float)
        Micrometres per pixel at which crops are shown, drawn log-uniformly. Where images do not
        state theirs, `assumed_mpp` stands in.
    assumed_mpp : float or None
        An estimate from the size of known objects; used for training only.
    absent : tuple of (structure, object)
        Terms that can not occur in this organ or stain: true negatives.
    unions : mapping of object to tuple of objects
        Wider terms whose parts are all annotated.
    restain : float
        Chance that a crop is given the colours of another laboratory's H&E.
    points : mapping of class to object
        For a data set of classified centres: which nucleus each class is.
    """

    name: str
    group: str
    weight: float
    mpp: tuple[float, float]
    assumed_mpp: float | None
    absent: tuple[tuple[str, str], ...]
    unions: Mapping[str, tuple[str, ...]]
    restain: float = 0.15
    points: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GroupRecipe:
    """Crops that are trained together: side in pixels, images a batch, chance of a step."""

    name: str
    crop_px: int
    batch: int
    weight: float


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides a training run.

    Attributes
    ----------
    minutes : float
        Wall-clock budget; the learning rate falls to zero along it.
    working_mpp : mapping of object to float
        Micrometres per pixel at which the model looks at each object; "" for all others.
    presence_gate : float
    withheld, offsets, presence_offsets
        See ModelCard.
    trainable : tuple of str
        Prefixes of image encoder parameters that are trained; all else of it stays frozen.
    context : bool
        Whether the network is shown what lies around each crop.
    rates : mapping of parameter prefix to learning rate
        The longest prefix wins; what has 0 stays as it is.
    """

    name: str
    version: str
    license: str
    research_only: bool
    summary: str
    working_mpp: Mapping[str, float]
    presence_gate: float
    withheld: tuple[str, ...]
    offsets: Mapping[str, float]
    presence_offsets: Mapping[str, float]
    seed: int
    minutes: float
    warmup_steps: int
    ema: float
    weight_decay: float
    trainable: tuple[str, ...]
    context: bool
    rates: Mapping[str, float]
    groups: tuple[GroupRecipe, ...]
    datasets: tuple[DatasetRecipe, ...]

    def looked_at(self, name: str) -> float:
        """Working mpp of an object."""
        return self.working_mpp.get(name, self.working_mpp[""])

    def taught(self, objects: Collection[tuple[str, str]]) -> Recipe:
        """The recipe for a network that was taught only these (structure, object): the others can
        not be asked as absent.
        """
        own = (
            replace(d, absent=tuple(pair for pair in d.absent if pair in objects))
            for d in self.datasets
        )
        return replace(self, datasets=tuple(own))

    def rate(self, parameter: str) -> float:
        """Learning rate of a parameter."""
        prefixes = [p for p in self.rates if parameter.startswith(p)]
        return self.rates[max(prefixes, key=len)]


def load_recipe(path: Path = DEFAULT_RECIPE) -> Recipe:
    """Read a recipe.

    Raises
    ------
    PathsegError
        When the file is not TOML, or a key is missing or holds something else.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        return _recipe(data)
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise PathsegError(f"{path}: {error}.", "Start from the recipe in the package.") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise PathsegError(
            f"{path}: the recipe lacks or misuses {error}.", "Start from the recipe in the package."
        ) from error


def _recipe(data: dict[str, Any]) -> Recipe:
    groups = tuple(
        GroupRecipe(name, int(g["crop_px"]), int(g["batch"]), float(g["weight"]))
        for name, g in data["group"].items()
    )
    return Recipe(
        name=data["name"],
        version=data["version"],
        license=data["license"],
        research_only=bool(data["research_only"]),
        summary=data["summary"],
        working_mpp={k: float(v) for k, v in data["working_mpp"].items()},
        presence_gate=float(data["presence_gate"]),
        withheld=tuple(data["withheld"]),
        offsets={k: float(v) for k, v in data["offsets"].items()},
        presence_offsets={k: float(v) for k, v in data["presence_offsets"].items()},
        seed=int(data["seed"]),
        minutes=float(data["minutes"]),
        warmup_steps=int(data["warmup_steps"]),
        ema=float(data["ema"]),
        weight_decay=float(data["weight_decay"]),
        trainable=tuple(data["trainable"]),
        context=bool(data["context"]),
        rates=dict(data["rates"]),
        groups=groups,
        datasets=tuple(_dataset(name, d) for name, d in data["dataset"].items()),
    )


def _dataset(name: str, data: dict[str, Any]) -> DatasetRecipe:
    low, high = data["mpp"]
    return DatasetRecipe(
        name=name,
        group=data["group"],
        weight=float(data["weight"]),
        mpp=(float(low), float(high)),
        assumed_mpp=data.get("assumed_mpp"),
        absent=tuple((s, o) for s, o in data.get("absent", ())),
        unions={k: tuple(v) for k, v in data.get("unions", {}).items()},
        restain=float(data.get("restain", 0.15)),
        points=dict(data.get("points", {})),
    )
