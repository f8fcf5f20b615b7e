"""Lines of text become lists of integers."""

import pytest

from dpm.base.errors import InputError
from dpm.datasets.fuel.datasets import TextFile
from dpm.datasets.fuel.streams import DataStream

WORDS = {"<S>": 0, "</S>": 1, "<UNK>": 2, "a": 3, "rose": 4}


@pytest.fixture
def files(tmp_path):
    for name, text in (("one.txt", "A rose is\na rose\n"), ("two.txt", "é\n")):
        (tmp_path / name).write_text(text, encoding="utf-8")
    return [str(tmp_path / "one.txt"), str(tmp_path / "two.txt")]


def test_words_and_tokens_are_looked_up(files):
    stream = DataStream(TextFile(files, WORDS, preprocess=str.lower))
    for _ in range(2):
        assert list(stream.get_epoch_iterator()) == [([0, 3, 4, 2, 1],), ([0, 3, 4, 1],), ([0, 2, 1],)]


def test_characters_without_tokens(files):
    letters = {letter: number for number, letter in enumerate("Aaeiors é")}
    dataset = TextFile(files, letters, None, None, None, level="character")
    texts = ["".join("Aaeiors é"[i] for i in codes) for (codes,) in dataset.get_example_stream().get_epoch_iterator()]
    assert texts == ["A rose is", "a rose", "é"]


def test_what_is_not_in_the_dictionary_is_refused(files):
    dataset = TextFile(files, WORDS, unk_token=None)
    with pytest.raises(KeyError, match="'A' is not in the dictionary"):
        dataset.get_data(dataset.open())
    for name in ("bos_token", "eos_token", "unk_token"):
        with pytest.raises(InputError, match=f"^{name}: '<X>' is not in the dictionary"):
            TextFile(files, WORDS, **{name: "<X>"})
    with pytest.raises(InputError, match=r"^level: got 'line'"):
        TextFile(files, WORDS, level="line")
    with pytest.raises(InputError, match=r"^request: "):
        dataset.get_data(dataset.open(), 3)
