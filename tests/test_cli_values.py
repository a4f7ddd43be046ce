"""Words behind flags reach a run as they were typed, or with the type of the config's own value."""

import json

import pytest
from command_line import run

from custom.tuning import search
from custom.verbs import workflows

VALUES = {
    "flag": "false",
    "count": "5",
    "rate": "0.5",
    "choice": "auto",
    "nothing": "null",
    "sizes": "[1, 2]",
    "table": "{a: 1}",
    "made": "$1 + 1",
    "inner": "{flag: true}",
}
CONFIG = (
    "imports: [$import json, $import pathlib]\nbundle_root: .\ninput: null\nsource: null\n"
    "output_dir: null\ndataset_dir: null\nckpt_path: null\noverwrite: false\n"
    "skip_existing: false\nresume: false\n"
    + "".join(f"{name}: {value}\n" for name, value in VALUES.items())
    + "run:\n- \"$pathlib.Path(@bundle_root, 'ran.json').write_text(json.dumps({"
    + ", ".join(
        f"'{name}': @{name}"
        for name in (
            *("input", "source", "output_dir", "dataset_dir", "ckpt_path"),
            *("overwrite", "skip_existing", "resume", *VALUES),
        )
    )
    + '}))"\n'
)
VERBS = {
    "prepare": ["--source", "s", "--output", "o"],
    "qc": ["--dataset", "d"],
    "train": [],
    "evaluate": [],
    "restore": ["--input", "i", "--output", "o"],
}
AWKWARD = [
    *("1.10", "2024_01_05", "1e3", "007", "run#2", "a,b", "mouse #3", "a b", "Mäuse", "a\nb"),
    *("$HOME", "@demo", "%x", "~nobody", "a@#b", "'x", 'x"y', "true", "None", "[1]", "{a}", "a::b"),
]


@pytest.fixture
def bundle(tmp_path):
    """A bundle in a folder with an awkward name, whose workflows write down what they got."""
    configs = tmp_path / "bundle #1 $x" / "configs"
    configs.mkdir(parents=True)
    (configs / "metadata.json").write_text("{}")
    for verb in VERBS:
        name = "inference" if verb == "restore" else verb
        (configs / f"{name}.yaml").write_text(CONFIG)
    return configs.parent


def ran(bundle):
    return json.loads((bundle / "ran.json").read_text())


@pytest.mark.parametrize("name", AWKWARD)
def test_a_path_reaches_every_verb_as_it_was_typed(bundle, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    path = str(tmp_path / name)
    flags = {
        "train": {"dataset": "dataset_dir", "output": "output_dir"},
        "restore": {"input": "input", "output": "output_dir", "checkpoint": "ckpt_path"},
    }
    for verb, ids in flags.items():
        assert run(verb, bundle.name, *(w for flag in ids for w in (f"--{flag}", name))) == 0
        assert [ran(bundle)[key] for key in ids.values()] == [path] * len(ids)


def test_several_inputs_are_a_list(bundle, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for words in (["a#1", "b"], ["['a#1','b']"], ["a#1", "--input", "b"]):
        assert run("restore", bundle.name, "--output", "o", "--input", *words) == 0
        assert ran(bundle)["input"] == [str(tmp_path / "a#1"), str(tmp_path / "b")]


@pytest.mark.parametrize(
    ("word", "value"),
    [(w, True) for w in ("true", "True", "yes", "1")] + [(w, False) for w in ("false", "no", "0")],
)
def test_a_boolean_is_what_it_says(bundle, word, value):
    for flag in ("--overwrite", "--skip-existing", "--skip_existing", "--flag"):
        assert run("restore", str(bundle), *VERBS["restore"], flag, word) == 0
        assert ran(bundle)[flag.lstrip("-").replace("-", "_")] is value
    assert run("train", str(bundle), f"--resume={word}", "--inner::flag", word) == 0
    assert (ran(bundle)["resume"], ran(bundle)["inner"]) == (value, {"flag": value})


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--flag", "maybe"], "flag must be true or false, got 'maybe'"),
        (["--flag", "2"], "flag must be true or false"),
        (["--flag", "null"], "flag must be true or false"),
        (["--count", "2.5"], "count must be a whole number"),
        (["--count", "five"], "count must be a number"),
        (["--rate", "nan"], "rate must be a number"),
        (["--count", "1", "2"], "count must be a number"),
        (["--choice", "a", "b"], "--choice takes one value"),
        (["--table", "x"], "--table must be a mapping"),
        (["--count"], "--count needs a value"),
        (["--cuont", "1"], "unknown config id 'cuont'"),
    ],
)
def test_a_value_of_another_kind_is_refused(bundle, capsys, verb, words, message):
    assert run(verb, str(bundle), *VERBS[verb], *words) == 1
    assert message in capsys.readouterr().err
    assert not (bundle / "ran.json").exists()


