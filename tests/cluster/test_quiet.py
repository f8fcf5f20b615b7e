"""Logs and warnings of Dask within and after a block."""

import logging
import warnings

import pytest

from dpm.cluster.quiet import quiet_logs, quiet_warnings


def test_logs_are_dropped_within_the_block_only(caplog):
    logger = logging.getLogger("distributed.scheduler")
    with quiet_logs():
        logger.error("within")
    logger.error("after")
    assert [record.message for record in caplog.records if record.name == logger.name] == ["after"]


def test_warnings_are_dropped_within_the_block_only():
    with quiet_warnings():
        warnings.warn("within", UserWarning, stacklevel=1)
    with pytest.warns(UserWarning, match="^after$"):
        warnings.warn("after", UserWarning, stacklevel=1)
