"""Compiled loops of the canvas: tokens over a byte automaton, sums and maxima over slots.

Arrays are C-contiguous; states, classes and tokens are int32.  The token
automaton's edges lie by source state: ``first[s]:first[s + 1]`` index `klass` and
`target`.  Layers are numbered 0 to L: layer i is what is known before slot i.

Sums are scaled: a layer is divided by its largest entry, and the logs of those
factors are summed, so that nothing underflows however long the canvas is.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

__all__ = ["token_edges", "distances", "reach_forward", "reach_backward", "admissible", "expand", "class_max",
           "class_sum", "best_path", "sums_backward", "sums_forward", "draw_path"]


@njit(nogil=True, cache=True)
def token_edges(step, data, offsets, shared, source, target, token, room):
    """Every token from every state: edges (source, token, target), or -1 if there is no room.

    Tokens are sorted by bytes; ``shared[k]`` is the length of the prefix that
    token k has in common with the one before it, so each distinct prefix is read
    once a state, and what lies behind a dead prefix is skipped.
    """
    n, count = step.shape[0], offsets.shape[0] - 1
    longest = 0
    for k in range(count):
        longest = max(longest, offsets[k + 1] - offsets[k])
    path = np.empty(longest + 1, np.int32)
    used = 0
    for s in range(n):
        path[0] = s
        good = 0            # bytes of the current token read alive
        k = 0
        while k < count:
            if k > 0 and shared[k] < good:
                good = shared[k]
            elif k == 0:
                good = 0
            length = offsets[k + 1] - offsets[k]
            while good < length:
                following = step[path[good], data[offsets[k] + good]]
                if following < 0:
                    break
                good += 1
                path[good] = following
            if good == length:
                if used == room:
                    return -1
                source[used], target[used], token[used] = s, path[good], k
                used += 1
                k += 1
            else:
                # dead behind `good` bytes: so is every token that shares one more
                k += 1
                while k < count and shared[k] > good:
                    k += 1
    return used


@njit(nogil=True, cache=True)
def distances(first, target, final, dist):
    """Least tokens from each state to a final one, by rounds; `dist` starts at 0 or a large number."""
    changed = True
    while changed:
        changed = False
        for s in range(dist.shape[0]):
            for e in range(first[s], first[s + 1]):
                if dist[target[e]] + 1 < dist[s]:
                    dist[s] = dist[target[e]] + 1
                    changed = True


@njit(nogil=True, cache=True)
def reach_forward(layers, low, high, fixed, pair_first, pair_target, table):
    """Layers low + 1 to `high` of what is reachable; ``fixed[i]`` is the class of slot i, -1 if it is masked."""
    n = layers.shape[1]
    for i in range(low, high):
        for s in range(n):
            layers[i + 1, s] = 0
        c = fixed[i]
        for s in range(n):
            if layers[i, s]:
                if c >= 0:
                    if table[c, s] >= 0:
                        layers[i + 1, table[c, s]] = 1
                elif c == -1:
                    for e in range(pair_first[s], pair_first[s + 1]):
                        layers[i + 1, pair_target[e]] = 1


@njit(nogil=True, cache=True)
def reach_backward(layers, low, high, fixed, pair_first, pair_target, table):
    """Layers high - 1 down to `low` of what can still end well."""
    n = layers.shape[1]
    for i in range(high - 1, low - 1, -1):
        c = fixed[i]
        for s in range(n):
            good = 0
            if c >= 0:
                good = 1 if table[c, s] >= 0 and layers[i + 1, table[c, s]] else 0
            elif c == -1:
                for e in range(pair_first[s], pair_first[s + 1]):
                    if layers[i + 1, pair_target[e]]:
                        good = 1
                        break
            layers[i, s] = good


@njit(nogil=True, cache=True)
def class_max(logp, order, begin, best, which):
    """Per row and class the greatest log probability and a token that has it.

    The tokens of class c are ``order[begin[c]:begin[c + 1]]``.
    """
    for r in range(logp.shape[0]):
        for c in range(begin.shape[0] - 1):
            top, at = -np.inf, -1
            for k in range(begin[c], begin[c + 1]):
                x = logp[r, order[k]]
                if x > top or at < 0:
                    top, at = x, order[k]
            best[r, c] = top
            which[r, c] = at


@njit(nogil=True, cache=True)
def class_sum(logp, order, begin, total):
    """Per row and class the log of the sum of probabilities."""
    for r in range(logp.shape[0]):
        for c in range(begin.shape[0] - 1):
            top = -np.inf
            for k in range(begin[c], begin[c + 1]):
                if logp[r, order[k]] > top:
                    top = np.float64(logp[r, order[k]])
            if top == -np.inf:
                total[r, c] = -np.inf
                continue
            acc = 0.0
            for k in range(begin[c], begin[c + 1]):
                acc += math.exp(np.float64(logp[r, order[k]]) - top)
            total[r, c] = top + math.log(acc)


@njit(nogil=True, cache=True)
def best_path(start, fixed, row, weights, last, first, klass, target, table, states, classes):
    """The best assignment of all masked slots: its score, its states and the classes of its masked slots.

    `start` is the state before slot 0; ``row[i]`` is the row of `weights` (log) of masked slot i; `last` marks states
    a canvas may end in.
    """
    length, n = fixed.shape[0], last.shape[0]
    score = np.full((length + 1, n), -np.inf)
    for s in range(n):
        if last[s]:
            score[length, s] = 0.0
    for i in range(length - 1, -1, -1):
        c = fixed[i]
        for s in range(n):
            if c >= 0:
                if table[c, s] >= 0:
                    score[i, s] = score[i + 1, table[c, s]]
            elif c == -1:
                top = -np.inf
                for e in range(first[s], first[s + 1]):
                    x = weights[row[i], klass[e]] + score[i + 1, target[e]]
                    if x > top:
                        top = x
                score[i, s] = top
    if score[0, start] == -np.inf:
        return -np.inf
    s = start
    states[0] = s
    for i in range(length):
        c = fixed[i]
        if c >= 0:
            s = table[c, s]
            classes[i] = c
        else:
            top, pick = -np.inf, -1
            for e in range(first[s], first[s + 1]):
                x = weights[row[i], klass[e]] + score[i + 1, target[e]]
                if x > top:
                    top, pick = x, e
            classes[i] = klass[pick]
            s = target[pick]
        states[i + 1] = s
    return score[0, start]


@njit(nogil=True, cache=True)
def admissible(slots, forward, backward, first, klass, target, out):
    """Which classes each of `slots` may take: `out` (slots, classes) of 0 and 1."""
    for r in range(slots.shape[0]):
        i = slots[r]
        for s in range(forward.shape[1]):
            if forward[i, s]:
                for e in range(first[s], first[s + 1]):
                    if backward[i + 1, target[e]]:
                        out[r, klass[e]] = 1


@njit(nogil=True, cache=True)
def expand(rows, class_of, out):
    """Class masks (n, classes + 1), whose last column is 0, to token masks (n, V)."""
    for r in range(rows.shape[0]):
        for t in range(class_of.shape[0]):
            out[r, t] = rows[r, class_of[t]]


@njit(nogil=True, cache=True)
def sums_backward(start, fixed, row, weights, last, first, klass, target, table, layers, scales):
    """Backward sums: layers (L + 1, n) scaled, scales (L + 1,) the logs of what was divided out; their log Z.

    `weights` (rows, classes) are not logs here: 0 for what a slot cannot take,
    and at most 1.
    """
    length, n = fixed.shape[0], last.shape[0]
    for s in range(n):
        layers[length, s] = 1.0 if last[s] else 0.0
    scales[length] = 0.0
    for i in range(length - 1, -1, -1):
        c = fixed[i]
        top = 0.0
        for s in range(n):
            value = 0.0
            if c >= 0:
                if table[c, s] >= 0:
                    value = layers[i + 1, table[c, s]]
            elif c == -1:
                for e in range(first[s], first[s + 1]):
                    value += weights[row[i], klass[e]] * layers[i + 1, target[e]]
            layers[i, s] = value
            if value > top:
                top = value
        if top > 0.0:
            for s in range(n):
                layers[i, s] /= top
            scales[i] = scales[i + 1] + math.log(top)
        else:
            scales[i] = -np.inf
    if layers[0, start] <= 0.0:
        return -np.inf
    return math.log(layers[0, start]) + scales[0]


@njit(nogil=True, cache=True)
def sums_forward(start, fixed, row, weights, first, klass, target, table, back, share):
    """Posterior probability of each class at each masked slot, into `share` (rows, classes)."""
    length, n = fixed.shape[0], back.shape[1]
    here = np.zeros(n)
    here[start] = 1.0
    for i in range(length):
        after = np.zeros(n)
        c = fixed[i]
        if c >= 0:
            for s in range(n):
                if here[s] > 0.0 and table[c, s] >= 0 and back[i + 1, table[c, s]] > 0.0:
                    after[table[c, s]] += here[s]
        else:
            total = 0.0
            for s in range(n):
                if here[s] <= 0.0:
                    continue
                for e in range(first[s], first[s + 1]):
                    b = back[i + 1, target[e]]
                    if b > 0.0:
                        x = here[s] * weights[row[i], klass[e]]
                        after[target[e]] += x
                        share[row[i], klass[e]] += x * b
                        total += x * b
            for k in range(weights.shape[1]):
                share[row[i], k] /= total
        top = after.max()
        for s in range(n):
            here[s] = after[s] / top


@njit(nogil=True, cache=True)
def draw_path(start, fixed, row, weights, first, klass, target, table, back, uniforms, states, classes):
    """A draw of states and classes in proportion to their weight; `uniforms` one a slot."""
    s = start
    states[0] = s
    for i in range(fixed.shape[0]):
        c = fixed[i]
        if c >= 0:
            s = table[c, s]
            classes[i] = c
            states[i + 1] = s
            continue
        total = 0.0
        for e in range(first[s], first[s + 1]):
            total += weights[row[i], klass[e]] * back[i + 1, target[e]]
        aim = uniforms[i] * total
        pick = -1
        for e in range(first[s], first[s + 1]):
            x = weights[row[i], klass[e]] * back[i + 1, target[e]]
            if x > 0.0:
                pick = e
                if aim < x:
                    break
                aim -= x
        classes[i] = klass[pick]
        s = target[pick]
        states[i + 1] = s
