"""Images that stay in their HDF5 file and are read when they are indexed."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from dpm.base.errors import InputError
from dpm.datasets.fuel.datasets.hdf5 import H5PYDataset
from dpm.datasets.images import channel_order, reorder_axes
from dpm.datasets.scaling import Scaling, unit_values

#: Number of values per table look-up: few enough for a processor's cache.
TABLE_CHUNK = 1 << 17


def in_parts(array: Any, n_bytes: int) -> Iterator[np.ndarray]:
    """Yield parts of an array along its first axis, of about `n_bytes` each.

    Args:
        array: An array, or an object with its length and slices.
        n_bytes: Size of a part.
    """
    step = max(1, n_bytes // max(1, array[:1].nbytes))
    return (array[start : start + step] for start in range(0, len(array), step))


class StoredSource:
    """One source of an HDF5 data set, read when it is indexed, with the axes in the order of the file.

    Slices and arrays of rows are accepted; other requests raise the errors of H5PYDataset.

    Args:
        dataset: A data set with exactly one source.

    Attributes:
        name: Name of the source.
        example_shape: Shape of an example; None if the shapes differ. Such examples are read flat, concatenated.
        dtype: dtype of the source.
        shape: Shape of the source, (n, *example_shape).
    """

    def __init__(self, dataset: H5PYDataset) -> None:
        (self.name,) = dataset.sources
        self.dataset, self.example_shape = dataset, dataset.shapes[self.name]
        self.dtype = np.dtype(dataset.dtypes[self.name])
        self.shape: tuple[int, ...] = (len(self), *(self.example_shape or ()))

    def __len__(self) -> int:
        return self.dataset.num_examples

    def __getitem__(self, request: Any) -> np.ndarray:
        (data,) = self.dataset.get_data(request=request)
        return data if self.example_shape is not None else np.concatenate([example.ravel() for example in data])


class StoredImages(StoredSource):
    """The images of one source, with the parts of the interface of an array (n, c, h, w) that training needs.

    Args:
        dataset: A data set with exactly one source, of images.
        large: Accept images that are not square.

    Attributes:
        shape: (n, c, h, w).
        ndim: 4.
        size: Number of values.

    Raises:
        InputError: If the images differ in shape, or as `channel_order`.
    """

    def __init__(self, dataset: H5PYDataset, large: bool = False) -> None:
        super().__init__(dataset)
        what = f"{dataset.path}, {', '.join(dataset.which_sets)}"
        if self.example_shape is None:
            raise InputError(
                f"{what}: the images differ in shape; make them equal: python -m dpm datasets export, then "
                "convert images --size"
            )
        self.order = channel_order(self.shape, what, dataset.axis_labels[self.name], large)
        colors = () if len(self.shape) == 4 else (1,)
        n, *rest = (self.shape[axis] for axis in self.order)
        self.shape = (n, *colors, *rest)
        self.ndim, self.size = len(self.shape), int(np.prod(self.shape))

    def __getitem__(self, request: Any) -> np.ndarray:
        return reorder_axes(super().__getitem__(request), self.order)


class PreparedImages:
    """Images in model units, converted when they are indexed; bit-exact with converting all of them at once.

    Args:
        images: (n, c, h, w), an array or StoredImages.
        factor: Result of `dpm.datasets.scaling.level_factor` for all the images.
        scaling: Scaling of the training data.
        dtype: Float type of the result.

    Attributes:
        checked: True: all values are finite, since `level_factor` has read them.
    """

    checked = True

    def __init__(self, images: Any, factor: int | None, scaling: Scaling, dtype: DTypeLike) -> None:
        self.images, self.factor, self.scaling, self.dtype = images, factor, scaling, np.dtype(dtype)
        self.shape, self.ndim, self.size = images.shape, images.ndim, images.size
        self._table = self._convert(np.arange(256, dtype=np.uint8)) if images.dtype == np.uint8 else None

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, request: Any) -> np.ndarray:
        return self.prepare(self.images[request])

    def prepare(self, images: np.ndarray) -> np.ndarray:
        """Convert images from the values of the file to model units."""
        if self._table is None:
            return self._convert(images)
        prepared = np.empty(images.shape, self.dtype)
        step = max(1, TABLE_CHUNK // max(1, images[:1].size))
        for start in range(0, len(images), step):
            part = slice(start, start + step)
            np.take(self._table, images[part], mode="clip", out=prepared[part])
        return prepared

    def _convert(self, images: np.ndarray) -> np.ndarray:
        return self.scaling.forward(unit_values(images, self.factor, "float32")).astype(self.dtype, copy=False)
