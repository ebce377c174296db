"""Small random grammars: ambiguous, cyclic, with empty rules and terminals that overlap."""

from __future__ import annotations

from structgen.grammar.cfg import CfgGrammar, Match, Rule, Terminal

__all__ = ["EXPRESSIONS", "LOOKING", "TOKENS", "random_grammar", "lark_text"]

#: expressions over a, b, c; some end where only backtracking order says
EXPRESSIONS = ["a", "b", "c", "ab", "ba", "a+", "b+", "[ab]+", "a|ab", "ab|a", "a+?b", "ab*", "ab*?", "(ab)+", "[bc]",
               "a(bc)?", "b(a|ab)c?", "[abc]{2}", "a{1,3}", "aa|b", "(a|b)c", "c[ab]*c", "(a|ab)(c|bcd)", "b+a?"]
#: expressions that look at the text around them
LOOKING = ["a(?=b)", "a+(?!b)", "(?!ab)[ab]+", "(?<=a)b", "(?<!b)a+", r"\bab?", r"a\b", "b(?=c|$)", "^a+", "c$",
           "(?=ab)a", "a(?=bb)", "(a|b(?=a))+", "(a|ab)(?!c)", "(?<!a)b|c", "[ab]+?(?=c)", "a+(?=c)|a", "(?<![bc])c",
           r"(a|b)+\b", "(?<=ab)c", "a(?!b(?!a))", "(?=[ab]*c)[ab]", "(?<=^a)b", "b(?= )", "(?<= )a+", "(?!b)[abc]b?",
           "a(?=(?<=a)b)", r"\B[ab]+", "[ab]+(?!a|b)", "(?<!c)(?=b)[ab]{1,2}"]
TOKENS = [b"a", b"b", b"c", b" ", b"d", b"aa", b"ab", b"ba", b"bb", b"bc", b"ca", b"aab", b"abc", b"aba", b"cab",
          b"b a", b"  ", b"a ", b" b", b"aaaa", b"bcd", b"c c", b"abab"]


def random_grammar(rng, lexing="scannerless", looking=0):
    """A random grammar; nobody promises that it derives anything.  Up to `looking` terminals look around."""
    nn, nt = rng.randint(1, 4), rng.randint(1, 4)
    words = rng.sample(EXPRESSIONS, nt)
    for i in range(min(looking, nt)):
        words[i] = rng.choice(LOOKING)
    terminals = []
    for i, word in enumerate(words):
        literal = word if word.isalpha() else None
        terminals.append(Terminal(f"T{i}", match=Match(word, literal=literal, max_width=len(word))))
    rules = []
    for lhs in range(nn):
        for _ in range(rng.randint(1, 3)):
            size = rng.choice([0, 1, 1, 2, 2, 3, 3, 5])
            rules.append(Rule(lhs, tuple(rng.randrange(nn) if rng.random() < 0.45 else nn + rng.randrange(nt)
                                         for _ in range(size))))
    if rng.random() < 0.5:
        rules.append(Rule(rng.randrange(nn), (nn + rng.randrange(nt),)))
    ignore = ()
    if lexing != "scannerless" and rng.random() < 0.6:
        terminals.append(Terminal("IG", match=Match(rng.choice([" ", " +", "c+", " |c"]))))
        ignore = (nn + nt,)
    return CfgGrammar(tuple(f"r{i}" for i in range(nn)), tuple(terminals), tuple(dict.fromkeys(rules)), 0, lexing,
                      ignore=ignore)


def lark_text(grammar):
    """The grammar as a Lark file."""
    lines = []
    n = len(grammar.nonterminals)
    names = [*grammar.nonterminals, *(t.name for t in grammar.terminals)]
    for i in range(n):
        alts = [" ".join(names[s] for s in r.rhs) for r in grammar.rules if r.lhs == i]
        if alts:
            lines.append(f"{names[i]}: " + "\n  | ".join(alts))
    for t in grammar.terminals:
        lines.append(f"{t.name}: " + (f'"{t.match.literal}"' if t.match.literal else f"/{t.match.source}/"))
    for s in grammar.ignore:
        lines.append(f"%ignore {names[s]}")
    return "\n".join(lines) + "\n"
