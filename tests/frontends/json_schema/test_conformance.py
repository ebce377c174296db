"""The normal form against verdicts we did not write, with no engine involved.

The JSON-Schema-Test-Suite, a sample of MaskBench, and random schemas judged by
``jsonschema``.  Satisfiability is checked through witnesses: a value built
from any node must be accepted by that node, and from the root by the judge.
"""

from __future__ import annotations

import json
import random
import tarfile
from fractions import Fraction

import pytest

from bench.oracle import Oracle
from structgen.errors import LimitError, SchemaError, UnsatisfiableSchema, UnsupportedSchema
from structgen.frontends.json_schema import lower
from structgen.frontends.json_schema.strlang import words
from structgen.grammar.ir import Options
from structgen.grammar.strings import Length, Literals
from tests.support.ir_validate import accepts, array_in, string_in
from tests.support.random_schemas import NAMES, STRINGS, TABLE, random_schema, random_value

DRAFTS = {"draft4": "http://json-schema.org/draft-04/schema#", "draft6": "http://json-schema.org/draft-06/schema#",
          "draft7": "http://json-schema.org/draft-07/schema#",
          "draft2019-09": "https://json-schema.org/draft/2019-09/schema",
          "draft2020-12": "https://json-schema.org/draft/2020-12/schema"}


def load(data_dir, folder, archive, wanted):
    base = data_dir / folder
    if base.is_dir():
        for path in sorted(base.rglob("*.json")):
            name = path.relative_to(base).as_posix()
            if wanted(name):
                yield name, json.loads(path.read_text(encoding="utf-8"))
        return
    if not (data_dir / archive).exists():
        pytest.skip(f"STRUCTGEN_DATA holds no {archive}")
    with tarfile.open(data_dir / archive) as tar:
        for member in tar:
            if member.isfile() and member.name.endswith(".json") and wanted(member.name):
                yield member.name, json.loads(tar.extractfile(member).read())


@pytest.fixture(scope="module")
def suite(data_dir):
    return dict(load(data_dir, "suite", "json-schema-test-suite.tar.xz",
                     lambda name: "remotes/" in name or any(f"tests/{d}/" in name for d in DRAFTS)))


@pytest.mark.parametrize("draft", DRAFTS)
def test_suite(suite, draft):
    remotes = {"http://localhost:1234/" + name.split("remotes/", 1)[1]: value
               for name, value in suite.items() if "remotes/" in name}
    judged = refused = 0
    for name, groups in suite.items():
        head, _, tail = name.partition(f"tests/{draft}/")
        if not tail or "/" in tail:
            continue
        for group in groups:
            schema = group["schema"]
            if isinstance(schema, dict):
                schema = {"$schema": DRAFTS[draft], **schema}
            try:
                g = lower(schema, Options(format="annotate"), registry=remotes)
            except UnsatisfiableSchema:
                g = None
            except UnsupportedSchema:
                refused += len(group["tests"])
                continue
            for test in group["tests"]:
                judged += 1
                verdict = g is not None and accepts(g, g.root, test["data"])
                assert verdict == test["valid"], (tail, group["description"], test["description"])
    assert judged > 500 and refused < 0.15 * judged


def test_maskbench_sample(data_dir):
    items = list(load(data_dir, "maskbench", "maskbench-dev.tar.xz", lambda name: True))[::15]
    passed = 0
    for name, item in items:
        try:
            g = lower(item["schema"], Options(order="any"))
        except UnsatisfiableSchema:
            assert not any(test["valid"] for test in item["tests"]), name
        except UnsupportedSchema:
            continue
        else:
            for k, test in enumerate(item["tests"]):
                assert accepts(g, g.root, test["data"]) == test["valid"], (name, k)
        passed += 1
    assert passed >= 0.89 * len(items)


# -- random schemas ---------------------------------------------------------------------

