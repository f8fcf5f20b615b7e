"""Transformers of the values of sources."""

from typing import Any

import numpy as np

from dpm.datasets.fuel.config_parser import config
from dpm.datasets.fuel.transformers.base import AgnosticSourcewiseTransformer, SourcewiseTransformer, keep_labels


class Flatten(SourcewiseTransformer):
    """Make each example one-dimensional, a batch (n, ...) two-dimensional.

    Args:
        data_stream: The stream to transform.
        **kwargs: `which_sources` of SourcewiseTransformer and arguments of AbstractDataStream.
    """

    def __init__(self, data_stream: Any, **kwargs: Any) -> None:
        chosen, examples = kwargs.get("which_sources"), data_stream.produces_examples
        chosen = data_stream.sources if chosen is None else chosen

        def flatten(source: str, labels: Any) -> Any:
            if source not in chosen:
                return labels
            if not labels:
                return None
            return ("feature",) if examples else (labels[0], "feature")

        keep_labels(kwargs, data_stream, flatten)
        super().__init__(data_stream, examples, **kwargs)

    def transform_source_example(self, source_example: Any, _: str) -> np.ndarray:
        """Return an example (k,)."""
        return np.asarray(source_example).flatten()

    def transform_source_batch(self, source_batch: Any, _: str) -> np.ndarray:
        """Return a batch (n, k)."""
        return np.asarray(source_batch).reshape((len(source_batch), -1))


class ScaleAndShift(AgnosticSourcewiseTransformer):
    """Multiply by `scale` and add `shift`.

    Args:
        data_stream: The stream to transform.
        scale: Factor.
        shift: Summand.
        **kwargs: `which_sources` of SourcewiseTransformer and arguments of AbstractDataStream.
    """

    def __init__(self, data_stream: Any, scale: float, shift: float, **kwargs: Any) -> None:
        self.scale, self.shift = scale, shift
        keep_labels(kwargs, data_stream)
        super().__init__(data_stream, data_stream.produces_examples, **kwargs)

    def transform_any_source(self, source_data: Any, _: str) -> np.ndarray:
        """Return values * scale + shift."""
        return np.asarray(source_data) * self.scale + self.shift


class Cast(AgnosticSourcewiseTransformer):
    """Convert to a dtype.

    Args:
        data_stream: The stream to transform.
        dtype: A numpy dtype, or "floatX" for `config.floatX`.
        **kwargs: `which_sources` of SourcewiseTransformer and arguments of AbstractDataStream.
    """

    def __init__(self, data_stream: Any, dtype: Any, **kwargs: Any) -> None:
        self.dtype = config.floatX if dtype == "floatX" else dtype
        keep_labels(kwargs, data_stream)
        super().__init__(data_stream, data_stream.produces_examples, **kwargs)

    def transform_any_source(self, source_data: Any, _: str) -> np.ndarray:
        """Return the values in the dtype."""
        return np.asarray(source_data, dtype=self.dtype)


class ForceFloatX(AgnosticSourcewiseTransformer):
    """Convert arrays of floating-point numbers to `config.floatX`, and leave others as they are.

    Args:
        data_stream: The stream to transform.
        **kwargs: `which_sources` of SourcewiseTransformer and arguments of AbstractDataStream.
    """

    def __init__(self, data_stream: Any, **kwargs: Any) -> None:
        keep_labels(kwargs, data_stream)
        super().__init__(data_stream, data_stream.produces_examples, **kwargs)

    def transform_any_source(self, source_data: Any, _: str) -> Any:
        """Return the values, in floatX if they are an array of floating-point numbers."""
        is_float = isinstance(source_data, np.ndarray) and source_data.dtype.kind == "f"
        return source_data.astype(config.floatX, copy=False) if is_float else source_data
