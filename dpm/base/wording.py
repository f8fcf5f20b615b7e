"""Words of printed lines that depend on a number."""

IRREGULAR = {
    "minibatch": "minibatches",
    "microbatch": "microbatches",
    "trajectory": "trajectories",
    "process": "processes",
}


def plural(n: float, noun: str) -> str:
    """Return the form of an English noun that n things have.

    Example:
        >>> [f"{n} {plural(n, 'epoch')}" for n in (0, 1, 2)]
        ['0 epochs', '1 epoch', '2 epochs']
    """
    return noun if n == 1 else IRREGULAR.get(noun, f"{noun}s")


def count(n: float, noun: str) -> str:
    """Return a whole number and its noun: "1 example", "10,000 examples"."""
    return f"{n:,.0f} {plural(n, noun)}"
