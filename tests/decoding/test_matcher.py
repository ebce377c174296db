"""The contract of a matcher, call by call, on the real engine."""

from __future__ import annotations

import numpy as np
import pytest

from structgen import BudgetError, MatcherError, Vocabulary, VocabularyError, compile
from structgen.constraints import Choice, Regex
from structgen.decoding.compiled import Compiled
from structgen.decoding.matcher import fill_batch
from structgen.frontends.json_schema import lower
from structgen.grammar.ir import Options

BYTES = [bytes([b]) for b in range(256)]
#: ids 256... of the vocabulary with merges; two of them have the same bytes
MERGED = [b'{"', b'":', b'", "', b'"}', b"true", b"12", b"ab", b"ab", "é".encode(), b"\xc3", b"abc", b" "]
EOS, TOOL, EOT = 256 + len(MERGED), 257 + len(MERGED), 258 + len(MERGED)
SCHEMA = {"type": "object", "properties": {"ab": {"type": "integer"}, "abc": {"enum": ["é", "ab"]}},
          "required": ["ab"], "additionalProperties": False}


def schema_matcher(vocabulary, schema=SCHEMA, **options):
    return Compiled(lower(schema, Options(order="any")), vocabulary).matcher(**options)


@pytest.fixture(scope="module")
def plain() -> Vocabulary:
    """The bytes alone and an end token."""
    return Vocabulary.from_tokens(BYTES, eos_ids=[256])


@pytest.fixture(scope="module")
def merged() -> Vocabulary:
    """Bytes, merges, two end tokens, a special token and an id without text."""
    return Vocabulary.from_tokens([*BYTES, *MERGED, None, b"<tool>", None, None], eos_ids=[EOS, EOT],
                                  special={"<tool>": TOOL})


@pytest.fixture(params=["plain", "merged"])
def vocabulary(request) -> Vocabulary:
    return request.getfixturevalue(request.param)


def ids(words) -> list[int]:
    """The set bits of a row."""
    return np.flatnonzero(np.unpackbits(np.ascontiguousarray(words).view(np.uint8), bitorder="little")).tolist()


def by_trying(m, vocabulary) -> list[int]:
    return [t for t in range(vocabulary.size) if m.fork().try_accept(t)]


# ---------------------------------------------------------------- masks

def test_a_mask_is_what_can_be_accepted(vocabulary):
    m = schema_matcher(vocabulary)
    for piece in (b"", b"{", b'"ab', b'":', b"1", b', "abc": "', "é".encode()[:1], "é".encode()[1:], b'"', b"}"):
        m.accept_bytes(piece)
        found = m.allowed_tokens()
        assert found.dtype == np.int64
        assert found.tolist() == by_trying(m, vocabulary) != []
    assert m.can_end() and found.tolist() == list(vocabulary.eos_ids)       # nothing but white space is left out


@pytest.mark.parametrize("surplus", [0, 1, 7])
def test_destinations(vocabulary, surplus):
    torch = pytest.importorskip("torch")
    m = schema_matcher(vocabulary)
    expected = m.allowed_tokens().tolist()
    width = vocabulary.words + surplus

    def check(row):
        assert ids(row) == expected and not row[vocabulary.words:].any()

    one = np.full(width, -1, np.int32)
    m.fill_bitmask(one)
    check(one)
    many = np.full((3, width), -1, np.int32)
    m.fill_bitmask(many, 1)
    check(many[1])
    assert (many[[0, 2]] == -1).all()
    m.fill_bitmask(many, row=np.int64(2))
    check(many[2])
    flat = torch.full((width,), -1, dtype=torch.int32)
    m.fill_bitmask(flat)
    check(flat.numpy())
    tensor = torch.full((2, width), -1, dtype=torch.int32)
    m.fill_bitmask(tensor, 1)
    check(tensor[1].numpy())
    assert (tensor[0] == -1).all()
    # rows need not be neighbours, nor the destination the one used last
    wide = np.full((4, 2 * width), -1, np.int32)
    m.fill_bitmask(wide[::-2, :width], 1)
    check(wide[1, :width])
    assert (wide[[0, 2, 3]] == -1).all() and (wide[1, width:] == -1).all()
    m.fill_bitmask(one)
    check(one)


