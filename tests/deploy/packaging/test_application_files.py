import ast
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from custom.deploy.packaging.application_files import APPLICATION, DEPLOY_PINS, write_application
from custom.deploy.packaging.distributions import (
    declared_packages,
    package_closure,
    top_level_names,
)
from custom.deploy.packaging.vendored_code import own_tree
from custom.errors import InputError

REPOSITORY = Path(__file__).resolve().parents[3]
BUNDLES = sorted(path.parents[1] for path in REPOSITORY.glob("bundles/*/configs/metadata.json"))
# A module that needs no SDK, with something to run.
STAND_IN = "custom.cli"


def metadata_of(bundle):
    return json.loads((bundle / "configs" / "metadata.json").read_text())


@pytest.fixture
def app(tmp_path):
    folder = tmp_path / "app"
    write_application(folder, metadata_of(BUNDLES[0]), "some_bundle")
    return folder


def test_the_program_starts_the_copied_application(app):
    source = (app / "__main__.py").read_text()
    (name,) = [
        node.module for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)
    ]
    assert re.fullmatch(r"some_bundle_app_[0-9a-f]{8}\.deploy\.application", name)
    assert app.joinpath(*name.split(".")).with_suffix(".py").is_file()
    assert "def main(" in app.joinpath(*name.split(".")).with_suffix(".py").read_text()


def test_a_stand_in_runs_from_the_folder_alone(tmp_path):
    write_application(tmp_path / "app", metadata_of(BUNDLES[0]), "b", STAND_IN)
    program = "import runpy, sys; sys.argv = ['app', 'verify']; sys.modules['custom'] = None\n"
    program += f"runpy.run_path({str(tmp_path / 'app')!r}, run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 2, done.stderr[-2000:]
    assert "STUDY" in done.stderr


def test_the_pins_are_those_of_the_extra():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert sorted(project["optional-dependencies"]["deploy"]) == sorted(DEPLOY_PINS)
    frozen = (REPOSITORY / "constraints-deploy.txt").read_text().splitlines()
    assert set(DEPLOY_PINS) <= set(frozen)


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)
def test_what_the_application_imports_is_required(bundle, tmp_path):
    metadata = metadata_of(bundle)
    write_application(tmp_path, metadata, bundle.name)
    lines = (tmp_path / "requirements.txt").read_text().splitlines()
    declared = declared_packages(metadata)
    assert {f"{name}=={version}" for name, version in declared.items()} | set(DEPLOY_PINS) == set(
        lines
    )
    assert len({line.split("==")[0] for line in lines}) == len(lines)
    brought = {
        name for part in package_closure(declared).values() for name in top_level_names(part)
    }
    imported = set(own_tree().outside_imports(own_tree().reached([APPLICATION])))
    assert imported <= brought | sys.stdlib_module_names | {"pydicom", "highdicom", "gdcm"}


def test_the_configuration_is_what_the_packager_asks_for(app):
    config = yaml.safe_load((app / "app.yaml").read_text())
    metadata = metadata_of(BUNDLES[0])
    assert config["application"]["version"] == metadata["version"]
    assert config["application"]["title"] == f"{metadata['name']} (research use only)"
    assert set(config["resources"]) == {"cpu", "gpu", "memory", "gpuMemory"}


def test_an_application_that_cannot_be_followed_is_one_line(tmp_path):
    with pytest.raises(InputError, match=r"cannot be packaged: custom\.nothing is in no module"):
        write_application(tmp_path, metadata_of(BUNDLES[0]), "b", "custom.nothing")


@pytest.mark.deploy
def test_the_packager_gets_as_far_as_the_container_engine(tmp_path):
    """All it makes before the image: the manifests, the requirements and the Dockerfile."""
    command = shutil.which("monai-deploy", path=Path(sys.executable).parent)
    if command is None:
        pytest.skip("needs the MONAI Deploy SDK")
    bundle = BUNDLES[0]
    metadata = metadata_of(bundle)
    root = tmp_path / "models" / bundle.name
    shutil.copytree(bundle / "configs", root / "configs")
    write_application(root / "app", metadata, bundle.name)
    platforms = ("igpu", "dgpu", "cpu")
    about = {
        "wheel-version": "4.2.0",
        "debian-version": "4.2.0",
        "base-images": dict.fromkeys(platforms, "base/image:tag"),
        "build-images": {name: {"x64-workstation": "base/build:tag"} for name in platforms},
    }
    source = tmp_path / "source.json"
    probes = {"x86_64": "https://localhost/probe"}
    source.write_text(json.dumps({"4.2.0": {"holoscan": about, "health-probes": probes}}))
    words = ["--config", root / "app" / "app.yaml", "--models", tmp_path / "models"]
    words += ["--platform", "x86_64", "--tag", f"made:{metadata['version']}"]
    words += ["--uid", "1000", "--gid", "1000", "--source", source, "--log-level", "DEBUG"]
    done = subprocess.run(
        [command, "package", root / "app", *words],
        env={"PATH": str(tmp_path)},  # no container engine
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout + done.stderr
    assert "The binary 'docker' could not be found" in said, said[-3000:]
    assert f"'models': {{'{bundle.name}': " in said
    assert f'title="{metadata["name"]} (research use only)"' in said
    assert "COPY ./app /opt/holoscan/app" in said
    assert "'command': '[\"python3\", \"/opt/holoscan/app\"]'" in said
    assert "DICOM MR series" in said
