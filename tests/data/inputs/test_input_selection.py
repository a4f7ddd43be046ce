from __future__ import annotations

import json
import logging
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from custom.data.inputs.image_search import find_images
from custom.data.inputs.input_selection import InputSelection
from custom.data.inputs.result_names import sidecar_of, unique_names
from custom.errors import InputError
from custom.files.atomic import sha256_of
from custom.files.zarr_slices import write_stack


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"image")
    return path


def write_sidecar(folder: Path, source: Path, name: str | None = None) -> None:
    """Write the sidecar of a restored image, as far as it is compared."""
    output = folder / f"{name or source.stem}_restored.nii.gz"
    files = {"input": source, "output": output}
    content = {key: {"file": file.name, "sha256": sha256_of(file)} for key, file in files.items()}
    sidecar_of(output).write_text(json.dumps(content))


def accept(_: Path) -> None:
    """Accept everything."""


def refuse_bad(path: Path) -> None:
    """Refuse files that are called bad."""
    if "bad" in path.name:
        raise InputError(f"{path}: bad")


def names(selection: InputSelection) -> dict[str, str]:
    return {Path(i["source"]).name: Path(i["output"]).name for i in selection.items}


@pytest.mark.parametrize("as_list", [False, True])
def test_one_file(tmp_path: Path, as_list: bool) -> None:
    path = touch(tmp_path / "in" / "a.b.nii.gz")
    given = [str(path)] if as_list else str(path)
    selection = InputSelection(given, tmp_path / "out", accept)
    assert selection.items == [
        {
            "image": str(path),
            "source": str(path),
            "output": str(tmp_path / "out" / "a.b_restored.nii.gz"),
        }
    ]
    selection.finish()


def test_relative_and_numeric_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / "7" / "a.nii")
    monkeypatch.chdir(tmp_path)
    selection = InputSelection(7, "out", accept)  # type: ignore[arg-type]  # as Fire reads it
    assert selection.items[0]["source"] == str(tmp_path / "7" / "a.nii")
    assert selection.items[0]["output"] == str(tmp_path / "out" / "a_restored.nii.gz")


def test_a_folder_is_searched(tmp_path: Path) -> None:
    stack = np.ones((3, 3, 2))
    write_stack(tmp_path / "slices.zarr" / "m1" / "image", stack, np.eye(4))
    write_stack(tmp_path / "slices.zarr" / "m1" / "label", stack, np.eye(4))
    kept = [
        touch(tmp_path / "b.nii.gz"),
        touch(tmp_path / "a.nii"),
        touch(tmp_path / "study" / "5" / "pdata" / "1" / "2dseq"),
    ]
    touch(tmp_path / "notes.txt")
    touch(tmp_path / "._b.nii.gz")
    touch(tmp_path / ".trash" / "d.nii.gz")
    touch(tmp_path / "b_restored.nii.gz")
    touch(tmp_path / "sub" / "c_restored.nii.gz")  # no sidecar: cut short
    maps = {name: touch(tmp_path / f"b_{name}.nii.gz").name for name in ("uncertainty", "mask")}
    sidecar = json.dumps({name: {"file": file} for name, file in maps.items()})
    (tmp_path / "b_restored.json").write_text(sidecar)
    kept.append(touch(tmp_path / "b_t2.nii.gz"))  # not of that result
    kept.append(touch(tmp_path / "e_uncertainty.nii.gz"))  # of no result here
    found = find_images(tmp_path)
    assert sorted(found) == sorted([*kept, tmp_path / "slices.zarr" / "m1" / "image"])
    assert found == find_images(tmp_path)


def test_zarr_array_store_and_scan_are_inputs(tmp_path: Path) -> None:
    array = tmp_path / "slices.zarr" / "m1" / "image"
    write_stack(array, np.ones((3, 3, 2)), np.eye(4))
    for given in (array, array.parent, array.parents[1]):
        selection = InputSelection(given, tmp_path / "out", accept)
        assert names(selection) == {"image": "m1_restored.nii.gz"}


def test_folders_without_images_and_datasets_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    touch(tmp_path / "set" / "images" / "a.nii.gz")
    touch(tmp_path / "set" / "datalist.json")
    good = touch(tmp_path / "a.nii")
    selection = InputSelection(
        [tmp_path / "empty", good, tmp_path / "set"], tmp_path / "out", accept
    )
    assert names(selection) == {"a.nii": "a_restored.nii.gz"}
    with pytest.raises(InputError) as raised:
        selection.finish()
    empty, dataset = str(raised.value).splitlines()
    assert "empty: holds no NIfTI" in empty
    assert str(tmp_path / "set" / "images") in dataset


