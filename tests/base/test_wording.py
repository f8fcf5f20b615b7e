"""Numbers with their nouns."""

import pytest

from dpm.base.wording import count, plural


@pytest.mark.parametrize(
    ("noun", "many"), [("epoch", "epochs"), ("minibatch", "minibatches"), ("trajectory", "trajectories")]
)
def test_one_thing_is_singular_and_others_are_plural(noun, many):
    assert [plural(n, noun) for n in (0, 1, 1.0, 2)] == [many, noun, noun, many]


def test_a_count_has_its_number_and_noun():
    assert [count(n, "step") for n in (1, 1.0, 0, 12500)] == ["1 step", "1 step", "0 steps", "12,500 steps"]
