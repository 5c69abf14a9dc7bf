"""The exceptions for wrong input and failed commands, the checks that raise them, exit codes."""

from __future__ import annotations

import difflib
import math
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path

from gdframe.memory import free_memory


class Exit(IntEnum):
    """Exit codes of the command line."""

    OK = 0
    FAILED = 1
    WRONG_INPUT = 2
    DIVERGED = 3
    INTERRUPTED = 130


class UserError(ValueError):
    """Wrong input; the message states what was typed, what is wrong and what to do.

    The command line prints it without a traceback and exits with code 2.
    """


class InputError(UserError):
    """Wrong input that the user typed.

    Args:
        typed: what was typed, such as ``beta=2``.
        problem: what is wrong, and what to do.
    """

    def __init__(self, typed: str, problem: str) -> None:
        super().__init__(typed, problem)
        self.typed, self.problem = typed, problem

    def __str__(self) -> str:
        """Return the message."""
        return f"{self.typed}: {self.problem}"


class FailedError(UserError):
    """A command that could not finish, although its input is right.

    The command line exits with code 1.
    """


MOST_COMPARED = 200
"""Most characters of a name that is compared with others: the time grows with their product."""


def unknown(
    typed: str, kind: str, name: str, known: Iterable[str], *, suggestion: str | None = None
) -> InputError:
    """Return the error for a name that does not exist; it suggests the closest and lists all.

    Args:
        typed: what the user typed, with the name.
        kind: what the name should name, such as ``optimizer``.
        name: the name, as it is compared with ``known``.
        known: the names that exist.
        suggestion: what to suggest instead of the closest name.

    Example:
        >>> print(unknown("optimizer=adm", "optimizer", "adm", ["adam", "gd"]))
        optimizer=adm: there is no such optimizer; did you mean 'adam'? choose from adam, gd
    """
    known = list(known)
    short = [word for word in (name, *known) if len(word) <= MOST_COMPARED]
    close = difflib.get_close_matches(name, short[1:], n=1, cutoff=0.5) if name in short[:1] else []
    suggestion = suggestion or (f"'{close[0]}'" if close else "")
    hints = [f"did you mean {suggestion}?"] if suggestion else []
    if known or not hints:
        hints.append(f"choose from {in_words(known)}")
    return InputError(typed, f"there is no such {kind}; {' '.join(hints)}")


def bad_value(typed: str, expected: str, advice: str = "") -> InputError:
    """Return the error for a value that cannot be used.

    Args:
        typed: what the user typed.
        expected: the values that can be used.
        advice: what to do.

    Example:
        >>> print(bad_value("epochs=0", "a whole number of at least 1"))
        epochs=0: expected a whole number of at least 1
    """
    return InputError(typed, f"expected {expected}{f'; {advice}' if advice else ''}")


@contextmanager
def typed_as(keys: Mapping[str, str]) -> Iterator[None]:
    """Name arguments in errors as the keys that the user typed.

    Args:
        keys: the key of each argument, such as ``optimizer.beta`` for ``beta``.

    Example:
        >>> with typed_as({"beta": "optimizer.beta"}):
        ...     fraction("beta", 2.0)
        Traceback (most recent call last):
        gdframe.errors.InputError: optimizer.beta=2: expected a number of at least 0 and below 1
    """
    try:
        yield
    except InputError as error:
        argument = re.match(r"\w*", error.typed)[0]  # type: ignore[index]
        if argument not in keys:
            raise
        typed = keys[argument] + error.typed.removeprefix(argument)
        raise InputError(typed, error.problem) from error


def escaped(text: str) -> str:
    r"""Return the text of a config that resolves to ``text``, without interpolation.

    Example:
        >>> escaped("$a ${b}")
        '$a \\${b}'
    """
    return re.sub(r"(?<!\\)(\\*)\$\{", r"\1\1\\${", text)


def override_value(text: str) -> str:
    r"""Return text as a value of an override: in quotes, unless it is a plain word.

    Example:
        >>> override_value("price"), override_value("a [m]"), override_value("it's")
        ('price', "'a [m]'", "'it\\'s'")
    """
    is_word = re.fullmatch(r"[A-Za-z_][\w.-]*", text, re.ASCII)
    if is_word and text.lower() not in ("null", "true", "false", "nan", "inf"):
        return text
    ends = re.sub(r"(?<!\\)(\\*)('|\Z)", r"\1\1\2", escaped(text)).replace("'", r"\'")
    return f"'{ends}'"


def shell_word(word: str) -> str:
    """Return a word of a command line in quotes for the shell, where it needs them.

    Example:
        >>> print(shell_word("data.target='a [m]'"), shell_word("lr=0.1"))
        "data.target='a [m]'" lr=0.1
    """
    if re.fullmatch(r"[\w@%+=:,./-]+", word, re.ASCII):
        return word
    return shlex.quote(word) if re.search(r'["$`\\!]', word) else f'"{word}"'


