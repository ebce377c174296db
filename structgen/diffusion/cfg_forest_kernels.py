"""Compiled loops over the shared forest of a chart (:mod:`.cfg_chart_kernels`): maxima, sums, draws.

Items are 2e for edges and 2p + 1 for pops.  What a derivation *says* is
``slot * (labels + 1) + label``, where label `labels` is the end of the text, or -1.
Values are logarithms.  `weights` (rows, labels) holds the masked slots' labels,
`ending` (slots,) what it weighs that the text ends at a slot, padding included.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from .cfg_chart_kernels import D_NEXT, D_ONE, D_SAYS, D_TWO, E_DERIVED, P_DERIVED

__all__ = ["order_items", "best_values", "sums", "pick", "shares", "label_scores"]

_OPT = dict(nogil=True, cache=True)


@njit(**_OPT)
def _first(item, edges, pops):
    return pops[item >> 1, P_DERIVED] if item & 1 else edges[item >> 1, E_DERIVED]


@njit(**_OPT)
def order_items(accepted, edges, pops, derived, number, items, stack):
    """Items of complete parses, children first: their count, and whether some item is part of itself.

    ``number[item]`` becomes the item's place in `items`; it starts at -1.
    """
    top, n, cyclic = 0, 0, False
    root = 2 * accepted + 1
    stack[0, 0], stack[0, 1], stack[0, 2] = root, _first(root, edges, pops), 0
    number[root] = -2
    while top >= 0:
        item, d = stack[top, 0], stack[top, 1]
        if d < 0:
            number[item] = n
            items[n] = item
            n += 1
            top -= 1
            continue
        child = derived[d, D_ONE] if stack[top, 2] == 0 else derived[d, D_TWO]
        if stack[top, 2] == 1:
            stack[top, 1], stack[top, 2] = derived[d, D_NEXT], 0
        else:
            stack[top, 2] = 1
        if child >= 0:
            if number[child] == -1:
                number[child] = -2
                top += 1
                stack[top, 0], stack[top, 1], stack[top, 2] = child, _first(child, edges, pops), 0
            elif number[child] == -2:
                cyclic = True
    return n, cyclic


@njit(**_OPT)
def label_scores(used, row, scores, label_at, label_class, sums, out, which):
    """Weights of the labels in `used` (slots, labels + 1): greatest or summed `scores` (rows, classes)."""
    for slot in range(used.shape[0]):
        r = row[slot]
        if r < 0:
            continue
        for b in range(used.shape[1] - 1):
            if not used[slot, b]:
                continue
            top, at = -np.inf, -1
            for j in range(label_at[b], label_at[b + 1]):
                x = scores[r, label_class[j]]
                if x > top or at < 0:
                    top, at = x, label_class[j]
            which[r, b] = at
            if sums and top > -np.inf:
                total = 0.0
                for j in range(label_at[b], label_at[b + 1]):
                    total += math.exp(scores[r, label_class[j]] - top)
                top += math.log(total)
            out[r, b] = top


@njit(**_OPT)
def _weight(says, row, weights, ending):
    if says < 0:
        return 0.0
    labels = weights.shape[1] + 1
    slot, label = says // labels, says % labels
    if label == labels - 1:
        return ending[slot]
    if row[slot] < 0:
        return 0.0
    return weights[row[slot], label]


@njit(**_OPT)
def best_values(n, items, number, edges, pops, derived, row, weights, ending, values, chosen):
    """The greatest value of each item and a derivation that has it; by rounds, since items may be cyclic."""
    for i in range(n):
        values[i], chosen[i] = -np.inf, -1
    changed = True
    while changed:
        changed = False
        for i in range(n):
            d = _first(items[i], edges, pops)
            while d >= 0:
                v = _weight(derived[d, D_SAYS], row, weights, ending)
                if derived[d, D_ONE] >= 0:
                    v += values[number[derived[d, D_ONE]]]
                if derived[d, D_TWO] >= 0:
                    v += values[number[derived[d, D_TWO]]]
                if v > values[i]:
                    values[i], chosen[i], changed = v, d, True
                d = derived[d, D_NEXT]
    return values[n - 1]


@njit(**_OPT)
def sums(n, items, number, edges, pops, derived, row, weights, ending, values):
    """log of the sum over derivations of each item; items are not cyclic."""
    for i in range(n):
        top, total = -np.inf, 0.0
        first = _first(items[i], edges, pops)
        d = first
        while d >= 0:
            v = _weight(derived[d, D_SAYS], row, weights, ending)
            if derived[d, D_ONE] >= 0:
                v += values[number[derived[d, D_ONE]]]
            if derived[d, D_TWO] >= 0:
                v += values[number[derived[d, D_TWO]]]
            if v > top:
                total = total * math.exp(top - v) + 1.0 if top > -np.inf else 1.0
                top = v
            elif v > -np.inf:
                total += math.exp(v - top)
            d = derived[d, D_NEXT]
        values[i] = top + math.log(total) if top > -np.inf else -np.inf
    return values[n - 1]


@njit(**_OPT)
def pick(n, items, number, edges, pops, derived, row, weights, ending, values, chosen, uniforms, out, stack):
    """What one parse says, into `out` (slots,), -1 where it says nothing.

    The derivations in `chosen`, or with `uniforms`, one for each item at most, draws
    in proportion to `values`.
    """
    for slot in range(out.shape[0]):
        out[slot] = -1
    labels = weights.shape[1] + 1
    stack[0, 0] = items[n - 1]
    top, used = 1, 0
    while top:
        top -= 1
        i = number[stack[top, 0]]
        d = chosen[i]
        if uniforms.shape[0]:
            aim = uniforms[used % uniforms.shape[0]]
            used += 1
            d, pick_d = _first(items[i], edges, pops), -1
            while d >= 0:
                v = _weight(derived[d, D_SAYS], row, weights, ending)
                if derived[d, D_ONE] >= 0:
                    v += values[number[derived[d, D_ONE]]]
                if derived[d, D_TWO] >= 0:
                    v += values[number[derived[d, D_TWO]]]
                p = math.exp(v - values[i])
                if p > 0.0:
                    pick_d = d
                    if aim < p:
                        break
                    aim -= p
                d = derived[d, D_NEXT]
            d = pick_d
        if derived[d, D_SAYS] >= 0:
            out[derived[d, D_SAYS] // labels] = derived[d, D_SAYS] % labels
        for c in (derived[d, D_ONE], derived[d, D_TWO]):
            if c >= 0:
                stack[top, 0] = c
                top += 1


@njit(**_OPT)
def shares(n, items, number, edges, pops, derived, row, weights, ending, values, outside, label_share, end_share):
    """Probability of what parses say: `label_share` (rows, labels), `end_share` (slots,)."""
    labels = weights.shape[1] + 1
    for i in range(n):
        outside[i] = -np.inf
    outside[n - 1] = 0.0
    total = values[n - 1]
    for i in range(n - 1, -1, -1):
        if outside[i] == -np.inf:
            continue
        d = _first(items[i], edges, pops)
        while d >= 0:
            says = derived[d, D_SAYS]
            v = _weight(says, row, weights, ending)
            one, two = derived[d, D_ONE], derived[d, D_TWO]
            a = values[number[one]] if one >= 0 else 0.0
            b = values[number[two]] if two >= 0 else 0.0
            if v + a + b > -np.inf:
                if says >= 0:
                    p = math.exp(outside[i] + v + a + b - total)
                    if says % labels == labels - 1:
                        end_share[says // labels] += p
                    elif row[says // labels] >= 0:
                        label_share[row[says // labels], says % labels] += p
                if one >= 0:
                    outside[number[one]] = np.logaddexp(outside[number[one]], outside[i] + v + b)
                if two >= 0:
                    outside[number[two]] = np.logaddexp(outside[number[two]], outside[i] + v + a)
            d = derived[d, D_NEXT]
