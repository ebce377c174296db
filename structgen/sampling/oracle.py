"""The prefix oracle: what a model says about the valid texts met so far.

A trie of token prefixes under one model, prompt, distribution and constraint.
Each expanded node keeps the model's log probabilities of the tokens allowed
there, as first computed (*frozen*: they define P from then on, so that
batch-dependent rounding of a model cannot make P depend on the order of work),
its allowed mass m(v) and the bound theta(v) >= P(a valid text follows | v).
Invariants, kept by every call:

* theta never rises, and theta(v) is exactly the sum over the row of p * theta;
* a node at which nothing is allowed has theta 0: the constraint's masks have no
  dead ends, but the horizon `max_tokens` and the filters of a
  :class:`~structgen.sampling.warping.Warping` make some;
* ``Z`` lies in ``[known, theta(root)]``, where `known` sums P over the *known
  texts*: those whose every prefix is expanded, found by a walk or not.  When both
  meet the trie is complete.

With ``known`` go the other sums over what is expanded that estimates rest on
(:mod:`structgen.sampling.known`).

What is sampled from it, and how, is :mod:`structgen.sampling.walkers`' matter.
Costs: 8 bytes a token of a row (past `max_bytes` rows go to a file that the
operating system pages in), a matcher's state a node, one position of the model
an expanded node.  Nodes with a single allowed token are scored together with
what follows them, in one pass, as far as walks are likely to come: how likely
is learned from the forced tokens scored so far.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from typing import Any, Callable, Optional, Sequence

import numpy as np

from ..errors import ModelError, StructgenError
from . import oracle_file
from . import walk_kernels as wk
from .known import Known, Sums
from .scorers import Path, Scorer
from .warping import Warping

__all__ = ["PrefixOracle"]

_NODE_FIELDS = {
    "parent": np.int32, "token": np.int32, "first": np.int32, "sibling": np.int32, "expanded": np.uint8,
    "edge": np.float64, "theta": np.float64, "mass": np.float64, "rest": np.float64, "start": np.int64,
    "count": np.int32, "block": np.int64, "depth": np.int32, "log_path": np.float64, "lost": np.float32,
    "lost_token": np.int32, "ended": np.float64, "kept": np.float64, "when": np.int32,
}
_FILL = {"parent": -1, "first": -1, "sibling": -1, "lost_token": -1, "theta": 1.0}
#: forced tokens scored together
MAX_CHAIN = 64
#: walks that may stop on the way: how likely one must be to come to a forced node for it to be scored ahead
AHEAD = 0.5


class PrefixOracle:
    """The trie; see the module's text.

    Parameters
    ----------
    scorer : Scorer
        The model and prompt.
    compiled : Compiled
        The constraint.
    max_tokens : int
        Longest text in tokens, the end token included; longer texts are not in
        the language.
    warping : Warping
        What defines P besides the model.
    accepts : callable, optional
        ``accepts(path) -> bool`` for finished texts: False takes a text out of the
        language (used for canonical tokenisations).
    max_bytes : int
        Bytes of rows kept in memory.

    Attributes
    ----------
    evaluations : int
        Positions of the model evaluated.
    passes : int
        Calls of the scorer.
    """

    def __init__(self, scorer: Scorer, compiled: Any, max_tokens: int, warping: Warping = Warping(), *,
                 accepts: Optional[Callable[[Path], bool]] = None, accepts_key: str = "", max_bytes: int = 1 << 30):
        if isinstance(max_tokens, bool) or not isinstance(max_tokens, int) or max_tokens < 1:
            raise StructgenError(f"max_tokens={max_tokens!r}: wanted an integer >= 1")
        self.scorer, self.compiled, self.warping = scorer, compiled, warping
        self.max_tokens = max_tokens
        self.vocabulary = compiled.vocabulary
        self.accepts, self.accepts_key = accepts, accepts_key
        self.max_bytes = max_bytes
        self.evaluations = self.passes = 0
        self._known = Sums()
        self._key: str | None = None
        self._file: Any = None
        for name, kind in _NODE_FIELDS.items():
            setattr(self, name, np.full(1024, _FILL.get(name, 0), kind))
        self.ids, self.logp = np.empty(1 << 14, np.int32), np.empty(1 << 14, np.float32)
        self.blocks = np.empty(1 << 8, np.float64)
        self.size = self._rows = self._sums = 0
        self._matchers: list[Any] = []
        self._forced: dict[tuple[int, int], tuple[float, int]] = {}     # (token before, forced one) -> sum of m, count
        self._forced_all = (1.0, 1)
        self.ends = np.zeros(self.vocabulary.size, np.uint8)
        self.ends[list(self.vocabulary.eos_ids)] = 1
        self._add(-1, -1, 1.0, compiled.matcher())

    # ------------------------------------------------------------------ identity
    @property
    def key(self) -> str:
        """Equal for equal (model, prompt, distribution, constraint, end tokens, horizon)."""
        if self._key is None:
            from ..decoding.artefact import constraint_key

            parts = (self.scorer.fingerprint, self.vocabulary.fingerprint, self.warping.key, str(self.max_tokens),
                     self.accepts_key, constraint_key(self.compiled))
            self._key = hashlib.blake2b("\0".join(parts).encode(), digest_size=16).hexdigest()
        return self._key

    # ------------------------------------------------------------------ nodes
    def _add(self, parent: int, token: int, edge: float, matcher: Any) -> int:
        v = self.size
        if v == len(self.parent):
            for name, kind in _NODE_FIELDS.items():
                old = getattr(self, name)
                setattr(self, name, np.concatenate([old, np.full(len(old), _FILL.get(name, 0), kind)]))
        self.size = v + 1
        self.parent[v], self.token[v], self.edge[v] = parent, token, edge
        self.first[v], self.expanded[v], self.theta[v] = -1, 0, 1.0
        if parent >= 0:
            self.sibling[v] = self.first[parent]
            self.first[parent] = v
            self.depth[v] = self.depth[parent] + 1
            self.log_path[v] = self.log_path[parent] + np.log(edge)
        else:
            self.sibling[v] = -1
        self._matchers.append(matcher)
        return v

    def child(self, v: int, token: int) -> int:
        """The child of an expanded node for an allowed token that is no end token; made if need be."""
        c = self.first[v]
        while c >= 0:
            if self.token[c] == token:
                return int(c)
            c = self.sibling[c]
        ids, logp = self.row(v)
        k = int(np.searchsorted(ids, token))
        if k >= len(ids) or ids[k] != token:
            raise StructgenError(f"token {token} is not allowed behind {self.path(v)}")
        matcher = self._matchers[v].fork()
        matcher.accept(int(token))
        return self._add(v, int(token), float(np.exp(np.float64(logp[k]))), matcher)

    def path(self, v: int) -> Path:
        """The tokens of a node."""
        out = []
        while v > 0:
            out.append(int(self.token[v]))
            v = int(self.parent[v])
        return tuple(reversed(out))

    def nodes_to(self, v: int) -> list[int]:
        """The nodes from the root to `v`, both included."""
        out = [v]
        while v > 0:
            v = int(self.parent[v])
            out.append(v)
        return out[::-1]

    def row(self, v: int) -> tuple[np.ndarray, np.ndarray]:
        """The tokens allowed at an expanded node and their log probabilities (views)."""
        s, n = int(self.start[v]), int(self.count[v])
        return self.ids[s:s + n], self.logp[s:s + n]

    def matcher(self, v: int) -> Any:
        """The constraint's state at a node; fork it before moving it."""
        return self._matchers[v]

    def text(self, v: int) -> bytes:
        """The text of a node."""
        return b"".join(self.vocabulary.token_bytes(t) or b"" for t in self.path(v))

    @property
    def upper(self) -> float:
        """An upper bound on Z: theta of the root."""
        return float(self.theta[0])

    @property
    def nbytes(self) -> int:
        """Bytes of the tables, rows on disk included."""
        nodes = sum(getattr(self, name).itemsize for name in _NODE_FIELDS) * len(self.parent)
        return nodes + self.ids.nbytes + self.logp.nbytes + self.blocks.nbytes

    # ------------------------------------------------------------------ expanding
    def expand(self, nodes: Sequence[int], sure: bool = True) -> None:
        """Expand nodes (and what is forced behind them) in one call of the scorer.

        Parameters
        ----------
        nodes : sequence of int
        sure : bool
            Whether what is forced will be needed; if not, it is scored ahead only
            as far as a walk that throws coins is likely to come.

        Raises
        ------
        ModelError
            If the model gives NaN; the nodes then stay unexpanded.
        """
        chains: list[list[tuple[int, np.ndarray]]] = []
        for v in dict.fromkeys(nodes):
            if self.expanded[v]:
                continue
            chain = self._chain(v, sure)
            if chain:
                chains.append(chain)
        if not chains:
            return
        paths = [self.path(chain[-1][0]) for chain in chains]
        scores = self.scorer.score(paths, [len(chain) for chain in chains])
        self.passes += 1
        for chain, block in zip(chains, scores):
            self.evaluations += len(chain)
            logp = self.warping.log_probs(np.asarray(block))
            for (v, allowed), line in zip(chain, logp):
                self._fill(v, allowed, line)

    def _allowed(self, v: int) -> np.ndarray:
        """The tokens that may follow `v` within the horizon, ascending."""
        allowed = self._matchers[v].allowed_tokens().astype(np.int32)
        if self.depth[v] >= self.max_tokens - 1:
            allowed = allowed[self.ends[allowed] != 0]
        if self.accepts is not None and len(allowed):
            last = self.ends[allowed] != 0
            if last.any() and not self.accepts(self.path(v)):
                allowed = allowed[~last]
        return allowed

    def _chain(self, v: int, sure: bool) -> list[tuple[int, np.ndarray]]:
        """`v` and the nodes behind it that are forced, with what is allowed at each."""
        chain: list[tuple[int, np.ndarray]] = []
        chance = 1.0
        while True:
            allowed = self._allowed(v)
            if not len(allowed):
                self._dead(v)
                return chain
            chain.append((v, allowed))
            if len(allowed) > 1 or self.ends[allowed[0]] or len(chain) == MAX_CHAIN:
                return chain
            if not sure:
                total, count = self._forced.get((int(self.token[v]), int(allowed[0])), self._forced_all)
                chance *= total / count
                if chance < AHEAD:
                    return chain
            c = self.first[v]
            if c < 0:
                matcher = self._matchers[v].fork()
                matcher.accept(int(allowed[0]))
                c = self._add(v, int(allowed[0]), 1.0, matcher)      # its edge is set when `v` is filled
            if self.expanded[c]:
                return chain
            v = int(c)

    def _dead(self, v: int) -> None:
        self.expanded[v], self.theta[v], self.mass[v], self.rest[v], self.count[v] = 1, 0.0, 0.0, 0.0, 0
        if self.parent[v] < 0 or self.expanded[self.parent[v]]:
            self._lower(v)
            self._know(v)

    def _know(self, v: int) -> None:
        """Take an expanded node, whose parent is expanded, into the sums."""
        before = float(self.kept[self.parent[v]]) if v else 0.0
        self.kept[v] = self._known.add(float(self.log_path[v]), before, float(self.mass[v]), float(self.ended[v]))
        self.when[v] = self._known.clock

    def now(self) -> Known:
        """What is known."""
        return self._known.now(self.upper)

    @property
    def known(self) -> float:
        """P of the known texts."""
        return self._known.mass

    def arrivals(self) -> np.ndarray:
        """For every node the probability that masking comes to it; meant for those with an expanded parent."""
        n = self.size
        out = np.ones(n)
        with np.errstate(over="ignore"):
            out[1:] = np.exp(self.log_path[1:n] - self.kept[self.parent[1:n]])
        return out

    def _fill(self, v: int, allowed: np.ndarray, line: np.ndarray) -> None:
        """Give `v` its row."""
        if self.expanded[v]:            # what came first stays
            return
        if np.isnan(line).any():
            raise ModelError(f"the model gave NaN scores behind {len(self.path(v))} tokens "
                             f"({self.text(v)[-60:]!r})")
        logp = line[allowed]
        out = line.copy()
        out[allowed] = -np.inf
        worst = int(out.argmax())
        self.lost[v], self.lost_token[v] = out[worst], worst if out[worst] > -np.inf else -1
        some = logp > -np.inf
        if not some.all():
            allowed, logp = allowed[some], logp[some]
        if len(allowed) == 1:
            self._learn_forced(int(self.token[v]), int(allowed[0]), float(np.exp(np.float64(logp[0]))))
        last = self.ends[allowed] != 0
        self.ended[v] = float(np.exp(logp[last].astype(np.float64)).sum())
        n = len(allowed)
        blocks = -(-n // wk.BLOCK)
        self._room(n, blocks)
        s, b = self._rows, self._sums
        self.ids[s:s + n], self.logp[s:s + n] = allowed, logp
        self._rows, self._sums = s + n, b + blocks
        self.start[v], self.count[v], self.block[v] = s, n, b
        mass = wk.fill_row(self.logp, self.blocks, s, n, b)
        self.mass[v] = self.rest[v] = mass
        self.theta[v] = min(mass, 1.0)
        self.expanded[v] = 1
        if v:
            self._lower(v)
        self._know(v)
        # children made while it was a link of a chain: their edges are known now
        c = self.first[v]
        while c >= 0:
            k = int(np.searchsorted(allowed, self.token[c]))
            p = np.float64(logp[k]) if k < n and allowed[k] == self.token[c] else -np.inf
            self.edge[c] = np.exp(p)
            self.log_path[c] = self.log_path[v] + p
            if self.expanded[c]:
                self._lower(int(c))
                self._know(int(c))
            c = self.sibling[c]

    def _learn_forced(self, before: int, token: int, p: float) -> None:
        total, count = self._forced.get((before, token), (0.0, 0))
        self._forced[before, token] = total + p, count + 1
        self._forced_all = self._forced_all[0] + p, self._forced_all[1] + 1

    def _lower(self, v: int) -> None:
        wk.lower_bounds(v, self.parent, self.token, self.first, self.sibling, self.expanded, self.edge, self.theta,
                        self.mass, self.rest, self.start, self.count, self.ids, self.logp)

    def _room(self, entries: int, blocks: int) -> None:
        """Grow the row tables; past `max_bytes` they move to a file."""
        if self._sums + blocks > len(self.blocks):
            self.blocks = np.concatenate([self.blocks, np.empty(max(len(self.blocks), blocks), np.float64)])
        if self._rows + entries <= len(self.ids):
            return
        size = max(2 * len(self.ids), self._rows + entries)
        if size * 8 <= self.max_bytes:
            more = size - len(self.ids)
            self.ids = np.concatenate([self.ids, np.empty(more, np.int32)])
            self.logp = np.concatenate([self.logp, np.empty(more, np.float32)])
            return
        old_ids, old_logp = self.ids, self.logp
        self._file = tempfile.TemporaryFile(prefix="structgen-oracle-")
        self._file.truncate(size * 8)
        self.ids = np.memmap(self._file, np.int32, "r+", 0, (size,))
        self.logp = np.memmap(self._file, np.float32, "r+", size * 4, (size,))
        self.ids[:self._rows], self.logp[:self._rows] = old_ids[:self._rows], old_logp[:self._rows]
        self.ids, self.logp = np.asarray(self.ids), np.asarray(self.logp)

    # ------------------------------------------------------------------ walking
    def tables(self) -> tuple:
        """The arrays :func:`structgen.sampling.walk_kernels.walk` takes; new after every expansion."""
        return (self.ends, self.parent, self.token, self.first, self.sibling, self.expanded, self.edge, self.theta,
                self.mass, self.rest, self.start, self.count, self.block, self.ids, self.logp, self.blocks)

    def log_prob(self, v: int, end: int) -> float:
        """log P of the text that ends behind an expanded node with the token `end`."""
        ids, logp = self.row(v)
        return float(self.log_path[v] + np.float64(logp[int(np.searchsorted(ids, end))]))

    def draw(self, v: int, rng: np.random.Generator, bound: bool = False) -> tuple[int, float]:
        """A token allowed at an expanded node and its log probability under the model.

        In proportion to p, or to p * theta with `bound`.  For methods that step
        many texts in parallel; walks use the kernel.
        """
        ids, logp = self.row(v)
        p = np.exp(logp.astype(np.float64))
        if bound:
            c = self.first[v]
            while c >= 0:
                p[np.searchsorted(ids, self.token[c])] *= self.theta[c]
                c = self.sibling[c]
        sums = np.cumsum(p)
        k = int(np.searchsorted(sums, rng.random() * sums[-1], side="right"))
        k = min(k, int(np.flatnonzero(p)[-1]))
        return int(ids[k]), float(logp[k])

    def complete(self, max_nodes: int) -> bool:
        """Expand everything, breadth first; False if there are more than `max_nodes` nodes.

        Afterwards theta is exact everywhere: Z = theta(root), and no walk fails.
        """
        level = [0]
        while level:
            self.expand(level)
            if self.size + int(self.count[level].sum()) > 2 * max_nodes:
                return False
            following = []
            for v in level:
                ids, _ = self.row(v)
                following += [self.child(v, int(t)) for t in ids[self.ends[ids] == 0]]
            if self.size > max_nodes:
                return False
            level = following
        return True

    # ------------------------------------------------------------------ keeping
    def save(self, path: str | os.PathLike) -> None:
        """Write the oracle to a file (NumPy's ``.npz``), in one step."""
        oracle_file.save(self, path, {"ids": self.ids[:self._rows], "logp": self.logp[:self._rows],
                                      "blocks": self.blocks[:self._sums],
                                      **{name: getattr(self, name)[:self.size] for name in _NODE_FIELDS}})

    def restore(self, path: str | os.PathLike) -> None:
        """Take over what :meth:`save` wrote for the same model, prompt, distribution and constraint.

        Raises
        ------
        StructgenError
            If the file is for something else, or damaged.
        """
        held = oracle_file.load(self, path, _NODE_FIELDS)
        n = len(held["parent"])
        for name, kind in _NODE_FIELDS.items():
            grown = np.full(max(1024, n), _FILL.get(name, 0), kind)
            grown[:n] = held[name]
            setattr(self, name, grown)
        self.size = n
        self._rows, self._sums = len(held["ids"]), len(held["blocks"])
        self.ids, self.logp, self.blocks = held["ids"], held["logp"], held["blocks"]
        self.evaluations, self.passes = (int(x) for x in held["counters"])
        matchers = [self.compiled.matcher()]
        for v in range(1, n):
            m = matchers[int(self.parent[v])].fork()
            m.accept(int(self.token[v]))
            matchers.append(m)
        self._matchers = matchers
        self._known = Sums()
        for v in np.argsort(self.when[:n], kind="stable"):
            if self.when[v]:
                self._know(int(v))
