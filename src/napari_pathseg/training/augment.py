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


def augment_colors(image: npt.NDArray[np.uint8], rng: np.random.Generator) -> Float:
    """Everything about colour, on (H, W, 3)."""
    x = image.astype(np.float32)
    if rng.random() < 0.75:
        x = jitter_stain(x, rng)
    if rng.random() < 0.75:
        x = jitter_light(x, rng)
    return x


def turn(array: Tensor, turns: int, flip: bool) -> Tensor:
    """Quarter turns and a flip of the last two axes."""
    array = torch.rot90(array, turns, (-2, -1))
    return array.flip(-1) if flip else array