def some_string(lang, taken=()):
    for word in STRINGS + NAMES + [c * n for n in range(4) for c in "abz"] + [f"k{i}" for i in range(9)]:
        if word not in taken and string_in(lang, word):
            return word
    for conj in lang:
        for atom, positive in conj:
            if positive and isinstance(atom, Literals):
                return next((w for w in atom.words if w not in taken and string_in(lang, w)), None)
    return None


def some_number(lang):
    alt = lang[0]
    step = Fraction(alt.multiple_of or (1 if alt.integer else Fraction(1, 8)))
    start = alt.lo if alt.lo is not None else alt.hi if alt.hi is not None else 0
    base = Fraction(start) // step * step
    for k in range(-3, 400):
        for x in (base + k * step, Fraction(start) + Fraction(k, 4)):
            value = int(x) if x.denominator == 1 else float(x)
            if Fraction(value) == x and any(
                    (a.lo is None or x > a.lo or x == a.lo and not a.lo_open)
                    and (a.hi is None or x < a.hi or x == a.hi and not a.hi_open)
                    and not a.pointed and (not a.integer or x.denominator == 1)
                    and (a.multiple_of is None or (x / Fraction(a.multiple_of)).denominator == 1)
                    and all((x / Fraction(step)).denominator != 1 for step in a.not_multiples) for a in lang):
                return value
    return None


class GaveUp(Exception):
    """No witness found by these simple means; says nothing."""


def heights(g):
    """For every node that can be reached, the depth of its least deep value."""
    order, stack = {g.root: None}, [g.root]
    while stack:
        node = g.node(stack.pop())
        below = [k for a in node.arrays for k in a.children()]
        for o in node.objects:
            below += o.nodes
            if o.extra is not None:
                below += [o.extra.label(bits) for bits in range(1 << min(len(o.extra.atoms), 6))]
        for k in below:
            if k >= 0 and k not in order:
                order[k] = None
                stack.append(k)
    height: dict[int, int] = {}
    for depth in range(len(order) + 1):
        new = {}
        for i in order:
            if i in height:
                continue
            n = g.node(i)
            if (n.null or n.true or n.false or n.number or n.string
                    or any(all((a.prefix + (a.items,) * a.min)[k] in height for k in range(a.min)) for a in n.arrays)
                    or any(all(o.nodes[k] in height for k in range(len(o.names)) if o.required[k]) for o in n.objects)):
                new[i] = depth
        height.update(new)
    return height


def witness(g, i, height, rng):
    """Some value of node `i`."""
    n = g.node(i)
    options = ([("null", None)] * n.null + [("v", True)] * n.true + [("v", False)] * n.false
               + [("number", n.number)] * bool(n.number) + [("string", n.string)] * bool(n.string))
    deep = [("array", a) for a in n.arrays if all(
        height[(a.prefix + (a.items,) * a.min)[k]] < height[i] or height[i] == 0 for k in range(a.min))]
    deep += [("object", o) for o in n.objects if all(
        height[k] < height[i] or height[i] == 0 for k, needed in zip(o.nodes, o.required) if needed)]
    kind, what = rng.choice(options + (deep if not options or height[i] else []) or options + deep)
    if kind in ("null", "v"):
        return what
    if kind == "number":
        value = some_number(what)
    elif kind == "string":
        value = some_string(what)
    elif kind == "array":
        return array_witness(g, what, height, rng)
    else:
        return object_witness(g, what, height, rng)
    if value is None:
        raise GaveUp
    return value


def array_witness(g, alt, height, rng):
    nodes = list((alt.prefix + (alt.items,) * alt.min)[:alt.min])
    if alt.counts:      # every item adds to as many counters as it may
        rows = alt.choices
        nodes = [max(rows[min(k, len(rows) - 1)], key=lambda way: way[1].bit_count())[0]
                 for k in range(max([alt.min] + [c.lo for c in alt.counts]))]
    if any(k not in height for k in nodes):
        raise GaveUp
    value = [witness(g, k, height, rng) for k in nodes]
    if (alt.counts or alt.unique) and not array_in(g, alt, value):
        raise GaveUp
    return value