def bad_destinations(width):
    read_only = np.zeros((2, width), np.int32)
    read_only.flags.writeable = False
    return {
        "uint32": np.zeros((2, width), np.uint32), "int64": np.zeros((2, width), np.int64),
        "float": np.zeros((2, width), np.float32), "bool": np.zeros((2, 32 * width), bool),
        "big-endian": np.zeros((2, width), ">i4"), "read-only": read_only,
        "narrow": np.zeros((2, width - 1), np.int32), "3-D": np.zeros((2, 2, width), np.int32),
        "0-D": np.zeros((), np.int32), "no rows": np.zeros((0, width), np.int32),
        "every other word": np.zeros((2, 2 * width), np.int32)[:, ::2],
        "transposed": np.zeros((width, 40), np.int32).T, "backwards": np.zeros(width, np.int32)[::-1],
        "list": [0] * width, "bytes": bytearray(4 * width), "None": None,
    }


@pytest.mark.parametrize("name", bad_destinations(9))
def test_bad_destinations(plain, name):
    m = schema_matcher(plain)
    m.accept_bytes(b'{"a')
    expected = m.allowed_tokens().tolist()
    bad = bad_destinations(plain.words)[name]
    for call in (lambda: m.fill_bitmask(bad), lambda: fill_batch([m], bad),
                 lambda: m.fill_draft_bitmask(bad, [98], [-1])):
        with pytest.raises(MatcherError):
            call()
    assert m.text == b'{"a' and m.allowed_tokens().tolist() == expected
    if isinstance(bad, np.ndarray):
        assert not bad.any()


def test_bad_tensors(plain):
    torch = pytest.importorskip("torch")
    m = schema_matcher(plain)
    w = plain.words
    for bad in (torch.zeros(1, w, dtype=torch.int64), torch.zeros(1, w), torch.zeros(1, w - 1, dtype=torch.int32),
                torch.zeros(w, 40, dtype=torch.int32).T, torch.zeros(1, w, dtype=torch.int32, device="meta"),
                torch.zeros(1, 1, w, dtype=torch.int32), torch.zeros(1, 2 * w, dtype=torch.int32)[:, ::2]):
        with pytest.raises(MatcherError):
            m.fill_bitmask(bad)


@pytest.mark.parametrize("row", [-1, 2, 1 << 70, True, 0.0, "0", None])
def test_bad_rows(plain, row):
    m = schema_matcher(plain)
    rows = np.zeros((2, plain.words), np.int32)
    with pytest.raises(MatcherError, match="row"):
        m.fill_bitmask(rows, row)
    assert not rows.any()
    m.fill_bitmask(rows, 1)
    assert rows[1].any()


def test_a_row_is_no_row_of_a_flat_bitmask(plain):
    with pytest.raises(MatcherError, match="row 1"):
        schema_matcher(plain).fill_bitmask(np.zeros(2 * plain.words, np.int32), 1)


def test_two_ids_with_the_same_bytes_go_together(merged):
    first, second = 256 + MERGED.index(b"ab"), 257 + MERGED.index(b"ab")
    space = 256 + MERGED.index(b" ")
    m = schema_matcher(merged)
    m.accept_bytes(b'{"')
    allowed = m.allowed_tokens().tolist()
    assert first in allowed and second in allowed
    forks = [m.fork() for _ in range(2)]
    forks[0].accept(first)
    forks[1].accept(second)
    assert forks[0].text == forks[1].text == b'{"ab'
    assert (forks[0].allowed_tokens() == forks[1].allowed_tokens()).all()
    forks[0].accept_bytes(b'":')
    assert {32, space} <= set(forks[0].allowed_tokens().tolist())


