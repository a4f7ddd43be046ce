import ast
import importlib
import shutil
import sys
from pathlib import Path

import made_package
import pytest

from custom.bundle.verification.bundle_folder import METADATA, BundleFolder
from custom.deploy.packaging.code_closure import PackageTree, code_closure
from custom.deploy.packaging.config_code import names_in_configs
from custom.deploy.packaging.vendored_code import (
    own_tree,
    vendor,
    vendored_name,
    write_closure,
)

BUNDLES = sorted(
    path.parents[1] for path in Path(__file__).resolve().parents[3].glob(f"bundles/*/{METADATA}")
)


def imports_of(folder):
    """Return what each module of a copied package imports of it; written apart from the code."""
    found = {}
    for path in folder.rglob("*.py"):
        parts = path.relative_to(folder.parent).with_suffix("").parts
        names = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        inside = {name for name in names if name.split(".")[0] == folder.name}
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = inside
    return found


def reached(bundle, tmp_path):
    folder = BundleFolder(bundle, tmp_path / "work")
    return names_in_configs(folder.configs.values(), "custom")


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)
def test_what_a_bundle_reaches_is_copied_and_no_module_can_be_missed(bundle, tmp_path):
    names = reached(bundle, tmp_path)
    modules = set(vendor(names, tmp_path, "parts"))
    imports = imports_of(tmp_path / "parts")
    assert set(imports) == modules
    assert len(modules) < len(own_tree().modules)  # not simply everything
    targets = {"parts" + name.removeprefix("custom") for name in names}
    needed = targets.union(*imports.values())
    for module in modules:  # itself, or something in it
        assert any(name == module or name.startswith(f"{module}.") for name in needed), module


@pytest.mark.slow
@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)
def test_every_module_of_the_copy_can_be_imported(bundle, tmp_path, monkeypatch):
    names = reached(bundle, tmp_path)
    modules = vendor(names, tmp_path, "parts")
    monkeypatch.syspath_prepend(str(tmp_path))
    try:
        for module in modules:
            importlib.import_module(module)
    finally:
        for module in [name for name in sys.modules if name.split(".")[0] == "parts"]:
            del sys.modules[module]


def test_copies_of_one_package_share_nothing(tmp_path, monkeypatch):
    tree = PackageTree(made_package.make(tmp_path))
    closure = code_closure(["shop.start"], tree)
    monkeypatch.syspath_prepend(str(tmp_path / "copies"))
    before = set(sys.modules)
    try:
        for name in ("first", "second"):
            modules = write_closure(closure, tmp_path / "copies", name)
            assert all(module.split(".")[0] == name for module in modules)
        first, second = (importlib.import_module(f"{name}.start") for name in ("first", "second"))
        assert first.apple.value == second.apple.value == 2
        first.apple.state.append(1)
        assert second.apple.state == []
        assert first.late() == "late"
        assert first.by_name() == "<p>one</p>"
        assert not any(module.split(".")[0] == "shop" for module in set(sys.modules) - before)
    finally:
        for module in set(sys.modules) - before:
            del sys.modules[module]


def test_a_name_goes_with_the_contents(tmp_path):
    root = made_package.make(tmp_path)
    name = vendored_name("a-b", code_closure(["shop.start"], PackageTree(root)))
    assert name.isidentifier()
    assert name.startswith("a_b_")
    (root / "goods" / "unused.py").write_text("changed = 1\n")
    assert vendored_name("a-b", code_closure(["shop.start"], PackageTree(root))) == name
    (root / "pages" / "one.html").write_text("changed")
    other = vendored_name("a-b", code_closure(["shop.start"], PackageTree(root)))
    assert other != name
    shutil.move(root / "late.py", root / "later.py")
    (root / "start.py").write_text("from shop import later\n")
    assert vendored_name("a-b", code_closure(["shop.start"], PackageTree(root))) != other


def test_a_name_that_cannot_be_imported_is_refused(tmp_path):
    with pytest.raises(ValueError, match="package must be a name"):
        vendor(["custom.errors"], tmp_path, "a-b")
