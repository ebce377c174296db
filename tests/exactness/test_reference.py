"""The reference engine against languages listed from their definition.

For random finite grammars, walking every live byte must reach exactly the
texts of the language and nothing else: no dead end, nothing missing.
"""

from __future__ import annotations

import random

import numpy as np
import pytest

from structgen.errors import MatcherError
from structgen.grammar.ir import (ArrayAlt, Extra, NumAlt, ObjectAlt, Options, TextGrammar,
                                  ValueNode)
from structgen.grammar.strings import Length, Literals, Pattern, literal_lang
from structgen.reference import ReferenceMatcher

from tests.support.ir_enumerate import ListGrammar, texts

BYTES = ([bytes([b]) for b in range(256)] + [None], [256])
UNIVERSE = ["", "a", "b", "ab", "aé", "\U0001F600"]
COMPACT = Options(whitespace="compact", numbers="plain", escapes="minimal")


def walk(grammar, limit: int = 60_000) -> set[str]:
    """Every complete text, by trying all bytes from every live state; fails at a dead end."""
    relation = ReferenceMatcher(grammar, BYTES).relation
    out, todo, steps = set(), [(b"", relation.start())], 0
    while todo:
        text, configs = todo.pop()
        ends = relation.accepts(configs)
        if ends:
            out.add(text.decode())
        alive = False
        for b in range(256):
            after = relation.step(configs, b)
            if after:
                alive = True
                todo.append((text + bytes([b]), after))
        assert ends or alive, f"dead end after {text!r}"
        steps += 1
        assert steps < limit, "the language is larger than the test expects"
    return out


def random_strings(rng: random.Random):
    words = Literals(tuple(sorted(rng.sample(UNIVERSE, rng.randint(1, 3)))))
    conj = [(words, True)]
    if rng.random() < 0.3:
        keep = [w for w in words.words if len(w) >= 1]
        if keep:
            conj.append((Length(1, rng.choice([None, 2, 3])), True))
    if rng.random() < 0.3:
        other = Literals(tuple(sorted(rng.sample(UNIVERSE, 2))))
        if set(words.words) - set(other.words) and not any(isinstance(a, Length) for a, _ in conj):
            conj.append((other, False))
    return (tuple(conj),)


def random_scalar(rng: random.Random) -> ValueNode:
    kind = rng.randrange(4)
    if kind == 0:
        return ValueNode(null=True, true=rng.random() < 0.5)
    if kind == 1:
        lo = rng.choice([-12, -3, 1, 8, 99])
        return ValueNode(number=(NumAlt(True, lo, False, lo + rng.randint(0, 2), False, None),))
    if kind == 2:
        return ValueNode(string=random_strings(rng))
    return ValueNode(false=True, string=literal_lang(["b"]))


def random_object(rng: random.Random, nodes: list[int]) -> ObjectAlt | None:
    """An object alternative over scalar nodes, None when it came out unsatisfiable."""
    n = rng.randint(0, 3)
    names = tuple(rng.sample(UNIVERSE, n))
    kids = tuple(rng.choice(nodes + [-1]) if rng.random() < 0.4 else rng.choice(nodes) for _ in range(n))
    required = tuple(k >= 0 and rng.random() < 0.3 for k in kids)
    extra = None
    others = [u for u in UNIVERSE if u not in names]
    if rng.random() < 0.6:
        atoms = (Literals(tuple(sorted(rng.sample(UNIVERSE, rng.randint(1, 3))))),)
        if rng.random() < 0.5:
            atoms += (Literals(tuple(sorted(rng.sample(UNIVERSE, 2)))),)
        labels = [-1] + [rng.choice(nodes + [-1]) for _ in range((1 << len(atoms)) - 1)]
        allowed = [u for u in others if labels[sum(1 << i for i, a in enumerate(atoms) if u in a.words)] >= 0]
        if allowed:
            extra = Extra(atoms, labels.__getitem__, len(allowed))
    deps = ()
    if n >= 2 and rng.random() < 0.5:
        deps = tuple((i, tuple(sorted(rng.sample(range(n), rng.randint(1, n - 1)))))
                     for i in rng.sample(range(n), rng.randint(1, n)))
    lo = rng.choice([0, 0, 1, 2])
    hi = rng.choice([None, None, lo, lo + 1])
    if hi is None and extra is not None:
        hi = 3
    return ObjectAlt(names, kids, required, extra, lo, hi, deps)


