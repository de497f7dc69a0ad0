"""The rules that a mapping may hold; the JSON field `rule` says which one."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import rebuild_dataclass

from compat.rules.casts import Cast, Column
from compat.rules.chain import Chain
from compat.rules.constant import Constant
from compat.rules.delimited import Delimited
from compat.rules.epoch import Epoch
from compat.rules.expression import Expression
from compat.rules.flag import Flag
from compat.rules.json_field import JsonField
from compat.rules.lookup import Lookup
from compat.rules.text import Text
from compat.rules.value_map import ValueMap

AnyRule = Annotated[
    Column
    | Cast
    | Text
    | ValueMap
    | Epoch
    | Flag
    | Lookup
    | JsonField
    | Delimited
    | Constant
    | Expression
    | Chain,
    Field(discriminator="rule"),
]

# A chain holds rules itself, which could not be named before.
rebuild_dataclass(
    Chain,  # type: ignore[arg-type]
    force=True,
    _types_namespace={"AnyRule": AnyRule},
)
