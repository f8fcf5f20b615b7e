"""Tools that all commands share: the argument parser, the error line, tables and exit statuses."""

import argparse
import difflib
import sys
from collections.abc import Callable, Sequence
from typing import Any

import dpm
from dpm.base.errors import InputError
from dpm.base.process import command_process


class Parser(argparse.ArgumentParser):
    """Argument parser that reports an error in one line and exits with status 2.

    Every option is accepted with hyphens and, as 2015 wrote it, with underscores: --output-dir and --output_dir.

    Args:
        examples: (arguments, explanation) of command lines that `--help` ends with.
    """

    def __init__(self, *args: Any, examples: Sequence[tuple[str, str]] = (), **kwargs: Any) -> None:
        kwargs.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(*args, **({"allow_abbrev": False} | kwargs))
        if examples:
            lines = [f"  {f'{self.prog} {words}'.rstrip()}\n      {text}" for words, text in examples]
            self.epilog = "\n".join(["examples:", *lines])
        if self.description:
            self.description = self.description[0].upper() + self.description[1:]
        self._groups: dict[str, Any] = {}
        self.add_argument("--version", action="version", version=f"dpm {dpm.__version__}")

    def group(self, title: str) -> Any:
        """Return the group of options with that title, made at the first call."""
        if title not in self._groups:
            self._groups[title] = self.add_argument_group(title)
        return self._groups[title]

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse as argparse does, with hyphens for the underscores in names of options; exit for words left over."""
        words = sys.argv[1:] if args is None else args
        options, left = super().parse_known_args([_hyphenate(word) for word in words], namespace)
        if left:
            self.error(self._describe_unexpected(left))
        return options, left

    def _describe_unexpected(self, words: list[str]) -> str:
        """Return what is wrong with words that no argument and no option takes."""
        options = [word for word in words if word.startswith("-")]
        if options:
            names = [name for action in self._actions for name in action.option_strings]
            near = difflib.get_close_matches(options[0].partition("=")[0], names, n=1)
            hint = f"; did you mean {near[0]}?" if near else "; leave it out"
            return f"unrecognized arguments: {' '.join(words)}{hint}"
        got = f"got {', '.join(map(repr, words))}"
        names = [str(action.metavar or action.dest) for action in self._actions if not action.option_strings]
        if not names:
            return f"{got}; accepted: options and their values only, such as --name VALUE"
        accepted = f"one {names[0]}; run the command once for each" if len(names) == 1 else f"only {' '.join(names)}"
        return f"{got} after {' '.join(names)}; accepted: {accepted}"

    def error(self, message: str) -> Any:
        """Print the error line and exit with status 2."""
        self.exit(2, error_line(self.prog, f"{message} (--help lists all options)") + "\n")


def error_line(prog: str, message: object) -> str:
    """Format an error as a single line, whatever the user typed."""
    return f"{prog}: error: {' '.join(str(message).splitlines())}"


def print_table(rows: Sequence[Sequence[str]]) -> None:
    """Print rows of texts, all of one length, in left-aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


def _hyphenate(word: str) -> str:
    """Return an option with hyphens in its name; any other word as it is."""
    name, equals, value = word.partition("=")
    return f"{name.replace('_', '-')}{equals}{value}" if name.startswith("--") else word


def argument_type(kind: Callable[[str], Any]) -> Callable[[str], Any]:
    """Wrap a conversion for argparse, so that its InputError is reported with the flag's name and value."""

    def convert(text: str) -> Any:
        try:
            return kind(text)
        except InputError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    convert.__name__ = getattr(kind, "__name__", "value")
    return convert


def run_command(prog: str, action: Callable[[], int | None]) -> int:
    """Run action() and return the exit status.

    Mistakes of the user and failures of the system (a full disk, say) are reported in one line on stderr, status 2.
    Output that stdout does not take ends the output, not the command; the status is then at least 1.
    """
    with command_process(prog) as stdout:
        status = _run(prog, action)
    return status or int(stdout.failed)


def _run(prog: str, action: Callable[[], int | None]) -> int:
    try:
        return action() or 0
    except (InputError, OSError) as error:
        print(error_line(prog, error), file=sys.stderr)
        return 2
    except MemoryError as error:
        print(error_line(prog, f"not enough memory ({error}); use a smaller model or batch"), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{prog}: stopped", file=sys.stderr)
        return 130
    except Exception as error:
        if not (name := _importing(error)):
            raise
        advice = "correct the environment variable or configuration file that it reads, or install it again"
        print(error_line(prog, f"{name} cannot be imported ({error}); {advice}"), file=sys.stderr)
        return 2


def _importing(error: Exception) -> str:
    """Return the name of the library whose import raised the error, or ""."""
    name, trace = "", error.__traceback__
    while trace is not None:
        # The body of a module runs only while it is imported; the frames of the import itself are not in a traceback.
        if trace.tb_frame.f_code.co_name == "<module>":
            name = str(trace.tb_frame.f_globals["__name__"]).partition(".")[0]
        trace = trace.tb_next
    return name
