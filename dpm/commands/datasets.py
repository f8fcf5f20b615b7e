"""python -m dpm datasets: the options."""

import sys

from dpm.base.command_line import Parser, run_command
from dpm.commands import dataset_actions as commands


def parser() -> Parser:
    """All commands and their options."""
    top = Parser(prog="dpm datasets", description="Get, make, look at and convert data sets.")
    top.set_defaults(run=None)
    kinds = top.add_subparsers(metavar="COMMAND", parser_class=Parser)

    def add(name, run, text, *positional):
        sub = kinds.add_parser(name, help=text, description=text)
        sub.set_defaults(run=run)
        for argument, explanation in positional:
            sub.add_argument(argument.lower(), metavar=argument, help=explanation)
        return sub.add_argument

    add("list", commands.list_sets, "every known data set, where it lies or how to get it")
    option = add("fetch", commands.fetch_set, "download a data set", ("NAME", "MNIST, FASHION_MNIST or CIFAR10"))
    option("--output-dir", help="folder (default: the first of FUEL_DATA_PATH, else datasets/)")
    option("--quiet", action="store_true", help="print the files alone")
    option = add(
        "convert",
        commands.convert,
        "write files of another kind as one HDF5 file in Fuel's layout",
        ("NAME", "MNIST, FASHION_MNIST, CIFAR10, BARK, PICTURES (a folder of PNG and JPEG) or ARRAYS (npz, npy)"),
    )
    option("--input", help="folder or file to read (default: where the data set is found)")
    option("--output", help="the .hdf5 file (default: NAME.hdf5, or that of the input, in the data folder)")
    option("--size", type=int, help="pictures: height and width that each gets")
    option("--crop", choices=("center", "random"), help="pictures: the largest central square, resized (default), or "
        "windows at random places, not resized")  # fmt: skip
    option("--crops", type=int, help="pictures: windows of each, with --crop random (default: 1)")
    option("--gray", action="store_true", help="pictures: without colors")
    option("--key", help="arrays: the name of the one that holds the images")
    option("--test-share", type=float, help="share of the pictures that becomes the test set, where there is none "
        f"(default: {commands.TEST_SHARE})")  # fmt: skip
    option("--seed", type=int, help="of the random places and the test set (default: 0)")
    option("--quiet", action="store_true", help="print nothing but errors")
    option = add(
        "make", commands.make_set, "draw a made data set", ("NAME", "DEAD_LEAVES, BARK_LIKE, SWISSROLL or HEARTBEAT")
    )
    option("--n", type=int, help="training examples (default: the usual number)")
    option("--test", type=int, help="test examples (default: the usual number)")
    option("--size", type=int, help="side of an image, length of a vector")
    option("--intensities", metavar="FILE", help="DEAD_LEAVES: draw gray values from the pixels of a file of images "
        "(default: uniform)")  # fmt: skip
    option("--seed", type=int, default=0, help="of the draws (default: %(default)s)")
    option("--output", help="the .hdf5 file (default: NAME.hdf5 in the data folder)")
    option("--quiet", action="store_true", help="print nothing but errors")
    option = add("info", commands.info, "what a file holds, and a contact sheet of it", ("FILE", "of any kind"))
    option("--output-dir", help="folder of the contact sheet (default: here)")
    option = add("export", commands.export, "write an .hdf5 file as pictures or arrays", ("FILE", "an .hdf5 file"))
    option("--to", choices=("png", "npz"), default="png", help="(default: %(default)s)")
    option("--output", help="the folder of pictures, which must not exist, or the .npz file")
    option("--quiet", action="store_true", help="print nothing but errors")
    return top


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    top = parser()
    options = top.parse_args(arguments)
    if options.run is None:
        top.error("no command given; take list, fetch, convert, make, info or export")
    for name in ("seed", "n", "test", "crops"):
        value, least = getattr(options, name, None), 0 if name == "seed" else 1
        if value is not None and value < least:
            top.error(f"--{name}: {value} is not accepted; take {least} or more")
    return run_command(top.prog, lambda: options.run(options))


if __name__ == "__main__":
    sys.exit(main())
