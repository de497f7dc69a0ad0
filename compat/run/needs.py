"""What applications need of the legacy table, against what each form of the view gives them.

The needs come from `compat-codemod scan --json`; docs/codemod.md describes its fields.
"""

from __future__ import annotations

import json
from collections.abc import Mapping as Document
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from compat.errors import CompatError
from compat.fidelity import Behaviour, find_of, is_known
from compat.mapping import Form, Mapping

_VERSION: Final = 1
_NOT_SERVED: Final = "not possible"


@dataclass(frozen=True)
class Served:
    """What one form of the view gives those who need a behaviour."""

    form: Form
    behaviour: Behaviour


@dataclass(frozen=True)
class Need:
    """A behaviour that applications use.

    :param places: where, as `path:line`
    :param fix: how to do without it
    :param served: one for each form that the mapping can have
    """

    behaviour: str
    places: tuple[str, ...]
    fix: str
    served: tuple[Served, ...]

    def is_served(self, form: Form) -> bool:
        """Whether a form gives it, perhaps with a note."""
        return all(
            item.behaviour.verdict != _NOT_SERVED for item in self.served if item.form == form
        )


@dataclass(frozen=True)
class Needs:
    """All behaviours that applications use, in the order of the scan.

    :param form: the one that the plan is for
    :param serving: the forms that serve everything
    """

    form: Form
    needs: tuple[Need, ...]
    serving: tuple[Form, ...]

    @property
    def not_served(self) -> tuple[Need, ...]:
        """What the form of the plan does not give."""
        return tuple(need for need in self.needs if not need.is_served(self.form))


def read(path: Path, mapping: Mapping, server_version: int | None = None) -> Needs:
    """Return what a scan found for the table of a mapping.

    :param path: the JSON that `compat-codemod scan --json` printed
    :param server_version: PostgreSQL's major version, as in 15; that of the scan if not given
    :raises CompatError: it cannot be read, is no such document, or is about other tables
    """
    document = _document(path)
    try:
        names = {
            entry["name"]
            for entry in document["mappings"]
            if entry["name"] == mapping.name or entry["table"] == mapping.legacy.title
        }
        if not names:
            raise CompatError(
                f"{path} says nothing of {mapping.legacy.title}",
                f"scan with the mapping {mapping.name!r}",
            )
        uses = [use for use in document["uses"] if use["mapping"] in names]
        version = server_version or document["server_version"]
        needs = tuple(
            _need(mapping, behaviour, [u for u in uses if u["behaviour"] == behaviour], version)
            for behaviour in dict.fromkeys(use["behaviour"] for use in uses)
        )
    except (KeyError, TypeError) as error:
        raise CompatError(f"{path} is no result of a scan ({error})", _HINT) from None
    serving = tuple(
        form for form in possible_forms(mapping) if all(need.is_served(form) for need in needs)
    )
    return Needs(mapping.chosen_form, needs, serving)


def possible_forms(mapping: Mapping) -> tuple[Form, ...]:
    """Return the forms that a mapping can have; no bridge where nothing converts.

    The last is the one that leaves the legacy table what it is.
    """
    forms: list[Form] = ["instead_of"]
    if not mapping.reasons_against_updatable:
        forms.insert(0, "updatable")
    elif not mapping.reasons_against_bridged:
        forms.insert(0, "bridged")
    if not mapping.reasons_against_reversed:
        forms.append("reversed")
    return tuple(forms)


_HINT: Final = "give what `compat-codemod scan PATH --mapping FILE --json` printed"


def _document(path: Path) -> Document[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CompatError(f"cannot read {path}: {error.strerror}", _HINT) from None
    except ValueError as error:
        raise CompatError(f"{path} is no JSON: {error}", _HINT) from None
    if not isinstance(document, dict) or document.get("version") != _VERSION:
        raise CompatError(f"{path} is no result of a scan of version {_VERSION}", _HINT)
    return document


def _need(
    mapping: Mapping, behaviour: str, uses: list[dict[str, Any]], server_version: int | None
) -> Need:
    if not is_known(behaviour):
        raise CompatError(
            f"the scan speaks of {behaviour!r}, which is none of the plan's behaviours",
            "scan again with the same version of this toolkit",
        )
    return Need(
        behaviour,
        tuple(f"{use['path']}:{use['line']}" for use in uses),
        str(uses[0]["fix"]),
        tuple(
            Served(form, find_of(behaviour, replace(mapping, form=form), server_version))
            for form in possible_forms(mapping)
        ),
    )
