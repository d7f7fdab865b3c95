"""Imported once before children are forked: what numba compiles for napari's colours is there.

No colours are mapped here: that starts threads, which a fork does not survive.
"""

import numpy as np

from napari_pathseg.classes import ClassList
from napari_pathseg.gui.layers import mask_colormap

mask_colormap(ClassList.from_names(["warm-up"], [(1, 2, 3)]))._get_typed_dict_mapping(
    np.dtype(np.uint8)
)
