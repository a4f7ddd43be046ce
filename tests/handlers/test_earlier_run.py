from custom.handlers.earlier_run import set_aside


def test_nothing_there_is_nothing_to_do(tmp_path):
    assert set_aside(tmp_path / "last.pt") is None


def test_each_earlier_file_keeps_its_content_under_a_number(tmp_path):
    file = tmp_path / "last.pt"
    for number in (1, 2, 3):
        file.write_text(f"run {number}")
        assert set_aside(file) == tmp_path / f"last.{number}.pt"
    assert not file.exists()
    assert (tmp_path / "last.2.pt").read_text() == "run 2"
