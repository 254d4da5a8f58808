"""Errors that a user can act on: what was given, what was expected, what to do."""

import difflib
import importlib
from collections.abc import Iterable
from types import ModuleType

PACKAGES = {"speechmos.dnsmos": "speechmos"}  # by module
MOS = ("distillmos", "torch")  # of the extra `mos`
MOST_LISTED = 25  # names in a message


class InputError(ValueError):
    """Input that cannot be used. The command line prints the message and exits with status 2."""


def one_of(what: str, given: str, choices: Iterable[str]) -> InputError:
    """Return the error for a name that is not one of `choices`, with the nearest ones first.

    Of more than `MOST_LISTED` and a few, the shortest are listed.
    """
    choices = [str(choice) for choice in choices]
    near = difflib.get_close_matches(str(given), choices, n=3, cutoff=0.3)
    rest = [choice for choice in choices if choice not in near]
    few = len(choices) <= MOST_LISTED + 5  # names that are hidden are more than the words for them
    listed = near + rest if few else (near + sorted(rest, key=len))[:MOST_LISTED]
    more = f" and {len(choices) - len(listed)} more" if len(choices) > len(listed) else ""
    hint = f"did you mean {near[0]!r}? " if near else ""
    return InputError(f"no {what} {given!r}: {hint}there are {', '.join(listed)}{more}")


def import_optional(module: str) -> ModuleType:
    """Import a module of the extra `eval` or `mos`.

    Raises:
        InputError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package, extra = PACKAGES.get(module, module), "mos" if module in MOS else "eval"
        raise InputError(
            f"the package {package} is not installed ({error.name} is missing): "
            f"pip install -e .[{extra}]"
        ) from error
