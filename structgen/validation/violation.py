"""What a check finds: one :class:`Violation` for each way in which a value breaks a schema."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Optional

__all__ = ["Violation"]


@dataclass(frozen=True)
class Violation:
    """One way in which a value breaks a schema.

    Parameters
    ----------
    message : str
        What is wrong.
    instance_pointer : str
        JSON Pointer of the value at fault; ``""`` is the whole instance.
    schema_pointer : str
        Pointer of the keyword that is broken, as a URI fragment (``"#/..."``).
    keyword : str
        That keyword; ``""`` for a text that is no JSON, ``"false"`` for a
        schema that allows nothing.
    line, column : int, optional
        Where a text stops being JSON, counted from 1.
    causes : tuple of Violation
        For ``anyOf``, ``oneOf`` and the like: why each branch failed.
    """

    message: str
    instance_pointer: str = ""
    schema_pointer: str = "#"
    keyword: str = ""
    line: Optional[int] = None
    column: Optional[int] = None
    causes: tuple["Violation", ...] = ()

    @property
    def path(self) -> str:
        """The place in the instance as people write it: ``$.users[0]``."""
        out = "$"
        for part in self.instance_pointer.split("/")[1:]:
            part = part.replace("~1", "/").replace("~0", "~")
            if part.isdigit():
                out += f"[{part}]"
            else:
                out += f".{part}" if part.isidentifier() else f"[{json.dumps(part)}]"
        return out

    def as_dict(self) -> dict[str, Any]:
        """A JSON-ready form."""
        out: dict[str, Any] = {"message": self.message, "pointer": self.instance_pointer, "path": self.path,
                               "schema_pointer": self.schema_pointer, "keyword": self.keyword}
        if self.line is not None:
            out |= {"line": self.line, "column": self.column}
        if self.causes:
            out["causes"] = [cause.as_dict() for cause in self.causes]
        return out

    def __str__(self) -> str:
        return f"{self.instance_pointer or '(root)'}: {self.message} ({self.schema_pointer})"
