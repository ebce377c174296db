"""What an installation promises: metadata, light imports, files that come along, a README that runs."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def _project():
    try:
        import tomllib
    except ImportError:
        tomllib = pytest.importorskip("tomli")
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def _python(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_requirements_have_lower_bounds_and_no_caps():
    project = _project()["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    requirements = [r for group in groups for r in group if not r.startswith("structgen[")]
    assert requirements
    for requirement in requirements:
        assert not re.search(r"<|==|~=|!=|,", requirement), requirement
    for requirement in project["dependencies"]:
        assert ">=" in requirement, requirement
    core = {re.split(r"[\[>=]", r)[0] for r in project["dependencies"]}
    assert not core & {"torch", "transformers", "tokenizers", "regress", "llguidance", "xgrammar"}
    assert "torch" in project["optional-dependencies"]["hf"]       # no version: the build is the user's choice
    assert project["requires-python"] == ">=3.10"


def test_import_is_light():
    modules = ("torch", "transformers", "tokenizers", "jsonschema", "typer", "rich")
    loaded = _python(f"import sys, structgen; print([m for m in {modules!r} if m in sys.modules])")
    assert loaded == "[]"


def test_version():
    assert _python("import structgen; print(structgen.__version__)") == _python(
        "from structgen._version import __version__; print(__version__)")


def test_public_names_exist():
    pytest.importorskip("torch")
    assert _python("import structgen as sg; print([n for n in sg.__all__ if not hasattr(sg, n)])") == "[]"


def test_dir_lists_public_names_without_loading_models():
    assert _python("import sys, structgen as sg; assert set(sg.__all__) <= set(dir(sg)); "
                   "print([m for m in ('torch', 'transformers') if m in sys.modules])") == "[]"


def test_typed_and_licensed():
    assert (ROOT / "structgen" / "py.typed").is_file()
    licence = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in licence and "END OF TERMS AND CONDITIONS" in licence
    assert _project()["project"]["license"] == "Apache-2.0"


def test_modules_say_what_they_are():
    for path in sorted((ROOT / "structgen").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        assert not text.strip() or text.lstrip().startswith(('"""', 'r"""')), f"{path} has no docstring"


def test_ci_runs_the_readmes_test_command():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"^    (python3 tasks\.py \w+)$", readme, re.M)
    assert commands == ["python3 tasks.py demo", "python3 tasks.py test"]
    assert commands[1] in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()


def test_tasks_without_arguments_explains_itself():
    done = subprocess.run([sys.executable, "tasks.py"], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.returncode == 1 and "demo" in done.stderr and "test" in done.stderr


def test_the_wheel_brings_the_models(tmp_path):
    pytest.importorskip("hatchling")
    import zipfile

    done = subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)], cwd=ROOT,
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        sizes = {info.filename: info.file_size for info in archive.infolist()}
    assert "structgen/py.typed" in sizes
    for model in ("embedded", "embedded-diffusion"):
        for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"):
            path = f"structgen/models/data/{model}/{name}"
            assert sizes[path] == (ROOT / path).stat().st_size > 0
    assert not [name for name in sizes if not name.startswith(("structgen/", "structgen-"))]
