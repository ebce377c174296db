"""``sg.LogitsProcessor``: constraints inside Hugging Face ``generate``.

The mask is a function of the prefix.  Beams reorder and copy rows, assisted
decoding drafts ahead and goes back, batches mix schemas and finish at different
times; so nothing is kept by row index alone.  Each call compares its
``input_ids`` with the rows of the call before: normally every row is the old
one and a token more, and is stepped; otherwise each row takes the state of the
old row with which it shares the longest prefix, rolled back and stepped to
where it is.

Where the prompt ends is not in ``input_ids``.  The first call of a generation
is made on the prompt, and from then on every prefix a decoder asks about is a
prefix asked about before plus one token.  A call that breaks this rule, and
whose new tokens do not continue the text, is the first call of a new
generation.  :meth:`LogitsProcessor.reset` says so explicitly; ``prompt_length``
fixes the length for loops of one's own.

Rows that are finished (EOS taken) keep coming, with padding: they are allowed
EOS only.  So are beams of score ``-inf``, which beam search keeps (with tokens
no mask allowed) when there are fewer continuations than beams; a token that was
not allowed is an error only when no row of its prompt is left.  Costs a step: one kernel call that moves the
rows and finds their masks, and one masked copy of the scores, which are never
written to (see :mod:`structgen.decoding.masking`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Optional, Sequence, Union

import numpy as np
import torch
from numba import njit

from ..automata.jit import direct
from ..automata.stack_layout import ld64, st64
from ..errors import MatcherError, ModelError, StructgenError
from .masking import ALL_MASKED, NOT_A_NUMBER, Bad, ScoreMasker, allocate_bitmask, mask_inplace_at
from .rows import Batch

if TYPE_CHECKING:
    from .matcher import Compiled

__all__ = ["LogitsProcessor"]


@njit(nogil=True, cache=True)
def _match(new, old, old_length, group_new, group_old):
    """For each new row, the old row of its group with the longest common prefix.

    On equal lengths the row with the same index wins, then the first.
    """
    best = np.full(new.shape[0], -1, dtype=np.int64)
    length = np.full(new.shape[0], -1, dtype=np.int64)
    limit = min(new.shape[1], old_length)
    for r in range(new.shape[0]):
        for k in range(old.shape[0] + 1):
            j = k - 1
            if k == 0:
                if r >= old.shape[0]:
                    continue
                j = r
            if group_new[r] != group_old[j]:
                continue
            n = 0
            while n < limit and new[r, n] == old[j, n]:
                n += 1
            if n > length[r]:
                length[r] = n
                best[r] = j
            if n == limit:
                break
    return best, length


@njit("int64(int64, int64, int64, int64, int64)", cache=True)
def _extend(new, kept, rows, length, capacity):
    """Whether the `rows` token rows at address `new` (int64, `length` columns) are those at `kept` and a token more.

    If so, that token is written behind each kept row; these are `capacity` apart.
    """
    for r in range(rows):
        for n in range(length - 1):
            if ld64(new, r * length + n) != ld64(kept, r * capacity + n):
                return 0
    for r in range(rows):
        st64(kept, r * capacity + length - 1, ld64(new, r * length + length - 1))
    return 1


_extend = direct(_extend)


class _Row:
    """A matcher that has taken `count` tokens after the prompt (EOS included).

    `done`: EOS was one of them.  `dead`: the next token was refused.  Either way
    the row takes no more.
    """

    __slots__ = ("matcher", "count", "done", "dead", "log_mass")

    def __init__(self, matcher, log_mass: Optional[list]):
        self.matcher = matcher
        self.count = 0
        self.done = False
        self.dead = False
        self.log_mass = log_mass

    @property
    def closed(self) -> bool:
        return self.done or self.dead

    def fork(self) -> "_Row":
        other = _Row(None if self.matcher is None else self.matcher.fork(),
                     None if self.log_mass is None else list(self.log_mass))
        other.count = self.count
        other.done = self.done
        other.dead = self.dead
        return other

    def rewind(self, length: int) -> None:
        """Go back to `length` tokens after the prompt."""
        if length <= self.count:
            self.dead = False
        if length < self.count:
            if self.matcher is not None:
                self.matcher.rollback(self.count - length)
            self.count = length
            self.done = False
        if self.log_mass is not None:
            del self.log_mass[length:]

    def advance(self, tokens: Sequence[int], eos: frozenset) -> bool:
        """Take tokens; what follows EOS is padding.  False if one is refused now."""
        matcher = self.matcher
        for token in tokens:
            if self.done or self.dead:
                break
            token = int(token)
            if matcher is not None:
                if not matcher.try_accept(token):
                    self.dead = True
                    return False
                self.done = token in eos and matcher.is_finished
            self.count += 1
        return True


class _Plan(NamedTuple):
    """How rows get their masks, until one closes."""

    batch: Batch                #: the matchers of rows that are not closed
    live: list[int]             #: whose they are
    free: list[_Row]            #: rows without a constraint
    addresses: np.ndarray       #: of the mask of each row; one that allows EOS only for closed ones


class LogitsProcessor:
    """Constrain ``model.generate(..., logits_processor=[this])``.

    Parameters
    ----------
    compiled : Compiled or sequence of (Compiled or None)
        One constraint for all rows, or one a prompt; with several rows a prompt
        (beams, ``num_return_sequences``) each prompt's rows share its
        constraint.  ``None`` leaves a prompt's rows unconstrained.
    max_tokens : int, optional
        Turns budget-aware closing on: the output is complete within this many
        tokens, EOS included.  Pass the ``max_new_tokens`` of ``generate``.
    prompt_length : int, optional
        The length of the prompts (left padding included), for decode loops that
        break the rule in the module's text.  Usually found out.
    track_mass : bool
        Also sum the log of the probability mass the masks keep, for
        :meth:`report`; costs two passes over the scores.
    inplace : bool
        Write into the scores instead of returning masked copies: less memory
        traffic, for callers that do not look at the scores again.  Not for
        ``output_logits=True`` nor prompt look-up decoding.

    Notes
    -----
    The object can be used for any number of generations, one after another; it
    is not for concurrent ones (:meth:`clone` is).  Constraints of one processor
    must be compiled for the same vocabulary.

    Examples
    --------
    >>> import structgen as sg
    >>> llm = sg.load("tiny")
    >>> c = sg.compile(sg.Choice(["yes", "no"]), llm.tokenizer)
    >>> ids = llm.tokenizer("Is it? ", return_tensors="pt").input_ids
    >>> out = llm.model.generate(ids, logits_processor=[sg.LogitsProcessor(c)], max_new_tokens=8)
    >>> llm.tokenizer.decode(out[0, ids.shape[1]:], skip_special_tokens=True) in ("yes", "no")
    True
    """

    #: rows come and go between calls there, without saying where prompts end
    supports_continuous_batching = False

    def __init__(self, compiled: Union["Compiled", Sequence[Optional["Compiled"]]],
                 max_tokens: Optional[int] = None, *, prompt_length: Optional[int] = None,
                 track_mass: bool = False, inplace: bool = False):
        self.compiled = list(compiled) if isinstance(compiled, (list, tuple)) else [compiled]
        if not any(c is not None for c in self.compiled):
            raise StructgenError("LogitsProcessor needs at least one compiled constraint")
        for c in self.compiled:
            if c is not None and not hasattr(c, "matcher"):
                raise StructgenError(
                    f"LogitsProcessor takes compiled constraints, not {type(c).__name__}",
                    hint="use sg.compile(schema, tokenizer)")
        sizes = {c.vocabulary.size for c in self.compiled if c is not None}
        if len(sizes) > 1:
            raise StructgenError(f"constraints compiled for different vocabularies "
                                 f"(sizes {sorted(sizes)}) in one LogitsProcessor")
        self.max_tokens = max_tokens
        self.prompt_length = prompt_length
        self.track_mass = track_mass
        self.inplace = inplace
        vocabulary = next(c for c in self.compiled if c is not None).vocabulary
        self._size = int(vocabulary.size)
        self._eos = frozenset(int(t) for t in vocabulary.eos_ids)
        self._masker = ScoreMasker()
        self._bitmask = allocate_bitmask(0, self._size)
        self.reset()

    # -- public ---------------------------------------------------------------------------

    def reset(self) -> None:
        """Forget the rows: the next call is made on prompts.  Rarely needed."""
        self._rows: list[_Row] = []
        self._ids: Optional[np.ndarray] = None      # (batch, capacity); columns < _length hold
        self._kept = 0                              # its address
        self._length = 0
        self._prompt = -1
        self._plan: Optional[_Plan] = None
        self._groups = np.zeros(0, dtype=np.int64)

    def clone(self) -> "LogitsProcessor":
        """A processor with the same constraints and no rows."""
        return LogitsProcessor(self.compiled, self.max_tokens, prompt_length=self.prompt_length,
                               track_mass=self.track_mass, inplace=self.inplace)

    def report(self) -> list[dict]:
        """What is known of each row of the last call.

        Returns
        -------
        list of dict
            ``tokens`` taken, ``finished`` (EOS taken), ``dead`` (a beam of score
            -inf, see the module's text), ``can_end``, and
            ``log_mass_kept``: the sum over the steps so far of the log of the
            probability the masks kept (None without ``track_mass``).
        """
        return [{
            "tokens": row.count, "finished": row.done, "dead": row.dead,
            "can_end": not row.dead and (row.matcher is None or row.done or row.matcher.can_end()),
            "log_mass_kept": None if row.log_mass is None else float(np.sum(row.log_mass)),
        } for row in self._rows]

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """Mask `scores` ``(batch, V)`` for the prefixes `input_ids` ``(batch, length)``."""
        shape, given = scores.shape, input_ids.shape
        if len(shape) != 2 or len(given) != 2:
            raise ModelError(
                f"scores of shape {tuple(scores.shape)} with input_ids of shape "
                f"{tuple(input_ids.shape)}: this processor masks one next token a row",
                hint="block-diffusion models score a canvas of tokens at once, which needs a "
                     "canvas constraint" if scores.dim() == 3 else None)
        batch, length = given
        if shape[0] != batch:
            raise ModelError(f"{batch} rows of input_ids but {shape[0]} of scores")
        self._sync(input_ids, batch, length)
        return self._mask(scores)

    # -- following the prefix -------------------------------------------------------------

    def _sync(self, input_ids: torch.Tensor, batch: int, length: int) -> None:
        """Bring the rows to the prefixes `input_ids`."""
        if not (input_ids.is_cpu and input_ids.dtype is torch.int64 and input_ids.is_contiguous()):
            input_ids = input_ids.to("cpu", torch.int64).contiguous()
        kept = self._ids
        if kept is not None and kept.shape[0] == batch and self._length == length - 1:
            if length > kept.shape[1]:
                self._ids = np.empty((batch, 2 * length + 64), dtype=np.int64)
                self._ids[:, :length - 1] = kept[:, :length - 1]
                self._kept = self._ids.ctypes.data
            if _extend(input_ids.data_ptr(), self._kept, batch, length, self._ids.shape[1]):
                self._step(length)
                return
        self._resync(input_ids.numpy())

    def _step(self, length: int) -> None:
        """The usual call: every row has a token more, which stands behind the kept ones."""
        plan = self._plan or self._planned()
        try:
            refused = self._take(plan, self._ids[:, length - 1].tolist())
            if refused:
                self._check_dead(self._rows, refused, self._ids[:, :length])
        except Exception:                   # a failed call changes nothing
            self._plan = None
            for row in self._rows:
                row.rewind(self._length - self._prompt)
            raise
        except BaseException:               # interrupted, nobody knows where
            self.reset()
            raise
        self._length = length

    def _take(self, plan: "_Plan", tokens: list[int]) -> list[int]:
        """Move every row that is not closed by its token; the rows that refuse theirs."""
        for row in plan.free:
            row.count += 1
        rows, live = self._rows, plan.live
        left = plan.batch.step(tokens if len(live) == len(rows) else [tokens[r] for r in live])
        stay = set(left) if left else ()
        for i, r in enumerate(live):
            if i not in stay:
                rows[r].count += 1
        refused = []
        for i in left:
            r = live[i]
            row = rows[r]
            if not row.advance((tokens[r],), self._eos):
                refused.append(r)
            plan.batch.moved(i)
            if row.closed:
                self._plan = None
        return refused

    def _check_dead(self, rows: list[_Row], refused: list[int], ids: np.ndarray) -> None:
        """Raise if a prompt whose row has just died has no row left.

        Beam search keeps beams of score -inf when there are fewer continuations
        than beams, so a refused token is no mistake while another beam lives.
        """
        prompts = [row.tobytes() for row in ids[:, :self._prompt]]
        alive = {prompts[r] for r, row in enumerate(rows) if not row.dead}
        for r in refused:
            if prompts[r] not in alive:
                raise self._refusal(r, rows[r], int(ids[r, -1]))

    def _refusal(self, r: int, row: _Row, token: int) -> MatcherError:
        return MatcherError(
            f"row {r}: token {token} was chosen after {row.count} tokens although the mask "
            "forbids it", token=token,
            hint="something after this processor changed the scores or forced a token; if the "
                 "rows are a new prompt that continues the last one, call .reset() first")

    def _resync(self, ids: np.ndarray) -> None:
        batch, length = ids.shape
        if batch % len(self.compiled):
            raise StructgenError(f"{len(self.compiled)} constraints for {batch} rows: the number of "
                                 "rows must be a multiple of it")
        groups = np.arange(batch, dtype=np.int64) // (batch // len(self.compiled))
        if self._ids is not None and length >= self._prompt:
            best, common = _match(ids, self._ids, self._length, groups,
                                  self._groups)
            grown = length - self._length
            if (common >= self._prompt).all():
                known = (common >= length - 1).all()
                jumped = grown > 1 and (common == self._length).all()
                if (known or jumped or self.prompt_length is not None) \
                        and self._follow(ids, best, common, strict=known and grown == 1):
                    self._remember(ids, groups, self._prompt)
                    return
        self._start(ids, groups)

    def _follow(self, ids: np.ndarray, best: np.ndarray, common: np.ndarray, strict: bool) -> bool:
        """Give each row the state of ``best[r]``, moved; False if a row does not fit."""
        rows, refused = [], []
        for r in range(ids.shape[0]):
            row = self._rows[best[r]].fork()
            row.rewind(int(common[r]) - self._prompt)
            if not row.advance(ids[r, int(common[r]):].tolist(), self._eos):
                if not strict:
                    return False
                refused.append(r)
            rows.append(row)
        if refused:
            self._check_dead(rows, refused, ids)
        self._rows = rows
        return True

    def _start(self, ids: np.ndarray, groups: np.ndarray) -> None:
        """A new generation."""
        length = ids.shape[1]
        prompt = length if self.prompt_length is None else self.prompt_length
        if prompt > length:
            raise StructgenError(f"prompt_length is {prompt} but the rows have {length} tokens")
        rows = []
        for r in range(ids.shape[0]):
            c = self.compiled[groups[r]]
            row = _Row(None if c is None else c.matcher(max_tokens=self.max_tokens),
                       [] if self.track_mass else None)
            if not row.advance(ids[r, prompt:].tolist(), self._eos):
                raise self._refusal(r, row, int(ids[r, prompt + row.count]))
            rows.append(row)
        self._rows = rows
        self._remember(ids, groups, prompt)

    def _remember(self, ids: np.ndarray, groups: np.ndarray, prompt: int) -> None:
        batch, length = ids.shape
        self._ids = np.empty((batch, length + 64), dtype=np.int64)
        self._ids[:, :length] = ids
        self._kept = self._ids.ctypes.data
        self._length = length
        self._prompt = prompt
        self._groups = groups
        self._plan = None

    # -- masking --------------------------------------------------------------------------

    def _planned(self) -> "_Plan":
        """How the rows as they are get their masks.  Made anew when rows come, go or close."""
        rows = self._rows
        if self._bitmask.shape[0] < len(rows) + 1:
            self._bitmask = allocate_bitmask(len(rows) + 1, self._size)
            for t in self._eos:
                self._bitmask[-1].view(np.uint32)[t // 32] |= np.uint32(1 << (t % 32))
        bitmask = self._bitmask
        live = [r for r, row in enumerate(rows) if row.matcher is not None and not row.closed]
        end = bitmask.ctypes.data + (bitmask.shape[0] - 1) * bitmask.strides[0]
        self._plan = _Plan(
            Batch([rows[r].matcher for r in live], bitmask), live, [row for row in rows if row.matcher is None],
            np.array([0 if row.matcher is None else end for row in rows], dtype=np.int64))
        return self._plan

    def _mask(self, scores: torch.Tensor) -> torch.Tensor:
        plan = self._plan or self._planned()
        addresses, where = plan.batch.masks(), plan.batch.where
        if len(plan.live) < len(plan.addresses):
            plan.addresses[plan.live] = addresses
            addresses, where = plan.addresses, 0
        before = None
        if self.track_mass:
            before = torch.logsumexp(scores.double(), dim=1)
        if self.inplace:
            out, bad = scores, mask_inplace_at(scores, addresses, self._size)
        else:
            out, bad = self._masker.at(scores, addresses, self._size, where)
        if bad:
            self._complain(bad, out)
        if before is not None:
            kept = (torch.logsumexp(out.double(), dim=1) - before).tolist()
            for row, value in zip(self._rows, kept):
                if not row.closed:
                    row.log_mass[row.count:] = [value]
        return out

    def _complain(self, bad: Bad, out: torch.Tensor) -> None:
        """Raise for rows without a choice, unless they are finished anyway."""
        for r, verdict in bad:
            row = self._rows[r]
            if row.closed:
                # EOS itself is suppressed (say, by min_length): any token will do, padding
                # follows; a row of -inf would break sampling
                out[r, sorted(self._eos)] = 0.0
                continue
            if verdict == NOT_A_NUMBER:
                raise ModelError(f"row {r}: the model gave NaN scores")
            assert verdict == ALL_MASKED
            raise MatcherError(
                f"row {r}: every token that may follow (after {row.count} tokens) has score -inf",
                hint="another logits processor or the model itself rules out all of them; "
                     "processors that ban tokens can contradict the constraint")
