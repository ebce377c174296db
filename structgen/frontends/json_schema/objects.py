"""Object forms to object alternatives: keys, classes of keys, counts.

Every declared key gets the conjunction of what each layer says of it;
undeclared keys are classified by the patterns of all layers and the languages
of ``propertyNames``.  Key languages that turn out finite become declared
keys, so that a reader of the alternative can count what is left.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Callable, Optional

from ...errors import LimitError
from ...grammar.ir import Extra, ObjectAlt
from ...grammar.strings import ANY_STRING, Literals, StrLang, intersect
from .forms import ANY, NONE, ObjForm
from .strlang import contains, count_words, is_infinite, matches, words

if TYPE_CHECKING:
    from .grammar import SchemaGrammar

__all__ = ["key_node", "key_language", "object_satisfiable", "object_alt", "MAX_FINITE_KEYS"]

#: so many undeclared keys, at most, are turned into declared ones
MAX_FINITE_KEYS = 256
#: classes of keys (subsets of the patterns) that are looked at one by one
_MAX_CLASS_ATOMS = 10


def key_node(g: "SchemaGrammar", obj: ObjForm, name: str) -> int:
    """The node of the value of key `name` (``propertyNames`` aside)."""
    node = ANY
    for layer in obj.layers:
        here = layer.props.get(name)
        for pattern, sub in layer.patterns:
            if matches(pattern, name):
                here = sub if here is None else g.conj(here, sub)
        if here is None:
            here = layer.additional
        if here != ANY:
            node = g.conj(node, here)
    for lang, here in obj.every:
        if contains(lang, name):
            node = g.conj(node, here)
    return node


def key_language(g: "SchemaGrammar", obj: ObjForm) -> StrLang:
    """The keys that ``propertyNames`` allows."""
    lang = ANY_STRING
    for node in obj.keynames:
        lang = intersect(lang, g.form(node).string)
    return lang


def object_satisfiable(g: "SchemaGrammar", obj: ObjForm) -> bool:
    """Whether the alternative has a value."""
    required = obj.required
    least = obj.min
    if obj.clauses:
        from .clauses import object_alts
        return bool(object_alts(g, obj))
    if not required and not least:
        return True
    if (obj.deps or obj.keynames or obj.every or least > len(required)
            or obj.max is not None and obj.max < len(required)):
        return object_alt(g, obj) is not None
    good = True
    layers = obj.layers
    if len(layers) == 1 and not layers[0].patterns:
        props, additional = layers[0].props, layers[0].additional
        for name in required:
            node = props.get(name, additional)
            if node != ANY:
                good = g.has(node) and good
    else:
        for name in required:
            node = key_node(g, obj, name)
            if node != ANY:
                good = g.has(node) and good
    return good and all(_spellable(name) for name in required)


def _spellable(name: str) -> bool:
    return name.isascii() or not any("\ud800" <= c <= "\udfff" for c in name)


def object_alt(g: "SchemaGrammar", obj: ObjForm, declare: tuple[str, ...] = ()) -> Optional[ObjectAlt]:
    """The alternative with its children settled; None when it has no value.

    Clauses are left out.  `declare` are names to list even where no keyword does.
    """
    layers = obj.layers
    closed = g.options.extra == "closed"
    names: list[str] = []
    nodes: list[int] = []
    required = obj.required
    if not obj.deps and not obj.keynames and not obj.every and not declare and (
            not layers or len(layers) == 1 and not layers[0].patterns):
        # the usual object: one group of keywords, nothing that relates keys
        additional, props = (layers[0].additional, layers[0].props) if layers else (ANY, {})
        same, sats = g._same, g._sats
        for name, node in props.items():
            names.append(name)
            nodes.append(same[node] if node >= 0 and (sats[node] or g.has(node)) else NONE)
        for name in required:
            if name not in props:
                names.append(name)
                nodes.append(g.out(additional))
        deps: tuple = ()
        extra = _plain_extra(g, additional)
        if closed and props and not layers[0].explicit and layers[0].own:
            extra = None
    else:
        lang = key_language(g, obj)
        order: dict[str, None] = {}
        for layer in layers:
            order.update(dict.fromkeys(layer.props))
        order.update(dict.fromkeys(required))
        for name, needs in obj.deps:
            order[name] = None
            order.update(dict.fromkeys(needs))
        order.update(dict.fromkeys(declare))
        for name in order:
            names.append(name)
            nodes.append(g.out(key_node(g, obj, name)) if lang == ANY_STRING or contains(lang, name) else NONE)
        extra, more = _classes(g, obj, lang, set(order),
                               closed and any([layer.own and bool(layer.props) for layer in layers]))
        for name, node in more:
            names.append(name)
            nodes.append(node)
        deps = obj.deps
    return _settle(names, nodes, required, extra, obj.min, obj.max, deps)


def _settle(names: list[str], nodes: list[int], required: tuple, extra: Optional[Extra], lo: int,
            hi: Optional[int], deps: tuple) -> Optional[ObjectAlt]:
    """Presence and counts; forbids what cannot be there."""
    index = {name: i for i, name in enumerate(names)}
    for i, name in enumerate(names):
        if not name.isascii() and not _spellable(name):
            nodes[i] = NONE
    need = [False] * len(names)
    for name in required:
        i = index[name]
        if nodes[i] < 0:
            return None
        need[i] = True
    arrows: tuple = ()
    count = len(required)
    if deps:
        settled = _dependencies(index, nodes, need, deps, hi)
        if settled is None:
            return None
        arrows = settled
        count = sum(need)
    if hi is not None and count > hi:
        return None
    if hi is not None and hi == count:
        extra = None                       # no room for any further key
        for i, needed in enumerate(need):
            if not needed:
                nodes[i] = NONE
    lo = max(lo, count)
    possible = None
    if extra is None or extra.size is not None:
        possible = sum(1 for node in nodes if node >= 0) + (extra.size if extra is not None else 0)
        if lo > possible:
            return None
        if hi is not None and hi >= possible:
            hi = None
    if hi is not None and lo > hi:
        return None
    if arrows and hi is not None and lo > count and extra is None and not _reachable(nodes, need, arrows, lo, hi):
        return None
    if extra is None and NONE in nodes:
        kept = [i for i, node in enumerate(nodes) if node >= 0]
        at = {i: k for k, i in enumerate(kept)}
        names, nodes, need = [names[i] for i in kept], [nodes[i] for i in kept], [need[i] for i in kept]
        arrows = tuple((at[i], tuple(at[j] for j in js)) for i, js in arrows if i in at)
    return ObjectAlt(tuple(names), tuple(nodes), tuple(need), extra, lo, hi, arrows)


def _dependencies(index: dict, nodes: list[int], need: list[bool], deps: tuple, hi: Optional[int]):
    """Close presence under `deps`; None when a required key cannot be had."""
    arrows: dict[int, set[int]] = {}
    for name, needs in deps:
        arrows.setdefault(index[name], set()).update(index[n] for n in needs)

    def closure(start) -> set[int]:
        out, stack = set(start), list(start)
        while stack:
            for j in arrows.get(stack.pop(), ()):
                if j not in out:
                    out.add(j)
                    stack.append(j)
        return out

    base = closure([i for i, needed in enumerate(need) if needed])
    if any(nodes[i] < 0 for i in base):
        return None
    for i in base:
        need[i] = True
    for i in list(arrows):
        if not need[i] and nodes[i] >= 0:
            with_i = closure([i])
            if any(nodes[j] < 0 for j in with_i) or hi is not None and len(with_i | base) > hi:
                nodes[i] = NONE
    return tuple((i, tuple(sorted(j for j in js if j != i and not need[j]))) for i, js in sorted(arrows.items())
                 if not need[i] and nodes[i] >= 0 and any(j != i and not need[j] for j in js))


def _reachable(nodes: list[int], need: list[bool], arrows: tuple, lo: int, hi: int) -> bool:
    """Whether some set of keys closed under `arrows` has between `lo` and `hi` members."""
    bound: set[int] = set()
    for i, js in arrows:
        bound.add(i)
        bound.update(js)
    free = sum(1 for i, node in enumerate(nodes) if node >= 0 and not need[i] and i not in bound)
    base = sum(need)
    if base + free >= lo:
        return True
    if len(bound) > 16:
        raise LimitError("minProperties and maxProperties beside more than 16 dependent properties",
                         place="dependent properties", limit=16)
    for size in range(1, len(bound) + 1):
        if base + size > hi or base + size + free < lo:
            continue
        for chosen in combinations(sorted(bound), size):
            have = set(chosen)
            if all(i not in have or have.issuperset(js) for i, js in arrows):
                return True
    return False


# -- undeclared keys --------------------------------------------------------------------

def _plain_extra(g: "SchemaGrammar", node: int) -> Optional[Extra]:
    """Undeclared keys all alike."""
    node = g.out(node)
    if node < 0:
        return None
    extra = g.extras.get(node)
    if extra is None:
        extra = g.extras[node] = Extra((), lambda bits: node)
    return extra


def _classes(g: "SchemaGrammar", obj: ObjForm, lang: StrLang, declared: set[str],
             closed: bool) -> tuple[Optional[Extra], list[tuple[str, int]]]:
    """The undeclared keys: an Extra, or, when they are few, a list of keys."""
    if not lang:
        return None, []
    atoms: dict = {}
    for layer in obj.layers:
        for pattern, _ in layer.patterns:
            atoms.setdefault(pattern, len(atoms))
    for part in (lang, *(part for part, _ in obj.every)):
        for conj in part:
            for atom, _ in conj:
                atoms.setdefault(atom, len(atoms))
    if not atoms:
        node = ANY
        for layer in obj.layers:
            node = g.conj(node, layer.additional)
        for _, here in obj.every:
            node = g.conj(node, here)
        if closed and not any(layer.explicit for layer in obj.layers):
            return None, []
        return _plain_extra(g, node), []
    layers = [([(1 << atoms[p], sub) for p, sub in layer.patterns], layer.additional, layer.explicit)
              for layer in obj.layers]
    keys = [[(1 << atoms[atom], positive) for atom, positive in conj] for conj in lang]
    every = [([[(1 << atoms[atom], positive) for atom, positive in conj] for conj in part], sub)
             for part, sub in obj.every]
    memo: dict[int, int] = {}

    def label(bits: int) -> int:
        node = memo.get(bits)
        if node is None:
            memo[bits] = node = raw(bits)
        return node

    def raw(bits: int) -> int:
        if not any(all((bits & bit != 0) == positive for bit, positive in conj) for conj in keys):
            return NONE
        node, asked = ANY, False
        for patterns, additional, explicit in layers:
            here = None
            for bit, sub in patterns:
                if bits & bit:
                    here = sub if here is None else g.conj(here, sub)
                    asked = True
            if here is None:
                here, asked = additional, asked or explicit
            node = g.conj(node, here)
        for part, sub in every:
            if any(all((bits & bit != 0) == positive for bit, positive in conj) for conj in part):
                node = g.conj(node, sub)
        if closed and not asked:
            return NONE
        return g.out(node)

    # During a decision about satisfiability answers are provisional: keep none.
    if g.provisional:
        label_now: Callable[[int], int] = raw
    else:
        label_now = label
    finite = _finite_keys(tuple(atoms), lang, label_now, len(declared))
    if finite is None:
        return Extra(tuple(atoms), label), []
    found, size = finite
    if found is not None:
        more = []
        for word in found:
            if word not in declared:
                node = label_now(sum(1 << i for i, atom in enumerate(atoms) if matches(atom, word)))
                if node >= 0:
                    more.append((word, node))
        if len(more) <= MAX_FINITE_KEYS:
            return None, more
        size = len(more)
    else:
        for name in declared:
            if label_now(sum(1 << i for i, atom in enumerate(atoms) if matches(atom, name))) >= 0:
                size -= 1
    return (Extra(tuple(atoms), label, size), []) if size else (None, [])


def _finite_keys(atoms: tuple, lang: StrLang, label: Callable[[int], int], declared: int):
    """None when infinitely many undeclared keys are allowed, else (the words or None, how many).

    The words may include forbidden ones; without words, the number is exact.
    """
    if lang != ANY_STRING and all(any(positive and type(atom) is Literals for atom, positive in conj)
                                  for conj in lang):
        return sorted({w for conj in lang for atom, positive in conj if positive and type(atom) is Literals
                       for w in atom.words}), 0
    n = len(atoms)
    if n > _MAX_CLASS_ATOMS:
        return _many_classes(atoms, lang, label)
    allowed = [bits for bits in range(1 << n) if label(bits) >= 0]
    if not allowed:
        return [], 0
    if len(allowed) == 1 << n:
        return None
    if lang == ANY_STRING:
        # all strings in one pattern, whatever the others say
        for i, atom in enumerate(atoms):
            if is_infinite(atom) and sum(1 for bits in allowed if bits >> i & 1) == 1 << (n - 1):
                return None
    total = 0
    cells = []
    for bits in allowed:
        cell = tuple((atom, bits >> i & 1 == 1) for i, atom in enumerate(atoms))
        count = count_words((cell,))
        if count is None:
            return None
        if count:
            total += count
            cells.append(cell)
    if total - declared > MAX_FINITE_KEYS:
        return None, total
    return sorted({w for cell in cells for w in words((cell,))}), total


def _many_classes(atoms: tuple, lang: StrLang, label: Callable[[int], int]):
    """With too many classes to look at each: all words, or one class that is infinite."""
    if lang == ANY_STRING:
        if label(0) < 0:
            counts = [count_words((((atom, True),),)) for atom in atoms]
            if None not in counts and sum(counts) <= 4 * MAX_FINITE_KEYS:
                return sorted({w for atom in atoms for w in words((((atom, True),),))}), 0
        for bits in [1 << i for i in range(len(atoms))] + [0]:
            if label(bits) >= 0:
                cell = tuple((atom, bits >> i & 1 == 1) for i, atom in enumerate(atoms))
                if count_words((cell,)) is None:
                    return None
    raise LimitError(f"more than {_MAX_CLASS_ATOMS} patterns of property names in one object",
                     place="patternProperties", limit=_MAX_CLASS_ATOMS)