@pytest.mark.parametrize(
    ("words", "value"),
    [
        (["--count", "1e3"], 1000),
        (["--rate", "1e-3"], 1e-3),
        (["--rate", "2"], 2),
        (["--rate", "null"], None),
        (["--choice", "64"], 64),
        (["--choice", "1.10"], "1.10"),
        (["--choice", "run#2"], "run#2"),
        (["--choice", "$1 + 1"], "$1 + 1"),
        (["--choice", "null"], None),
        (["--nothing", "1e-3"], 1e-3),
        (["--nothing", "-1"], -1),
        (["--nothing", "true"], True),
        (["--nothing", "a,b"], "a,b"),
        (["--nothing", "None"], None),
        (["--nothing", "@count"], "@count"),
        (["--nothing", "a#1", "b"], ["a#1", "b"]),
        (["--sizes", "3"], [3]),
        (["--sizes", "3", "4"], [3, 4]),
        (["--sizes", "3", "--sizes", "4"], [3, 4]),
        (["--sizes", "[3, 4]"], [3, 4]),
        (["--table", "{a: 2}"], {"a": 2}),
        (["--made", "3"], 3),
    ],
)
def test_a_value_has_the_kind_of_the_config_s_own(bundle, words, value):
    assert run("train", str(bundle), *words) == 0
    assert ran(bundle)[words[0].lstrip("-")] == value


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["restore", "B", "--input", "a", "--output", "b", "--overwrite", "x"], "true or false"),
        (["restore", "B", "--input", "a", "--output", "b", "--output", "c"], "given twice"),
        (["restore", "B", "--input", "a", "--output", ""], "a path is empty"),
        (["restore", "B", "--input", "a", "--output", "b", "--seed", "x"], "a whole number"),
        (["restore", "--input", "a", "--output", "b"], "STUDY"),
        (["verify", "B", "--quik"], "unexpected '--quik'"),
        (["package", "B", "--output", "x.zip", "--quick", "2"], "true or false"),
    ],
)
def test_wrong_usage_is_refused(bundle, capsys, words, message):
    assert run(*(str(bundle) if word == "B" else word for word in words)) == 2
    assert message in capsys.readouterr().err
    assert not (bundle / "ran.json").exists()


def test_a_search_reads_words_as_a_training_does(bundle, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(search, "search", lambda request: asked.append(request) or [])
    (bundle / "configs" / "tune.yaml").write_text("parameters: {}\n")
    words = ["--trials", "1", "--name", "1984", "--dataset", str(tmp_path / "m #3")]
    assert run("tune", str(bundle), *words, "--count", "7") == 0
    assert asked[0].name == "1984"
    assert asked[0].overrides["count"] == ("7",)
    assert "#" not in asked[0].overrides["dataset_dir"]


def test_a_device_is_tried_before_the_run(bundle, capsys):
    (bundle / "configs" / "train.yaml").write_text("device: $torch.device('cpu')\nrun: []\n")
    assert run("train", str(bundle), "--device", "gpu9") == 1
    assert "device 'gpu9' cannot be used" in capsys.readouterr().err
    assert run("train", str(bundle), "--device", "cpu") == 0
    assert workflows.device_setting("cpu") == "$torch.device('cpu')"
