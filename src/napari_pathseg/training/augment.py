"""Colour and geometry as another hospital's scanner would have them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

Float = npt.NDArray[np.float32]

# Haematoxylin, eosin and DAB in optical density (Ruifrok and Johnston, 2001).
_STAINS = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]], dtype=np.float32)
# Mean and standard deviation of red, green and blue optical density of H&E from ten sources.
_HE_DENSITIES = (
    ((0.33, 1.09, 0.34), (0.29, 0.71, 0.23)),
    ((0.78, 1.18, 0.92), (0.25, 0.47, 0.30)),
    ((0.40, 0.90, 0.55), (0.32, 0.51, 0.31)),
    ((0.22, 0.44, 0.19), (0.21, 0.34, 0.17)),
    ((0.38, 0.80, 0.40), (0.32, 0.49, 0.24)),
    ((0.76, 1.25, 0.69), (0.50, 0.65, 0.34)),
    ((0.31, 0.58, 0.24), (0.31, 0.50, 0.20)),
    ((0.45, 0.69, 0.24), (0.23, 0.62, 0.10)),
    ((0.63, 1.20, 0.46), (0.43, 0.55, 0.24)),
    ((0.32, 0.55, 0.34), (0.26, 0.34, 0.20)),
)
_UNMIX = np.linalg.inv(_STAINS).astype(np.float32)


def jitter_stain(image: Float, rng: np.random.Generator, strength: float = 0.3) -> Float:
    """Scale and shift each stain's optical density (Tellez et al., 2019).

    Parameters
    ----------
    image : float32 array (H, W, 3)
        sRGB, 0 to 255.
    """
    density = -np.log(np.maximum(image, 1.0) / 255.0)
    stains = density.reshape(-1, 3) @ _UNMIX
    stains *= rng.uniform(1 - strength, 1 + strength, 3).astype(np.float32)
    stains += rng.uniform(-0.04, 0.04, 3).astype(np.float32)
    density = (stains @ _STAINS).reshape(image.shape)
    out: Float = np.clip(255.0 * np.exp(-density), 0, 255).astype(np.float32)
    return out


def jitter_light(image: Float, rng: np.random.Generator) -> Float:
    """Gamma, contrast, brightness and white balance of another camera."""
    x = np.clip(image / 255.0, 0, 1) ** rng.uniform(0.75, 1.35)
    x = (x - 0.5) * rng.uniform(0.75, 1.25) + 0.5 + rng.uniform(-0.08, 0.08)
    x = x * rng.uniform(0.92, 1.08, 3)
    if rng.random() < 0.15:
        gray = x.mean(axis=2, keepdims=True)
        x = gray + (x - gray) * rng.uniform(0.1, 0.8)
    if rng.random() < 0.05:
        x = x[..., rng.permutation(3)]
    out: Float = np.clip(x * 255.0, 0, 255).astype(np.float32)
    return out


def jitter_focus(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Blur or noise on (3, H, W), 0 to 255."""
    kind = rng.random()
    if kind < 0.12:
        size = tuple(int(s * rng.uniform(0.4, 0.8)) for s in image.shape[1:])
        small = functional.interpolate(image[None], size, mode="bilinear", antialias=True)
        return functional.interpolate(small, image.shape[1:], mode="bilinear")[0]
    if kind < 0.24:
        noise = torch.from_numpy(rng.standard_normal(image.shape, dtype=np.float32))
        return (image + noise * rng.uniform(2, 10)).clamp(0, 255)
    return image


def restain(image: Float, rng: np.random.Generator) -> Float:
    """Give an image the optical densities of another laboratory's H&E.

    Mean and spread of each channel are matched, as Reinhard et al. (2001) match colours, so that
    what was only seen in one stain is also known in others.
    """
    mean, spread = _HE_DENSITIES[rng.integers(len(_HE_DENSITIES))]
    density = -np.log(np.maximum(image, 1.0) / 255.0)
    own_mean, own_spread = density.mean(axis=(0, 1)), density.std(axis=(0, 1)) + 0.05
    matched = (density - own_mean) / own_spread * np.array(spread) + np.array(mean)
    out: Float = (255.0 * np.exp(-np.maximum(matched, 0.0))).astype(np.float32)
    return out


def glass_over(
    shape: tuple[int, int], rng: np.random.Generator, *, holes: bool
) -> npt.NDArray[np.bool_]:
    """Where bare glass replaces tissue: a side with a wavy edge or, if wanted, a hole; (H, W)."""
    height, width = shape
    y, x = np.mgrid[:height, :width] / max(shape)
    angle, wave = rng.uniform(0, 2 * np.pi), rng.uniform(0.01, 0.05)
    across = y * np.sin(angle) + x * np.cos(angle)
    along = y * np.cos(angle) - x * np.sin(angle)
    if not holes or rng.random() < 0.5:
        limit = np.quantile(across, rng.uniform(0.5, 0.9))
        side: npt.NDArray[np.bool_] = across > limit + wave * np.sin(along * rng.uniform(5, 40))
        return side
    center_y, center_x = rng.uniform(0, 1, 2)
    radius = rng.uniform(0.05, 0.25, 2)
    hole: npt.NDArray[np.bool_] = ((y - center_y) / radius[0]) ** 2 + (
        (x - center_x) / radius[1]
    ) ** 2 < 1
    return hole


def augment_colors(
    image: npt.NDArray[np.uint8], rng: np.random.Generator, restain_chance: float = 0.0
) -> Float:
    """Everything about colour, on (H, W, 3)."""
    x = image.astype(np.float32)
    if rng.random() < restain_chance:
        x = restain(x, rng)
    if rng.random() < 0.75:
        x = jitter_stain(x, rng)
    if rng.random() < 0.75:
        x = jitter_light(x, rng)
    return x


def turn(array: Tensor, turns: int, flip: bool) -> Tensor:
    """Quarter turns and a flip of the last two axes."""
    array = torch.rot90(array, turns, (-2, -1))
    return array.flip(-1) if flip else array
