"""Compiled passes over a canvas under a context-free constraint: which stacks are where, and which of them survive.

**Positions.**  The lexer alone makes a canvas an acyclic automaton over symbols
(:mod:`.cfg_tokens`): before each slot its states are the places of the lexer, and in
a masked slot the nodes of the shared automaton of words.

**Forward**, every position gets the set of LR stacks that some filling of the slots
before it leads to there (:mod:`.cfg_set_kernels`): exact, one step for each edge.
**Backward**, a set that tells from which of them the rest of the canvas can be
filled.  The labels of the edges that leave a masked slot with a live stack are its mask.

Kernels return a code below -1 when a table has to grow, and are called again; the
slot they have come to is in `state`.
"""

from __future__ import annotations

from numba import njit

from ..automata.cfg_stacks import union
from .cfg_set_kernels import begin, live, sees, step, touch

#: sha256 of the kernel files compiled into this one (see stack_kernels.py).
DEPENDS_ON = "22555f285d02f004947012bc3cfbd41a3791bf269e1e2717a0f2403574c958fc"

__all__ = ["reach_back", "useful", "forward", "backward", "MASK", "TOKEN", "END", "PAD", "NOTHING"]

_OPT = dict(nogil=True, cache=True)
_PASS = dict(nogil=True, cache=True, error_model="numpy")
#: kinds of slots
MASK, TOKEN, END, PAD, NOTHING = 0, 1, 2, 3, 4


@njit(**_OPT)
def find_place(fixed_place, lo, hi, key):
    """The first entry of a sorted stretch of an array that is not below `key`."""
    while lo < hi:
        mid = (lo + hi) >> 1
        if fixed_place[mid] < key:
            lo = mid + 1
        else:
            hi = mid
    return lo


@njit(**_OPT)
def reach_back(kinds, klass, end_ok, last, ends, pair_first, pair_target, class_first, fixed_place, fixed_arc, arcs,
               alive):
    """From which places the rest of a canvas can be read, as far as the lexer goes: `alive` (L + 1, places)."""
    length, n = kinds.shape[0], ends.shape[0]
    for p in range(n):
        alive[length, p] = 1 if last and ends[p] else 0
    for i in range(length - 1, -1, -1):
        for p in range(n):
            good = 0
            if end_ok[i] and ends[p]:
                good = 1
            elif kinds[i] == MASK:
                for e in range(pair_first[p], pair_first[p + 1]):
                    if alive[i + 1, pair_target[e]]:
                        good = 1
                        break
            alive[i, p] = good
        if kinds[i] == TOKEN:
            for at in range(class_first[klass[i]], class_first[klass[i] + 1]):
                if alive[i + 1, arcs[fixed_arc[at], 2]]:
                    alive[i, fixed_place[at]] = 1


@njit(**_OPT)
def useful(nodes, alive, child_at, child_node, leaf_at, leaf_place, out):
    """Mark in `out` the nodes from which a word leads to a place that is alive; parents come first in `nodes`."""
    for k in range(nodes.shape[0] - 1, -1, -1):
        n = nodes[k]
        good = False
        for j in range(leaf_at[n, 0], leaf_at[n, 0] + leaf_at[n, 1]):
            if alive[leaf_place[j]]:
                good = True
                break
        if not good:
            for j in range(child_at[n, 0], child_at[n, 0] + child_at[n, 1]):
                if out[child_node[j]]:
                    good = True
                    break
        out[n] = good


@njit(**_PASS)
def forward(e, state, kinds, klass, end_ok, last, stop, row, which, alive, good, ends, order, order_at, root, child_at,
            child_symbol, child_node, leaf_at, leaf_place, class_first, fixed_place, fixed_arc, arcs, word_at,
            word_symbols, terminal_of, nt, end_symbol, places, nodes, final):
    """Sets of stacks: before each slot `places` (L + 1, places), in masked slots `nodes` (rows, nodes).

    ``final[i]`` becomes the stacks, by place, that end the text before slot i; with
    `stop` the first of them ends the pass.  1: some filling is whole, 0: none, or a code.
    """
    length, n_places = kinds.shape[0], ends.shape[0]
    begin(e)
    while state[0] <= length:
        i = state[0]
        if last if i == length else end_ok[i]:
            for p in range(n_places):
                if ends[p] and places[i, p]:
                    r = step(e, places[i, p], end_symbol)
                    if r < 0:
                        return r
                    if r > 0:
                        final[i] = 1
                        state[1] = 1
                        if stop:
                            return 1
        if i < length and kinds[i] == MASK:
            here, w = row[i], which[i]
            for p in range(n_places):
                if places[i, p]:
                    r = union(e, nodes[here, root[w, p]], places[i, p])
                    if r < 0:
                        return r
                    nodes[here, root[w, p]] = r
            for k in range(order_at[w], order_at[w + 1]):
                n = order[k]
                x = nodes[here, n]
                if x == 0:
                    continue
                for j in range(leaf_at[n, 0], leaf_at[n, 0] + leaf_at[n, 1]):
                    p = leaf_place[j]
                    if alive[i + 1, p] and places[i + 1, p] != x:
                        r = union(e, places[i + 1, p], x)
                        if r < 0:
                            return r
                        places[i + 1, p] = r
                for j in range(child_at[n, 0], child_at[n, 0] + child_at[n, 1]):
                    m, y = child_node[j], child_symbol[j]
                    if not good[here, m] or (terminal_of[y] < nt and sees(e, x, terminal_of[y]) == 0):
                        continue
                    r = step(e, x, y)
                    if r > 0:
                        r = union(e, nodes[here, m], r)
                        if r > 0:
                            nodes[here, m] = r
                    if r < 0:
                        return r
        elif i < length and kinds[i] == TOKEN:
            for j in range(class_first[klass[i]], class_first[klass[i] + 1]):
                arc = fixed_arc[j]
                x, p = places[i, fixed_place[j]], arcs[arc, 2]
                if x == 0 or not alive[i + 1, p]:
                    continue
                for k in range(word_at[arcs[arc, 1]], word_at[arcs[arc, 1] + 1]):
                    x = step(e, x, word_symbols[k])
                    if x <= 0:
                        break
                if x > 0:
                    x = union(e, places[i + 1, p], x)
                    if x > 0:
                        places[i + 1, p] = x
                if x < 0:
                    return x
        state[0] = i + 1
    return state[1]


