"""The parser of the words after a verb, which raises errors as the rest of gdframe does."""

from __future__ import annotations

import argparse
from typing import Any, NoReturn

from gdframe.errors import UserError


class VerbParser(argparse.ArgumentParser):
    """Raises UserError for wrong arguments."""

    def __init__(self, verb: str, description: str) -> None:
        super().__init__(prog=f"python -m gdframe {verb}", description=description)
        self.verb = verb

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Return the arguments; the error on a flag that does not exist names it alone."""
        chosen, strange = self.parse_known_intermixed_args(args, namespace)
        if strange:
            from gdframe.config.hints import strange_word

            if strange[0] in ("-m", "--multirun"):
                hint = "; use --low and --high" if self.verb == "lr-range" else ""
                raise UserError(f"{strange[0]}: {self.verb} trains no sweep; leave it out{hint}")
            raise strange_word(strange[0], args, list(self._option_string_actions))
        return chosen

    def error(self, message: str) -> NoReturn:
        """Raise the error of wrong arguments, with the usage."""
        raise UserError(f"{message}; {' '.join(self.format_usage().split())}")
