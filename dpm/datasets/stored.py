"""Images that stay in their HDF5 file until they are asked for."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from dpm.base.errors import InputError
from dpm.datasets.fuel.hdf5 import H5PYDataset
from dpm.datasets.images import channel_order, reordered
from dpm.datasets.scaling import Scaling, unit_values

#: Values that a table is looked up for at once: so few that they stay in a processor's cache.
TAKEN_AT_ONCE = 1 << 17


def in_parts(array: Any, n_bytes: int) -> Iterator[np.ndarray]:
    """Parts of about so many bytes of an array, or of what can be sliced as one, along its first axis."""
    step = max(1, n_bytes // max(1, array[:1].nbytes))
    return (array[start : start + step] for start in range(0, len(array), step))


class StoredSource:
    """One source of a set, read when it is indexed, in the file's own order of axes.

    dataset: gives one source; each: the shape of an example, None where each has its own: those come flat, one after
    the other. Slices and arrays of rows are read; others are errors of H5PYDataset.
    """

    def __init__(self, dataset: H5PYDataset):
        (self.name,) = dataset.sources
        self.dataset, self.each = dataset, dataset.shapes[self.name]
        self.dtype = np.dtype(dataset.dtypes[self.name])
        self.shape: tuple[int, ...] = (len(self), *(self.each or ()))

    def __len__(self) -> int:
        return self.dataset.num_examples

    def __getitem__(self, request: Any) -> np.ndarray:
        (data,) = self.dataset.get_data(request)
        return data if self.each is not None else np.concatenate([example.ravel() for example in data])


class StoredImages(StoredSource):
    """The images of one source: what training needs of an array (n, c, h, w).

    large: whether images need not be square (`channel_order`, whose errors are raised).
    """

    def __init__(self, dataset: H5PYDataset, large: bool = False):
        super().__init__(dataset)
        what = f"{dataset.path}, {', '.join(dataset.which_sets)}"
        if self.each is None:
            raise InputError(
                f"{what}: each image has a shape of its own; make them alike: python -m dpm datasets export, then "
                "convert pictures --size"
            )
        self.order = channel_order(self.shape, what, dataset.axis_labels[self.name], large)
        colors = () if len(self.shape) == 4 else (1,)
        n, *rest = (self.shape[axis] for axis in self.order)
        self.shape = (n, *colors, *rest)
        self.ndim, self.size = len(self.shape), int(np.prod(self.shape))

    def __getitem__(self, request: Any) -> np.ndarray:
        return reordered(super().__getitem__(request), self.order)


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
