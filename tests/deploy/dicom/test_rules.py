import json

import pytest
import yaml
from mr_series import classic, phantom, write

from custom.deploy.dicom.rules import SeriesRules, WordRules, load_rules, select_series
from custom.deploy.dicom.series import read_folder
from custom.deploy.dicom.volume import series_volume
from custom.deploy.dicom.writing.derived_series import Derivation, write_derived
from custom.errors import InputError, Refusal

STUDY = {
    1: {"SeriesDescription": "localizer", "ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]},
    2: {"SeriesDescription": "t1_mprage_sag"},
    3: {"SeriesDescription": "t2_tse_tra", "MRAcquisitionType": "2D"},
    4: {"SeriesDescription": "CT head", "Modality": "CT"},
}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    for number, changes in STUDY.items():
        images = classic(phantom(shape=(4, 4, 2 + number)), SeriesNumber=number, **changes)
        write(images, folder / str(number))
    return read_folder(folder)


@pytest.mark.parametrize(
    ("content", "chosen"),
    [
        ({"description": {"include": ["MPRAGE"]}}, 2),
        ({"description": {"exclude": ["^t1_"]}}, 3),
        ({"acquisition": "2D"}, 3),
        ({"acquisition": "3D"}, 2),
        ({"number": 3}, 3),
        ({"min_slices": 5}, 3),
        ({"image_type": {"include": ["localizer"]}}, 1),
    ],
)
@pytest.mark.parametrize("suffix", [".json", ".yaml"])
def test_rules_choose_one_series(study, tmp_path, content, chosen, suffix):
    path = tmp_path / f"rules{suffix}"
    path.write_text(json.dumps(content) if suffix == ".json" else yaml.safe_dump(content))
    assert select_series(study, load_rules(path)).number == chosen


def test_without_a_file_localisers_are_not_chosen(study):
    assert load_rules(None) == SeriesRules()
    assert select_series(study[:2], load_rules(None)).number == 2


def test_a_map_is_not_chosen_unless_it_is_asked_for(tmp_path):
    of_maps = {"SeriesDescription": "ep2d_diff_ADC", "ImageType": ["DERIVED", "PRIMARY", "ADC"]}
    write(classic(phantom(), SeriesNumber=7, **of_maps), tmp_path / "map")
    maps = read_folder(tmp_path)
    with pytest.raises(Refusal, match=r"map computed from images \(Image Type has ADC\)") as no:
        select_series(maps, SeriesRules())
    assert "derived_maps: allow" in str(no.value)
    rules = tmp_path / "rules.yaml"
    rules.write_text("derived_maps: allow")
    assert select_series(maps, load_rules(rules)).number == 7
    assert series_volume(maps[0], "volume", derived_maps="allow").array.shape == (7, 6, 5)
    write(classic(phantom(), SeriesNumber=8), tmp_path / "image")
    assert select_series(read_folder(tmp_path), SeriesRules()).number == 8


def test_several_matching_series_are_listed(study):
    with pytest.raises(Refusal, match="2 series match") as refused:
        select_series(study, SeriesRules())
    assert refused.value.reason == "several-series"
    text = str(refused.value)
    assert "MR series 2 't1_mprage_sag' (4 images)" in text
    assert "MR series 3 't2_tse_tra' (5 images)" in text
    assert "PLANTED" not in text
    assert "\n" not in text


def test_no_match_says_why_each_was_passed_over(study):
    rules = SeriesRules(description=WordRules(include=("flair",)))
    with pytest.raises(Refusal) as refused:
        select_series(study, rules)
    assert refused.value.reason == "no-series"
    assert "'t2_tse_tra' (5 images): description matches none of ['flair']" in str(refused.value)
    assert "CT series 4 'CT head' (6 images): not MR" in str(refused.value)
    assert "PLANTED" not in str(refused.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"descriptive": {}}, "unknown key 'descriptive': use modality, description"),
        ({"description": {"includes": []}}, "description: unknown key 'includes'"),
        ({"description": {"include": ["("]}}, r"'\(' is no regular expression"),
        ({"description": {"include": [3]}}, "list of regular expressions"),
        ({"description": "T1"}, "description: must be a mapping"),
        ({"outside_training_range": "ignore"}, "must be refuse or warn"),
        ({"acquisition": "4D"}, "acquisition: must be 2D or 3D"),
        ({"modality": "CT"}, "modality: must be MR"),
        ({"min_slices": 1}, "min_slices: must be a whole number from 2"),
        ({"number": True}, "number: must be a whole number"),
        ([1], "must be a mapping"),
    ],
)
def test_rules_that_make_no_sense_are_refused(tmp_path, content, message):
    path = tmp_path / "rules.json"
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=message) as refused:
        load_rules(path)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_missing_or_broken_is_one_line(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        load_rules(tmp_path / "absent.json")
    for name in ("a.json", "a.yaml"):
        path = tmp_path / name
        path.write_text("{a: [")
        with pytest.raises(InputError, match="cannot be read") as refused:
            load_rules(path)
        assert "\n" not in str(refused.value)


def test_an_empty_file_means_the_defaults(tmp_path):
    path = tmp_path / "rules.yaml"
    path.write_text("# nothing yet\n")
    assert load_rules(path) == SeriesRules()


def test_results_are_no_input_unless_they_are_asked_for(tmp_path):
    folder = write(classic(phantom()), tmp_path / "in")
    (source,) = read_folder(folder)
    volume = series_volume(source, "volume")
    done = Derivation("restored", "some_bundle", "1.0.0")
    write_derived(volume.array, volume.affine, volume, folder / "restored", done)
    both = read_folder(folder)
    assert len(both) == 2
    assert select_series(both, SeriesRules()).uid == source.uid
    with pytest.raises(Refusal, match="a result of research software"):
        select_series([one for one in both if one.uid != source.uid], SeriesRules())
    with pytest.raises(Refusal, match="2 series match"):
        select_series(both, SeriesRules(own_results="allow"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.yaml", b"description: {include: [\xe4]}", "cannot be read"),
        ("a.yaml", b"[]", "must be a mapping"),
        ("a.json", b"false", "must be a mapping"),
        ("a.yaml", b"number: 1\nnumber: 2", "Duplicate key: `number`"),
        ("a.json", b'{"description": {"include": [], "include": []}}', "Duplicate key: `include`"),
        ("a.yaml", b"&x {description: *x}", "its aliases stand for more"),
        ("a.yaml", b"number:\n\t- 1", "cannot be read"),
        ("a.yaml", b"own_results: maybe", "must be refuse or allow"),
    ],
)
def test_a_file_that_says_nothing_clear_is_one_line(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        load_rules(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_json_may_be_indented_by_tabs(tmp_path):
    (tmp_path / "a.json").write_text('{\n\t"number": 3\n}')
    assert load_rules(tmp_path / "a.json").number == 3
