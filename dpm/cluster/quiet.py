"""What Dask and its libraries print is kept from the console: what matters is raised."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

LOGGERS = ("distributed", "tornado", "asyncio", "bokeh")


@contextmanager
def quiet_logs() -> Iterator[None]:
    """Keep the logs of Dask from the console."""
    import distributed  # noqa: F401  configures its loggers

    names = [name for name in logging.root.manager.loggerDict if name.partition(".")[0] in LOGGERS]
    levels = {name: logging.getLogger(name).level for name in {*names, *LOGGERS}}
    for name in levels:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


@contextmanager
def quiet_warnings() -> Iterator[None]:
    """Keep warnings of Dask from the console."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
