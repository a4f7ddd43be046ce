import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custom.deploy.packaging.code_mentions import find_mentions, rename

SOURCE = '''"""Text on custom.report stays as it is, é too."""
from __future__ import annotations
import custom.evaluation.drawing as figures, os, custom.losses
from custom.files import atomic
from custom.files import csv_table
from \\
    custom.errors import InputError
import customs, mycustom.thing
if TYPE_CHECKING:
    from custom.engines import trainer
é = "ü"; from custom.inferers.tile_layout import Tile
def inner():
    from custom.handlers import checkpoint
    return custom.losses.mse(custom.metrics.x.y), "custom.report", other.custom.report, "custom"
loader = PackageLoader('custom.report', "templates")
name.startswith("custom.")
'''


def renamed(source, new="parts"):
    return rename(source, find_mentions(source, "custom"), "custom", new)


def test_every_way_to_name_a_module_is_found_and_nothing_else():
    found = {
        (name, mention.kind)
        for mention in find_mentions(SOURCE, "custom")
        for name in mention.names
    }
    assert found == {
        ("custom.evaluation.drawing", "import"),
        ("custom.losses", "import"),
        ("custom.files.atomic", "import"),
        ("custom.files.csv_table", "import"),
        ("custom.errors.InputError", "import"),
        ("custom.engines.trainer", "typing"),
        ("custom.inferers.tile_layout.Tile", "import"),
        ("custom.handlers.checkpoint", "import"),
        ("custom.losses.mse", "attribute"),
        ("custom.metrics.x.y", "attribute"),
        ("custom.report", "text"),
        ("custom.", "text"),
    }


def test_renaming_changes_names_and_nothing_else():
    kept = {
        "custom.report stays",
        "import customs, mycustom.thing",
        "other.custom.report",
        '"custom"',
    }
    new = renamed(SOURCE)
    assert all(text in new for text in kept)
    # Each name is changed, and nothing but it: with the old names put back the source is as it was.
    assert find_mentions(new, "custom") == []
    assert len(find_mentions(new, "parts")) == len(find_mentions(SOURCE, "custom"))
    assert rename(new, find_mentions(new, "parts"), "parts", "custom") == SOURCE
    ast.parse(new)


@given(st.text(alphabet="aé漢😀 ", max_size=8), st.sampled_from(["p", "a_longer_name_than_it_was"]))
def test_positions_are_of_characters_whatever_stands_before(text, new):
    source = f'x = "{text}", custom.a.b, "custom.c"; import custom.d\n'
    assert renamed(source, new) == f'x = "{text}", {new}.a.b, "{new}.c"; import {new}.d\n'


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ('import_module(f"custom.{name}")', "made at run time"),
        ("from . import sibling", "relative import"),
    ],
)
def test_what_cannot_be_followed_is_refused(source, says):
    with pytest.raises(ValueError, match=says):
        find_mentions(source, "custom")


def test_a_wrong_position_is_refused():
    with pytest.raises(ValueError, match="does not stand"):
        rename("import mine.a", find_mentions("import custom.a", "custom"), "custom", "x")
