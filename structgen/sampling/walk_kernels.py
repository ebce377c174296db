"""Walks over the prefix trie: the compiled part of :mod:`structgen.sampling.oracle`.

A node v of the trie is a prefix of tokens.  Once *expanded* it has a row: the
tokens allowed there, ascending, with their log probabilities under the model
(float32, frozen).  ``mass[v]`` is the sum of that row's probabilities, m(v);
``theta[v]`` is an upper bound on the probability that a text of the language
follows: U(v) = sum of p(a) * theta(a), where theta is 1 for tokens that were
never followed.  ``rest[v]`` is the part of that sum that belongs to tokens
without an expanded child; it is kept apart so that U(v) is a sum of positive
terms and never a difference of nearly equal ones.

Rows lie end to end in ``ids`` and ``logp``; ``blocks`` holds the sum of the
probabilities of every `BLOCK` entries of a row, so a draw from a row of n
tokens looks at n / BLOCK sums and one block.

All arrays are one-dimensional; ids are int32, the rest as named.  No function
here allocates or grows anything: a walk that needs a node returns.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

__all__ = ["BLOCK", "DEAD", "EXPAND", "LEAF", "CREATE", "RAW", "BOUND", "COIN_BOUND", "COIN_MASS",
           "fill_row", "lower_bounds", "walk"]

#: entries of a row behind one entry of `blocks`
BLOCK = 256

# what `walk` found
DEAD, EXPAND, LEAF, CREATE = 0, 1, 2, 3

# how children are drawn: from the allowed mass as it is, or times what is known of the future
RAW, BOUND = 0, 1
# the coin on arrival: none, U(v) / theta used, or m(v) (plain rejection)
COIN_NONE, COIN_BOUND, COIN_MASS = 0, 1, 2


@njit(nogil=True, cache=True)
def _uniform(state):
    """splitmix64 (Steele, Lea, Flood 2014): a double in [0, 1); `state` is uint64 of one entry."""
    state[0] = state[0] + np.uint64(0x9E3779B97F4A7C15)
    z = state[0]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return np.float64(z >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@njit(nogil=True, cache=True)
def fill_row(logp, blocks, start, count, block):
    """Sum a row's probabilities by blocks; returns m(v), the sum of all."""
    total = 0.0
    for b in range((count + BLOCK - 1) // BLOCK):
        part = 0.0
        for k in range(start + b * BLOCK, min(start + count, start + (b + 1) * BLOCK)):
            part += math.exp(np.float64(logp[k]))
        blocks[block + b] = part
        total += part
    return total


@njit(nogil=True, cache=True)
def _unfollowed(v, t, first, sibling, token, expanded):
    """Has node v no expanded child for token t?"""
    c = first[v]
    while c >= 0:
        if expanded[c] and token[c] == t:
            return False
        c = sibling[c]
    return True


@njit(nogil=True, cache=True)
def _rest(v, start, count, ids, logp, first, sibling, token, expanded):
    """The mass of row v on tokens without an expanded child, summed afresh."""
    taken = 0
    c = first[v]
    while c >= 0:
        taken += expanded[c]
        c = sibling[c]
    if taken >= count:
        return 0.0
    total = 0.0
    for k in range(start, start + count):
        if _unfollowed(v, ids[k], first, sibling, token, expanded):
            total += math.exp(np.float64(logp[k]))
    return total


@njit(nogil=True, cache=True)
def lower_bounds(v, parent, token, first, sibling, expanded, edge, theta, mass, rest, start, count, ids, logp):
    """Node v was expanded: take its mass out of its parent's rest, and lower the bounds above it."""
    u = parent[v]
    if u >= 0:
        left = rest[u] - edge[v]
        if count[u] <= 64 or left < 1e-6 * mass[u]:
            left = _rest(u, start[u], count[u], ids, logp, first, sibling, token, expanded)
        rest[u] = left
    while u >= 0:
        total = rest[u]
        c = first[u]
        while c >= 0:
            if expanded[c]:
                total += edge[c] * theta[c]
            c = sibling[c]
        # rounding must not raise a bound that walkers have used
        if total >= theta[u]:
            break
        theta[u] = total
        u = parent[u]


@njit(nogil=True, cache=True)
def _draw(v, rng, start, count, block, ids, logp, blocks, mass):
    """An entry of row v with probability p / m(v)."""
    target = _uniform(rng) * mass[v]
    s, n = start[v], count[v]
    b, last = 0, (n + BLOCK - 1) // BLOCK - 1
    while b < last and target >= blocks[block[v] + b]:
        target -= blocks[block[v] + b]
        b += 1
    end = min(s + n, s + (b + 1) * BLOCK)
    best = -1
    for k in range(s + b * BLOCK, end):
        p = math.exp(np.float64(logp[k]))
        if p > 0.0:
            best = k
            if target < p:
                return k
            target -= p
    return best         # rounding: the last one possible


@njit(nogil=True, cache=True)
def _draw_rest(v, rng, start, count, ids, logp, rest, first, sibling, token, expanded):
    """An entry of row v without an expanded child, in proportion to p, by a scan."""
    target = _uniform(rng) * rest[v]
    best = -1
    for k in range(start[v], start[v] + count[v]):
        p = math.exp(np.float64(logp[k]))
        if p == 0.0:
            continue
        if _unfollowed(v, ids[k], first, sibling, token, expanded):
            best = k
            if target < p:
                return k
            target -= p
    return best


@njit(nogil=True, cache=True)
def walk(node, used, draw, coin, fresh, rng, out, ends, parent, token, first, sibling, expanded, edge, theta, mass,
         rest, start, count, block, ids, logp, blocks):
    """Walk from an expanded node until something is needed or the walk is over.

    Parameters
    ----------
    node : int
        Where the walk stands.
    used : float
        What `node`'s bound was when it was chosen.
    draw, coin : int
        `RAW` or `BOUND`; `COIN_NONE`, `COIN_BOUND` or `COIN_MASS`.
    fresh : int
        1 if the walk has just arrived at `node`: the coin is still to be thrown.
    rng : uint64, shape (1,)
        The walk's own stream.
    out : float64, shape (6,)
        In and out: [0] the log of the product of U(v) / used over arrivals, [1]
        the sum of log m(v), [2] nodes arrived at, [3] used of the node returned,
        [4] the log probability of the tokens drawn in this call, [5] the token
        to create.
    ends : uint8, shape (V,)
        1 at end tokens.

    Returns
    -------
    (status, node)
        `EXPAND`: `node` must be expanded, then go on with ``fresh=1``; `CREATE`:
        `node` needs a child for the token ``out[5]``; `LEAF`: the text ended
        behind `node` with the token ``out[5]``; `DEAD`: the walk failed at
        `node`.
    """
    while True:
        if fresh:
            out[2] += 1.0
            value = theta[node] if coin != COIN_MASS else mass[node]
            if value <= 0.0:
                return DEAD, node
            r = value / used
            out[0] += math.log(r)
            out[1] += math.log(mass[node])
            if coin != COIN_NONE and _uniform(rng) >= r:
                return DEAD, node
            fresh = 0
        k = -1
        if draw == RAW:
            k = _draw(node, rng, start, count, block, ids, logp, blocks, mass)
        else:
            known = 0.0
            covered = 0.0
            c = first[node]
            while c >= 0:
                if expanded[c]:
                    known += edge[c] * theta[c]
                    covered += edge[c]
                c = sibling[c]
            target = _uniform(rng) * (rest[node] + known)
            if target < known or rest[node] <= 0.0:
                c = first[node]
                chosen = -1
                while c >= 0:
                    if expanded[c] and theta[c] > 0.0:
                        chosen = c
                        target -= edge[c] * theta[c]
                        if target < 0.0:
                            break
                    c = sibling[c]
                out[4] += math.log(edge[chosen])
                node, used, fresh = chosen, theta[chosen], 1
                continue
            if covered > 0.9 * mass[node]:
                k = _draw_rest(node, rng, start, count, ids, logp, rest, first, sibling, token, expanded)
            else:
                while True:
                    k = _draw(node, rng, start, count, block, ids, logp, blocks, mass)
                    if _unfollowed(node, ids[k], first, sibling, token, expanded):
                        break
        t = ids[k]
        out[4] += np.float64(logp[k])
        out[5] = np.float64(t)
        if ends[t]:
            return LEAF, node
        c = first[node]
        while c >= 0 and token[c] != t:
            c = sibling[c]
        out[3] = 1.0
        if c < 0:
            return CREATE, node
        if not expanded[c]:
            return EXPAND, c
        # only drawn from the raw mass does a walk come here
        node, used, fresh = c, 1.0, 1
