"""Every bundle as an archive, run where there is nothing but the packages that it declares."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from demo_series import demo_scan
from empty_environment import EmptyEnvironment

from custom.bundle.verification.bundle_folder import METADATA
from custom.deploy.packaging import package as module
from custom.deploy.packaging.archive import check_manifest, unpack

pytestmark = pytest.mark.slow

BUNDLES = sorted(
    path.parents[1] for path in Path(__file__).resolve().parents[3].glob(f"bundles/*/{METADATA}")
)


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """The archive of each bundle; whether bundles pass their checks is asked by other tests."""
    folder = tmp_path_factory.mktemp("archives")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "verify_bundle", lambda *_, **__: [])
        for bundle in BUNDLES:
            module.package_bundle(bundle, folder / f"{bundle.name}.zip", application=None)
    return {bundle.name: folder / f"{bundle.name}.zip" for bundle in BUNDLES}


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """A scan of each bundle's small demonstration set."""
    folder = tmp_path_factory.mktemp("scans")
    return {bundle.name: demo_scan(bundle, folder / bundle.name) for bundle in BUNDLES}


@pytest.fixture(scope="module", params=BUNDLES, ids=lambda path: path.name)
def travelled(request, archives, tmp_path_factory):
    """An unpacked bundle, its environment, and a folder that is neither's."""
    folder = tmp_path_factory.mktemp(request.param.name)
    root = unpack(archives[request.param.name], folder)
    lines = (root / "requirements.txt").read_text().splitlines()
    (folder / "elsewhere").mkdir()
    return root, EmptyEnvironment(folder / "environment", lines), folder / "elsewhere"


def run(environment, *arguments, cwd):
    done = environment.run(*arguments, cwd=cwd)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def restored(folder):
    """Return the restored images of a folder by name."""
    files = sorted(folder.glob("*_restored.nii.gz"))
    assert files
    return {path.name: np.asarray(nib.load(path).dataobj) for path in files}


def test_the_environment_is_empty(travelled):
    _, environment, elsewhere = travelled
    program = (
        "import importlib.util as u\n"
        "print([n for n in ('custom', 'pytest', 'hypothesis', 'optuna', 'brukerapi') "
        "if u.find_spec(n)])"
    )
    assert run(environment, "-c", program, cwd=elsewhere).strip() == "[]"


def test_it_runs_by_monais_command_in_its_folder_and_from_python_elsewhere(travelled, scans):
    root, environment, elsewhere = travelled
    scan = str(scans[root.name])
    words = ["--config_file", "configs/inference.json", "--input", scan]
    run(environment, "-m", "monai.bundle", "run", *words, "--output_dir", elsewhere / "a", cwd=root)
    program = (
        "import monai.bundle\n"
        f"config = {str(root / 'configs' / 'inference.json')!r}\n"
        "workflow = monai.bundle.create_workflow(config_file=config, workflow_type='infer', "
        f"input={scan!r}, output_dir='b')\n"
        "workflow.run()\n"
        f"network = monai.bundle.load({root.name!r}, bundle_dir={str(root.parent)!r}, "
        "workflow_type='inference')\n"
        "print(type(network).__module__)\n"
    )
    said = run(environment, "-c", program, cwd=elsewhere)
    package = json.loads((root / "manifest.json").read_text())["code"]["package"]
    assert said.splitlines()[-1].startswith(f"{package}.")
    first, second = restored(elsewhere / "a"), restored(elsewhere / "b")
    assert set(first) == set(second)
    for name, image in first.items():
        np.testing.assert_array_equal(image, second[name])
    check_manifest(root)  # what it ran has changed nothing of it


def test_it_trains_and_evaluates(travelled):
    root, environment, elsewhere = travelled
    program = (
        "import sys, monai.bundle\n"
        "for name, more in {'train': {'max_epochs': 1}, 'evaluate': {}}.items():\n"
        "    files = [f'{sys.argv[1]}/{part}.json' for part in (name, 'tiny')]\n"
        "    monai.bundle.run(config_file=files, output_dir=name, **more)\n"
    )
    run(environment, "-c", program, root / "configs", cwd=elsewhere)
    assert list((elsewhere / "train" / "models").glob("*.pt"))
    assert (elsewhere / "evaluate" / "report.html").stat().st_size > 10_000


def test_bundles_in_one_process_do_not_disturb_each_other(archives, scans, tmp_path):
    """All are made ready, then all run, in both orders; each gives what it gives alone."""
    lines = set()
    for archive in archives.values():
        root = unpack(archive, tmp_path)
        lines |= set((root / "requirements.txt").read_text().splitlines())
    environment = EmptyEnvironment(tmp_path / "environment", sorted(lines))
    given = {name: str(scan) for name, scan in scans.items()}
    program = (
        "import json, sys, monai.bundle\n"
        "flows = [monai.bundle.create_workflow(config_file=name + '/configs/inference.json', "
        f"workflow_type='infer', input={given}[name], output_dir=f'{{sys.argv[1]}}_{{name}}') "
        "for name in sys.argv[2:]]\n"
        "[flow.run() for flow in flows]\n"
        "print(json.dumps([type(flow.network_def).__module__ for flow in flows]))\n"
    )
    names = list(archives)
    alone = {}
    for name in names:
        run(environment, "-c", program, "alone", name, cwd=tmp_path)
        alone[name] = restored(tmp_path / f"alone_{name}")
    for label, order in (("forth", names), ("back", names[::-1])):
        said = run(environment, "-c", program, label, *order, cwd=tmp_path)
        modules = json.loads(said.splitlines()[-1])
        for name, used in zip(order, modules, strict=True):
            assert used.startswith(f"{name}_parts_")
            together = restored(tmp_path / f"{label}_{name}")
            assert set(together) == set(alone[name])
            for file, image in alone[name].items():
                np.testing.assert_array_equal(together[file], image)