def random_grammar(rng: random.Random):
    """A finite grammar of depth two that keeps the invariant of the representation."""
    options = COMPACT._replace(order=rng.choice(["any", "schema"]))
    nodes = [ValueNode()] + [random_scalar(rng) for _ in range(3)]
    inner = [1, 2, 3]

    def pruned(make):
        for _ in range(40):
            node = make()
            # what the invariant asks for: the alternative has at least one value
            probe = ListGrammar([node] + nodes[1:], options)
            found = texts(probe, UNIVERSE)
            if found and len(found) < 150:
                return node
        return ValueNode(null=True)

    def array():
        prefix = tuple(rng.choice(inner) for _ in range(rng.randint(0, 2)))
        items = rng.choice(inner + [-1])
        lo = rng.randint(0, 2)
        hi = len(prefix) if items < 0 else rng.randint(lo, 2) if lo <= 2 else lo
        return ValueNode(arrays=(ArrayAlt(prefix, items, min(lo, hi), hi),))

    def objects():
        alts = tuple(random_object(rng, inner) for _ in range(rng.choice([1, 1, 2])))
        alts = tuple(a for a in alts
                     if texts(ListGrammar([ValueNode(objects=(a,))] + nodes[1:], options), UNIVERSE))
        return ValueNode(objects=alts)

    nodes[0] = pruned(rng.choice([array, objects, objects]))
    if rng.random() < 0.3:
        nodes.append(nodes[0])
        nodes[0] = ValueNode(null=True, arrays=(ArrayAlt((len(nodes) - 1,), -1, 0, 1),))
    return ListGrammar(nodes, options)


@pytest.mark.parametrize("seed", range(60))
def test_walks_reach_exactly_the_language(seed):
    grammar = random_grammar(random.Random(seed))
    assert walk(grammar) == texts(grammar, UNIVERSE)


def accepts(grammar, text) -> bool:
    data = text if isinstance(text, bytes) else text.encode()
    relation = ReferenceMatcher(grammar, BYTES).relation
    configs = relation.start()
    for b in data:
        configs = relation.step(configs, b)
    return relation.accepts(configs)


def alive(grammar, text) -> bool:
    data = text if isinstance(text, bytes) else text.encode()
    relation = ReferenceMatcher(grammar, BYTES).relation
    configs = relation.start()
    for b in data:
        configs = relation.step(configs, b)
    return bool(configs)


ANYTHING = ValueNode(null=True, true=True, false=True, number=(NumAlt(),), string=((),),
                     arrays=(ArrayAlt((), 0, 0, None),),
                     objects=(ObjectAlt(extra=Extra((), lambda bits: 0)),))


@pytest.mark.parametrize("text, good", [
    ('{ "a" : [ 1 , { } , [ ] ] }', True),
    (' {}', False), ('{} ', False), ('1 ', False),
    ("{" + " " * 10 + "}", True), ("{" + " " * 11 + "}", False),
    ("[1" + " " * 10 + ",2]", True), ("[1" + " " * 11 + ",2]", False),
    ("[[" + "\n" * 18 + "]]", True), ("[[" + "\n" * 19 + "]]", False),
    ('{"a"' + "\t" * 10 + ":" + "\r" * 10 + "1" + " " * 10 + "}", True),
    ('{"a":[]' + " " * 10 + "}", True), ('{"a":[]' + " " * 11 + "}", False),
    ("[1,]", False), ("[,1]", False), ('{"a":1,}', False), ("[1 2]", False),
    ("01", False), ("-0", True), ("1.", False), ("1e+5", True), (".5", False), ("+1", False),
    ('"\\u00e9"', True), ('"\\ud83d\\ude00"', True), ('"\\ud83d"', False), ('"\\ude00"', False),
    ('"\\uD83Dx"', False), ('"\\/"', True), ('"\\x"', False), ('"\x1f"', False), ('"\x7f"', True),
    ('{"a":1,"a":2}', False), ('{"a":1,"\\u0061":2}', False), ('{"a":1,"b":{"a":1}}', True),
])
def test_any_json(text, good):
    assert accepts(ListGrammar([ANYTHING]), text) is good