def test_bad_inputs_are_counted_at_once_and_named_at_the_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    paths = [touch(tmp_path / name) for name in ("bad1.nii", "good.nii", "bad2.nii")]
    selection = InputSelection(paths, tmp_path / "out", refuse_bad)
    with caplog.at_level(logging.WARNING):
        assert names(selection) == {"good.nii": "good_restored.nii.gz"}
    assert [record.getMessage() for record in caplog.records] == [
        "2 inputs are refused; 1 to restore"
    ]
    with pytest.raises(InputError) as raised:
        selection.finish()
    assert str(raised.value) == f"{paths[0]}: bad\n{paths[2]}: bad"


def test_inputs_are_screened_once(tmp_path: Path) -> None:
    seen: list[Path] = []
    path = touch(tmp_path / "a.nii")
    selection = InputSelection([path, path, tmp_path], tmp_path / "out", seen.append)
    assert len(selection.items) == len(selection.items) == 1
    assert seen == [path]


def test_existing_results(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole, half, new = (touch(tmp_path / f"{name}.nii") for name in ("whole", "half", "new"))
    out = tmp_path / "out"
    for name in ("whole_restored.nii.gz", "half_restored.nii.gz"):
        touch(out / name)
    write_sidecar(out, whole)

    plain = InputSelection([whole, half, new], out, accept)
    assert names(plain) == {"new.nii": "new_restored.nii.gz"}
    reason = "exists already: use --overwrite, --skip_existing or another folder"
    assert plain.refused == [
        f"{out / name}_restored.nii.gz: {reason}" for name in ("whole", "half")
    ]

    skipping = InputSelection([whole, half, new], out, accept, skip_existing=True)
    with caplog.at_level(logging.WARNING):
        assert set(names(skipping)) == {"half.nii", "new.nii"}  # half has no sidecar
    assert skipping.skipped == [whole]
    assert "1 of 3 inputs were restored before" in caplog.text
    skipping.finish()

    assert len(InputSelection([whole, half, new], out, accept, overwrite=True).items) == 3


def test_all_skipped_is_success(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = touch(tmp_path / "a.nii")
    touch(tmp_path / "out" / "a_restored.nii.gz")
    write_sidecar(tmp_path / "out", path)

    def fail(_: Path) -> None:
        raise AssertionError("a skipped input is not looked at")

    selection = InputSelection(path, tmp_path / "out", fail, skip_existing=True)
    with caplog.at_level(logging.WARNING):
        assert selection.items == []
    selection.finish()
    assert "0 to restore" in caplog.text


def test_a_result_is_found_whatever_else_is_restored(tmp_path: Path) -> None:
    """Its name depends on the other inputs: ``a_t2`` in a folder run, ``t2`` alone."""
    scans = [touch(tmp_path / "in" / folder / "t2.nii") for folder in "ab"]
    scans[1].write_bytes(b"other")
    for first, then, left in ((scans[0], tmp_path / "in", 1), (tmp_path / "in", scans[0], 0)):
        out = tmp_path / first.name / "out"
        for item in InputSelection(first, out, accept).items:
            name = touch(Path(item["output"])).name.removesuffix("_restored.nii.gz")
            write_sidecar(out, Path(item["source"]), name)
        again = InputSelection(then, out, accept, skip_existing=True)
        assert len(again.items) == left
        assert again.skipped == scans[:1]


def test_equal_inputs_keep_a_result_each(tmp_path: Path) -> None:
    """Two links to one file, of which one was restored alone: the other's result is not it."""
    scans = [touch(tmp_path / "in" / folder / "t2.nii") for folder in "ab"]
    touch(tmp_path / "out" / "t2_restored.nii.gz")
    write_sidecar(tmp_path / "out", scans[0], "t2")
    run = InputSelection(tmp_path / "in", tmp_path / "out", accept, skip_existing=True)
    assert [Path(item["output"]).name for item in run.items] == ["b_t2_restored.nii.gz"]
    touch(tmp_path / "out" / "b_t2_restored.nii.gz")
    write_sidecar(tmp_path / "out", scans[1], "b_t2")
    run = InputSelection(tmp_path / "in", tmp_path / "out", accept, skip_existing=True)
    assert (run.items, run.skipped) == ([], scans)
    # Equal voxels under another name may have other tables beside them.
    other = touch(tmp_path / "c" / "pd.nii")
    run = InputSelection(other, tmp_path / "out", accept, skip_existing=True)
    assert len(run.items) == 1


def test_what_was_refused_is_not_followed_by_a_count_of_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    selection = InputSelection(touch(tmp_path / "bad.nii"), tmp_path / "out", refuse_bad)
    assert selection.items == []
    with pytest.raises(InputError, match="bad"):
        selection.finish()
    assert "images restored" not in caplog.text


def test_an_input_is_never_replaced(tmp_path: Path) -> None:
    scan, result = touch(tmp_path / "a.nii.gz"), touch(tmp_path / "a_restored.nii.gz")
    selection = InputSelection([scan, result], tmp_path, accept, overwrite=True)
    assert names(selection) == {"a_restored.nii.gz": "a_restored_restored.nii.gz"}
    assert "would replace an input" in selection.refused[0]


def test_an_input_is_never_replaced_by_an_uncertainty(tmp_path: Path) -> None:
    scan, other = touch(tmp_path / "a.nii.gz"), touch(tmp_path / "a_uncertainty.nii.gz")
    selection = InputSelection(
        [scan, other], tmp_path, accept, overwrite=True, maps=["uncertainty"]
    )
    assert names(selection) == {"a_uncertainty.nii.gz": "a_uncertainty_restored.nii.gz"}
    assert "a_uncertainty.nii.gz: the result would replace an input" in selection.refused[0]


@pytest.mark.parametrize("skip_existing", [False, True])
def test_an_uncertainty_of_no_result_is_not_replaced(tmp_path: Path, skip_existing: bool) -> None:
    path, other = touch(tmp_path / "a.nii"), touch(tmp_path / "out" / "a_uncertainty.nii.gz")
    maps = ["uncertainty"]
    selection = InputSelection(
        path, tmp_path / "out", accept, skip_existing=skip_existing, maps=maps
    )
    assert selection.items == []
    assert selection.refused[0].startswith(f"{other}: exists already")
    overwriting = InputSelection(path, tmp_path / "out", accept, overwrite=True, maps=maps)
    assert len(overwriting.items) == 1


def test_a_result_cut_short_is_made_again_with_its_uncertainty(tmp_path: Path) -> None:
    path = touch(tmp_path / "a.nii")
    for name in ("a_restored.nii.gz", "a_uncertainty.nii.gz"):  # and no sidecar
        touch(tmp_path / "out" / name)
    assert len(InputSelection(path, tmp_path / "out", accept, skip_existing=True).items) == 1


MAPS = {"maps": ["uncertainty", "mask"], "copies": ["bval"]}


@pytest.mark.parametrize("name", ["a_mask.nii.gz", "a_restored.bval"])
def test_maps_and_copies_of_no_result_are_not_replaced(tmp_path: Path, name: str) -> None:
    path, other = touch(tmp_path / "a.nii"), touch(tmp_path / "out" / name)
    selection = InputSelection(path, tmp_path / "out", accept, **MAPS)  # type: ignore[arg-type]
    assert selection.items == []
    assert selection.refused[0].startswith(f"{other}: exists already")
    assert len(InputSelection(path, tmp_path / "out", accept).items) == 1  # writes none of them


def test_no_file_that_is_read_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, mask = touch(tmp_path / "a.nii"), touch(tmp_path / "a_mask.nii.gz")
    monkeypatch.chdir(tmp_path)
    for read in (str(mask), "a_mask.nii.gz"):
        selection = InputSelection(
            path,
            tmp_path,
            accept,
            overwrite=True,
            also_read=[None, 0.5, read],
            **MAPS,  # type: ignore[arg-type]
        )
        assert selection.items == []
        assert "a_mask.nii.gz: the result would replace an input" in selection.refused[0]


def test_impossible_settings(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--overwrite and --skip_existing"):
        InputSelection("a.nii", tmp_path, accept, overwrite=True, skip_existing=True)
    with pytest.raises(InputError, match=r"output_dir .* is a file"):
        InputSelection("a.nii", touch(tmp_path / "out"), accept)


def test_names_that_collide_take_their_folders() -> None:
    paths = [
        Path("/d/s1/anat/T2.nii.gz"),
        Path("/d/s2/anat/T2.nii.gz"),
        Path("/d/s2/anat/t2.nii"),  # only its case tells it from the one before
        Path("/d/s3/other.nii"),
    ]
    found = unique_names(paths)
    assert found[0] == "s1_anat_T2"
    assert found[3] == "other"
    assert len({name.casefold() for name in found}) == 4


def test_names_are_unique_whatever_the_paths() -> None:
    paths = [Path("/a/b_c.nii"), Path("/a_b/c.nii"), Path("/x/b_c.nii"), Path("/x/c.nii.gz")]
    paths += [Path("/a/b_c.nii.gz"), Path("/c.nii")]
    # A number that another name ends with, and one accent written in two ways.
    paths += [Path("/x-1.nii"), Path("/x.nii"), Path("/x.nii.gz")]
    paths += [Path("/caf\u00e9.nii"), Path("/cafe\u0301.nii")]
    names = [unicodedata.normalize("NFC", name).casefold() for name in unique_names(paths)]
    assert len(set(names)) == len(paths)
    assert unique_names([]) == []


def test_links_are_different_inputs_and_keep_their_names(tmp_path: Path) -> None:
    """In a datalad dataset two equal scans are links to one file."""
    stored = touch(tmp_path / "annex" / "SHA256-17")
    links = [tmp_path / "in" / f"sub-{number}" / "t2.nii.gz" for number in (1, 2)]
    for link in links:
        link.parent.mkdir(parents=True)
        link.symlink_to(stored)
    for given in (tmp_path / "in", links):
        selection = InputSelection(given, tmp_path / "out", accept)
        outputs = [Path(item["output"]).name for item in selection.items]
        assert outputs == ["sub-1_t2_restored.nii.gz", "sub-2_t2_restored.nii.gz"]
        assert [item["source"] for item in selection.items] == list(map(str, links))


def test_an_input_is_never_replaced_through_a_link(tmp_path: Path) -> None:
    scan, result = touch(tmp_path / "in" / "a.nii"), touch(tmp_path / "in" / "a_restored.nii.gz")
    (tmp_path / "linked").symlink_to(tmp_path / "in")
    selection = InputSelection([scan, result], tmp_path / "linked", accept, overwrite=True)
    assert names(selection) == {"a_restored.nii.gz": "a_restored_restored.nii.gz"}
    assert "would replace an input" in selection.refused[0]


def test_what_is_passed_over_is_listed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    kept = touch(tmp_path / "a.nii")
    for name in (
        "b.mgz",
        "c.img",
        "c.hdr",
        "old.zarr/.zgroup",
        "old.zarr/0/0.0",
        "set/datalist.json",
    ):
        touch(tmp_path / name)
    touch(tmp_path / "set" / "labels" / "e.nii")
    for name in "wxyz":
        touch(tmp_path / f"{name}_restored.nii.gz")
    write_stack(tmp_path / "s.zarr" / "m1" / "label", np.ones((3, 3, 2)), np.eye(4))
    with caplog.at_level(logging.WARNING):
        assert find_images(tmp_path) == [kept]
    lines = [record.getMessage() for record in caplog.records]
    assert all(line.startswith(f"passed over: {tmp_path}") for line in lines)
    names = [line.removeprefix("passed over: ").split(": ")[1] for line in lines]
    several = "w_restored.nii.gz, x_restored.nii.gz, y_restored.nii.gz and 1 more"
    assert sorted(names) == sorted(["b.mgz", "c.img", "c.hdr", several, "old.zarr", "set", "label"])


def test_damaged_stores_and_folders_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    touch(tmp_path / "a.nii")
    for content in ("", "{", "[]", '{"shape": [1]}'):
        (tmp_path / "b.zarr").mkdir(exist_ok=True)
        (tmp_path / "b.zarr" / "zarr.json").write_text(content)
        selection = InputSelection(tmp_path, tmp_path / "out", accept)
        assert names(selection) == {"a.nii": "a_restored.nii.gz"}
        with pytest.raises(InputError, match=r"b\.zarr/zarr\.json: damaged"):
            selection.finish()
    with pytest.raises(InputError, match="damaged"):
        find_images(tmp_path)


def test_nothing_found_says_what_is_there(tmp_path: Path) -> None:
    touch(tmp_path / "b.mgz")
    with pytest.raises(InputError, match=r"holds no NIfTI .*b\.mgz: \.mgz is a format that is not"):
        find_images(tmp_path)
