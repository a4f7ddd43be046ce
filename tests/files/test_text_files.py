"""Files of a user that would fill the memory, or never end, are one line."""

import time
from pathlib import Path

import pytest
import yaml

from custom.cli import main
from custom.data.datasets.datalist import load_datalist
from custom.data.datasets.exclusions import read_exclusions
from custom.data.preparation.splits import AnimalSplit
from custom.deploy.dicom.rules import load_rules
from custom.deploy.packaging.archive import check_manifest
from custom.errors import InputError
from custom.files.csv_table import read_table
from custom.files.reader import format_of
from custom.files.text_files import parse_yaml, read_json, read_text, read_unique
from custom.physics.diffusion.gradient_table import read_gradient_table
from custom.report.html_report import write_report
from custom.tuning.space_file import load_space

DEEP = "[" * 20_000
LAUGHS = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 60))
MERGED = "a0: &a0 {x: 1}\n" + "".join(
    f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}, *a{i - 1}]}}\n" for i in range(1, 40)
)
YAML = {"laughs": LAUGHS, "merged": MERGED, "itself": "a: &a [*a]\n", "deep": "- " * 20_000}


def directory(folder, name, text):
    (folder / name).write_text(text)
    return folder


READERS = {
    "rules": lambda folder, text: load_rules(directory(folder, "r.json", text) / "r.json"),
    "space": lambda folder, text: load_space(directory(folder, "s.json", text) / "s.json"),
    "datalist": lambda folder, text: load_datalist(directory(folder, "datalist.json", text)),
    "exclusions": lambda folder, text: read_exclusions(
        directory(folder, "e.json", text) / "e.json"
    ),
    "split": lambda folder, text: AnimalSplit(directory(folder, "p.json", text) / "p.json"),
    "report": lambda folder, text: write_report(directory(folder, "search.json", text)),
    "manifest": lambda folder, text: check_manifest(directory(folder, "manifest.json", text)),
}


@pytest.mark.parametrize("text", YAML.values(), ids=YAML)
@pytest.mark.parametrize("read", [load_rules, load_space])
def test_yaml_is_bounded(tmp_path, read, text):
    (tmp_path / "a.yaml").write_text(text)
    started = time.monotonic()
    with pytest.raises(InputError, match=r"a\.yaml.*(aliases stand for more|nested too deeply)"):
        read(tmp_path / "a.yaml")
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_deep_json_is_one_line(tmp_path, read):
    with pytest.raises(InputError) as refused:
        read(tmp_path, DEEP)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 500


@pytest.mark.parametrize("text", [*YAML.values(), DEEP], ids=[*YAML, "json"])
def test_an_overlay_is_bounded_on_the_command_line(tmp_path, capsys, text):
    overlay = tmp_path / ("a.json" if text is DEEP else "a.yaml")
    overlay.write_text(text)
    command = ["evaluate", "micro_mri_denoise", "--config", str(overlay)]
    with pytest.raises(SystemExit) as ended:
        main([*command, "--output", str(tmp_path / "out")])
    assert ended.value.code == 1
    line = capsys.readouterr().err
    assert "aliases stand for more" in line or "nested too deeply" in line
    assert str(overlay) in line
    assert "Traceback" not in line


def test_deep_json_of_a_store_is_no_image(tmp_path):
    (tmp_path / "zarr.json").write_text(DEEP)
    assert format_of(tmp_path) is None


def test_aliases_that_share_are_allowed():
    text = "a: &a {x: 1}\nb: *a\nc: {<<: *a, y: 2}\nd: '$2 * 3'\n"
    content = parse_yaml(text, yaml.SafeLoader)
    assert content == {"a": {"x": 1}, "b": {"x": 1}, "c": {"x": 1, "y": 2}, "d": "$2 * 3"}


@pytest.mark.parametrize("read", [read_text, read_json, read_table])
def test_what_never_ends_is_not_read_to_its_end(tmp_path, read):
    (tmp_path / "a.json").symlink_to("/dev/zero")
    with pytest.raises(InputError, match=r"a\.json: longer than 64 MB"):
        read(tmp_path / "a.json")


def test_a_long_yaml_file_is_refused(tmp_path):
    (tmp_path / "a.yaml").write_text("- 0\n" * 300_000)
    with pytest.raises(ValueError, match="longer than 1 MB"):
        read_unique(tmp_path / "a.yaml")


def test_a_table_of_gradients_has_a_likely_length(tmp_path):
    (tmp_path / "a.bval").write_text("1000 " * 4_000_000)
    (tmp_path / "a.bvec").write_text("1 0 0")
    started = time.monotonic()
    with pytest.raises(InputError, match=r"a\.bval.*longer than 1 MB"):
        read_gradient_table(tmp_path / "a.bval", tmp_path / "a.bvec")
    assert time.monotonic() - started < 2


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
@pytest.mark.parametrize("read", [read_table, read_exclusions])
def test_another_encoding_is_named(tmp_path, read, encoding):
    path = Path(tmp_path / "a.csv")
    path.write_text("scan,slice,exclude,reason\nMäuse,1,yes,\n", encoding=encoding)
    with pytest.raises(InputError, match=r"a\.csv: byte \d+ is no UTF-8 text: save it as UTF-8"):
        read(path)


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path):
    for name, text in (("a.json", "{}"), ("a.yaml", "{}"), ("a.csv", "scan,slice\n")):
        (tmp_path / name).write_text(text, encoding="utf-8-sig")
    assert read_unique(tmp_path / "a.json") == read_unique(tmp_path / "a.yaml") == {}
    assert read_table(tmp_path / "a.csv", ("scan",)) == []
