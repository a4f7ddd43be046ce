import subprocess
import sys
import threading
import time

import pytest

from custom.errors import InputError
from custom.files.process_lock import keep_folder, process_lock, release_folder

# Reads a number, dawdles, and writes it back one higher: without a lock some steps are lost.
COUNT = """
import sys, time
from pathlib import Path
from custom.files.process_lock import process_lock
folder = Path(sys.argv[1])
for _ in range(20):
    with process_lock(folder / "lock"):
        value = int((folder / "number").read_text())
        time.sleep(0.002)
        (folder / "number").write_text(str(value + 1))
"""


def test_processes_take_turns(tmp_path):
    (tmp_path / "number").write_text("0")
    words = [sys.executable, "-c", COUNT, str(tmp_path)]
    processes = [subprocess.Popen(words) for _ in range(3)]
    assert [process.wait(timeout=60) for process in processes] == [0, 0, 0]
    assert (tmp_path / "number").read_text() == "60"
    assert not (tmp_path / "lock").exists()


def test_a_killed_process_leaves_no_lock(tmp_path):
    script = (
        "import sys, time\nfrom custom.files.process_lock import process_lock\n"
        "with process_lock(sys.argv[1]):\n    print('held', flush=True)\n    time.sleep(60)\n"
    )
    words = [sys.executable, "-c", script, str(tmp_path / "lock")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        entered = threading.Event()

        def enter():
            with process_lock(tmp_path / "lock"):
                entered.set()

        thread = threading.Thread(target=enter)
        thread.start()
        time.sleep(0.1)
        assert not entered.is_set()
        process.kill()
        assert entered.wait(timeout=10)
        thread.join()


def test_an_error_inside_frees_the_lock(tmp_path):
    with pytest.raises(ValueError, match="inside"), process_lock(tmp_path / "new" / "lock"):
        raise ValueError("inside")
    with process_lock(tmp_path / "new" / "lock"):
        assert (tmp_path / "new" / "lock").exists()


def test_a_folder_is_kept_until_it_is_released_or_its_process_ends(tmp_path):
    script = (
        "import sys\nfrom custom.files.process_lock import keep_folder\n"
        "keep_folder(sys.argv[1])\nkeep_folder(sys.argv[1])\nprint('kept', flush=True)\n"
        "sys.stdin.read()\n"
    )
    words = [sys.executable, "-c", script, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    for end in ("killed", "ended"):
        with subprocess.Popen(words, **pipes) as process:
            assert process.stdout.readline() == "kept\n"
            with pytest.raises(InputError, match="another process is writing there: wait"):
                keep_folder(tmp_path)
            if end == "killed":
                process.kill()
        assert any(tmp_path.iterdir()) == (end == "killed")
    keep_folder(tmp_path)
    release_folder(tmp_path)
    release_folder(tmp_path)
    assert not any(tmp_path.iterdir())
