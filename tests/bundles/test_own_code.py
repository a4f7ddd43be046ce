"""A bundle brings its own code, and no shared room knows of it (CONTRIBUTING.md, rule 3)."""

import json
import re

import fourth_study
import pytest
import yaml

from custom.bundle.metadata_entries import result_maps
from custom.bundle.verification.bundle_folder import METADATA, BundleFolder
from custom.deploy.packaging.packaged_configs import modules_in_configs
from custom.deploy.packaging.vendored_code import own_tree

BUNDLES = sorted(
    path.parents[1] for path in (fourth_study.REPOSITORY / "bundles").glob(f"*/{METADATA}")
)
# Rooms with a sub-room a subject, and rooms whose modules a config names for its study alone.
SUBJECTS = ("analysis", "demo", "physics")
SCIENCE = (*SUBJECTS, "networks", "losses", "inferers", "evaluation", "report")
# Rooms to which a new study adds no line; the one bundle in them is what `mri-bundles demo` shows.
SHARED = ("files", "evaluation", "report", "deploy", "tuning", "bundle", "verbs")
DEFAULT = ("verbs/story.py", "micro_mri_denoise")


@pytest.fixture(scope="module")
def named(tmp_path_factory):
    """The modules that the configs of each bundle name, and of a fourth that needs little."""
    work = tmp_path_factory.mktemp("work")
    folders = [*BUNDLES, fourth_study.write(work)]
    configs = {root.name: BundleFolder(root, work).configs.values() for root in folders}
    return {name: modules_in_configs(content, own_tree()) for name, content in configs.items()}


def room(module):
    return module.split(".")[1] if "." in module else ""


def sub_room(module):
    """Return the name of the sub-room that a module lies in, if any."""
    parts = module.split(".")[:3]
    is_folder = own_tree().modules[".".join(parts)].name == "__init__.py"
    return parts[2] if len(parts) == 3 and is_folder else None


def subject(module):
    """Return the subject whose sub-room a module lies in, if any."""
    return sub_room(module) if room(module) in SUBJECTS else None


@pytest.mark.parametrize("name", [*(path.name for path in BUNDLES), fourth_study.NAME])
def test_an_archive_holds_no_module_of_another_study(name, named):
    mine = named[name]
    others = [names for other, names in named.items() if other != name]
    of_one_other = {
        module
        for module in set().union(*others) - mine
        if room(module) in SCIENCE
        and sum(module in names for names in others) == 1
        # What lies in such a room beside the subjects is for all of them.
        and not (room(module) in SUBJECTS and subject(module) is None)
    }
    # A part of a study may be built on one of another.
    tree = own_tree()
    reused = set().union(*(tree.names_in(tree.modules[part].read_text()) for part in mine))
    # Its subjects: a config may name the physics of one by its transforms alone.
    subjects = {sub_room(module) for module in mine}
    held = set(own_tree().reached(mine))
    assert len(held) > 20
    assert sorted((held & of_one_other) - reused) == []
    assert sorted(module for module in held if subject(module) not in {None, *subjects}) == []


def test_shared_rooms_name_no_bundle_and_no_map():
    words = {path.name for path in BUNDLES}
    for bundle in BUNDLES:
        about = json.loads((bundle / METADATA).read_text())
        words |= {*about.get("variants", {}), *result_maps(about)}
    words -= {"spread", "noise", "mask", "residual", "difference"}
    assert len(words) > len(BUNDLES)
    found = set()
    for path in (path for part in SHARED for path in (own_tree().root / part).rglob("*")):
        if path.suffix in (".py", ".html"):
            text = re.sub(r"docs/methods/\w+\.md", "", path.read_text())
            inside = {word for word in words if re.search(rf"\b{word}\b", text)}
            file = path.relative_to(own_tree().root).as_posix()
            found |= {(file, word) for word in inside}
    assert found == {DEFAULT}


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)
def test_deviations_are_called_spread_and_written_on_request(bundle):
    # Only what was shown to be as large as the errors may be called uncertainty: none is so far.
    maps = result_maps(json.loads((bundle / METADATA).read_text()))
    assert "uncertainty" not in maps
    config = yaml.safe_load((bundle / "configs" / "inference.yaml").read_text())
    assert config.get("write_spread") is (False if "spread" in maps else None)
