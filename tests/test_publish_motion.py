import json

import pytest
import yaml

from benchmarks import motion_methods, motion_page, motion_targets, motion_trainings, publish_motion
from custom.evaluation.image_measures import psnr, ssim
from custom.evaluation.summary import summarise
from custom.evaluation.table import read_rows
from custom.files.csv_table import write_table

KNOWN = ("default", "regression", "cdm_published", "gan")
UNET = {"_target_": "UNet", "num_slices": "@num_slices"}
GAN = {"_target_": "Net", "channels": "@width", "growth": "$@width // 2"}


@pytest.fixture
def work(tmp_path):
    """Trainings of two epochs; that of the GAN has not ended."""
    for name in KNOWN:
        folder = tmp_path / name
        (folder / "models").mkdir(parents=True)
        (folder / "models" / "model.pt").write_bytes(name.encode())
        schedule = {"schedule": "straight", "noise_std": "@noise"}
        config = {"num_steps": 100, "prediction": "residual", "schedule": schedule, "noise": 0.1}
        net = GAN if name == "gan" else UNET
        config |= {"num_slices": 3, "width": 16, "network_def": net}
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        lines = ["epoch,val_psnr,seconds,train_loss", "1,,60,1", "2,30.5,30,1"]
        (folder / "metrics.csv").write_text("\n".join(lines[: 2 if name == "gan" else 3]) + "\n")
        (folder / "cpu_minutes.yaml").write_text("cpu_minutes: 1.2")
        plan = {"max_epochs": 2, "steps_per_epoch": 50}
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(plan))
    return tmp_path


@pytest.fixture
def evaluation(tmp_path):
    """Three slices; the last did not move, and the model is 2 dB ahead of the others."""
    rows = []
    for number, (kind, value) in enumerate((("minor", 34.0), ("severe", 20.0), ("still", None))):
        about = {"scan": "a", "subject": "p", "motion": "0", "slice": str(number)}
        about |= {"motion_kind": "drift", "severity_class": kind}
        for method, gain in (("input", 0.0), ("regression", 1.0), ("default", 1.5), ("model", 2.0)):
            unmoved = "inf" if method == "input" else 40.0 + gain
            measured = {"psnr": unmoved if value is None else value + gain, "ssim": 0.5 + gain / 10}
            rows.append({**about, "method": method, **measured})
    folder = tmp_path / "evaluate_all"
    write_table(folder / "metrics.csv", tuple(rows[0]), rows)
    measures = [psnr(), ssim()]
    told = {
        **summarise(
            read_rows(folder, ["psnr", "ssim"]),
            measures,
            ("severity_class", "motion_kind", "scan"),
            motion_methods.UNIT,
        ),
        "dataset": {"name": "brains"},
        "checkpoint": {"sha256": "ab" * 32},
        "split": "test",
        "unit": "slice",
        "counts": {"slice": 3},
        "method_names": {name: name for name in ("input", "regression", "default", "model")},
        "seconds": {},
        "seconds_per": "slice",
        "tables": [
            {
                "title": "Calibration of the deviation",
                "columns": ["group", "units", "spread", "one", "two", "rank"],
                "rows": [["all", 3, 1.2, 0.7, 0.95, 0.7]],
                "caption": "Calibrated is 1.",
            }
        ],
    }
    (folder / "summary.json").write_text(json.dumps(told))
    return folder


def test_only_trainings_that_have_ended_count(work):
    found = motion_trainings.trained(work)
    assert list(found) == ["default", "regression", "cdm_published"]
    assert motion_trainings.minutes_at(found["default"]) == {1: 1.0, 2: 1.5}


def test_networks_and_paths_are_those_of_the_trainings(work):
    run = motion_methods.RUNS["all"]
    content = motion_methods.overlay(run, work, KNOWN)
    assert content["default_def"] == {"_target_": "UNet", "num_slices": 3}
    assert (content["gan_def"], content["width"]) == ({**GAN, "channels": 16}, 16)
    inferers = {peer["output_key"]: peer["inferer"] for peer in content["peers"][:3]}
    assert inferers["default"]["process"]["noise_std"] == 0.1
    assert inferers["default"]["num_inference_steps"] == 1
    assert list(content["methods"]) == ["input", "regression", "gan", "default", "model"]
    few = motion_methods.overlay(motion_methods.RUNS["published"], work, KNOWN)
    (cdm,) = (peer for peer in few["peers"] if peer.get("output_key") == "cdm_1000")
    assert (cdm["inferer"]["num_inference_steps"], cdm["inferer"]["noise_scale"]) == (1000, 1.0)


