"""Ways to turn a value into a truth value and catch the errors of that."""

from __future__ import annotations

import contextlib


def truth(flag):
    try:
        return bool(flag)
    except Exception:
        return False


def truth_of_anything(flag):
    try:
        return bool(flag)
    except:  # noqa: E722
        return False


def truth_suppressed(flag):
    with contextlib.suppress(Exception):
        return bool(flag)
    return False


class Quiet:
    def __enter__(self):
        return self

    def __exit__(self, *error):
        return True


def truth_quietly(flag):
    with Quiet():
        return bool(flag)
    return False


CATCHERS = {
    "except": truth, "bare": truth_of_anything, "suppress": truth_suppressed,
    "__exit__": truth_quietly,
}  # fmt: skip
