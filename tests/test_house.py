"""The layers of the house, as CONTRIBUTING.md, "Where a line belongs", lists them."""

import ast
from pathlib import Path

import custom

HOUSE = Path(custom.__file__).parent
LAYERS = (
    {"errors", "versions"},
    {"setting_checks"},
    {"files"},
    {"physics"},
    {"networks"},
    {"losses", "metrics", "transforms"},
    {"data"},
    {"inferers", "engines", "bundle"},
    {"handlers"},
    {"evaluation"},
    {"report"},
    {"analysis"},
    {"demo"},
    {"tuning", "deploy"},
    {"verbs"},
    {"cli"},
)
LEVEL = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}
# Their sub-rooms are studies: each imports itself and what all share, never another study.
ROOMS_OF_STUDIES = {"analysis", "demo"}


def imported(file):
    """Return the parts of every module of ``custom`` that a file imports, without ``custom``."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "custom":
            yield from ([*node.module.split("."), name.name][1:] for name in node.names)
        elif isinstance(node, ast.Import):
            names = [name.name.split(".") for name in node.names]
            yield from (parts[1:] for parts in names if parts[0] == "custom" and parts[1:])


def test_a_room_imports_only_the_layers_below_it():
    files = [file for file in HOUSE.rglob("*.py") if file.parent != HOUSE or file.stem in LEVEL]
    wrong = []
    for file in files:
        room, *inner = file.relative_to(HOUSE).with_suffix("").parts
        for other, *target in imported(file):
            if other != room and LEVEL[other] >= LEVEL[room]:
                wrong.append(f"{file.relative_to(HOUSE)} imports {other}")
            study, other_study = (
                HOUSE / room / part[0] for part in (inner or [""], target or [""])
            )
            if other == room in ROOMS_OF_STUDIES and other_study.is_dir() and other_study != study:
                wrong.append(f"{file.relative_to(HOUSE)} imports {room}/{other_study.name}")
    assert len(files) > 100
    assert not wrong


def test_every_room_has_a_layer():
    rooms = {path.name for path in HOUSE.iterdir() if (path / "__init__.py").is_file()}
    assert rooms <= set(LEVEL)


def lines_of(part):
    """Return the lines of a function without its head and docstring."""
    body = part.body[ast.get_docstring(part) is not None :]
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


def test_no_file_has_more_than_300_lines_and_no_function_more_than_40():
    long = {}
    for file in HOUSE.rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        parts = ast.walk(ast.parse(text))
        functions = (part for part in parts if isinstance(part, ast.FunctionDef))
        sizes = {f"{file.relative_to(HOUSE)} {part.name}": lines_of(part) for part in functions}
        long |= {name: size for name, size in sizes.items() if size > 40}
        if (size := text.count("\n")) > 300:
            long[str(file.relative_to(HOUSE))] = size
    assert not long


def test_no_folder_has_more_than_fifteen_modules():
    rooms = [path.parent for path in HOUSE.rglob("__init__.py")]
    sizes = {room: len(list(room.glob("*.py"))) - 1 for room in rooms}
    assert not {room.relative_to(HOUSE): size for room, size in sizes.items() if size > 15}
