import re

import pytest

from custom.deploy.packaging.bill_of_materials import bill_of_materials, license_of
from custom.deploy.packaging.distributions import (
    declared_packages,
    package_closure,
    top_level_names,
)
from custom.errors import InputError


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Return a function that installs a made package: metadata and the list of its files."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(name, *requires, extras=(), fields="", files=()):
        folder = tmp_path / f"{name.replace('-', '_')}-1.0.dist-info"
        folder.mkdir()
        lines = ["Metadata-Version: 2.4", f"Name: {name}", "Version: 1.0"]
        lines += [f"Requires-Dist: {text}" for text in requires]
        lines += [f"Provides-Extra: {extra}" for extra in extras]
        (folder / "METADATA").write_text("\n".join([*lines, fields, ""]))
        (folder / "RECORD").write_text("".join(f"{file},,\n" for file in files))
        for file in files:  # a newer importlib.metadata lists only what is there
            (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / file).touch()

    return make


def test_requirements_are_followed_with_their_extras_and_for_this_system(install):
    install("made-a", "made_b[fast]>=0.5", "made-windows; sys_platform == 'win32'")
    install(
        "made-b", "made-c; extra == 'fast'", "made-lost; extra == 'slow'", extras=["fast", "slow"]
    )
    install("made-c", "made-a")  # in a circle
    found = package_closure(["Made.A"])
    assert {name: package.needs for name, package in found.items()} == {
        "made-a": {"made-b"},
        "made-b": {"made-c"},
        "made-c": {"made-a"},
    }


@pytest.mark.parametrize("requirements", [["made-a", "made-c"], ["made-c", "made-a"]])
def test_an_extra_counts_whenever_it_is_asked_for(install, requirements):
    install("made-a", "made-b", "made-b[fast]; extra == 'x'", extras=["x"])
    install("made-b", "made-d; extra == 'fast'", "made-c", extras=["fast"])
    install("made-c", "made-a[x]")
    install("made-d")
    assert set(package_closure(requirements)) == {"made-a", "made-b", "made-c", "made-d"}


def test_what_is_not_installed_is_named(install):
    install("made-a", "made-lost>=2")
    with pytest.raises(InputError, match="made-lost is not installed: pip install 'made-lost>=2'"):
        package_closure(["made-a"])


def test_names_of_modules_come_from_the_files(install):
    files = ["one/__init__.py", "two.py", "three.abi3.so", "made_a-1.0.dist-info/RECORD"]
    install("made-a", files=[*files, "../made-command"])
    assert top_level_names(package_closure(["made-a"])["made-a"]) == {"one", "two", "three"}


def test_declared_are_the_core_packages_and_the_required_ones():
    metadata = {"monai_version": "1", "pytorch_version": "2", "numpy_version": "3"}
    metadata["required_packages_version"] = {"scipy": "4"}
    expected = {"monai": "1", "numpy": "3", "scipy": "4", "torch": "2"}
    assert declared_packages(metadata) == expected
    assert list(declared_packages(metadata)) == sorted(expected)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ("License-Expression: BSD-3-Clause AND MIT", [{"expression": "BSD-3-Clause AND MIT"}]),
        ("License: mit", [{"expression": "MIT"}]),
        (
            "License: BSD\nClassifier: License :: OSI Approved :: MIT License",
            [{"license": {"id": "MIT"}}],
        ),
        ("License: Our own terms", [{"license": {"name": "Our own terms"}}]),
        (
            "Classifier: License :: OSI Approved :: BSD License\n"
            "Classifier: License :: OSI Approved :: Apache Software License",
            [
                {"license": {"name": "Apache Software License"}},
                {"license": {"name": "BSD License"}},
            ],
        ),
        ("", []),
    ],
)
def test_a_licence_is_what_the_package_says(install, fields, expected):
    install("made-a", fields=fields)
    assert license_of(package_closure(["made-a"])["made-a"].found) == expected


def test_every_package_is_in_the_bill_with_what_it_needs(install):
    install("made-a", "made-b")
    install("made-b", fields="License: MIT")
    bundle = {
        "id": "b",
        "name": "B",
        "version": "1.2.3",
        "description": "d",
        "license": "Apache-2.0",
    }
    packages = package_closure(["made-a"])
    bill = bill_of_materials(bundle, packages, ["made-a"], {"models/model.pt": "0" * 64})
    assert bill["specVersion"] == "1.6"
    refs = [part["bom-ref"] for part in bill["components"]]
    assert refs == ["models/model.pt", "pkg:pypi/made-a@1.0", "pkg:pypi/made-b@1.0"]
    assert {entry["ref"]: entry["dependsOn"] for entry in bill["dependencies"]} == {
        "b@1.2.3": ["models/model.pt", "pkg:pypi/made-a@1.0"],
        "models/model.pt": [],
        "pkg:pypi/made-a@1.0": ["pkg:pypi/made-b@1.0"],
        "pkg:pypi/made-b@1.0": [],
    }
    assert re.fullmatch(r"urn:uuid:[0-9a-f-]{36}", bill["serialNumber"])
    assert bill == bill_of_materials(bundle, packages, ["made-a"], {"models/model.pt": "0" * 64})
    other = bill_of_materials(bundle, packages, ["made-a"], {"models/model.pt": "1" * 64})
    assert other["serialNumber"] != bill["serialNumber"]


def test_what_the_application_needs_is_told_whether_or_not_it_is_here():
    bundle = dict.fromkeys(("id", "name", "version", "description"), "x")
    bill = bill_of_materials(
        {**bundle, "license": "Apache-2.0"},
        {},
        [],
        {},
        ["not-here==1.2.3", f"pytest=={pytest.__version__}"],
    )
    absent, here = bill["components"]
    assert (absent["purl"], absent["scope"]) == ("pkg:pypi/not-here@1.2.3", "optional")
    assert "licenses" not in absent
    assert here["licenses"] == [{"expression": "MIT"}]
    assert {entry["ref"] for entry in bill["dependencies"]} >= {absent["bom-ref"], here["bom-ref"]}
