"""Compiled loops of the canvas: tokens over a byte automaton, sums and maxima over slots.

Arrays are C-contiguous; states, classes and tokens are int32.  The token
automaton's edges lie by source state: ``first[s]:first[s + 1]`` index `klass` and
`target`.  Layers are numbered 0 to L: layer i is what is known before slot i.

Sums are kept as mantissa and exponent, number by number: a branch of the
automaton may be unlikely by any factor so far and be the likelier one later.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

LN2 = math.log(2.0)
#: tokens of a class that are summed at a time when one is drawn
BLOCK = 256

__all__ = ["token_edges", "distances", "reach_forward", "reach_backward", "admissible", "expand", "pack",
           "class_scores", "draw_tokens", "best_path", "split_weights", "sums_backward", "sums_forward", "draw_path"]


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
def _copy(source, target):
    """A loop: numba takes a second to compile an assignment of arrays."""
    for k in range(source.shape[0]):
        target[k] = source[k]


@njit(nogil=True, cache=True)
def _same(left, right):
    for s in range(left.shape[0]):
        if left[s] != right[s]:
            return False
    return True


@njit(nogil=True, cache=True)
def _masked(words, here, i, held, counts, after_words, after, succ_first, succ, pred_first, pred):
    """What a masked slot makes of the states of layer i, `here`, into `after`.

    ``counts[t]`` is how many predecessors of state t are in layer `held` (-1: in none; nothing
    is counted yet).  Layers of a run of masked slots differ by few states, so counts are carried along.
    Returns the layer they are of now.
    """
    n = succ_first.shape[0] - 1
    size = 0
    for s in range(n):
        size += here[s]
    if 4 * size >= n and held < 0:      # most states are there: the first predecessor will do
        after_words[:] = 0
        for t in range(n):
            for e in range(pred_first[t], pred_first[t + 1]):
                if here[pred[e]]:
                    after[t] = 1
                    break
        return -1
    anew = held < 0 or (4 * size < n and abs(held - i) > 1)
    if anew:
        counts[:] = 0
    for w in range(words.shape[1]):
        differ = words[i, w] if anew else words[i, w] ^ words[held, w]
        if differ != 0:
            for s in range(8 * w, min(8 * w + 8, n)):
                if (differ >> np.uint64(8 * (s - 8 * w))) & np.uint64(1):
                    more = 1 if here[s] else -1
                    for e in range(succ_first[s], succ_first[s + 1]):
                        counts[succ[e]] += more
    for t in range(n):
        after[t] = counts[t] > 0
    return i


@njit(nogil=True, cache=True)
def reach_forward(layers, words, still, low, high, known, dirty, fixed, succ_first, succ, pred_first, pred, table):
    """Bring layers low + 1 to `high` of what is reachable up to date.

    ``fixed[i]`` is the class of slot i, -1 if it is masked, -2 if nothing can
    come of it.  Layers to `known` follow from the one before wherever ``dirty[i]``
    is 0; what follows from an unchanged layer is left as it is.  `words` is `layers`
    seen as uint64; ``still[i]``: layer i + 1 is layer i.
    """
    n = succ_first.shape[0] - 1
    fresh = np.zeros(layers.shape[1], np.uint8)
    fresh_words = fresh.view(np.uint64)
    counts, held = np.zeros(n, np.int32), -1
    moved = False
    for i in range(low, high):
        if i < known and not moved and not dirty[i]:
            continue
        dirty[i] = 0
        c = fixed[i]
        if i > 0 and c == -1 and fixed[i - 1] == -1 and still[i - 1]:
            moved = i >= known or not _same(words[i], words[i + 1])
            if moved:
                _copy(words[i], words[i + 1])
            still[i] = 1
            continue
        if c == -1:
            held = _masked(words, layers[i], i, held, counts, fresh_words, fresh, succ_first, succ, pred_first, pred)
        else:
            fresh_words[:] = 0
            if c >= 0:
                for w in range(words.shape[1]):
                    if words[i, w] != 0:
                        for s in range(8 * w, min(8 * w + 8, n)):
                            if layers[i, s] and table[c, s] >= 0:
                                fresh[table[c, s]] = 1
        moved = i >= known or not _same(fresh_words, words[i + 1])
        if moved:
            _copy(fresh_words, words[i + 1])
        still[i] = 1 if _same(words[i], words[i + 1]) else 0
    if moved and high < known:
        dirty[high] = 1


@njit(nogil=True, cache=True)
def reach_backward(layers, words, still, low, high, known, dirty, fixed, succ_first, succ, pred_first, pred, table):
    """The same for layers high - 1 down to `low` of what can still end well; layers from `known` on are there."""
    n = succ_first.shape[0] - 1
    fresh = np.zeros(layers.shape[1], np.uint8)
    fresh_words = fresh.view(np.uint64)
    counts, held = np.zeros(n, np.int32), -1
    moved = False
    for i in range(high - 1, low - 1, -1):
        if i >= known and not moved and not dirty[i]:
            continue
        dirty[i] = 0
        c = fixed[i]
        if i + 1 < still.shape[0] and c == -1 and fixed[i + 1] == -1 and still[i + 1]:
            moved = i < known or not _same(words[i], words[i + 1])
            if moved:
                _copy(words[i + 1], words[i])
            still[i] = 1
            continue
        if c == -1:
            held = _masked(words, layers[i + 1], i + 1, held, counts, fresh_words, fresh, pred_first, pred, succ_first,
                           succ)
        elif c >= 0:
            for s in range(n):
                fresh[s] = 1 if table[c, s] >= 0 and layers[i + 1, table[c, s]] else 0
        else:
            fresh_words[:] = 0
        moved = i < known or not _same(fresh_words, words[i])
        if moved:
            _copy(fresh_words, words[i])
        still[i] = 1 if _same(words[i], words[i + 1]) else 0
    if moved and low > known:
        dirty[low - 1] = 1


@njit(nogil=True, cache=True)
def class_scores(logp, p, tops, floor, order, begin, inner, best, which, total, spread):
    """Per row and class: the greatest log probability, a token that has it, the log of the sum.

    ``p[r]`` are the exponentials of ``logp[r] - tops[r]``, of whose sums those below
    `floor` are made again.  The tokens of class c are
    ``order[begin[c]:begin[c + 1]]``.  With `inner`, `spread` gets the entropy of
    the tokens of each class among themselves.
    """
    for r in range(logp.shape[0]):
        for c in range(begin.shape[0] - 1):
            top, at, acc = -np.inf, -1, 0.0
            for k in range(begin[c], begin[c + 1]):
                t = order[k]
                x = logp[r, t]
                acc += p[r, t]
                if x > top or at < 0:
                    top, at = x, t
            best[r, c] = top
            which[r, c] = at
            if top == -np.inf:
                total[r, c] = -np.inf
                continue
            if acc > floor:
                total[r, c] = tops[r] + math.log(acc)
            else:
                acc = 0.0
                for k in range(begin[c], begin[c + 1]):
                    acc += math.exp(np.float64(logp[r, order[k]]) - np.float64(top))
                total[r, c] = top + math.log(acc)
            if inner:
                h = 0.0
                for k in range(begin[c], begin[c + 1]):
                    d = np.float64(logp[r, order[k]]) - total[r, c]
                    if d > -700.0:
                        h -= math.exp(d) * d
                spread[r, c] = h


@njit(nogil=True, cache=True)
def draw_tokens(logp, p, sums, floor, order, begin, rows, classes, tops, uniforms, out):
    """A token of each (row, class) in proportion to ``p``, whose sum is in `sums`, or to exp(logp) if that is small."""
    for k in range(rows.shape[0]):
        r, c = rows[k], classes[k]
        low, high = begin[c], begin[c + 1]
        if not sums[k] > floor:
            out[k] = _draw_exactly(logp[r], order, low, high, tops[r, c], uniforms[k])
            continue
        aim = uniforms[k] * sums[k]
        at = low            # the last block with anything in it, if rounding takes aim past the end
        for j in range(low, high, BLOCK):
            x = _block(p[r], order, j, min(j + BLOCK, high))
            if x > 0.0:
                at = j
                if aim < x:
                    break
                aim -= x
        for j in range(at, min(at + BLOCK, high)):
            x = np.float64(p[r, order[j]])
            if x > 0.0:
                out[k] = order[j]
                if aim < x:
                    break
                aim -= x


@njit(nogil=True, cache=True)
def _block(p, order, low, high):
    """Sum of a stretch of a class, in four parts that do not wait for each other."""
    a = b = c = d = 0.0
    j = low
    while j + 4 <= high:
        a += p[order[j]]
        b += p[order[j + 1]]
        c += p[order[j + 2]]
        d += p[order[j + 3]]
        j += 4
    while j < high:
        a += p[order[j]]
        j += 1
    return (a + b) + (c + d)


@njit(nogil=True, cache=True)
def _draw_exactly(logp, order, low, high, top, uniform):
    total = 0.0
    for j in range(low, high):
        total += math.exp(np.float64(logp[order[j]]) - top)
    aim = uniform * total
    found = order[low]
    for j in range(low, high):
        x = math.exp(np.float64(logp[order[j]]) - top)
        if x > 0.0:
            found = order[j]
            if aim < x:
                break
            aim -= x
    return found


@njit(nogil=True, cache=True)
def best_path(start, fixed, row, weights, last, reach, first, klass, target, table, states, classes):
    """The best assignment of all masked slots: its score, its states and the classes of its masked slots.

    `start` is the state before slot 0; ``row[i]`` is the row of `weights` (log) of masked slot i; `last` marks states
    the slots may end in, `reach` (layers) those that can be there at all.
    """
    length, n = fixed.shape[0], last.shape[0]
    score = np.full((length + 1, n), -np.inf)
    for s in range(n):
        if last[s]:
            score[length, s] = 0.0
    for i in range(length - 1, -1, -1):
        c = fixed[i]
        for s in range(n):
            if not reach[i, s]:
                continue
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
def admissible(slots, forward, backward, forward_words, backward_words, pair_first, pair_target, pair_begin, pair_class,
               class_first, class_source, class_target, out):
    """Which classes each of `slots` may take: `out` (slots, classes) of 0 and 1.

    The classes that lead from a state to another one are ``pair_class[pair_begin[e]:pair_begin[e + 1]]``,
    the edges of class c ``class_first[c]:class_first[c + 1]``.  Where few states are
    possible their edges are gone through; where many are, a class is asked for the
    edge that did in the slot before.
    """
    n, count = pair_first.shape[0] - 1, class_first.shape[0] - 1
    witness = class_first[:count].copy()
    for r in range(slots.shape[0]):
        i = slots[r]
        if r > 0:
            j = slots[r - 1]
            if _same(forward_words[i], forward_words[j]) and _same(backward_words[i + 1], backward_words[j + 1]):
                _copy(out[r - 1], out[r])
                continue
        before, after = forward[i], backward[i + 1]
        pairs = 0
        for s in range(n):
            if before[s]:
                pairs += pair_first[s + 1] - pair_first[s]
        if 4 * pairs < pair_target.shape[0]:
            for s in range(n):
                if before[s]:
                    for e in range(pair_first[s], pair_first[s + 1]):
                        if after[pair_target[e]]:
                            for k in range(pair_begin[e], pair_begin[e + 1]):
                                out[r, pair_class[k]] = 1
            continue
        for c in range(count):
            e = witness[c]
            if e < class_first[c + 1] and before[class_source[e]] and after[class_target[e]]:
                out[r, c] = 1
                continue
            for e in range(class_first[c], class_first[c + 1]):
                if before[class_source[e]] and after[class_target[e]]:
                    out[r, c] = 1
                    witness[c] = e
                    break


@njit(nogil=True, cache=True)
def expand(rows, class_of, out):
    """Class masks (n, classes + 1), whose last column is 0, to token masks (n, V)."""
    for r in range(rows.shape[0]):
        for t in range(class_of.shape[0]):
            out[r, t] = rows[r, class_of[t]]


@njit(nogil=True, cache=True)
def pack(rows, large, words, order, begin, out):
    """Class masks (n, classes) to token bitmasks `out` (n, words) of uint32, bit t % 32 of word t // 32.

    ``large[c]`` is the row of `words` that holds all tokens of class c, -1 for
    a class whose tokens are set one by one.  A row begins as a copy of the one before if less
    changes from there than from nothing: classes have no token in common.
    """
    step = out.shape[1] // 8 + 1
    for r in range(rows.shape[0]):
        line = out[r]
        differ, own = 0, 0
        if r > 0:
            for c in range(rows.shape[1]):
                size = step if large[c] >= 0 else begin[c + 1] - begin[c]
                if rows[r, c]:
                    own += size
                if rows[r, c] != rows[r - 1, c]:
                    differ += size
            if differ < own:
                _copy(out[r - 1], line)
        for c in range(rows.shape[1]):
            if rows[r, c] == (rows[r - 1, c] if r > 0 and differ < own else 0):
                continue
            if large[c] >= 0:
                whole = words[large[c]]
                for w in range(line.shape[0]):
                    line[w] ^= whole[w]
            else:
                for k in range(begin[c], begin[c + 1]):
                    t = order[k]
                    line[t >> 5] ^= np.uint32(1) << np.uint32(t & 31)


@njit(nogil=True, cache=True)
def _powers():
    """2 ** -d for d from 0."""
    out = np.empty(1080)
    for d in range(1080):
        out[d] = math.ldexp(1.0, -d)
    return out


@njit(nogil=True, cache=True)
def split_weights(weights, mantissa, exponent):
    """``exp(weights)`` as ``mantissa * 2 ** exponent``, mantissas from 1 to 2, or 0 for -inf."""
    for r in range(weights.shape[0]):
        for k in range(weights.shape[1]):
            w = weights[r, k]
            if w == -np.inf:
                mantissa[r, k], exponent[r, k] = 0.0, 0
            else:
                e = math.floor(w / LN2)
                mantissa[r, k], exponent[r, k] = math.exp(w - e * LN2), e


@njit(nogil=True, cache=True)
def sums_backward(start, fixed, row, pm, pe, last, reach, first, klass, target, table, lm, le):
    """Backward sums ``lm * 2 ** le``, layers (L + 1, n); returns the log of what there is at the start.

    ``pm * 2 ** pe`` (rows, classes) are the weights.  Every number has an exponent of its
    own, so nothing underflows, however unlikely it is.
    """
    power = _powers()
    length, n = fixed.shape[0], last.shape[0]
    lm[:] = 0.0
    for s in range(n):
        if last[s]:
            lm[length, s], le[length, s] = 1.0, 0
    for i in range(length - 1, -1, -1):
        c = fixed[i]
        for s in range(n):
            if not reach[i, s]:
                continue
            if c >= 0:
                if table[c, s] >= 0:
                    lm[i, s], le[i, s] = lm[i + 1, table[c, s]], le[i + 1, table[c, s]]
            elif c == -1:
                total, scale = 0.0, 0
                for e in range(first[s], first[s + 1]):
                    x = pm[row[i], klass[e]] * lm[i + 1, target[e]]
                    if x > 0.0:
                        total, scale = _add(total, scale, x, pe[row[i], klass[e]] + le[i + 1, target[e]], power)
                if total > 0.0:
                    total, more = math.frexp(total)
                    lm[i, s], le[i, s] = total, scale + more
    if lm[0, start] <= 0.0:
        return -np.inf
    return math.log(lm[0, start]) + le[0, start] * LN2


@njit(nogil=True, cache=True)
def _add(total, scale, x, e, power):
    """``total * 2 ** scale + x * 2 ** e``."""
    if total == 0.0:
        return x, e
    d = scale - e
    if d >= 0:
        return (total + x * power[d] if d < 1080 else total), scale
    return (x + total * power[-d] if -d < 1080 else x), e


@njit(nogil=True, cache=True)
def sums_forward(start, fixed, row, pm, pe, first, klass, target, table, lm, le, share):
    """Posterior probability of each class at each masked slot, into `share` (rows, classes)."""
    power = _powers()
    length, n = fixed.shape[0], lm.shape[1]
    hm, he = np.zeros(n), np.zeros(n, np.int64)
    am, ae = np.zeros(n), np.zeros(n, np.int64)
    sm, se = np.zeros(pm.shape[1]), np.zeros(pm.shape[1], np.int64)
    hm[start] = 1.0
    for i in range(length):
        am[:] = 0.0
        c = fixed[i]
        if c >= 0:
            for s in range(n):
                t = table[c, s]
                if hm[s] > 0.0 and t >= 0 and lm[i + 1, t] > 0.0:
                    am[t], ae[t] = _add(am[t], ae[t], hm[s], he[s], power)
        else:
            sm[:] = 0.0
            for s in range(n):
                if hm[s] <= 0.0:
                    continue
                for e in range(first[s], first[s + 1]):
                    t, k = target[e], klass[e]
                    x = pm[row[i], k] * hm[s]
                    if x > 0.0 and lm[i + 1, t] > 0.0:
                        scale = pe[row[i], k] + he[s]
                        am[t], ae[t] = _add(am[t], ae[t], x, scale, power)
                        sm[k], se[k] = _add(sm[k], se[k], x * lm[i + 1, t], scale + le[i + 1, t], power)
            total, scale = 0.0, 0
            for k in range(sm.shape[0]):
                if sm[k] > 0.0:
                    total, scale = _add(total, scale, sm[k], se[k], power)
            for k in range(sm.shape[0]):
                if sm[k] > 0.0:
                    share[row[i], k] = math.ldexp(sm[k] / total, max(se[k] - scale, -2000))
        for s in range(n):
            if am[s] > 0.0:
                m, more = math.frexp(am[s])
                hm[s], he[s] = m, ae[s] + more
            else:
                hm[s] = 0.0


@njit(nogil=True, cache=True)
def draw_path(start, fixed, row, pm, pe, first, klass, target, table, lm, le, uniforms, states, classes):
    """A draw of states and classes in proportion to their weight; `uniforms` one a slot."""
    power = _powers()
    s = start
    states[0] = s
    for i in range(fixed.shape[0]):
        c = fixed[i]
        if c >= 0:
            s = table[c, s]
            classes[i] = c
            states[i + 1] = s
            continue
        total, scale = 0.0, 0
        for e in range(first[s], first[s + 1]):
            x = pm[row[i], klass[e]] * lm[i + 1, target[e]]
            if x > 0.0:
                total, scale = _add(total, scale, x, pe[row[i], klass[e]] + le[i + 1, target[e]], power)
        aim = uniforms[i] * total
        pick = -1
        for e in range(first[s], first[s + 1]):
            x = pm[row[i], klass[e]] * lm[i + 1, target[e]]
            if x > 0.0:
                d = scale - pe[row[i], klass[e]] - le[i + 1, target[e]]
                if pick >= 0 and d >= 1080:
                    continue
                # a term may be larger than the scale by as much as rounding allows, never more
                x = math.ldexp(x, -min(d, 2000))
                pick = e
                if aim < x:
                    break
                aim -= x
        classes[i] = klass[pick]
        s = target[pick]
        states[i + 1] = s
