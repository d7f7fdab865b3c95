"""Where the glands, vessels, nuclei and the edge of a generated tissue lie.

All of it is a function of place alone, so any field of any level can be drawn, and its truth
told, without the rest of the slide. Sizes are those of normal colon mucosa.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from napari_pathseg.slide.synthetic_noise import Floats, Grid, Hashes, hashed, smooth_noise, unit

CELL_UM = 140.0
"""Every square of this side holds one gland or vessel, or none."""

WARP_UM, SWAY_UM = 20.0, 70.0
"""How far a place is moved before it is looked up: bends rows of glands into tissue."""

TILE_UM = 512.0
TILE_PX = 2048
TILE_STEP_UM = TILE_UM / TILE_PX
"""Stromal nuclei repeat after `TILE_UM`, thinned out differently at each place."""

SDF_STEP_UM = 0.1
LYMPHOCYTE_UM = 3.4
FIBRE_ANGLE = 0.45

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Glands:
    """Per pixel, what the gland or vessel of its square looks like.

    Attributes
    ----------
    depth : float32 array (height, width)
        Micrometres inside the outer border; negative outside.
    middle : float32 array
        Micrometres from the gland's middle.
    along, over : float32 arrays
        Place relative to the middle, along and across the long axis, for the angle.
    radius : float32 array
        Distance from the middle to the border in this direction.
    lumen : float32 array
        Depth at which the lumen begins.
    ident : uint32 array
        Random bits of the gland.
    is_vessel : bool array
        A vessel stands here, not a gland.
    """

    depth: Floats
    middle: Floats
    along: Floats
    over: Floats
    radius: Floats
    lumen: Floats
    ident: Hashes
    is_vessel: Bools

    @property
    def turn(self) -> Floats:
        """Angle around the middle, 0 to 1."""
        angle: Floats = np.arctan2(self.over, self.along) * np.float32(0.5 / np.pi)
        return angle + np.float32(0.5)

    def at(self, place: npt.NDArray[np.intp]) -> Glands:
        """The pixels at flat indices, as one row."""
        return Glands(*(getattr(self, name).ravel().take(place) for name in Glands.__slots__))


@dataclass(frozen=True, slots=True)
class Warped:
    """Places of a grid's pixels after bending, micrometres, (height, width)."""

    y: Floats
    x: Floats


