"""Hostile grammars: how long they take to be compiled, walked through and completed, or refused.

    python bench/grammar_limits.py [--limit 2.0]

No data needed; the vocabulary is small.  Each grammar runs in the mode named beside
it: compile, a text of some hundred to some thousand bytes, masks on the way, the
shortest completion.  Exit status 1: something took longer than the limit, or ended
in another way than with a result or a typed error.  Grammars that are only large
come last, without a verdict on their time: they show how it grows.
"""

from __future__ import annotations

import argparse
import sys
import time

DYNAMIC, COMPLETE = {"lexer": "dynamic"}, {"lexer": "dynamic_complete"}
LALR, BASIC = {"parser": "lalr"}, {"parser": "lalr", "lexer": "basic"}


def _nested(n: int) -> str:
    """n rules that each use the next twice."""
    return "start: a0\n" + "".join(f"a{i}: a{i + 1} a{i + 1} | a{i + 1}\n" for i in range(n)) + f'a{n}: "a"\n'


def _keywords(n: int) -> tuple:
    return f"{n:,} keywords", "start: (" + "|".join(f'"k{i}"' for i in range(n)) + ")+\n", DYNAMIC, b"k17k471"


CASES = [
    ("S: S S | a", 'start: start start | "a"\n', DYNAMIC, b"a" * 1000),
    ("S: S S S | S S | a | nothing", 'start: start start start | start start | "a" |\n', COMPLETE, b"a" * 300),
    ("exponentially ambiguous", 'start: e\ne: e "+" e | e "*" e | e e | "n" | "(" e ")"\n', DYNAMIC, b"n+n*(nn)n" * 60),
    ("cyclic", 'start: a\na: b | "x"\nb: c | "y" a\nc: a\n', DYNAMIC, b"y" * 1000),
    ("hidden left recursion", 'start: o start "b" | "a"\no: "c"?\n', DYNAMIC, b"c" * 500),
    ("palindromes", 'start: "a" start "a" | "b" start "b" |\n', COMPLETE, b"ab" * 250),
    ("nested 20,000 deep", 'start: "(" start ")" | "c"\n', DYNAMIC, b"(" * 20_000),
    ("right recursive, 20,000 long", 'start: "a" start | "b"\n', DYNAMIC, b"a" * 20_000),
    ("2^60 derivations", _nested(60), DYNAMIC, b"a" * 200),
    ("AS /a+/ then a", 'start: AS "a"\nAS: /a+/\n', DYNAMIC, b""),
    ("AS /a+/ then a, any end", 'start: AS "a"\nAS: /a+/\n', COMPLETE, b"a" * 1000),
    ("terminals that swallow", 'start: (A|B|C)+ "c"\nA: /a+b?/\nB: /ab*a/\nC: /[ab]{2,5}/\n', DYNAMIC, b"abaab" * 60),
    ("swallowed for ever", 'start: (A "b")+ A "c"\nA: /[ab]+/\n', DYNAMIC, b""),
    ("swallowed but by a comment", 'start: A A A\nA: /[ab]+/\n%ignore /#[^#]*#/\n', DYNAMIC, b"ab#xx#a"),
    ("twenty equal terminals", "start: (" + "|".join(f"A{i}" for i in range(20)) + ")+\n"
     + "".join(f"A{i}: /[a-z]{{1,{i + 1}}}/\n" for i in range(20)), COMPLETE, b"abcdefgh" * 20),
    ("a DFA of 2^17 states", "start: A\nA: /(a|b)*a(a|b){16}/\n", DYNAMIC, b""),
    _keywords(1000),
    ("2,000 named terminals", "start: (" + "|".join(f"K{i}" for i in range(2000)) + ")+\n"
     + "".join(f'K{i}: "k{i}"\n' for i in range(2000)), DYNAMIC, b"k17k471"),
    ("300 levels of precedence", "start: e0\n" + "".join(f'e{i}: e{i + 1} | e{i} "{chr(35 + i % 50)}" e{i + 1}\n'
                                                         for i in range(300)) + 'e300: "x"\n',
     DYNAMIC, b"x" + b"#x$x%x" * 50),
    ("dangling else, LALR", 'start: s\ns: "i" s | "i" s "e" s | "x"\n', LALR, b"i" * 400),
    ("shifted away, LALR", 'start: a "x"\na: "b" | "b" "x" "y"\n', LALR, b"b"),
    ("lexers that compete", 'start: (IF | NAME | NUM)+\nIF: "if"\nNAME: /[a-z]+/\nNUM: /[a-f0-9]+/\n%ignore " "\n',
     BASIC, b"if abc 12 " * 60),
]
#: not hostile, only large
LARGE = [_keywords(2500), _keywords(5000), _keywords(10_000)]


def run(text: str, options: dict, data: bytes, vocabulary) -> str:
    """What becomes of one grammar."""
    import structgen as sg

    try:
        matcher = sg.compile(sg.Lark(text, **options), vocabulary).matcher()
        for i in range(0, len(data), 7):
            matcher.accept_bytes(data[i:i + 7])
            if i % 70 == 0:
                assert matcher.allowed_tokens().size
        rest = matcher.shortest_completion()
        matcher.accept_bytes(rest)
        assert matcher.can_end()
        return f"{len(data)} bytes, {len(rest)} to complete"
    except sg.StructgenError as error:
        return f"{type(error).__name__}: {error.message.splitlines()[0][:70]}"


def main() -> int:
    import structgen as sg

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--limit", type=float, default=2.0, help="seconds a grammar may take")
    args = parser.parse_args()
    tokens = [bytes([b]) for b in range(256)] + [b"aa", b"ab", b"aaa", b"((", b"))", b"k1", b"if ", b"x+x", b"b#"]
    vocabulary = sg.Vocabulary.from_tokens(tokens, eos_ids=[len(tokens)])
    run('start: "a" | start "b"\n', DYNAMIC, b"ab", vocabulary)      # kernels are compiled or loaded here
    late = 0
    for name, text, options, data in CASES + LARGE:
        begun, used = time.perf_counter(), time.process_time()
        try:
            what = run(text, options, data, vocabulary)
        except Exception as error:
            what = f"FAILED {type(error).__name__}: {error}"[:100]
            late += 1
        wall, cpu = time.perf_counter() - begun, time.process_time() - used
        large = any(name == case[0] for case in LARGE)
        if cpu > args.limit and not large:
            late += 1
        verdict = "large " if large else "LATE  " if cpu > args.limit else "ok    "
        print(f"{verdict}{name:30} {wall:7.2f} s, {cpu:5.2f} s of processor  {what}", flush=True)
    return int(late > 0)


if __name__ == "__main__":
    sys.exit(main())
