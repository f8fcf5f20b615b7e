"""Pickles in the format of CIFAR-10's batches (Python 2), and hostile ones."""

import struct

import numpy as np

RNG = np.random.default_rng(0)


BATCHES = [RNG.integers(0, 256, (n, 3072), np.uint8) for n in (3, 2, 2, 1, 2, 4)]


LABELS = [RNG.integers(0, 10, len(batch)).tolist() for batch in BATCHES]


def python2_pickle(pixels, labels):
    """Return a batch as cPickle of Python 2 wrote it: protocol 2, byte strings by BINSTRING and SHORT_BINSTRING."""

    def text(value):
        return b"U" + bytes([len(value)]) + value

    def number(value):
        return b"K" + bytes([value]) if value < 256 else b"M" + struct.pack("<H", value)

    array = (
        b"cnumpy.core.multiarray\n_reconstruct\nq\x10cnumpy\nndarray\nq\x11K\x00\x85U\x01b\x87Rq\x12(K\x01"
        + number(len(pixels)) + number(3072) + b"\x86cnumpy\ndtype\nq\x13U\x02u1K\x00K\x01\x87Rq\x14"
        b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T"
        + struct.pack("<i", pixels.size) + pixels.tobytes() + b"tb"
    )  # fmt: skip
    return (
        b"\x80\x02}q\x01(" + text(b"batch_label") + b"q\x02" + text(b"training batch 1 of 5")
        + text(b"labels") + b"]q\x03(" + b"".join(map(number, labels)) + b"e"
        + text(b"data") + array + b"u."
    )  # fmt: skip


class Hostile:
    """Object that pickles to a call with a visible side effect."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call
