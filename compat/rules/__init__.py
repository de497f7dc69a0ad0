"""Column rules: one small lens each, from a target row to a legacy column and back.

`read` goes into views and reverse sync, `write` into triggers, sync and copy; all are pure.
"""

from compat.rules.any_rule import AnyRule
from compat.rules.casts import Cast, Column
from compat.rules.chain import Chain, Computed, mentions
from compat.rules.constant import Constant
from compat.rules.core import NEW, OLD, Converting, Ends, Row, Rule, Value
from compat.rules.delimited import Delimited
from compat.rules.epoch import Epoch
from compat.rules.expression import Expression
from compat.rules.flag import Flag
from compat.rules.json_field import JsonField, pack
from compat.rules.lens import Lens
from compat.rules.lookup import Lookup, Referenced
from compat.rules.text import Text
from compat.rules.value_map import ValueMap

__all__ = [
    "NEW",
    "OLD",
    "AnyRule",
    "Cast",
    "Chain",
    "Column",
    "Computed",
    "Constant",
    "Converting",
    "Delimited",
    "Ends",
    "Epoch",
    "Expression",
    "Flag",
    "JsonField",
    "Lens",
    "Lookup",
    "Referenced",
    "Row",
    "Rule",
    "Text",
    "Value",
    "ValueMap",
    "mentions",
    "pack",
]
