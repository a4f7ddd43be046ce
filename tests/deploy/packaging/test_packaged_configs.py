import json
import sys

import made_bundle
import pytest
import yaml
from monai.bundle import ConfigWorkflow, create_workflow

from custom.deploy.packaging.packaged_configs import (
    BUNDLE_ROOT,
    code_imports,
    modules_in_configs,
    packaged_content,
    write_config,
)
from custom.deploy.packaging.vendored_code import own_tree


@pytest.fixture
def packaged(tmp_path, monkeypatch):
    """A bundle's folder with packaged configs and code; what it imports is forgotten afterwards."""
    root = made_bundle.make(tmp_path)
    tree = own_tree()
    configs = [root / "configs" / name for name in ("inference.yaml", "early.yaml")]
    content = [yaml.safe_load(path.read_text()) for path in configs]
    package = tree.copy(tree.reached(modules_in_configs(content, tree)), root, "made_parts")
    imports = code_imports(content, tree)
    for path in configs:
        write_config(path, root / "configs", tree, package, imports)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield root, package
    for module in [name for name in sys.modules if name.split(".")[0] == package]:
        del sys.modules[module]


def result(folder):
    return json.loads((folder / "result.json").read_text())


@pytest.mark.parametrize("suffix", [".json", ".yaml"])
@pytest.mark.parametrize("name", ["inference", "inference+early"])
def test_a_config_runs_from_any_folder(packaged, tmp_path, monkeypatch, suffix, name):
    packaged, package = packaged
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    files = [str(packaged / "configs" / f"{part}{suffix}") for part in name.split("+")]
    workflow = create_workflow(config_file=files, workflow_type="infer", logging_file=False)
    workflow.run()
    found = result(packaged / "output")
    assert found == {
        "root": str(packaged),
        "seen": True,
        "split": f"{package}.transforms.split_deviations",
    }
    assert (packaged / "output" / "early.json").exists() == ("early" in name)
    assert type(workflow.network_def).__name__ == "Conv2d"


def test_a_root_that_is_given_wins(packaged, tmp_path, monkeypatch):
    packaged, package = packaged
    monkeypatch.chdir(tmp_path)
    (tmp_path / package).symlink_to(packaged / package)
    config = str(packaged / "configs" / "inference.json")
    workflow = ConfigWorkflow(config, logging_file=False, bundle_root=str(tmp_path))
    workflow.initialize()
    workflow.run()
    assert result(tmp_path / "output")["root"] == str(tmp_path)
    assert not result(tmp_path / "output")["seen"]


def test_both_forms_say_the_same_and_comments_stay(packaged):
    packaged, package = packaged
    text = (packaged / "configs" / "inference.yaml").read_text()
    content = json.loads((packaged / "configs" / "inference.json").read_text())
    assert yaml.safe_load(text) == content
    assert "# The smallest inference there is." in text
    # Comments go along with what is renamed; what is no module of ours stays.
    assert f"# {package}.files.csv_table is only spoken of, nothing.of.custom.kind too." in text
    assert content["bundle_root"] == BUNDLE_ROOT
    assert content["split"]["_target_"].startswith(f"{package}.")
    assert "custom" not in json.dumps(content)


def test_modules_are_found_in_targets_and_expressions_only():
    content = {
        "a": {"_target_": "custom.losses.mse_ssim.MseSsimLoss", "text": "custom.losses.terms"},
        "b": ["$custom.metrics.f(@x::y) + '%d' % 3", "$from custom.files import atomic"],
        "c": "$partial(@net,\n'custom.report.html_report')",
        "_target_": "$@kind",
        "d": "custom.engines",
        "bundle_root": "elsewhere",
    }
    modules = {"losses.mse_ssim", "metrics", "files.atomic", "report.html_report"}
    assert modules_in_configs([content], own_tree()) == {f"custom.{name}" for name in modules}
    new = packaged_content(content, own_tree(), "p", [])
    assert new["a"]["_target_"] == "p.losses.mse_ssim.MseSsimLoss"
    assert new["b"] == ["$p.metrics.f(@x::y) + '%d' % 3", "$from p.files import atomic"]
    assert new["c"] == "$partial(@net,\n'p.report.html_report')"
    assert new["initialize"][1:] == ["$from p.files import atomic"]


def test_what_cannot_be_packaged_is_refused(tmp_path):
    two = ("$from custom.errors import f", "$from custom.versions import f")
    with pytest.raises(ValueError, match="means"):
        code_imports([{"a": line} for line in two], own_tree())
    source = tmp_path / "odd.yaml"
    source.write_text("1: a\n")
    with pytest.raises(ValueError, match="JSON cannot"):
        write_config(source, tmp_path, own_tree(), "p", [])