def object_witness(g, alt, height, rng):
    if alt.clauses:
        raise GaveUp
    needs = dict(alt.deps)
    chosen = {k for k, needed in enumerate(alt.required) if needed}
    free = [k for k, node in enumerate(alt.nodes) if node >= 0 and k not in chosen]
    rng.shuffle(free)
    for k in free:
        if len(chosen) >= alt.min:
            break
        closure, todo = {k}, [k]
        while todo:
            for j in needs.get(todo.pop(), ()):
                if j not in closure:
                    closure.add(j)
                    todo.append(j)
        if alt.max is None or len(chosen | closure) <= alt.max:
            chosen |= closure
    out = {alt.names[k]: witness(g, alt.nodes[k], height, rng) for k in sorted(chosen)}
    taken = set(alt.names)
    for bits in range(1 << len(alt.extra.atoms) if alt.extra is not None else 0):
        node = alt.extra.label(bits)
        if node < 0:
            continue
        cell = (tuple((atom, bits >> k & 1 == 1) for k, atom in enumerate(alt.extra.atoms)),)
        while len(out) < alt.min:
            key = some_string(cell, taken)
            if key is None:
                break
            taken.add(key)
            out[key] = witness(g, node, height, rng)
    if len(out) < alt.min:
        if alt.extra is None:
            raise AssertionError("not enough keys")
        raise GaveUp
    return out


def branching(rng):
    """A schema with not, oneOf or if around random ones."""
    one, two, three = (random_schema(rng, rng.choice([0, 1, 2])) for _ in range(3))
    return rng.choice([
        {"not": one}, {"allOf": [one, {"not": two}]}, {"oneOf": [one, two]}, {"oneOf": [one, two, three]},
        {"if": one, "then": two, "else": three}, {"if": one, "then": two}, {"if": one, "else": two},
        {"type": "object", "properties": {"a": {"not": one}, "b": {"oneOf": [one, two]}}, "required": ["a"]},
        {"not": {"anyOf": [one, two]}}, {"not": {"not": one}}, {"not": {"required": ["a"], "properties": {"a": one}}},
        {"oneOf": [{"required": ["a"]}, {"required": ["b"]}, {"properties": {"c": one}}]},
        {"anyOf": [{"not": one}, two]}, {"dependentSchemas": {"a": {"not": one}}}])


@pytest.mark.parametrize("part", range(16))
def test_random_schemas(part):
    found = 0
    for case in range(part // 2, 640, 8):
        rng = random.Random(f"normal form {case}")
        if part % 2:
            schema = branching(rng)
        else:
            schema = TABLE[case] if case < len(TABLE) else random_schema(rng)
        oracle = Oracle(json.dumps(schema))
        values = [random_value(rng) for _ in range(15)]
        try:
            g = lower(schema)
        except UnsatisfiableSchema:
            assert not any(oracle.check(json.dumps(v)).valid for v in values), schema
            continue
        except (UnsupportedSchema, LimitError):
            continue
        except SchemaError as err:          # a definition that is nothing but itself
            assert "applies to itself" in err.message or "back to itself" in err.message
            continue
        for value in values:
            assert accepts(g, g.root, value) == oracle.check(json.dumps(value)).valid, (schema, value)
        height = heights(g)
        for _ in range(4):
            try:
                value = witness(g, g.root, height, rng)
            except GaveUp:
                continue
            found += 1
            assert accepts(g, g.root, value), (schema, value)
            verdict = oracle.check(json.dumps(value))
            assert verdict.valid or verdict.explained, (schema, value)
    assert found > (60 if part % 2 else 150)


def test_words():
    assert words((((Literals(("a",)), True), (Length(0, 3), True)),)) == ("a",)
