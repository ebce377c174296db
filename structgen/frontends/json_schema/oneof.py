"""Which branches of a ``oneOf`` share arrays or objects; mostly a proof that none do.

Two alternatives are disjoint when their conjunction is unsatisfiable, which
the grammar decides anyway; a discriminator (a key required everywhere, with
different constants) settles long lists without looking at pairs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...grammar.strings import Literals
from .forms import ANY_FORM, ARR, NO_FORM, OBJ, Form, ObjForm, _meet_arrays, _meet_objects, live_types, meet
from .objects import key_node

if TYPE_CHECKING:
    from .grammar import SchemaGrammar

__all__ = ["overlapping_pairs"]


def overlapping_pairs(g: "SchemaGrammar", branches: list[Form], types: int,
                      context: list[Form]) -> set[tuple[int, int]]:
    """The pairs (i, j), i < j, of branches that share an array or object (as `types` says) within the context."""
    around = ANY_FORM
    for part in context:
        around = meet(around, part, g.conj)
    found: set[tuple[int, int]] = set()
    if types & ARR and around.arrays:
        found.update((i, j) for i, a in enumerate(branches) if a.arrays for j in range(i + 1, len(branches))
                     if _share_arrays(g, a, branches[j], around))
    if types & OBJ and around.objects and not _discriminated(g, [b.objects for b in branches if b.objects]):
        found.update((i, j) for i, a in enumerate(branches) if a.objects for j in range(i + 1, len(branches))
                     if (i, j) not in found
                     and not all(_apart(g, x, y, around) for x in a.objects for y in branches[j].objects))
    return found


def _share_arrays(g: "SchemaGrammar", a: Form, b: Form, around: Form) -> bool:
    for x in a.arrays:
        for y in b.arrays:
            both = _meet_arrays(x, y, g.conj)
            for z in around.arrays if both is not None else ():
                all3 = _meet_arrays(both, z, g.conj)
                if all3 is not None and g.satisfiable(NO_FORM._replace(arrays=(all3,))):
                    return True
    return False


def _discriminated(g: "SchemaGrammar", lists: list[tuple[ObjForm, ...]]) -> bool:
    """Whether some key, required everywhere, has other constants in each branch."""
    first = lists[0][0]
    for name in first.required:
        seen: set[str] = set()
        for objects in lists:
            here: set[str] = set()
            for obj in objects:
                words = _constants(g, obj, name) if name in obj.required else None
                if words is None:
                    break
                here.update(words)
            else:
                if seen.isdisjoint(here):
                    seen |= here
                    continue
            break
        else:
            return True
    return False


def _constants(g: "SchemaGrammar", obj: ObjForm, name: str):
    node = key_node(g, obj, name)
    if node <= 0:
        return None
    form = g.form(node)
    if (form.string and len(form.string) == 1 and len(form.string[0]) == 1 and form.string[0][0][1]
            and type(form.string[0][0][0]) is Literals and live_types(form) == live_types(Form(string=form.string))):
        return form.string[0][0][0].words
    return None


def _apart(g: "SchemaGrammar", x: ObjForm, y: ObjForm, around: Form) -> bool:
    both = _meet_objects(x, y)
    if both is None:
        return True
    # type and constant clashes of required keys, without making nodes for them
    for name in both.required:
        a, b = key_node(g, x, name), key_node(g, y, name)
        if a < 0 or b < 0:
            return True
        if a and b and not live_types(g.form(a)) & live_types(g.form(b)):
            return True
    for z in around.objects:
        all3 = _meet_objects(z, both)
        if all3 is not None and g.satisfiable(NO_FORM._replace(objects=(all3,))):
            return False
    return True
