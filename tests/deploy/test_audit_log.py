import json

import pytest

from custom.deploy.audit_log import AuditLog
from custom.errors import InputError


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_one_line_of_json_for_each_record(tmp_path):
    log = AuditLog(tmp_path / "new" / "audit.jsonl")
    log.record("refused", seconds=0.12345, reason="not-mr")
    AuditLog(log.path).record(
        "restored",
        seconds=2.0,
        bundle={"id": "b", "version": "1.0.0", "sha256": "00"},
        input_sha256="11",
        warnings=("far-spacing",),
        series={"restored": 30},
    )
    first, second = lines(log.path)
    assert (first["decision"], first["reason"], first["seconds"]) == ("refused", "not-mr", 0.123)
    assert second["bundle"]["version"] == "1.0.0"
    assert (second["warnings"], second["series"]) == (["far-spacing"], {"restored": 30})
    assert first["notice"] == "research use only"
    assert first["time"] < second["time"]
    assert first["time"].endswith("+00:00")


def test_a_log_that_cannot_be_written_stops_before_anything_is_restored(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        AuditLog(tmp_path / "file" / "audit.jsonl")


def test_others_cannot_read_it(tmp_path):
    AuditLog(tmp_path / "audit.jsonl")
    assert (tmp_path / "audit.jsonl").stat().st_mode & 0o007 == 0
