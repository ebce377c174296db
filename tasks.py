#!/usr/bin/env python3
"""Set-up and everyday tasks; needs nothing but Python 3.10 or later.

    python3 tasks.py demo    make .venv, install structgen with its model support, read a sentence into a Pydantic model
    python3 tasks.py test    make .venv, install what the tests need, run the test suite

`STRUCTGEN_VENV` names another folder for the virtual environment.
`STRUCTGEN_TORCH` says how to install PyTorch: a requirement and pip options,
for example "torch==2.13.0" or "torch --index-url URL".  Unset, an installed
PyTorch is kept; on Linux without an NVIDIA driver a CPU build is taken when pip
can see one; else whatever pip prefers.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = Path(os.environ.get("STRUCTGEN_VENV") or ROOT / ".venv")
OUTLINE = ('{name:string,age:integer,email?:email,languages:("en"|"de"|"fr"|"es")[],'
           'address:{street:string,city:string,postcode:string}}')
DEMO = ["generate", "--model", "embedded", "--schema", "examples/person.py:Person", "--max-new-tokens", "120",
        "--prompt", f"Extract {OUTLINE} from: Clara Weber is 34 years old. She lives at 12 Marlo Street, 10115 Lisbon. "
                    "She speaks German and French."]


def python() -> str:
    """The interpreter of the virtual environment."""
    return str(VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))


def call(*command: str) -> None:
    """Run a command in the project's folder, or end with its exit status."""
    print("+", shlex.join(command), file=sys.stderr, flush=True)
    status = subprocess.call(command, cwd=ROOT)
    if status:
        sys.exit(status if status > 0 else 1)


def quiet(*command: str) -> str | None:
    """What a command prints, or None when it fails."""
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    except OSError:
        return None
    return done.stdout if done.returncode == 0 else None


def torch_arguments() -> list[str] | None:
    """What to hand to ``pip install`` for PyTorch; None when there is nothing to do."""
    wanted = os.environ.get("STRUCTGEN_TORCH")
    if wanted:
        return shlex.split(wanted)
    if quiet(python(), "-c", "import torch") is not None:
        return None
    if sys.platform.startswith("linux") and shutil.which("nvidia-smi") is None:
        listing = quiet(python(), "-m", "pip", "index", "versions", "torch")
        build = re.search(r"\d[\w.]*\+cpu", listing or "")
        if build:
            return [f"torch=={build.group()}"]
    return ["torch"]


def install(extras: str) -> None:
    """Make the virtual environment and install the checkout into it, once per change of either."""
    if sys.version_info < (3, 10):
        sys.exit(f"structgen needs Python 3.10 or later; this is {sys.version.split()[0]}")
    if not Path(python()).exists():
        call(sys.executable, "-m", "venv", str(VENV))
    choice = f"{os.environ.get('STRUCTGEN_TORCH', '')}\n{ROOT}"
    digest = hashlib.sha256((ROOT / "pyproject.toml").read_bytes() + choice.encode()).hexdigest()
    stamp = VENV / f".installed-{extras.replace(',', '-')}"
    if stamp.exists() and stamp.read_text() == digest:
        return
    torch = torch_arguments()
    if torch:
        call(python(), "-m", "pip", "install", "--quiet", *torch)
    call(python(), "-m", "pip", "install", "--quiet", "--editable", f".[{extras}]")
    stamp.write_text(digest)


def demo(extra: list[str]) -> None:
    install("hf")
    call(python(), "-m", "structgen", *DEMO, *extra)


def test(extra: list[str]) -> None:
    install("hf,test")
    call(python(), "-m", "pytest", "-q", *extra)


if __name__ == "__main__":
    tasks = {"demo": demo, "test": test}
    if len(sys.argv) < 2 or sys.argv[1] not in tasks:
        sys.exit(__doc__)
    tasks[sys.argv[1]](sys.argv[2:])