@njit(**_PASS)
def backward(e, state, kinds, klass, end_ok, last, row, which, good, ends, order, order_at, root, child_at,
             child_symbol, child_node, leaf_at, leaf_place, leaf_label, class_first, fixed_place, fixed_arc, arcs,
             word_at, word_symbols, terminal_of, nt, end_symbol, places, nodes, chain, live_places, live_nodes, said):
    """Sets that tell what is live in those of `forward` (0: nothing); 0, or a code.

    `said` (L + 1, labels + 1) gets the labels of live edges.
    """
    length, n_places, labels = kinds.shape[0], ends.shape[0], said.shape[1] - 1
    begin(e)
    while state[0] >= 0:
        i = state[0]
        if i < length and kinds[i] == MASK:
            here, w = row[i], which[i]
            for k in range(order_at[w + 1] - 1, order_at[w] - 1, -1):
                n = order[k]
                x = nodes[here, n]
                if x == 0:
                    continue
                out = 0
                for j in range(leaf_at[n, 0], leaf_at[n, 0] + leaf_at[n, 1]):
                    after = live_places[i + 1, leaf_place[j]]
                    if after == 0:
                        continue
                    r = touch(e, x, after)
                    if r > 0:
                        said[i, leaf_label[j]] = 1
                        r = union(e, out, after)
                        out = r
                    if r < 0:
                        return r
                for j in range(child_at[n, 0], child_at[n, 0] + child_at[n, 1]):
                    after = live_nodes[here, child_node[j]]
                    if after == 0:
                        continue
                    y = child_symbol[j]
                    if terminal_of[y] < nt and sees(e, x, terminal_of[y]) == 0:
                        continue
                    r = live(e, x, y, after)
                    if r > 0:
                        r = union(e, out, r)
                        out = r
                    if r < 0:
                        return r
                live_nodes[here, n] = out
            for p in range(n_places):
                if places[i, p]:
                    r = touch(e, places[i, p], live_nodes[here, root[w, p]])
                    if r < 0:
                        return r
                    if r > 0:
                        live_places[i, p] = live_nodes[here, root[w, p]]
        elif i < length and kinds[i] == TOKEN:
            for j in range(class_first[klass[i]], class_first[klass[i] + 1]):
                arc, p = fixed_arc[j], fixed_place[j]
                after = live_places[i + 1, arcs[arc, 2]]
                if places[i, p] == 0 or after == 0:
                    continue
                first, size = word_at[arcs[arc, 1]], word_at[arcs[arc, 1] + 1] - word_at[arcs[arc, 1]]
                chain[0] = places[i, p]
                k = 0
                while k < size and chain[k] > 0:
                    chain[k + 1] = step(e, chain[k], word_symbols[first + k])
                    k += 1
                if chain[k] < 0:
                    return chain[k]
                if k < size:
                    continue
                r = after
                if size == 0:
                    r = touch(e, chain[0], after)
                    if r > 0:
                        r = after
                while k > 0 and r > 0:
                    k -= 1
                    r = live(e, chain[k], word_symbols[first + k], r)
                if r > 0:
                    r = union(e, live_places[i, p], r)
                    if r > 0:
                        live_places[i, p] = r
                if r < 0:
                    return r
        if last if i == length else end_ok[i]:
            for p in range(n_places):
                if ends[p] and places[i, p]:
                    r = step(e, places[i, p], end_symbol)
                    if r > 0:
                        r = live(e, places[i, p], end_symbol, r)
                        if r > 0:
                            if i < length:
                                said[i, labels] = 1
                            r = union(e, live_places[i, p], r)
                            if r > 0:
                                live_places[i, p] = r
                    if r < 0:
                        return r
        state[0] = i - 1
    return 0
