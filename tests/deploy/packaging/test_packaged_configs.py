import json
import sys

import made_bundle
import pytest
import yaml
from monai.bundle import ConfigWorkflow, create_workflow

from custom.deploy.packaging.config_code import code_imports, names_in_configs, renamed_content
from custom.deploy.packaging.packaged_configs import BUNDLE_ROOT, write_config
from custom.deploy.packaging.vendored_code import own_tree, vendor


@pytest.fixture
def packaged(tmp_path, monkeypatch):
    """A bundle's folder with packaged configs and code; what it imports is forgotten afterwards."""
    root = made_bundle.make(tmp_path)
    package = "made_parts_0"
    configs = [root / "configs" / name for name in ("inference.yaml", "early.yaml")]
    content = [yaml.safe_load(path.read_text()) for path in configs]
    vendor(names_in_configs(content, "custom"), root, package)
    imports = code_imports(content, "custom")
    for path in configs:
        write_config(path, root / "configs", own_tree(), package, imports)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield root
    for module in [name for name in sys.modules if name.split(".")[0] == package]:
        del sys.modules[module]


def result(folder):
    return json.loads((folder / "result.json").read_text())


@pytest.mark.parametrize("suffix", [".json", ".yaml"])
@pytest.mark.parametrize("name", ["inference", "inference+early"])
def test_a_config_runs_from_any_folder(packaged, tmp_path, monkeypatch, suffix, name):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    files = [str(packaged / "configs" / f"{part}{suffix}") for part in name.split("+")]
    workflow = create_workflow(config_file=files, workflow_type="infer", logging_file=False)
    workflow.run()
    found = result(packaged / "output")
    assert found == {
        "root": str(packaged),
        "seen": True,
        "split": "made_parts_0.transforms.split_uncertainty",
    }
    assert (packaged / "output" / "early.json").exists() == ("early" in name)
    assert type(workflow.network_def).__name__ == "Conv2d"


def test_a_root_that_is_given_wins(packaged, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "made_parts_0").symlink_to(packaged / "made_parts_0")
    config = str(packaged / "configs" / "inference.json")
    workflow = ConfigWorkflow(config, logging_file=False, bundle_root=str(tmp_path))
    workflow.initialize()
    workflow.run()
    assert result(tmp_path / "output")["root"] == str(tmp_path)
    assert not result(tmp_path / "output")["seen"]


def test_both_forms_say_the_same_and_comments_stay(packaged):
    text = (packaged / "configs" / "inference.yaml").read_text()
    content = json.loads((packaged / "configs" / "inference.json").read_text())
    assert yaml.safe_load(text) == content
    assert "# The smallest inference there is." in text
    # Comments go along with what is renamed; what is no module of ours stays.
    assert "# made_parts_0.files.csv_table is only spoken of, nothing.of.custom.kind too." in text
    assert content["bundle_root"] == BUNDLE_ROOT
    assert content["split"]["_target_"].startswith("made_parts_0.")
    assert "custom" not in json.dumps(content)


def test_names_are_found_in_targets_and_expressions_only():
    content = {
        "a": {"_target_": "custom.losses.mse_ssim.MseSsimLoss", "text": "custom.losses.other"},
        "b": ["$custom.metrics.f(@x::y) + '%d' % 3", "$from custom.files import atomic"],
        "c": "$partial(@net, 'custom.evaluation.drawing')",
        "_target_": "$@kind",
        "d": "custom.engines",
    }
    assert names_in_configs([content], "custom") == {
        "custom.losses.mse_ssim.MseSsimLoss",
        "custom.metrics.f",
        "custom.files.atomic",
        "custom.evaluation.drawing",
    }
    new = renamed_content(content, "custom", "p")
    assert names_in_configs([new], "custom") == set()
    assert new["b"] == ["$p.metrics.f(@x::y) + '%d' % 3", "$from p.files import atomic"]
    assert new["a"]["text"] == "custom.losses.other"
    assert renamed_content(new, "p", "custom") == content


def test_what_cannot_be_packaged_is_refused(tmp_path):
    with pytest.raises(ValueError, match="means"):
        code_imports([{"a": "$from custom.a import f"}, {"a": "$from custom.b import f"}], "custom")
    with pytest.raises(ValueError, match=r"a: .*is no expression"):
        names_in_configs([{"a": "$custom.f(("}], "custom")
    source = tmp_path / "odd.yaml"
    source.write_text("1: a\n")
    with pytest.raises(ValueError, match="JSON cannot"):
        write_config(source, tmp_path, own_tree(), "p", [])