class Tissue:
    """The layout of one generated slide.

    Parameters
    ----------
    size_um : (float, float)
        Height and width of the slide.
    seed : int
        Slides of different seeds differ everywhere.
    """

    def __init__(self, size_um: tuple[float, float], seed: int) -> None:
        self.size_um = size_um
        self.salt = seed * 64
        self.tile_shift = (seed * 977) % TILE_PX, (seed * 1607) % TILE_PX

    def warped(self, grid: Grid) -> Warped:
        """Bend the places of a grid."""
        down, across = (
            SWAY_UM * smooth_noise(grid, 640, self.salt + 11 + axis)
            + WARP_UM * smooth_noise(grid, 190, self.salt + 1 + axis)
            for axis in range(2)
        )
        return Warped(grid.y + down, grid.x + across)

    def inside(self, grid: Grid) -> Floats:
        """How far inside the tissue's outline, in micrometres, (height, width)."""
        height, width = self.size_um
        down = (grid.y / np.float32(height) - 0.5) / 0.46
        across = (grid.x / np.float32(width) - 0.5) / 0.46
        small = min(height, width)
        bumps = smooth_noise(grid, small / 3.1, self.salt + 3) * np.float32(0.16)
        bumps += smooth_noise(grid, small / 11, self.salt + 4) * np.float32(0.05)
        frays = smooth_noise(grid, 60, self.salt + 5) * np.float32(10)
        # A squircle: fills the slide better than an ellipse and has no corners.
        edge = np.sqrt(np.sqrt(down**4 + across**4))
        distance: Floats = (0.94 - edge + bumps) * np.float32(small * 0.46) + frays
        return distance

    def glands(self, warped: Warped) -> Glands:
        """Glands and vessels around every pixel."""
        row = np.floor(warped.y / CELL_UM).astype(np.int32)
        shifted = warped.x - (row & 1) * np.float32(CELL_UM / 2)
        column = np.floor(shifted / CELL_UM).astype(np.int32)
        table = self._table(row, column)
        flat = (row - row.min()) * table.columns + (column - column.min())
        place = flat.astype(np.intp)
        down = warped.y - (row + np.float32(0.5)) * np.float32(CELL_UM) - table.y.take(place)
        across = shifted - (column + np.float32(0.5)) * np.float32(CELL_UM) - table.x.take(place)
        cos, sin = table.cos.take(place), table.sin.take(place)
        along, over = across * cos + down * sin, down * cos - across * sin
        over *= table.stretch.take(place)
        middle = np.sqrt(along * along + over * over) + np.float32(1e-6)
        cosine, sine = along / middle, over / middle
        # Three bulges: cos(3 a + phase) without trigonometry.
        cos3 = cosine * (4 * cosine * cosine - 3)
        sin3 = sine * (3 - 4 * sine * sine)
        bulge = cos3 * table.bulge_cos.take(place) - sin3 * table.bulge_sin.take(place)
        radius = table.radius.take(place) * (1 + bulge)
        # The squeezed axis makes distances too long by up to the stretch; its root is the mean.
        shrink = table.shrink.take(place)
        radius *= shrink
        middle *= shrink
        return Glands(
            depth=radius - middle,
            middle=middle,
            along=along,
            over=over,
            radius=radius,
            lumen=table.lumen.take(place) * radius,
            ident=table.ident.take(place),
            is_vessel=table.is_vessel.take(place),
        )

    def density(self, places: Grid) -> Floats:
        """Share of the stromal nuclei that is there, 0 to 1: sparse stroma to lymphoid nests."""
        broad = smooth_noise(places, 480, self.salt + 6)
        middle = smooth_noise(places, 170, self.salt + 7)
        fine = smooth_noise(places, 55, self.salt + 14)
        nest = np.clip((broad + 0.45 * middle + 0.15 * fine - 0.5) * 3, 0, 1)
        share: Floats = np.clip(0.30 + 0.14 * middle + 0.12 * fine + 0.6 * nest, 0.06, 0.92)
        return share

    def stromal_nuclei(self, warped: Warped) -> tuple[Floats, Floats]:
        """Signed distance to the nearest stromal nucleus (negative inside) and its random number.

        Returns
        -------
        float32 arrays (height, width)
            Micrometres, at most 12; and 0 to 1.
        """
        down = np.floor(warped.y / TILE_STEP_UM).astype(np.int32)
        across = np.floor(warped.x / TILE_STEP_UM).astype(np.int32)
        rows = (down + self.tile_shift[0]) & (TILE_PX - 1)
        place = rows * TILE_PX + ((across + self.tile_shift[1]) & (TILE_PX - 1))
        packed = stromal_nuclei().ravel().take(place.astype(np.intp))
        distance = (packed & 255).astype(np.float32) * SDF_STEP_UM - 128 * SDF_STEP_UM
        rank = (packed >> 24).astype(np.float32) / 255
        centre_y = down - ((packed >> 8) & 255).astype(np.int32) + 128
        centre_x = across - ((packed >> 16) & 255).astype(np.int32) + 128
        shown = rank < self._density_at(centre_y, centre_x)
        return np.where(shown, distance, np.float32(12)), rank

    def _density_at(
        self, centre_y: npt.NDArray[np.int32], centre_x: npt.NDArray[np.int32]
    ) -> Floats:
        """Density at the nuclei's centres, so that no nucleus is cut where it changes."""
        rows, columns = centre_y >> 6, centre_x >> 6
        side = 64 * TILE_STEP_UM
        lattice = Grid(
            (np.arange(rows.min(), rows.max() + 1) + 0.5) * side,
            (np.arange(columns.min(), columns.max() + 1) + 0.5) * side,
            side,
        )
        density = self.density(lattice)
        place = (rows - rows.min()) * density.shape[1] + (columns - columns.min())
        at_centres: Floats = density.ravel().take(place.astype(np.intp))
        return at_centres

    def _table(self, row: npt.NDArray[np.int32], column: npt.NDArray[np.int32]) -> _CellTable:
        rows = np.arange(row.min(), row.max() + 1)
        columns = np.arange(column.min(), column.max() + 1)
        places = Grid((rows + 0.5) * CELL_UM, (columns + 0.5) * CELL_UM, CELL_UM)
        mucosa = smooth_noise(places, 700, self.salt + 8)
        first = hashed(rows[:, None], columns[None, :], self.salt + 9)
        second = hashed(rows[:, None], columns[None, :], self.salt + 10)
        return _CellTable.of(first, second, mucosa)


