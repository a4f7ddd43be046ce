import ast
import importlib
import shutil
import sys
from pathlib import Path

import made_package
import pytest

from custom.bundle.verification.bundle_folder import METADATA, BundleFolder
from custom.deploy.packaging.packaged_configs import modules_in_configs
from custom.deploy.packaging.vendored_code import SourceTree, own_tree

BUNDLES = sorted(
    path.parents[1] for path in Path(__file__).resolve().parents[3].glob(f"bundles/*/{METADATA}")
)
SOURCE = '''"""Text on shop.goods is changed as code is, é too; shop.nothing and shop stay."""
import shop.goods.apple as fruit, os, shop.late
from \\
    shop.goods import pear
import shops, myshop.late
é = "ü"; from shop.start import late
x = other.shop.late, "shop.goods", "shop", shop.goods.apple.value
loader = PackageLoader(\'shop.pages\', "shop.late")
'''


@pytest.fixture
def tree(tmp_path):
    return SourceTree(made_package.make(tmp_path))


@pytest.fixture(params=BUNDLES, ids=lambda path: path.name)
def reached(request, tmp_path):
    """The modules that the configs of a bundle name, and all that these reach."""
    folder = BundleFolder(request.param, tmp_path / "work")
    named = modules_in_configs(folder.configs.values(), own_tree())
    return named, own_tree().reached(named)


@pytest.fixture
def importing(tmp_path, monkeypatch):
    """A folder that modules can be imported from; they are forgotten afterwards."""
    folder = tmp_path / "copies"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    before = set(sys.modules)
    yield folder
    for module in set(sys.modules) - before:
        del sys.modules[module]


def imports_of(folder):
    """Return what each module of a package imports; written apart from the code."""
    found = {}
    for path in folder.rglob("*.py"):
        parts = path.relative_to(folder.parent).with_suffix("").parts
        names = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = names
    return found


def test_exactly_what_is_reached_is_found(tree):
    modules = tree.reached(["shop.start.late"])
    assert set(modules) == made_package.REACHED
    assert tree.outside_imports(modules) == {"json": "shop.start", "pathlib": "shop.by_name"}
    with pytest.raises(ValueError, match=r"shop\.nothing is in no module"):
        tree.reached(["shop.nothing"])


def test_a_folder_without_init_is_no_package(tmp_path):
    with pytest.raises(ValueError, match="root must be"):
        SourceTree(tmp_path)


def test_renaming_changes_what_names_a_module_and_nothing_else(tree):
    new = tree.renamed(SOURCE, "parts")
    ast.parse(new)
    assert new.replace("parts.", "shop.") == SOURCE
    assert {line for line in new.splitlines() if "shop" in line} == {
        '"""Text on parts.goods is changed as code is, é too; shop.nothing and shop stay."""',
        "import shops, myshop.late",
        'x = other.shop.late, "parts.goods", "shop", parts.goods.apple.value',
        """loader = PackageLoader('shop.pages', "parts.late")""",
    }
    assert "    parts.goods import pear" in new


def test_copies_of_one_package_share_nothing(tree, importing):
    names = [tree.copy(tree.reached(["shop.start"]), importing, name) for name in ("1-b", "a.b")]
    first, second = (importlib.import_module(f"{name}.start") for name in names)
    assert first.apple.value == second.apple.value == 2
    first.apple.state.append(1)
    assert second.apple.state == []
    assert first.late() == "late"
    assert first.by_name() == "<p>one</p>"
    assert "shop" not in sys.modules
    files = {path.name for path in (importing / names[0]).rglob("*") if path.is_file()}
    assert {"one.html", "two.css"} <= files
    assert "three.css" not in files


def test_a_name_goes_with_the_contents(tree, tmp_path):
    def name():
        again = SourceTree(tree.root)
        return again.copy(again.reached(["shop.start"]), tmp_path, "a-b")

    first = name()
    assert first.startswith("a_b_")
    (tree.root / "goods" / "unused" / "__init__.py").write_text("changed = 1\n")
    assert name() == first
    (tree.root / "pages" / "one.html").write_text("changed")
    second = name()
    shutil.move(tree.root / "late.py", tree.root / "later.py")
    (tree.root / "start.py").write_text("from shop import later\n")
    assert len({first, second, name()}) == 3


def test_every_import_of_ours_can_be_followed():
    """What :class:`SourceTree` takes for granted of this package."""
    tree = own_tree()
    assert tree.reached(tree.modules) == sorted(tree.modules)
    for module, names in imports_of(tree.root).items():
        for node in ast.walk(ast.parse(tree.modules[module].read_text())):
            assert not (isinstance(node, ast.ImportFrom) and node.level), module
            if isinstance(node, ast.JoinedStr) and isinstance(node.values[0], ast.Constant):
                assert not str(node.values[0].value).startswith("custom."), module
        missing = {
            name for name in names if name.startswith("custom.") and not tree.module_of(name)
        }
        assert not missing, module


def test_what_a_bundle_reaches_is_copied_and_no_module_can_be_missed(reached, tmp_path):
    named, modules = reached
    package = own_tree().copy(modules, tmp_path, "parts")
    imports = imports_of(tmp_path / package)
    assert set(imports) == {package + name.removeprefix("custom") for name in modules}
    assert len(modules) < len(own_tree().modules)  # not simply everything
    needed = {package + name.removeprefix("custom") for name in named}.union(*imports.values())
    for module in imports:  # itself, or something in it
        assert any(name == module or name.startswith(f"{module}.") for name in needed), module
    assert not any(name.split(".")[0] == "custom" for name in needed)


@pytest.mark.slow
def test_every_module_of_the_copy_can_be_imported(reached, importing):
    package = own_tree().copy(reached[1], importing, "parts")
    for module in reached[1]:
        importlib.import_module(package + module.removeprefix("custom"))