def test_an_evaluation_is_made_again_if_weights_change(work, monkeypatch):
    made = []

    def run_bundle(_, configs, ids):
        made.append(configs)
        write_table(work / "evaluate_all" / "summary.json", ["a"], [])

    monkeypatch.setattr(motion_methods, "run_bundle", run_bundle)
    for weights in (b"1", b"1", b"2"):
        (work / "gan" / "models" / "model.pt").write_bytes(weights)
        motion_methods.evaluate("all", work, work / "data", KNOWN, {})
    assert len(made) == 2


def test_a_slice_that_did_not_move_is_in_no_mean_and_counted_apart(evaluation):
    summary, still = motion_methods.moved(evaluation)
    overall = summary["overall"]
    assert [overall[name]["psnr"]["mean"] for name in ("input", "model")] == [27.0, 29.0]
    assert (overall["model"]["ssim"]["n"], summary["counts"]["slice"]) == (2, 2)
    assert "still" not in summary["groups"]["severity_class"]
    lines = motion_page.still_table(summary, still).splitlines()
    assert lines[2:] == [
        "| input | 1 | 1 | - | - |",
        "| regression | 1 | 0 | 41.0 | 41.0 |",
        "| default | 1 | 0 | 41.5 | 41.5 |",
        "| model | 1 | 0 | 42.0 | 42.0 |",
    ]


def test_targets_by_hand(evaluation):
    summary, still = motion_methods.moved(evaluation)
    table = motion_targets.targets_table({"all": summary}, still)
    said = {line.split(" | ")[0][2:]: line.split(" | ")[1:] for line in table.splitlines()}
    one = "shipped weights, one step: "
    assert said[f"{one}PSNR at least + 0.9 dB over the corrupted"] == ["+2.00 dB", "held |"]
    assert said["no class of severity worse"] == ["minor +2.00, severe +2.00 dB", "held |"]
    (still_line,) = (value for key, value in said.items() if "did not move" in key)
    assert still_line == ["of 1 slices 0 bit for bit, 1 below, lowest 42.0 dB", "**missed** |"]
    assert said["deviation: spread over error 0.9 to 1.15"] == ["1.200", "**missed** |"]
    (regression,) = (value for key, value in said.items() if "regression" in key)
    assert regression == ["+0.50 dB", "held |"]
    (cdm,) = (value for key, value in said.items() if "15 dB" in key)
    assert cdm[-1] == "not measured |"


def test_whether_the_published_model_caught_up():
    ours = {"val_psnr": {1: 29.0, 2: 30.0}, "seconds": {1: 60, 2: 60}}
    theirs = {"val_psnr": {1: 12.0, 2: 13.0}, "seconds": {1: 60, 2: 60}, "train_loss": {2: 0.9}}
    said = motion_page.caught_up({"default": ours, "cdm_published": theirs})
    assert "17.0 dB below ours. Its loss ends at 0.9000" in said
    theirs["val_psnr"][2] = 30.5
    said = motion_page.caught_up({"default": ours, "cdm_published": theirs})
    assert said.endswith("after 2 minutes.")
    assert motion_page.caught_up({"default": ours}) == ""


def test_the_page_holds_what_was_measured(work, evaluation):
    found = {"all": motion_methods.moved(evaluation)}
    curves = motion_trainings.trained(work)
    trainings = {name: (of, motion_trainings.read_plan(work, name)) for name, of in curves.items()}
    shown = {name: [(f"{name}.jpg", "What.")] for name in ("curves", "steps", "slices")}
    text = motion_page.page(found, trainings, shown, "\n## Real motion\n")
    assert "| ours | 100 | 1.5 | 1.2 | 30.50 |" in text
    assert "Not trained yet: ResShift, GAN." in text
    assert "## Real motion" in text
    assert "| all | 3 | 1.2 | 0.7 | 0.95 | 0.7 |" in text
    (line, *_) = motion_page.draw_minutes(trainings).axes[0].get_lines()
    assert line.get_xdata() == [1.2]
    labels = motion_page.draw_steps({**found, "sampled": found["all"]}).axes[0].get_lines()
    assert {line.get_label() for line in labels} >= {"corrupted", "regression"}
    assert publish_motion.acquired(work) == ""
