"""Every Python block of the README and the documentation runs; every console block prints what it says."""

import re
import shlex
from pathlib import Path

import pytest

from tests.support.command_line import run_command

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]
_BLOCK = re.compile(r"(?P<skip><!-- not run: [^>]*-->\n)?^```(?P<kind>\w+)\n(?P<code>.*?)^```$", re.M | re.S)


def _blocks(kind):
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for match in _BLOCK.finditer(text):
            if match["kind"] == kind and not match["skip"]:
                line = text.count("\n", 0, match.start("code")) + 1
                yield pytest.param(match["code"], line, id=f"{page.relative_to(ROOT).as_posix()}:{line}")


@pytest.mark.parametrize("code, line", [*_blocks("python")])
def test_python_block(code, line, monkeypatch):
    monkeypatch.chdir(ROOT)
    if 'model="tiny"' in code or "sg.load(" in code:
        pytest.importorskip("torch")
        pytest.importorskip("transformers")
    exec(compile("\n" * (line - 1) + code, "documentation", "exec"), {"__name__": "documentation"})


def _commands(code):
    """Pairs of command and expected output of a console block."""
    out = []
    for line in code.splitlines():
        if line.startswith("$ "):
            out.append((line[2:], []))
        else:
            out[-1][1].append(line)
    return out


def _fits(expected, lines):
    """Whether `lines` are the expected ones, where a line `...` stands for any number of lines."""
    if not expected:
        return not lines
    if expected[0].strip() == "...":
        return any(_fits(expected[1:], lines[i:]) for i in range(len(lines) + 1))
    if not lines:
        return False
    pattern = ".*".join(re.escape(part) for part in expected[0].split("[...]"))
    return re.fullmatch(pattern, lines[0]) is not None and _fits(expected[1:], lines[1:])


@pytest.mark.parametrize("code, line", [*_blocks("console")])
def test_console_block(code, line, monkeypatch, tmp_path):
    monkeypatch.chdir(ROOT)
    status = 0
    for command, expected in _commands(code):
        if command == "echo $?":
            assert expected == [str(status)]
            continue
        command = command.replace("OUT/", f"{tmp_path}/")
        sent = None
        if " | " in command:
            echo, command = command.split(" | ", 1)
            sent = " ".join(shlex.split(echo)[1:]) + "\n"
        name, *arguments = shlex.split(command)
        assert name == "structgen"
        if "generate" in arguments or "sample" in arguments:
            pytest.importorskip("torch")
            pytest.importorskip("transformers")
        done = run_command(*arguments, input=sent)
        status = done.code
        lines = (done.out + done.err).replace(str(tmp_path), "OUT").splitlines()
        assert _fits(expected, lines), "\n".join([command, *lines])
