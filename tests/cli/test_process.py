"""The program as a process: exit codes, streams, colour, completion, interrupts."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest


def test_help_lists_the_commands(program):
    done = program("--help")
    assert done.code == 0 and done.err == ""
    for command in ("validate", "explain", "compile", "generate", "match", "mask"):
        assert f"\n  {command} " in done.out
        assert program(command, "--help").code == 0


def test_help_imports_nothing_heavy(tmp_path):
    code = ("import sys; sys.argv = ['structgen', '--help']\n"
            "from structgen.cli import main\n"
            "try: main()\n"
            "except SystemExit: pass\n"
            "heavy = ('torch', 'transformers', 'jsonschema', 'lark', 'llvmlite')\n"
            "print([m for m in heavy if m in sys.modules], file=sys.stderr)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120,
                          cwd=os.path.dirname(os.path.dirname(os.path.dirname(__file__))))
    assert done.stderr.strip() == "[]"


def test_version_names_what_it_runs_on(program):
    done = program("--version")
    assert done.code == 0
    first, second = done.out.splitlines()
    assert first.startswith("structgen ")
    assert "numba " in second and "tokenizers " in second


@pytest.mark.parametrize("arguments", [("frobnicate",), ("validate",), ("validate", "{}", "--nope"),
                                       ("explain", "{}", "--fail-on", "sometimes")])
def test_usage_errors_are_2(program, arguments):
    done = program(*arguments)
    assert done.code == 2
    assert "Traceback" not in done.err + done.out


def test_no_arguments_show_the_help(program):
    done = program()
    assert done.code in (0, 2)      # older and newer versions of click
    assert "validate" in done.out + done.err


def test_streams(program, write):
    schema = write("s.json", {"type": "integer"})
    good = program("validate", schema, input=b"3")
    assert (good.code, good.err) == (0, "") and good.out == "<stdin>: valid\n"
    bad = program("validate", schema, input=b"3.5")
    assert bad.code == 1 and bad.err == "" and "#/type" in bad.out
    broken = program("validate", "{", input=b"3")
    assert broken.code == 3 and broken.out == "" and broken.err.startswith("error: ")


def test_no_traceback_unless_asked(program, tmp_path):
    quiet = program("validate", tmp_path / "none.json", input=b"")
    assert quiet.code == 4 and "Traceback" not in quiet.err
    loud = program("--traceback", "validate", tmp_path / "none.json", input=b"")
    assert loud.code != 0 and "Traceback" in loud.err


def test_output_that_is_not_a_terminal_has_no_colour(program):
    done = program("validate", "{}", input=b"1", env={"FORCE_COLOR": ""})
    assert "\x1b" not in done.out


@pytest.mark.skipif(os.name == "nt", reason="needs a pseudo-terminal")
@pytest.mark.parametrize("no_color", ["", "1"])
def test_no_color(no_color):
    import pty

    master, slave = pty.openpty()
    env = {**os.environ, "NO_COLOR": no_color, "TERM": "xterm"}
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    done = subprocess.Popen([sys.executable, "-m", "structgen", "validate", "{}"], stdin=subprocess.PIPE,
                            stdout=slave, stderr=subprocess.DEVNULL, env=env, cwd=root)
    done.communicate(b"1", timeout=120)
    os.close(slave)
    seen = os.read(master, 4096)
    os.close(master)
    assert b"valid" in seen
    assert (b"\x1b[" in seen) == (not no_color)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script(program, shell):
    done = program("--show-completion", shell, env={"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"})
    assert done.code == 0 and "_STRUCTGEN_COMPLETE" in done.out


def test_completion_of_commands(program):
    done = program(env={"_STRUCTGEN_COMPLETE": "complete_bash", "COMP_WORDS": "structgen va", "COMP_CWORD": "1"})
    assert done.out.split() == ["validate"]


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_interrupt_is_130():
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    # a shell that started the tests in the background has them ignore interrupts
    code = ("import signal, sys\nfrom structgen.cli import inputs, validate\n"
            "import structgen.cli.common as c\n"
            "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
            "def slow(*a):\n    print('ready', flush=True)\n    import time; time.sleep(60)\n"
            "validate.read_bytes = slow\n"
            "sys.argv = ['structgen', 'validate', '{}', 'x.json']\n"
            "from structgen.cli import main; main()")
    running = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=root)
    assert running.stdout.readline() == b"ready\n"
    time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=60)
    assert running.returncode == 130 and b"Traceback" not in err


@pytest.mark.skipif(os.name == "nt", reason="pipes")
def test_a_reader_that_goes_away(write):
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    lines = write("i.jsonl", "1\n" * 50_000)
    done = subprocess.run(f"{sys.executable} -m structgen validate '{{}}' {lines} --lines | head -n 1", shell=True,
                          capture_output=True, text=True, cwd=root, timeout=120)
    assert done.stdout.strip().endswith("valid") and done.stderr == ""


def test_errors_as_json_go_to_standard_error(program):
    done = program("validate", "{", "--output-format", "json", input=b"1")
    assert done.code == 3 and done.out == ""
    assert json.loads(done.err)["error"]["type"] == "SchemaError"
