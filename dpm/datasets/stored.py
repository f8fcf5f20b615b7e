"""Images that stay in their HDF5 file until they are asked for."""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from dpm.datasets.hdf5 import H5PYDataset
from dpm.datasets.images import channel_order, reordered
from dpm.datasets.preprocess import Scaling, unit_values
from dpm.errors import InputError

#: Values that a table is looked up for at once: so few that they stay in a processor's cache.
TAKEN_AT_ONCE = 1 << 17


class StoredImages:
    """The images of one source, read when they are indexed: what training needs of an array (n, c, h, w).

    dataset: gives one source; large: whether images need not be square (`channel_order`, whose errors are raised).
    Slices and arrays of rows are read; others are errors of H5PYDataset.
    """

    def __init__(self, dataset: H5PYDataset, large: bool = False):
        (name,) = dataset.sources
        self.dataset = dataset
        what = f"{dataset.path}, {', '.join(dataset.which_sets)}"
        each = dataset.shapes[name]
        if each is None:
            raise InputError(
                f"{what}: each image has a shape of its own; make them alike: python -m dpm.datasets export, then "
                "convert pictures --size"
            )
        shape = len(self), *each
        self.order = channel_order(shape, what, dataset.axis_labels[name], large)
        colours = () if len(shape) == 4 else (1,)
        n, *rest = (shape[axis] for axis in self.order)
        self.shape = (n, *colours, *rest)
        self.dtype = np.dtype(dataset.dtypes[name])
        self.ndim, self.size = len(self.shape), int(np.prod(self.shape))

    def __len__(self) -> int:
        return self.dataset.num_examples

    def __getitem__(self, request: Any) -> np.ndarray:
        (images,) = self.dataset.get_data(request)
        return reordered(images, self.order)


class PreparedImages:
    """Images in the model's units, made when they are indexed, as an array made of all of them would be.

    images: (n, c, h, w), an array or StoredImages; factor: of preprocess.level_factor; scaling: of the training data.
    checked: all values are known to be finite, as level_factor looked at them.
    """

    checked = True

    def __init__(self, images: Any, factor: int | None, scaling: Scaling, dtype: DTypeLike):
        self.images, self.factor, self.scaling, self.dtype = images, factor, scaling, np.dtype(dtype)
        self.shape, self.ndim, self.size = images.shape, images.ndim, images.size
        self._table = self._prepared(np.arange(256, dtype=np.uint8)) if images.dtype == np.uint8 else None

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, request: Any) -> np.ndarray:
        return self.prepare(self.images[request])

    def prepare(self, images: np.ndarray) -> np.ndarray:
        """Images as the file has them in the model's units."""
        if self._table is None:
            return self._prepared(images)
        prepared = np.empty(images.shape, self.dtype)
        step = max(1, TAKEN_AT_ONCE // max(1, images[:1].size))
        for start in range(0, len(images), step):
            part = slice(start, start + step)
            np.take(self._table, images[part], mode="clip", out=prepared[part])
        return prepared

    def _prepared(self, images: np.ndarray) -> np.ndarray:
        return self.scaling.forward(unit_values(images, self.factor, "float32")).astype(self.dtype, copy=False)