def test_utf8_is_strict():
    g = ListGrammar([ValueNode(string=((),))])
    for raw, good in ((b"\xc3\xa9", True), (b"\xc0\x80", False), (b"\xed\xa0\x80", False),
                      (b"\xf4\x90\x80\x80", False), (b"\xf0\x9f\x98\x80", True), (b"\x80", False)):
        assert accepts(g, b'"' + raw + b'"') is good
    assert alive(g, b'"\xf0\x9f')
    assert not alive(g, b'"\xf0\x8f')


def test_white_space_policies():
    for policy, good, bad in (
            ("compact", ['{"a":[1,2]}'], ['{"a": 1}', "[1, 2]", "[ ]"]),
            ("json.dumps", ['{"a": [1, 2]}', "{}", "[]", '{"a": {}, "b": []}'],
             ['{"a":1}', "[1,2]", "[ 1]", '{"a" : 1}', "[1,  2]"]),
            ("( |\n)?", ["[ 1 , 2\n]", "[1,2]", '{ "a" : 1 }'], ["[  1]", " 1", "[\t1]"])):
        g = ListGrammar([ANYTHING], Options(whitespace=policy))
        assert [t for t in good if not accepts(g, t)] == []
        assert [t for t in bad if accepts(g, t)] == []


def test_minimal_escapes_have_one_spelling():
    g = ListGrammar([ValueNode(string=((),))], Options(escapes="minimal"))
    good = ['"\\n"', '"\\u0001"', '"\\u001f"', '"/"', '"\\""', '"\\\\"', '"\u00e9"', '"\x7f"']
    bad = ['"\\/"', '"\\u000a"', '"\\u0041"', '"\\u001F"', '"\\u00e9"', '"\\ud83d\\ude00"']
    assert [t for t in good if not accepts(g, t)] == []
    assert [t for t in bad if accepts(g, t) or alive(g, t[:-1])] == []


def test_a_used_key_makes_a_prefix_dead():
    # keys: "a" or "b", "bb", ...; after "a" is used, no key starts with "a" again
    atom = Pattern("ecma", "^(a|b+)$")
    node = ValueNode(objects=(ObjectAlt(extra=Extra((atom,), lambda bits: 1 if bits else -1)),))
    g = ListGrammar([node, ValueNode(null=True)], COMPACT._replace(order="any", escapes="all"))
    assert alive(g, '{"a') and alive(g, '{"\\u006')
    assert alive(g, '{"a":null,"b') and not alive(g, '{"a":null,"a')
    # an escape that could only become the used key is dead as early as its fifth byte
    assert alive(g, '{"a":null,"\\u006') and not alive(g, '{"a":null,"\\u0061')
    assert not alive(g, '{"b":null,"b"') and alive(g, '{"b":null,"b')


def test_counts_look_ahead_through_dependencies():
    # a <-> b <-> c, exactly two properties: only without any of the three; x and y do it
    names = ("a", "b", "c", "x", "y")
    alt = ObjectAlt(names, (1,) * 5, (False,) * 5, None, 2, 2, ((0, (1,)), (1, (2,)), (2, (0,))))
    g = ListGrammar([ValueNode(objects=(alt,)), ValueNode(null=True)], COMPACT._replace(order="any"))
    assert walk(g) == {'{"x":null,"y":null}', '{"y":null,"x":null}'}


