"""Sentences of text files as lists of integers."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from dpm.base.errors import InputError
from dpm.datasets.fuel.datasets.base import Dataset


class TextFile(Dataset):
    """The lines of text files, each as a list of integers from a dictionary.

    Args:
        files: Paths of the files.
        dictionary: Integer by word or character.
        bos_token: Begins each sentence, if not None.
        eos_token: Ends each sentence, if not None.
        unk_token: Stands for what the dictionary lacks; None refuses it.
        level: "word" or "character".
        preprocess: Function applied to each line, such as str.lower.
        encoding: Encoding of the files; UTF-8 if None.

    Raises:
        InputError: If a token is not in the dictionary, or `level` is another one.
    """

    provides_sources = ("features",)
    example_iteration_scheme = None

    def __init__(
        self,
        files: Sequence[str],
        dictionary: dict[str, int],
        bos_token: str | None = "<S>",
        eos_token: str | None = "</S>",
        unk_token: str | None = "<UNK>",
        level: str = "word",
        preprocess: Callable[[str], str] | None = None,
        encoding: str | None = None,
    ) -> None:
        for name, token in (("bos_token", bos_token), ("eos_token", eos_token), ("unk_token", unk_token)):
            if token is not None and token not in dictionary:
                raise InputError(f"{name}: {token!r} is not in the dictionary; add it, or give {name}=None")
        if level not in ("word", "character"):
            raise InputError(f"level: got {level!r}; expected 'word' or 'character'")
        self.files, self.dictionary = files, dictionary
        self.bos_token, self.eos_token, self.unk_token = bos_token, eos_token, unk_token
        self.level, self.preprocess, self.encoding = level, preprocess, encoding
        super().__init__()

    def open(self) -> Iterator[str]:
        """Return an iterator over the lines of all files."""
        return itertools.chain.from_iterable(map(self._lines, self.files))

    def _lines(self, path: str) -> Iterator[str]:
        with open(path, encoding=self.encoding or "utf-8") as file:
            yield from file

    def get_data(self, state: Any = None, request: Any = None) -> tuple[list[int]]:
        """Return the next sentence of a state, a tuple with one list.

        Raises:
            InputError: With a request.
            KeyError: For a word or character that is not in the dictionary, without `unk_token`.
        """
        if request is not None:
            raise InputError(f"request: got {request!r}; expected None; use a stream without an iteration scheme")
        line = next(state)
        if self.preprocess is not None:
            line = self.preprocess(line)
        symbols = line.split() if self.level == "word" else line.strip()
        return ([*self._code(self.bos_token), *map(self._look_up, symbols), *self._code(self.eos_token)],)

    def _code(self, token: str | None) -> list[int]:
        return [self.dictionary[token]] if token else []

    def _look_up(self, symbol: str) -> int:
        if symbol in self.dictionary:
            return self.dictionary[symbol]
        if self.unk_token is None:
            raise KeyError(f"{symbol!r} is not in the dictionary, and there is no unk_token")
        return self.dictionary[self.unk_token]
