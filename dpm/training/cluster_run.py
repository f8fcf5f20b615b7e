"""A training run with its subfunctions on the workers of a Dask cluster: what is refused, and a line on it."""

from dpm.base.errors import InputError
from dpm.base.wording import count
from dpm.cluster.address import parse_address
from dpm.runs.setting_checks import FROZEN
from dpm.runs.settings import Settings
from dpm.training.frozen_loop import SubfunctionLoop
from dpm.training.loop import Loop


def check_cluster(address: str | None, settings: Settings) -> None:
    """Raise InputError unless the address of --cluster is one, and the optimizer evaluates large subfunctions."""
    if address is None:
        return
    parse_address(address)
    if settings.optimizer not in FROZEN:
        raise InputError(
            f"--cluster {address}: --optimizer {settings.optimizer} makes small steps, each after the other; take "
            f"--optimizer {' or '.join(sorted(FROZEN))}, or leave --cluster out (docs/scaling.md)"
        )


def describe_cluster(loop: Loop) -> list[str]:
    """Return a line on the workers of a cluster, or no line."""
    if not loop.compiled.mapper.is_remote or not isinstance(loop, SubfunctionLoop):
        return []
    n, many = loop.compiled.count_microbatches(loop.largest), loop.at_once
    whose = "a subfunction" if many == 1 else f"{many} subfunctions"
    return [f"         the workers share the {count(n * many, 'microbatch')} of {whose} (docs/scaling.md)"]
