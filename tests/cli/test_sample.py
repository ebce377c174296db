"""``structgen sample`` in process."""

import json
import math

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")


def test_texts_and_report(cli, tmp_path):
    done = cli("sample", "-m", "tiny", "--choice", "yes", "--choice", "no", "-n", "5", "--seed", "1",
               "--sampling", "exact",
               "--plot", str(tmp_path / "out.svg"), "--oracle", str(tmp_path / "oracle.npz"), "-p", "Is it? ")
    assert done.code == 0 and set(done.out.split()) <= {"yes", "no"} and len(done.out.split()) == 5
    assert "KL(masking || target)" in done.err
    assert (tmp_path / "out.svg").read_text().startswith("<svg")
    again = cli("sample", "-m", "tiny", "--choice", "yes", "--choice", "no", "-n", "5", "--seed", "1", "--sampling",
                "exact", "--oracle", str(tmp_path / "oracle.npz"), "-p", "Is it? ", "--output-format", "json")
    rows = [json.loads(line) for line in again.out.splitlines()]
    assert [r["text"] for r in rows] == done.out.split()
    assert all(math.isfinite(r["log_p"]) and r["log_w"] == 0 for r in rows)


def test_budgets_and_bad_arguments(cli, tmp_path):
    done = cli("sample", "-m", "tiny", "--regex", "[a-c]{3}", "-n", "50", "--forwards", "2", "-p", "x")
    assert done.code == 5 and "budget" in done.err
    assert cli("sample", "-m", "tiny", "--choice", "a", "--sampling", "magic", "-p", "x").code == 2
    (tmp_path / "o.npz").write_bytes(b"nothing")
    assert cli("sample", "-m", "tiny", "--choice", "a", "-p", "x", "--oracle", str(tmp_path / "o.npz")).code != 0
    missing = str(tmp_path / "no folder" / "out.svg")
    assert cli("sample", "-m", "tiny", "--choice", "a", "-n", "1", "-p", "x", "--plot", missing).code == 4


def test_grammar_files(cli, tmp_path):
    (tmp_path / "nested.lark").write_text('start: "(" start? ")"')
    done = cli("sample", "-m", "tiny", "-s", str(tmp_path / "nested.lark"), "-n", "3", "-p", "x", "--max-tokens", "5",
               "--sampling", "weighted", "--seed", "1")
    assert done.code == 0 and set(done.out.split()) <= {"()", "(())"}
