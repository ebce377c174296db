"""Plans: where they show that every stack can be completed, searching says the same."""

from __future__ import annotations

import random

import pytest

import structgen as sg
from structgen.automata import cfg_lexers, cfg_program
from structgen.automata.cfg_lexers import LexerProgram
from structgen.automata.cfg_program import Program
from structgen.decoding.compiled import Compiled
from structgen.frontends.lark import read_lark
from structgen.reference.cfg import accepts

LETTERS = sg.Vocabulary.from_tokens([bytes([b]) for b in range(256)], eos_ids=[256])
EXPRESSIONS = ["/a|ab/", "/ab?/", "/a+/", "/[ab]+/", "/b|ba/", "/a+b/", "/aab|a/", '"a"', '"b"', '"c"', '"d"', '"ab"',
               "/b+?/", "/a*b/", "/[a-c]/", "/c+/", '"e"']

SAFE = {
    "dangling else": 'start: s\ns: "i" s | "i" s "e" s | "x"',
    "optional separators": 'start: (item ","?)+\nitem: "a" item? | "b"',
    "an expression without precedence": 'start: e\ne: e "+" e | e "*" e | "n" | "(" e ")"',
    "a tag that could be another one": 'start: OPEN NAME ">" | "</link" "!"\nOPEN: "</"\nNAME: /li(st)?/',
    "a keyword that is never one there": 'start: n "=" "if"\nn: NAME | "if"\nNAME.2: /[a-z]+/',
}
LOST = {
    "palindromes without a middle": 'start: "a" start "a" | "b" start "b" |',
    "shifted away": 'start: a "x" "z"\na: "b" | "b" "x" "y"',
}


def program(text, **options):
    return LexerProgram(read_lark(text, parser="lalr", **options))


def test_texts_that_swallow_their_likes_need_no_search():
    assert dynamic_program('start: "<" (TEXT | tag)* ">"\ntag: "[" TEXT "]"\nTEXT: /[a-z ]+/').safe


@pytest.mark.parametrize("name", SAFE)
def test_no_stack_is_lost(name):
    assert program(SAFE[name]).safe


def test_stacks_that_are_lost_are_seen():
    p = program(LOST["palindromes without a middle"])
    assert not p.safe
    m = Compiled(read_lark(LOST["shifted away"], parser="lalr"), LETTERS).matcher()
    m.accept_bytes(b"bx")
    assert m.shortest_completion() == b"yxz"


def random_text(rng):
    terminals = [f"T{i}" for i in range(rng.randint(2, 5))]
    rules = ["start"] + [f"n{i}" for i in range(rng.randint(0, 3))]
    lines = []
    for k, name in enumerate(rules):
        alternatives = [" ".join(rng.choice(terminals + rules if rng.random() < 0.6 else terminals)
                                 for _ in range(rng.choice([0, 1, 1, 2, 2, 3, 4]))) for _ in range(rng.randint(1, 4))]
        priority = f".{rng.randint(1, 3)}" if k and rng.random() < 0.3 else ""
        lines.append(f"{name}{priority}: " + " | ".join(alternatives))
    lines += [f"{t}: {x}" for t, x in zip(terminals, rng.sample(EXPRESSIONS, len(terminals)))]
    if rng.random() < 0.3:
        lines.append("%ignore " + rng.choice(['" "', "/ +/", "/c+/", '"b"']))
    return "\n".join(lines) + "\n"


def dynamic_program(text, **options):
    return Program(read_lark(text))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("module, name, make, lexers", [
    (cfg_lexers, "plans", program, ["contextual", "basic"]),
    (cfg_program, "planned_after", dynamic_program, ["dynamic"]),
])
def test_plans_never_promise_too_much(module, name, make, lexers, seed, monkeypatch):
    """Masks of a grammar with plans are those that a search for each thread gives."""
    planned = []
    given = getattr(module, name)
    monkeypatch.setattr(module, name, lambda *args: planned.append(given(*args)) or planned[-1])
    rng, settled = random.Random(seed), 0
    while settled < 10:
        text, lexer = random_text(rng), rng.choice(lexers)
        planned.clear()
        try:
            p = make(text, lexer=lexer)
        except sg.StructgenError:
            continue
        if not (p.safe and planned):
            continue
        settled += p.lr.conflicts > 0 or make is dynamic_program
        searched = make(text, lexer=lexer)
        searched.safe = False
        try:
            by_plan, by_search = (Compiled(x.source, LETTERS, program=x) for x in (p, searched))
        except sg.LimitError:
            continue
        todo = [b""]
        for data in todo:
            one, other = by_plan.matcher(), by_search.matcher()
            try:
                one.accept_bytes(data)
                other.accept_bytes(data)
                allowed = one.allowed_tokens().tolist()
                assert allowed == other.allowed_tokens().tolist(), (text, lexer, data)
            except sg.LimitError:
                break
            if len(todo) < 30:
                todo += [data + bytes([t]) for t in allowed if t < 256]


@pytest.mark.parametrize("text", [
    'start: a\na: b | "x"\nb.2: a\n',
    'start: a\na: e a |\ne.2:\n',
    'start: "a" b\nb: e b |\ne.3:\n',
])
def test_tables_on_which_lark_hangs_are_refused(text):
    with pytest.raises(sg.GrammarError, match="no text is in the language"):
        sg.compile(sg.Lark(text, parser="lalr"), LETTERS)
    # the reference ends, too
    assert not any(accepts(read_lark(text, parser="lalr"), x) for x in ("", "a", "x"))


def test_cycles_that_lark_leaves():
    g = read_lark('start: start | "a"', parser="lalr")
    assert accepts(g, "a") and not accepts(g, "aa")
    m = Compiled(g, LETTERS).matcher()
    m.accept_bytes(b"a")
    assert m.can_end() and m.allowed_tokens().tolist() == [256]