@dataclass(frozen=True, slots=True)
class _CellTable:
    """Parameters of the squares in reach, flat, indexed by row * columns + column."""

    columns: int
    y: Floats
    x: Floats
    cos: Floats
    sin: Floats
    stretch: Floats
    shrink: Floats
    radius: Floats
    bulge_cos: Floats
    bulge_sin: Floats
    lumen: Floats
    ident: Hashes
    is_vessel: Bools

    @classmethod
    def of(cls, first: Hashes, second: Hashes, mucosa: Floats) -> _CellTable:
        kind = unit(first, 0)
        glandular = np.clip(0.93 + 1.2 * np.minimum(mucosa + 0.25, 0), 0.25, 0.93)
        is_vessel = kind > 0.94
        empty = (kind > glandular) & ~is_vessel
        size = unit(first, 1)
        radius = np.where(is_vessel, 16 + 18 * size, 49 + 18 * np.sqrt(size))
        radius = np.where(empty, np.float32(-40), radius).astype(np.float32)
        aspect = np.where(is_vessel, 0.75, 0.66 + 0.34 * unit(first, 2)).astype(np.float32)
        bulge = np.where(is_vessel, 0.10, 0.015 + 0.045 * unit(second, 0)).astype(np.float32)
        room = np.maximum(CELL_UM / 2 - radius * (1 + bulge) - 1.5, 0)
        angle = unit(first, 3) * np.float32(2 * np.pi)
        lumen = np.where(is_vessel, 0.2, 0.46 + 0.26 * unit(second, 1)).astype(np.float32)
        phase = unit(second, 1) * np.float32(2 * np.pi)
        return cls(
            columns=first.shape[1],
            y=_flat((2 * unit(second, 2) - 1) * room),
            x=_flat((2 * unit(second, 3) - 1) * room),
            cos=_flat(np.cos(angle)),
            sin=_flat(np.sin(angle)),
            stretch=_flat(1 / aspect),
            shrink=_flat(np.sqrt(aspect)),
            radius=_flat(radius),
            bulge_cos=_flat(bulge * np.cos(phase)),
            bulge_sin=_flat(bulge * np.sin(phase)),
            lumen=_flat(lumen),
            ident=(first ^ second).ravel(),
            is_vessel=is_vessel.ravel(),
        )


def _flat(values: Floats) -> Floats:
    return np.ascontiguousarray(values, dtype=np.float32).ravel()


