"""The one exception that a user's mistake raises."""


class InputError(ValueError):
    """An argument or a file is not usable.

    The message is one line: which argument or file, what it was, what is accepted, how to go on.
    The commands print it to stderr without a traceback and exit with status 2.
    """