def counted(count: int, noun: str) -> str:
    """Return a number of things as text: ``1 epoch``, ``5,000 epochs``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def in_words(names: Iterable[str]) -> str:
    """Return names joined for a sentence: ``a, b, c``, or ``nothing`` without names."""
    return ", ".join(names) or "nothing"


def user_path(path: str | Path, *, home: bool = True, links: bool = True) -> Path:
    """Return the path of a file or a folder that a user names.

    Args:
        path: as the user gave it.
        home: whether to replace ``~`` at its start by a home folder.
        links: whether to make it absolute and to follow its links.

    Raises:
        UserError: there is no such user, or a link leads to itself.
    """
    try:
        expanded = Path(path).expanduser() if home else Path(path)
        return expanded.resolve() if links else expanded
    except (RuntimeError, OSError, ValueError) as error:  # ValueError: a null character
        raise UserError(f"{path}: is not the path of a file: {first_line(error)}") from error


def first_line(error: BaseException) -> str:
    """Return the first line of an exception's message that announces no other, or its class name.

    Example:
        >>> first_line(RuntimeError(chr(10).join(["Not compiled:", "", "Call to print"])))
        'Call to print'
        >>> first_line(RuntimeError("It fails, please file an issue"))
        'It fails'
    """
    to_developers = r"Set TORCHDYNAMO_VERBOSE|\W*\b[Pp]lease file (us )?an issue"  # by PyTorch
    try:
        text = re.split(to_developers, str(error), maxsplit=1)[0]
    except Exception:  # an error of a user's class may fail to tell what it is
        text = ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    causes = [line for line in lines if not line.endswith(":")]
    return next(iter(causes or lines), type(error).__name__).rstrip(":")


def require_utf8(name: str) -> None:
    """Refuse a name that is not UTF-8: libraries and files of text cannot hold it.

    Raises:
        UserError: it is not UTF-8.
    """
    if not name.isascii():
        try:
            name.encode()
        except UnicodeEncodeError:
            raise UserError(f"{name}: is not UTF-8; give another name") from None


def printable(text: object, *, lines: bool = False) -> str:
    """Return text that is safe in a terminal: other characters than printable ones are escaped.

    Args:
        text: from a file or an error.
        lines: whether line breaks stay.

    Example:
        >>> printable(f"{chr(27)}[31m") == chr(92) + "x1b[31m"
        True
    """
    characters = str(text)
    if lines:
        return "\n".join(map(printable, characters.split("\n")))
    if characters.isprintable():
        return characters
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in characters)


_HIDING = r"\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff"
CONTROLS = re.compile(rf"[\x00-\x08\x0b-\x1f\x7f-\x9f{_HIDING}]")
"""Control characters but tabs and line ends, and those that hide text."""


def without_controls(text: str) -> str:
    """Return text for a file that people open: control characters are escaped.

    Example:
        >>> without_controls(f"{chr(27)}[31m") == chr(92) + "x1b[31m"
        True
    """
    return CONTROLS.sub(lambda match: repr(match[0])[1:-1], text)


MOST_SHOWN = 2_000
"""Most characters of a line in a terminal or a log."""


def shortened(line: str) -> str:
    """Return a line with its middle left out if it is long."""
    ends = MOST_SHOWN // 2
    return line if len(line) <= MOST_SHOWN else f"{line[:ends]} [...] {line[-ends:]}"


def fraction(name: str, value: float) -> float:
    """Return ``value`` if it lies in [0, 1), the range of decay rates.

    Raises:
        UserError: ``value`` is outside [0, 1).
    """
    if not 0 <= float(value) < 1:
        raise bad_value(f"{name}={value:g}", "a number of at least 0 and below 1")
    return value


def positive(name: str, value: float) -> float:
    """Return ``value`` if it is a finite number above 0.

    Raises:
        UserError: ``value`` is not finite, or not above 0.
    """
    if not (math.isfinite(float(value)) and float(value) > 0):
        raise bad_value(f"{name}={value:g}", "a finite number above 0")
    return value


LARGEST = 1 << 53
"""Largest whole number of a config or an option; floating-point numbers hold each up to here."""


def whole(name: str, value: int, least: int = 1) -> int:
    """Return ``value`` if it is at least ``least``, and not too large to compute with.

    Args:
        name: of a key, or of an option, such as ``--points``.
        value: of it.
        least: the smallest value.

    Raises:
        UserError: ``value`` is below ``least`` or above 2^53.
    """
    if not least <= value <= LARGEST:
        typed = f"{name}{' ' if name.startswith('--') else '='}{value}"
        most = "" if value < least else " and at most 2^53"
        raise bad_value(typed, f"a whole number of at least {least}{most}")
    return value


UNCHECKED = 1 << 22
"""Bytes that are too few to ask the system for them."""


def require_memory(what: str, size: float, advice: str = "choose a smaller number") -> None:
    """Refuse what does not fit in free memory, before it is allocated.

    Args:
        what: named in the message.
        size: its approximate size in bytes.
        advice: what to do.

    Raises:
        UserError: fewer bytes are free.
    """
    if size > UNCHECKED and size > (free := free_memory()):
        raise UserError(
            f"{what}: needs about {size / 1e9:,.3g} GB, and {free / 1e9:,.3g} GB are free; {advice}"
        )


def reason_of(error: BaseException) -> str | None:
    """Return in words why memory or a factorisation failed, or None for any other error."""
    words = ("allocate memory", "out of memory", "Storage size calculation overflowed")
    is_memory = isinstance(error, RuntimeError) and any(word in str(error) for word in words)
    if is_memory or isinstance(error, MemoryError):
        return f"there is not enough memory ({first_line(error)}): choose smaller numbers"
    if type(error).__name__ == "LinAlgError":  # of NumPy or of torch
        return f"a matrix cannot be factorised ({first_line(error)}): choose less extreme numbers"
    return None


def rounded_down(value: float, digits: int = 2) -> str:
    """Return a positive number with some significant digits, which is not above the number.

    Example:
        >>> rounded_down(0.0677), rounded_down(0.24), rounded_down(129.0)
        ('0.067', '0.24', '120')
    """
    place = digits - 1 - math.floor(math.log10(value))
    return f"{math.floor(round(value * 10.0**place, 6)) / 10.0**place:g}"
