"""The exception that a user's mistake raises."""


class InputError(ValueError):
    """An argument or a file cannot be used.

    The message is one line: what is wrong, what was given, what is accepted, and how to fix it. Commands print it to
    stderr without a traceback and exit with status 2.

    Example:
        >>> try:
        ...     dpm.Engine("theano")
        ... except dpm.InputError as error:
        ...     print(error)
        --backend: 'theano' is not an engine; accepted: auto, jax, numba, c
    """