def test_padding_is_never_allowed(plain):
    m = schema_matcher(plain, {})
    wide = np.full(128_256 // 32, -1, np.int32)         # a model's padded vocabulary
    for piece in (b"", b'"', b"a", b'"'):
        m.accept_bytes(piece)
        m.fill_bitmask(wide)
        assert ids(wide) == m.allowed_tokens().tolist() and ids(wide)[-1] <= 256
    for beyond in (257, 300, 128_255):
        with pytest.raises(MatcherError, match="outside the vocabulary"):
            m.accept(beyond)


# ---------------------------------------------------------------- tokens

@pytest.mark.parametrize("token", [-1, -257, 257, 1 << 40, 10 ** 30, 1.0, "a", None, [1], True, np.float32(1), b"a"])
@pytest.mark.parametrize("call", ["accept", "try_accept"])
def test_no_token_id(plain, token, call):
    m = schema_matcher(plain, {})
    m.accept_bytes(b"[")
    with pytest.raises(MatcherError, match="token id") as caught:
        getattr(m, call)(token)
    if isinstance(token, int) and not isinstance(token, bool):
        assert caught.value.token == token and caught.value.offset == 1
    assert m.text == b"[" and m.n_tokens == 0
    m.rollback(1)
    assert m.text == b""


def test_integers_of_other_libraries(plain):
    torch = pytest.importorskip("torch")
    m = schema_matcher(plain, {"type": "array"})
    for token in (np.int64(91), np.int32(91), np.uint8(91), torch.tensor(91), np.array(91)):
        m.accept(token)
        with pytest.raises(MatcherError) as caught:
            m.accept(type(token)(58) if isinstance(token, np.generic) else np.int32(58))
        assert type(caught.value.token) is int
    assert m.text == b"[[[[["


def test_special_and_unused_ids_have_no_text(merged):
    m = schema_matcher(merged, {"type": "string"})
    m.accept_bytes(b'"')
    before = m.allowed_tokens().tolist()
    for token in (TOOL, EOT + 1):
        assert token not in before and not m.try_accept(token)
        with pytest.raises(MatcherError, match="special or unused") as caught:
            m.accept(token)
        assert caught.value.token == token and caught.value.offset == 1
    for token in (EOS, EOT):
        with pytest.raises(MatcherError, match="not complete"):
            m.accept(token)
    m.accept_bytes(b"<tool>")           # its letters are text like any other
    assert m.text == b'"<tool>'


def test_refusals_say_where_and_what(plain):
    m = schema_matcher(plain)
    m.accept_bytes(b'{"ab')
    with pytest.raises(MatcherError) as caught:
        m.accept(ord("x"))
    e = caught.value
    assert (e.offset, e.token) == (4, ord("x"))
    assert "'c'" in e.expected and "'\"'" in e.expected and "'x'" not in e.expected
    assert m.text == b'{"ab' and m.n_tokens == 0


@pytest.mark.parametrize("data, offset, expected", [
    (b'{"ab": 1,]', 9, ["'\"'", "white space"]), (b"[", 0, ["'{'"]), (b'{"ab":1}x', 8, ["the end of the text"]),
    (b'{"abc":"\xc3\xaa', 9, ["non-ASCII"]), (b'{"a\xff', 3, ["'b'"]), (b'{"ab":1.5', 8, ["'0'"]),
])
def test_accept_bytes_says_where(vocabulary, data, offset, expected):
    for cut in range(offset + 1):
        m = schema_matcher(vocabulary)
        m.accept_bytes(data[:cut])
        with pytest.raises(MatcherError) as caught:
            m.accept_bytes(data[cut:])
        assert caught.value.offset == offset
        assert all(part in caught.value.expected for part in expected), caught.value.expected
        assert m.text == data[:cut]
        m.rollback(1)                   # the failed call left no step behind
        assert m.text == b""


@pytest.mark.parametrize("data", ["{", 3, None, [123]])
def test_accept_bytes_takes_bytes(plain, data):
    with pytest.raises(MatcherError, match="takes bytes"):
        schema_matcher(plain).accept_bytes(data)


def test_accept_bytes_takes_every_kind_of_buffer(plain):
    m = schema_matcher(plain)
    m.accept_bytes(bytearray(b'{"'))
    m.accept_bytes(memoryview(b"xaxbx")[1::2])
    assert m.text == b'{"ab' and m.n_tokens == 0


# ---------------------------------------------------------------- the end

def test_the_end(merged):
    m = schema_matcher(merged)
    m.accept_bytes(b'{"ab":1')
    assert not m.can_end() and not m.is_finished
    m.accept_bytes(b"}")
    assert m.can_end() and not m.is_finished
    for eos in (EOS, EOT):
        f = m.fork()
        f.accept(eos)
        assert f.is_finished and not f.can_end() and f.text == m.text and f.n_tokens == 1
        assert f.allowed_tokens().tolist() == [EOS, EOT]        # a row must not be all zero
        assert f.expected_bytes() == f.forced_bytes() == f.shortest_completion() == b""
        for token in (EOS, EOT, 32, TOOL):
            assert not f.try_accept(token)
            with pytest.raises(MatcherError, match="has ended") as caught:
                f.accept(token)
            assert caught.value.hint
        for data in (b"", b" ", b"}"):
            with pytest.raises(MatcherError, match="has ended"):
                f.accept_bytes(data)
        assert f.is_finished and f.n_tokens == 1
        f.rollback(1)
        assert f.can_end() and (f.allowed_tokens() == m.allowed_tokens()).all()
    assert not m.is_finished


def test_the_end_of_an_open_language(plain):
    m = Compiled(Regex("a+").grammar(), plain).matcher()
    assert m.allowed_tokens().tolist() == [97]
    m.accept(97)
    assert m.can_end() and m.allowed_tokens().tolist() == [97, 256]
    m.accept(256)
    rows = np.full((1, plain.words + 2), -1, np.int32)
    m.fill_bitmask(rows)
    assert ids(rows[0]) == [256]


# ---------------------------------------------------------------- history

def test_rollback_counts_calls(merged):
    m = schema_matcher(merged)
    states = [(m.text, m.n_tokens, m.allowed_tokens().tolist())]

    def note():
        states.append((m.text, m.n_tokens, m.allowed_tokens().tolist()))

    m.accept(256 + MERGED.index(b'{"'))
    note()
    m.accept_bytes(b'ab":')
    note()
    assert m.try_accept(256 + MERGED.index(b"12"))
    note()
    m.accept_bytes(b"")
    note()
    assert not m.try_accept(ord("x"))
    m.accept(ord("}"))
    note()
    m.accept(EOS)
    assert m.n_tokens == 4
    with pytest.raises(MatcherError, match="only 6 were accepted"):
        m.rollback(7)
    with pytest.raises(MatcherError, match="-1 steps"):
        m.rollback(-1)
    for wrong in (1.0, "1", None, True):
        with pytest.raises(MatcherError, match="integer"):
            m.rollback(wrong)
    assert m.is_finished
    m.rollback(0)
    assert m.is_finished
    for back in range(1, 7):
        f = m.fork()
        f.rollback(back)
        assert (f.text, f.n_tokens, f.allowed_tokens().tolist()) == states[-back]
    m.rollback(np.int64(6))
    assert m.text == b"" and m.n_tokens == 0
    with pytest.raises(MatcherError):
        m.rollback()


def test_forks_are_independent(merged):
    m = schema_matcher(merged)
    m.accept_bytes(b'{"ab')
    a, b = m.fork(), m.fork()
    a.accept_bytes(b'":')
    b.accept_bytes(b'c":')
    assert (m.text, a.text, b.text) == (b'{"ab', b'{"ab":', b'{"abc":')
    a.rollback(2)
    m.reset()
    assert (m.text, a.text, b.text) == (b"", b"", b'{"abc":')
    assert b.allowed_tokens().tolist() == by_trying(b, merged)
    b.rollback(2)
    assert (b.allowed_tokens() == m.allowed_tokens()).all()


def test_reset(vocabulary):
    m = schema_matcher(vocabulary)
    start = m.allowed_tokens().tolist()
    m.accept_bytes(b'{"ab":1}')
    m.accept(vocabulary.eos_ids[0])
    m.reset()
    assert (m.text, m.n_tokens, m.is_finished, m.can_end()) == (b"", 0, False, False)
    assert m.allowed_tokens().tolist() == start
    with pytest.raises(MatcherError):
        m.rollback(1)


# ---------------------------------------------------------------- looking ahead

def test_forced_bytes(vocabulary):
    m = Compiled(lower({"type": "object", "properties": {"only": {"const": "é"}}, "required": ["only"],
                        "additionalProperties": False}, Options(whitespace="compact", escapes="minimal")),
                 vocabulary).matcher()
    text = '{"only":"é"}'.encode()
    assert m.forced_bytes() == text and m.text == b""
    for cut in range(len(text) + 1):
        f = m.fork()
        f.accept_bytes(text[:cut])
        assert f.forced_bytes() == text[cut:] == f.shortest_completion()
    m = Compiled(Choice(["abcd", "abce", "ab"]).grammar(), vocabulary).matcher()
    assert m.forced_bytes() == b"ab"
    m.accept_bytes(b"ab")
    assert m.forced_bytes() == b"" and m.can_end()      # it may end here
    m.accept_bytes(b"c")
    assert m.forced_bytes() == b""


def test_forced_bytes_are_bounded(plain):
    m = Compiled(lower({"const": "x" * 10_000}, Options(escapes="minimal")), plain).matcher()
    forced = m.forced_bytes()
    assert forced == b'"' + b"x" * 4095


def test_expected_bytes(vocabulary):
    m = schema_matcher(vocabulary)
    m.accept_bytes(b'{"ab')
    assert m.expected_bytes() == b'"\\c'
    m.accept_bytes(b'":')
    assert m.expected_bytes() == bytes(sorted(b" \t\r\n-0123456789"))


def test_budget(vocabulary):
    with pytest.raises(BudgetError) as caught:
        schema_matcher(vocabulary, max_tokens=3)
    assert caught.value.given == 3 and caught.value.needed > 3
    m = schema_matcher(vocabulary, max_tokens=caught.value.needed)
    while not m.is_finished:
        m.accept(int(m.allowed_tokens()[-1]))
    assert m.n_tokens <= caught.value.needed and m.text.endswith(b"}")


# ---------------------------------------------------------------- several at once

def test_batches(plain, merged):
    width = merged.words + 1
    a, b = schema_matcher(merged), schema_matcher(merged, {"type": "array"})
    c = Compiled(Regex("[ab]c").grammar(), plain).matcher()
    done = schema_matcher(merged, {"const": 1})
    done.accept_bytes(b"1")
    done.accept(EOT)
    limited = schema_matcher(merged, max_tokens=12)
    a.accept_bytes(b'{"')
    row = [a, None, b, c, done, limited, a.fork(), None]
    out = np.full((len(row) + 1, width), -1, np.int32)
    fill_batch(row, out)
    for i, m in enumerate(row):
        if m is None:
            assert (out[i] == -1).all()
        else:
            alone = np.full(width, -1, np.int32)
            m.fill_bitmask(alone)
            assert (out[i] == alone).all()
    assert (out[-1] == -1).all() and ids(out[4]) == [EOS, EOT]
    again = np.full_like(out, -1)
    fill_batch(row, again)
    assert (out == again).all()
    fill_batch([], out)
    fill_batch([None, None], out)
    assert (out == again).all()
    with pytest.raises(MatcherError, match="rows"):
        fill_batch(row * 2, out)
    flat = np.zeros(width, np.int32)
    fill_batch([a], flat)
    assert (flat == out[0]).all()
    torch = pytest.importorskip("torch")
    tensor = torch.full(out.shape, -1, dtype=torch.int32)
    fill_batch(row, tensor)
    assert (tensor.numpy() == out).all()


def test_draft_trees(merged):
    m = schema_matcher(merged)
    opening, ab, colon = (256 + MERGED.index(x) for x in (b'{"', b"ab", b'":'))
    #          0        1   2         3      4     5     6
    tokens = [opening, ab, ord("x"), colon, ord("1"), ab, ord("[")]
    parents = [-1, 0, 0, 1, 2, 1, -1]
    rows = np.full((9, merged.words), -1, np.int32)
    ok = m.fill_draft_bitmask(rows, tokens, parents)
    assert ok == [True, True, False, True, False, False, False]
    assert m.text == b"" and m.n_tokens == 0
    assert ids(rows[0]) == m.allowed_tokens().tolist()
    for i, text in ((0, b'{"'), (1, b'{"ab'), (3, b'{"ab":')):
        other = schema_matcher(merged)
        other.accept_bytes(text)
        assert ids(rows[i + 1]) == other.allowed_tokens().tolist()
    assert not rows[[3, 5, 6, 7]].any() and (rows[8] == -1).all()
    # the end inside a draft
    m.accept_bytes(b'{"ab":1')
    ok = m.fill_draft_bitmask(rows, [ord("}"), EOS, EOT, 32], [-1, 0, 1, 1])
    assert ok == [True, True, False, False] and ids(rows[2]) == [EOS, EOT] and not rows[3:5].any()
    assert m.fill_draft_bitmask(rows, [], []) == []


@pytest.mark.parametrize("tokens, parents", [
    ([123], [0]), ([123], [1]), ([123, 34], [-1, 1]), ([123, 34], [-1, 2]), ([123], [-2]), ([123], []), ([], [-1]),
    ([123], [None]), ([123], ["-1"]), ([-1], [-1]), ([1 << 20], [-1]), (["a"], [-1]), ([123, 34, 97], [-1, 0, 1]),
])
def test_bad_draft_trees(plain, tokens, parents):
    m = schema_matcher(plain)
    rows = np.zeros((3, plain.words), np.int32)
    before = m.allowed_tokens().tolist()
    with pytest.raises(MatcherError):
        m.fill_draft_bitmask(rows, tokens, parents)
    assert m.text == b"" and m.allowed_tokens().tolist() == before
    with pytest.raises(MatcherError):
        m.rollback(1)


# ---------------------------------------------------------------- vocabularies

def test_vocabularies_that_cannot_spell_every_text():
    for missing in (b"{", b"\x80", b"0"):
        vocabulary = Vocabulary.from_tokens([b for b in BYTES if b != missing] + [missing * 2], eos_ids=[256])
        with pytest.raises(VocabularyError, match=f"{missing[0]:#04x}") as caught:
            compile({"type": "object"}, vocabulary)
        assert caught.value.hint
    with pytest.raises(VocabularyError, match="bytes"):
        compile(Choice(["a"]), Vocabulary.from_tokens([b"a"], eos_ids=[1]))
    with pytest.raises(VocabularyError):
        compile({"const": 1}, Vocabulary.from_tokens([], eos_ids=[0]))


def test_a_token_may_straddle_anything(merged):
    """The same text through every way to cut it, EOS after the last piece only."""
    text = b'{"ab": 12, "abc": "ab"}'
    pieces: dict[bytes, int] = {merged.token_bytes(t): t for t in range(EOS)}
    whole = schema_matcher(merged)
    seen = 0

    def go(m, at):
        nonlocal seen
        if at == len(text):
            seen += 1
            assert m.can_end() and m.text == text
            return
        assert not m.can_end()
        allowed = set(m.allowed_tokens().tolist())
        for n in (4, 3, 2, 1):
            piece = text[at:at + n]
            if len(piece) == n and piece in pieces:
                assert pieces[piece] in allowed
                m.accept(pieces[piece])
                go(m, at + n)
                m.rollback(1)

    go(whole, 0)
    assert seen >= 100 and whole.text == b""
