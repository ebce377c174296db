"""Write into each kernel file the digest of the kernel files it compiles in.

numba's cache on disk is keyed by the source of the file that defines a kernel;
code inlined from another file would go stale unnoticed.  So a file that uses
kernels of another holds their digest in ``DEPENDS_ON``; run this after editing
kernels (``python bench/stamp_kernels.py``), a test checks that it was done.
"""

from __future__ import annotations

import hashlib
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent / "structgen"
LEXER = ["automata/lexer_kernels.py", "automata/lexer_states.py"]
#: the kernels of grammars, each compiled into those behind it
CFG = [f"automata/cfg_{part}.py" for part in ("layout", "stacks", "threads", "pieces", "masks", "kernels")]
#: those of canvases under grammars, compiled with the first two of them
SETS = [f"diffusion/cfg_{part}_kernels.py" for part in ("set", "reach", "chart")]
#: the kernels of the stack machine and of its masks, likewise
JSON = [f"automata/stack_{part}.py" for part in ("layout", "objects", "contexts", "lexemes", "kernels")] + [
    f"tokens/mask_{part}.py" for part in ("layout", "regions", "keys", "budgets", "kernels")]
#: file -> kernel files compiled into it, in an order in which they can be stamped
DEPENDENTS = {
    **{name: LEXER + JSON[:i] for i, name in enumerate(JSON) if i},
    "tokens/mask_classes.py": LEXER + JSON,
    **{name: ["automata/lexer_kernels.py", *CFG[:i]] for i, name in enumerate(CFG)},
    "diffusion/byte_dfa_kernels.py": LEXER + JSON,
    **{name: ["automata/lexer_kernels.py", *CFG[:2], *SETS[:i]] for i, name in enumerate(SETS)},
}
_LINE = re.compile(r'^DEPENDS_ON = ".*"$', re.M)


def digest(names: list[str]) -> str:
    """sha256 over the named files."""
    h = hashlib.sha256()
    for name in names:
        h.update((ROOT / name).read_bytes())
    return h.hexdigest()


def stamp(write: bool) -> list[str]:
    """The files whose stamp is (was) out of date."""
    stale = []
    for name, needs in DEPENDENTS.items():
        path = ROOT / name
        text = path.read_text()
        new = _LINE.sub(f'DEPENDS_ON = "{digest(needs)}"', text)
        if new != text:
            stale.append(name)
            if write:
                path.write_text(new)
    return stale


if __name__ == "__main__":
    print("stamped:", ", ".join(stamp(True)) or "nothing to do", file=sys.stderr)
