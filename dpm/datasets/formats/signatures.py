"""Tell the format of a file by its first bytes, whatever its name."""

import os

HDF5, PNG, JPEG, ZIP, NPY = "hdf5", "png", "jpeg", "zip", "npy"
SIGNATURES = {b"\x89PNG\r\n\x1a\n": PNG, b"\xff\xd8\xff": JPEG, b"PK": ZIP, b"\x93NUMPY": NPY}
HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
#: A user block may precede HDF5's signature, as in MATLAB's files: it then stands at 512, 1024, 2048 and so on.
USER_BLOCKS = (0, *(512 << i for i in range(12)))
LONGEST = 16


def first_bytes(path: str | os.PathLike[str]) -> bytes:
    """Return the first bytes of a file, at most `LONGEST`."""
    with open(path, "rb") as stream:
        return stream.read(LONGEST)


def find_format(path: str | os.PathLike[str]) -> str | None:
    """Return the format of a file: HDF5, PNG, JPEG, ZIP (.npz files are) or NPY; None for others.

    None too for what is not a file, or cannot be read.
    """
    if not (os.path.isfile(path) and os.access(path, os.R_OK)):
        return None
    start = first_bytes(path)
    for signature, name in SIGNATURES.items():
        if start.startswith(signature):
            return name
    with open(path, "rb") as stream:
        for offset in USER_BLOCKS:
            stream.seek(offset)
            if stream.read(len(HDF5_SIGNATURE)) == HDF5_SIGNATURE:
                return HDF5
    return None


def is_hdf5(path: str | os.PathLike[str]) -> bool:
    """Return True if there is such a file and it is HDF5."""
    return find_format(path) == HDF5
