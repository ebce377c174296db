"""Proofs that the branches of a ``oneOf`` share no array and no object.

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

__all__ = ["prove_disjoint"]


def prove_disjoint(g: "SchemaGrammar", branches: list[Form], types: int, context: list[Form]) -> bool:
    """Whether no array or object (as `types` says) is in two branches within the context."""
    around = ANY_FORM
    for part in context:
        around = meet(around, part, g.conj)
    if types & ARR and around.arrays and not _disjoint_arrays(g, branches, around):
        return False
    return not (types & OBJ and around.objects) or _disjoint_objects(g, branches, around)


def _disjoint_arrays(g: "SchemaGrammar", branches: list[Form], around: Form) -> bool:
    for i, a in enumerate(branches):
        for b in branches[i + 1:]:
            for x in a.arrays:
                for y in b.arrays:
                    both = _meet_arrays(x, y, g.conj)
                    for z in around.arrays if both is not None else ():
                        all3 = _meet_arrays(both, z, g.conj)
                        if all3 is not None and g.satisfiable(NO_FORM._replace(arrays=(all3,))):
                            return False
    return True


def _disjoint_objects(g: "SchemaGrammar", branches: list[Form], around: Form) -> bool:
    lists = [b.objects for b in branches if b.objects]
    if _discriminated(g, lists):
        return True
    for i, xs in enumerate(lists):
        for ys in lists[i + 1:]:
            for x in xs:
                for y in ys:
                    if not _apart(g, x, y, around):
                        return False
    return True


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
