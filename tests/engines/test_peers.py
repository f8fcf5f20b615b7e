"""What processes of one run agree on, with the numbers of several imitated."""

import numpy as np
import pytest

from dpm.base.errors import InputError
from dpm.engines.peers import Peers, check_alike


class Several(Peers):
    """Processes whose texts are given; `gather` is called for their lengths, then for their bytes."""

    def __init__(self, *texts):
        self.count, self.n_devices = len(texts), 2 * len(texts)
        self._bytes = [np.frombuffer(text.encode(), np.uint8) for text in texts]

    def gather(self, values):
        if len(values) == 1:
            return np.array([[len(data)] for data in self._bytes], float)
        return np.array([np.pad(data, (0, len(values) - len(data))) for data in self._bytes], float)


def test_one_process_is_alone():
    peers = Peers()
    assert (peers.index, peers.count, peers.n_devices) == (0, 1, 1)
    assert peers.own_rows(5) == slice(0, 5)
    assert peers.round_up(5) == 5
    assert peers.gather(np.array([1, 2.5])).tolist() == [[1, 2.5]]
    assert peers.gather_texts("Größe") == ["Größe"]


@pytest.mark.parametrize(("rows", "expected"), [(1, 6), (6, 6), (7, 12), (12, 12)])
def test_rows_are_rounded_up_for_all_devices(rows, expected):
    assert Several("a", "b", "c").round_up(rows) == expected


def test_texts_of_different_lengths_are_gathered():
    texts = ["{}", '{"a": "longer"}', "é"]
    assert Several(*texts).gather_texts(max(texts, key=len)) == texts


def test_equal_facts_pass():
    text = '{"--seed": 1, "jax": "0.10.1"}'
    check_alike(Several(text, text), {"--seed": 1, "jax": "0.10.1"})


def test_a_difference_names_the_fact_and_both_processes():
    texts = ['{"--seed": 1, "--lr": 0.1}', '{"--seed": 1, "--lr": 0.1}', '{"--seed": 1, "--lr": 0.2}']
    with pytest.raises(InputError, match=r"^--lr: process 2 has 0\.2, process 0 has 0\.1; start all processes"):
        check_alike(Several(*texts), {"--seed": 1, "--lr": 0.1})
