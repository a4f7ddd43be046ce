"""Any exception of a run becomes one line that says what, where, and how to mend it."""

import errno
import logging
import os
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser

from custom import cli
from custom.bundle.error_line import error_line
from custom.files.atomic import atomic_path
from custom.files.temporary import temporary_path
from custom.handlers.epoch_log import EpochLog

# What raises in a config, as a text of it.
LINES = {
    "$1 / 0": "part: ZeroDivisionError: division by zero",
    "$[][3]": "part: IndexError: list index out of range",
    "$open('/nonexistent/x')": "/nonexistent/x: no such file or folder",
    "$open(__file__ if 0 else 'a' * 300)": "the name is too long: give a shorter one",
    "$open('/dev/null/x')": "/dev/null/x: a part of this path is a file, not a folder",
    "$os.mkdir('/proc/x')": "/proc/x",
    "$fail(errno.ENOSPC)": "disk full: free some space",
    "$fail(errno.EACCES)": "/data/x: permission denied",
    "$fail(errno.EROFS)": "/data/x: lies on a read-only file system",
    "$out_of_memory()": "out of memory: 3 GB were asked for",
    "@nothing": "the referring item `@nothing` is not defined",
}
PARTS = {
    ("torch.nn.Linear", "in_feature", 3): "part: Linear has no argument 'in_feature' "
    "(did you mean 'in_features'?)",
    ("torch.nn.Linear", "zzz", 3): "part: Linear has no argument 'zzz'",
    ("torch.nn.Linear", "in_features", "a"): "part: ",
    ("torch.utils.data.DataLoader", "batch_size", 0): "part: batch_size should be a positive",
    ("torch.utils.data.DataLoader", "num_workers", -1): "part: num_workers option should be non-n",
    ("torch.optim.SGD", "lr", -1): "part: Invalid learning rate",
}


def fail(number):
    raise OSError(number, os.strerror(number), str(temporary_path(Path("/data/x"))))


def out_of_memory():
    raise torch.OutOfMemoryError("3 GB were asked for")


def line_of(content):
    parser = ConfigParser(content, globals={"fail": fail, "out_of_memory": out_of_memory})
    parser.globals |= {"errno": errno, "os": os, "fail": fail, "out_of_memory": out_of_memory}
    with pytest.raises(Exception) as raised:  # noqa: PT011  (which one is the question)
        parser.get_parsed_content("run")
    return error_line(raised.value)


@pytest.mark.parametrize(("text", "line"), LINES.items())
def test_the_innermost_cause_is_said_with_its_place(text, line):
    said = line_of({"part": text, "whole": ["@part"], "run": "$@whole"})
    assert line in said
    assert "\n" not in said
    assert "Failed to" not in said


@pytest.mark.parametrize(("part", "line"), PARTS.items())
def test_a_setting_that_a_part_refuses_is_named(part, line):
    target, name, value = part
    given = {"_target_": target, "dataset": [1], name: value}
    if target != "torch.utils.data.DataLoader":
        del given["dataset"]
    if target == "torch.nn.Linear":
        given |= {"out_features": 1}
    if target == "torch.optim.SGD":
        given["params"] = "$torch.nn.Linear(1, 1).parameters()"
    said = line_of({"part": given, "run": "$@part"})
    assert said.startswith(line)
    assert "Failed to" not in said


@pytest.mark.parametrize("wired", [{"statistic": "@brightness"}, {"statistic": "mode"}])
def test_a_refused_setting_is_called_as_the_user_typed_it(wired):
    target = "custom.transforms.scale_by_reference.ScaleByReferenced"
    given = {"_target_": target, "keys": "image", "reference_key": "image", **wired}
    said = line_of({"brightness": "mode", "part": given, "run": ["$@part"]})
    name = "brightness" if "@brightness" in wired.values() else "statistic"
    assert said.startswith(f"{name} must be one of mean, ")


def test_the_command_line_says_it_once(tmp_path, capsys):
    configs = tmp_path / "configs"
    configs.mkdir()
    (configs / "metadata.json").write_text("{}")
    (configs / "train.yaml").write_text("bad: $1 / 0\nrun: ['$@bad']\n")
    with pytest.raises(SystemExit) as stop:
        cli.main(["train", str(tmp_path)])
    assert stop.value.code == 1
    said = capsys.readouterr()
    expected = "mri-bundles: bad: ZeroDivisionError: division by zero (--traceback shows where)\n"
    assert (said.out + said.err).endswith(expected)
    assert (said.out + said.err).count("division by zero") == 1


def test_a_file_that_cannot_be_written_is_named_as_it_was_asked_for(tmp_path):
    path = tmp_path / ("x" * 300)
    with pytest.raises(OSError, match="long") as raised, atomic_path(path) as file:
        file.write_text("x")
    said = error_line(raised.value)
    assert said.endswith("xxx: the name is too long: give a shorter one")
    assert ".tmp" not in said


@pytest.mark.parametrize("error", [KeyboardInterrupt(15), RuntimeError("broken")])
def test_a_stopped_validation_prints_no_traceback(toy_engine, caplog, error):
    with caplog.at_level(logging.DEBUG, "validate"), pytest.raises(type(error)):
        toy_engine(error)
    assert "Traceback" not in caplog.text


@pytest.fixture
def toy_engine():
    from ignite.engine import Engine

    def run(error):
        def step(_engine, _batch):
            raise error

        engine = Engine(step)
        EpochLog("validate").attach(engine)
        engine.run([1])

    return run