@pytest.mark.parametrize("pattern", ["a{2,3}b?", "(ab|a)(bc|c)?", "[^a]|aa", "(a|b)*abb"])
def test_text_grammars_agree_with_re(pattern):
    import re
    from itertools import product as combos
    g = TextGrammar((((Pattern("python", pattern), True),),))
    m = ReferenceMatcher(g, BYTES)
    full = re.compile(pattern)
    texts_ = ["".join(t) for n in range(6) for t in combos("abc", repeat=n)]
    matching = [t for t in texts_ if full.fullmatch(t)]
    for t in texts_:
        configs = m._run(m.relation.start(), t.encode())
        assert m.relation.accepts(configs) == (full.fullmatch(t) is not None)
        if any(x.startswith(t) for x in matching):
            assert configs


def test_numbers_agree_with_fractions():
    from fractions import Fraction
    from itertools import product as combos
    import re
    syntax = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
    texts_ = ["".join(t) for n in range(1, 6) for t in combos("-015.e", repeat=n)]
    texts_ = [t for t in texts_ if syntax.fullmatch(t)]
    for alt in (NumAlt(), NumAlt(integer=True), NumAlt(lo=1, lo_open=True, hi=Fraction(105, 10)),
                NumAlt(integer=True, lo=-5, hi=11), NumAlt(multiple_of=Fraction(1, 2)),
                NumAlt(integer=True, lo=0, multiple_of=5), NumAlt(lo=0), NumAlt(hi=0, hi_open=True)):
        g = ListGrammar([ValueNode(number=(alt,))])
        for t in texts_:
            value = Fraction(t)
            inside = not (
                alt.lo is not None and (value < alt.lo or alt.lo_open and value == alt.lo)
                or alt.hi is not None and (value > alt.hi or alt.hi_open and value == alt.hi)
                or alt.integer and value.denominator != 1
                or alt.multiple_of is not None and value % alt.multiple_of != 0)
            got = accepts(g, t)
            if got:
                assert inside, (alt, t)
            elif inside:
                # the documented narrowing: exponents where the language would not be regular
                assert "e" in t, (alt, t)


def test_masks_of_an_incomplete_vocabulary_search_over_tokens():
    # "b" alone cannot be spelt, so '"a' would be a dead end: only the whole words remain
    tokens = [b'"', b"a", b'ab"', b'a"', b"c", None]
    g = ListGrammar([ValueNode(string=literal_lang(["a", "ab", "ac"]))])
    m = ReferenceMatcher(g, (tokens, [5]))
    m.accept(0)
    assert m.allowed() == {1, 2, 3}
    m.accept(1)
    assert m.allowed() == {0, 4}
    m.accept(4)
    assert m.allowed() == {0}
    m.accept(0)
    assert m.allowed() == {5} and m.can_end()
    h = ListGrammar([ValueNode(string=literal_lang(["ab", "b"]))])
    m = ReferenceMatcher(h, (tokens, [5]))
    m.accept(0)
    assert m.allowed() == {2}


def test_interface():
    g = ListGrammar([ANYTHING])
    m = ReferenceMatcher(g, BYTES)
    m.accept_bytes(b"[tr")
    assert m.forced_bytes() == b"ue"
    other = m.fork()
    other.accept_bytes(b"ue")
    assert m.text == b"[tr" and not other.can_end()
    assert other.shortest_completion() == b"]"
    with pytest.raises(MatcherError) as e:
        m.accept_bytes(b"uex")
    assert e.value.offset == 5 and m.text == b"[tr"
    m.accept_bytes(b"ue]")
    mask = np.full((2, 10), -1, np.int32)
    m.fill_bitmask(mask, 1)
    assert mask[0].tolist() == [-1] * 10 and mask[1].tolist() == [0] * 8 + [1, 0]
    m.accept(256)
    assert not m.try_accept(256) and m.allowed() == {256} and not m.can_end()
    m.rollback(2)
    assert m.text == b"[tr"
    m.reset()
    assert m.text == b""
    with pytest.raises(MatcherError):
        m.rollback(1)
