import pytest

from custom.files.atomic import set_aside
from custom.handlers.run_folder import EarlierRun


def test_nothing_there_is_nothing_to_do(tmp_path):
    assert set_aside(tmp_path / "last.pt") is None


def test_each_earlier_file_keeps_its_content_under_a_number(tmp_path):
    file = tmp_path / "last.pt"
    for number in (1, 2, 3):
        file.write_text(f"run {number}")
        assert set_aside(file) == tmp_path / f"last.{number}.pt"
    assert not file.exists()
    assert (tmp_path / "last.2.pt").read_text() == "run 2"


def test_a_folder_is_renamed_with_its_content(tmp_path):
    folder = tmp_path / "previews"
    folder.mkdir()
    (folder / "epoch_0001.png").write_text("old")
    assert set_aside(folder) == tmp_path / "previews.1"
    assert (tmp_path / "previews.1" / "epoch_0001.png").read_text() == "old"
    assert not folder.exists()


@pytest.mark.parametrize(("start", "kept"), [(0, "previews.1"), (2, "previews")])
def test_only_a_new_training_sets_aside(toy, tmp_path, start, kept):
    (tmp_path / "previews").mkdir()
    (tmp_path / "previews" / "epoch_0002.png").write_text("old")
    training = toy(max_epochs=3, start=start)
    training.attach(EarlierRun([tmp_path / "previews", tmp_path / "none"]))
    training.run()
    assert [path.name for path in tmp_path.iterdir()] == [kept]
    assert (tmp_path / kept / "epoch_0002.png").read_text() == "old"