@lru_cache(maxsize=1)
def stromal_nuclei() -> Hashes:
    """A tile of nuclei that repeats without seams.

    Returns
    -------
    uint32 array (TILE_PX, TILE_PX)
        Per pixel, of the nearest nucleus: signed distance + 128 (steps of `SDF_STEP_UM`),
        offset y + 128 and x + 128 from its centre (pixels), random number; low byte first.
    """
    rng = np.random.default_rng(1000)
    centres = _spread_points(rng, 7.6)
    tile = np.full((TILE_PX, TILE_PX), 255, dtype=np.uint32)
    reach = int(np.ceil(10.5 / TILE_STEP_UM))
    span = np.arange(-reach, reach + 1)
    down, across = span[:, None] * TILE_STEP_UM, span[None, :] * TILE_STEP_UM
    offsets = ((span[:, None] + 128) << 8 | (span[None, :] + 128) << 16).astype(np.uint32)
    for y, x in centres:
        distance = _nucleus_distance(rng, down, across)
        steps = np.clip(distance / SDF_STEP_UM + 128, 0, 254).astype(np.uint32)
        rank = np.uint32(rng.integers(256)) << np.uint32(24)
        rows = (round(y / TILE_STEP_UM) + span) & (TILE_PX - 1)
        columns = (round(x / TILE_STEP_UM) + span) & (TILE_PX - 1)
        place = np.ix_(rows, columns)
        held = tile[place]
        nearer = steps < (held & 255)
        tile[place] = np.where(nearer, steps | offsets | rank, held)
    tile.setflags(write=False)
    return tile


def _nucleus_distance(rng: np.random.Generator, down: Floats, across: Floats) -> Floats:
    """Signed distance to a lymphocyte or, one time in four, a spindle along the fibres."""
    if rng.random() < 0.28:
        angle = FIBRE_ANGLE + rng.normal(0, 0.35)
        long, short = rng.uniform(4.5, 7.5), rng.uniform(1.4, 2.1)
    else:
        angle = rng.uniform(0, np.pi)
        long = LYMPHOCYTE_UM * rng.uniform(0.85, 1.15)
        short = long * rng.uniform(0.8, 1.0)
    along = across * np.cos(angle) + down * np.sin(angle)
    over = down * np.cos(angle) - across * np.sin(angle)
    unit_distance = np.sqrt((along / long) ** 2 + (over / short) ** 2)
    slope = np.sqrt((along / long**2) ** 2 + (over / short**2) ** 2)
    distance: Floats = (unit_distance - 1) * unit_distance / np.maximum(slope, 1e-6)
    return distance


def _spread_points(rng: np.random.Generator, apart_um: float) -> npt.NDArray[np.float64]:
    """Random places (n, 2) on the repeating tile, none nearer than `apart_um` to another."""
    kept = np.empty((0, 2))
    for _ in range(10):
        new = rng.uniform(0, TILE_UM, (2500, 2))
        if len(kept):
            near, _ = cKDTree(kept, boxsize=TILE_UM).query(new)
            new = new[near >= apart_um]
        clashes = cKDTree(new, boxsize=TILE_UM).query_pairs(apart_um, output_type="ndarray")
        alive = np.ones(len(new), dtype=bool)
        for first, second in clashes:
            if alive[first]:
                alive[second] = False
        kept = np.concatenate([kept, new[alive]])
    return kept


@lru_cache(maxsize=2)
def texture(kind: str) -> tuple[Floats, ...]:
    """A repeating texture of 1024 pixels at 0.5 micrometres and its halvings.

    Parameters
    ----------
    kind : {"fibre", "grain"}
        Streaks along x, or the clumps of chromatin and cytoplasm.

    Returns
    -------
    tuple of float32 arrays (side, side)
        Zero mean, unit variance at the finest.
    """
    rng = np.random.default_rng(7 if kind == "fibre" else 11)
    sigmas = ((2.2, 26.0), (1.0, 9.0)) if kind == "fibre" else ((0.8, 0.8), (2.4, 2.4))
    layers = [
        gaussian_filter(rng.standard_normal((1024, 1024)), sigma, mode="wrap") for sigma in sigmas
    ]
    mixed = sum(layer / layer.std() for layer in layers)
    finest = (mixed / mixed.std()).astype(np.float32)
    halvings = [finest]
    while halvings[-1].shape[0] > 8:
        side = halvings[-1].shape[0] // 2
        halvings.append(halvings[-1].reshape(side, 2, side, 2).mean(axis=(1, 3)))
    return tuple(halvings)
