import made_package
import pytest

from custom.deploy.packaging.code_closure import PackageTree, code_closure
from custom.deploy.packaging.vendored_code import own_tree


@pytest.fixture
def tree(tmp_path):
    return PackageTree(made_package.make(tmp_path))


def test_exactly_what_is_reached_is_found(tree):
    closure = code_closure(["shop.start.late"], tree)
    assert set(closure.modules) == made_package.REACHED
    assert {file.name for file in closure.data} == {"one.html", "two.css"}
    assert closure.outside_imports == {
        "typing": "shop.start",
        "json": "shop.start",
        "pathlib": "shop.by_name",
    }


def test_a_name_that_leads_nowhere_is_refused(tree):
    with pytest.raises(ValueError, match=r"shop\.nothing is in no module"):
        code_closure(["shop.nothing"], tree)
    (tree.root / "late.py").write_text("from shop.lost.away import x\n")
    with pytest.raises(ValueError, match=r"shop\.late: shop\.lost\.away\.x does not exist"):
        code_closure(["shop.start"], tree)


def test_a_folder_without_init_is_no_package(tmp_path):
    with pytest.raises(ValueError, match="root must be"):
        PackageTree(tmp_path)


def test_the_pages_of_the_report_are_found_by_how_they_are_loaded():
    closure = code_closure(["custom.report.html_report.write_report"], own_tree())
    templates = {path.name for path in (own_tree().root / "report" / "templates").iterdir()}
    assert templates == {file.name for file in closure.data}


def test_every_module_of_ours_can_be_followed():
    tree = own_tree()
    assert set(code_closure(tree.modules, tree).modules) == set(tree.modules)
