"""Compiled loops over the parses of all fillings of a canvas, shared: what weighing them needs.

**Positions** are those of :mod:`.cfg_reach_kernels`; only what is live there is
looked at.  In a fixed slot the first symbols of an arc make positions of their own.

**The chart** is a graph-structured stack over them (Lang 1974, Tomita 1985).  A
*node* is an LR state at a position; an *edge* from a node to the one below stands
for one symbol of the stack with all its derivations.  A *pop* (position, node, k,
A) is a reduction under way: k more states come off below the node, then A is
entered.  Pops make reductions of long rules binary, so the chart is cubic at
worst.  Every way an item comes about is recorded as a *derivation*: up to two
items, and what it says about a slot.  So the chart is a shared forest, over which
maxima and sums are computed (:mod:`.cfg_forest_kernels`).

A node of *look* 0 is as the last shift left it.  Nodes made by reductions are kept
apart, since a token may end only before them; where lexers or settled conflicts
make the actions depend on it, apart by the symbol that is being read.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from .cfg_reach_kernels import END, MASK, TOKEN, find_place

#: sha256 of the kernel files compiled into this one (see stack_kernels.py).
DEPENDS_ON = "7f473f3ff5f28accd6764eae42423ff58df8d94894a96f3e8a7f1a9185185e55"

__all__ = ["saturate", "FULL", "OUT_OF_FUEL"]

_OPT = dict(nogil=True, cache=True)
FULL, OUT_OF_FUEL = -1, -2
#: columns
(N_AT, N_STATE, N_EDGES, N_POPS) = range(4)
(E_NODE, E_BELOW, E_NEXT, E_DERIVED) = range(4)
(P_AT, P_BELOW, P_LEFT, P_NEXT, P_DERIVED) = range(5)
(D_ONE, D_TWO, D_SAYS, D_NEXT) = range(4)
#: places in `counts`
(C_NODES, C_EDGES, C_POPS, C_DERIVED, C_STACK, C_FULL) = range(6)
#: places in `sizes`
(Z_LENGTH, Z_NODES, Z_PLACES, Z_LOCAL, Z_LONGEST, Z_SYMBOLS, Z_NT, Z_NN, Z_KEYED, Z_LABELS, Z_LAST, Z_CHECKS,
 Z_FUEL) = range(13)


@njit(**_OPT)
def _hash(a, b, c, mask):
    h = (a + c * 0x27D4EB2F165667C5) * 0x9E3779B97F4A7C1
    h = ((h ^ (h >> 32)) + b) * 0x2545F4914F6CDD1D
    return (h ^ (h >> 32)) & mask


@njit(**_OPT)
def _push(task, counts, stack):
    n = counts[C_STACK]
    if n == stack.shape[0]:
        counts[C_FULL] = 1
        return
    counts[C_STACK] = n + 1
    stack[n] = task


@njit(**_OPT)
def _node(at, state, nodes, node_table, counts, stack):
    mask = node_table.shape[0] - 1
    h = _hash(at, state, 0, mask)
    while node_table[h] >= 0:
        n = node_table[h]
        if nodes[n, N_AT] == at and nodes[n, N_STATE] == state:
            return n
        h = (h + 1) & mask
    n = counts[C_NODES]
    if n == nodes.shape[0]:
        counts[C_FULL] = 1
        return 0
    counts[C_NODES] = n + 1
    node_table[h] = n
    nodes[n, N_AT], nodes[n, N_STATE] = at, state
    nodes[n, N_EDGES], nodes[n, N_POPS] = -1, -1
    _push(n * 3, counts, stack)
    return n


@njit(**_OPT)
def _derived(items, item, column, one, two, says, derived, counts):
    d = counts[C_DERIVED]
    if d == derived.shape[0]:
        counts[C_FULL] = 1
        return
    counts[C_DERIVED] = d + 1
    derived[d, D_ONE], derived[d, D_TWO], derived[d, D_SAYS] = one, two, says
    derived[d, D_NEXT] = items[item, column]
    items[item, column] = d


@njit(**_OPT)
def _edge(node, below, one, two, says, nodes, edges, edge_table, derived, counts, stack):
    mask = edge_table.shape[0] - 1
    h = _hash(node, below, 1, mask)
    while edge_table[h] >= 0:
        e = edge_table[h]
        if edges[e, E_NODE] == node and edges[e, E_BELOW] == below:
            _derived(edges, e, E_DERIVED, one, two, says, derived, counts)
            return
        h = (h + 1) & mask
    e = counts[C_EDGES]
    if e == edges.shape[0]:
        counts[C_FULL] = 1
        return
    counts[C_EDGES] = e + 1
    edge_table[h] = e
    edges[e, E_NODE], edges[e, E_BELOW], edges[e, E_NEXT], edges[e, E_DERIVED] = node, below, -1, -1
    _derived(edges, e, E_DERIVED, one, two, says, derived, counts)
    _push(e * 3 + 1, counts, stack)


@njit(**_OPT)
def _pop(at, below, left, one, two, nodes, pops, pop_table, derived, counts, stack):
    """A reduction under way; with no items of its own it is noted once."""
    mask = pop_table.shape[0] - 1
    h = _hash(at, below, left + 2, mask)
    while pop_table[h] >= 0:
        p = pop_table[h]
        if pops[p, P_AT] == at and pops[p, P_BELOW] == below and pops[p, P_LEFT] == left:
            if one >= 0:
                _derived(pops, p, P_DERIVED, one, two, -1, derived, counts)
            return
        h = (h + 1) & mask
    p = counts[C_POPS]
    if p == pops.shape[0]:
        counts[C_FULL] = 1
        return
    counts[C_POPS] = p + 1
    pop_table[h] = p
    pops[p, P_AT], pops[p, P_BELOW], pops[p, P_LEFT] = at, below, left
    pops[p, P_NEXT], pops[p, P_DERIVED] = -1, -1
    _derived(pops, p, P_DERIVED, one, two, -1, derived, counts)
    _push(p * 3 + 2, counts, stack)


@njit(**_OPT)
def saturate(sizes, kinds, klass, end_ok, alive, good, said, row, root, ends, node_ends, child_at, child_symbol,
             child_node, leaf_at, leaf_place, leaf_label, class_first, fixed_place, fixed_arc, arcs, word_at,
             word_symbols, terminal_of, in_lexer, kappa, actions, lists, goto, lhs, size, nodes, node_table, edges,
             edge_table, pops, pop_table, derived, stack, counts):
    """Work off all items; the number of the pop that accepts, -1 if there is none, else a code below -1.

    Item numbers in derivations are 2e for edges and 2p + 1 for pops.  Places, nodes
    and labels that are not in `alive`, `good` and `said` are left out.  Out of
    room, it must begin anew in larger arrays.
    """
    length, n_nodes, n_places = sizes[Z_LENGTH], sizes[Z_NODES], sizes[Z_PLACES]
    local, longest, symbols = sizes[Z_LOCAL], sizes[Z_LONGEST], sizes[Z_SYMBOLS]
    nt, nn, keyed, labels = sizes[Z_NT], sizes[Z_NN], sizes[Z_KEYED], sizes[Z_LABELS]
    looks, checks = symbols + 2, sizes[Z_CHECKS]
    last = length * local * looks # the end of the text, look 0
    accepted = -1
    ground = _node(-1, -1, nodes, node_table, counts, stack)
    counts[C_STACK] = 0
    here = -1
    if length == 0:
        here = last if ends[0] and sizes[Z_LAST] else -1
    elif alive[0, 0]:
        here = root[0, 0] * looks if kinds[0] == MASK else n_nodes * looks
    if here < 0:
        return -1
    bottom = _node(here, 0, nodes, node_table, counts, stack)
    _edge(bottom, ground, -1, -1, -1, nodes, edges, edge_table, derived, counts, stack)
    while counts[C_STACK]:
        if counts[C_FULL]:
            return FULL - 1
        if counts[C_DERIVED] > sizes[Z_FUEL]:
            return OUT_OF_FUEL - 1
        counts[C_STACK] -= 1
        task = stack[counts[C_STACK]]
        what, kind = task // 3, task % 3
        if kind == 0:
            n = what
        elif kind == 1:
            n = edges[what, E_NODE]
        else:
            n = pops[what, P_BELOW]
        at, state = nodes[n, N_AT], nodes[n, N_STATE]
        if kind == 2:
            p = what
            left = pops[p, P_LEFT]
            k, symbol = left // (nn + 1), left % (nn + 1)
            if k == 0:
                if symbol == nn:
                    accepted = p
                    continue
                g = goto[state, symbol]
                if g >= 0:
                    m = _node(pops[p, P_AT], np.int64(g), nodes, node_table, counts, stack)
                    _edge(m, n, 2 * p + 1, -1, -1, nodes, edges, edge_table, derived, counts, stack)
                continue
            pops[p, P_NEXT] = nodes[n, N_POPS]
            nodes[n, N_POPS] = p
            e = nodes[n, N_EDGES]
            while e >= 0:
                _pop(pops[p, P_AT], edges[e, E_BELOW], left - nn - 1, 2 * p + 1, 2 * e, nodes, pops, pop_table, derived,
                     counts, stack)
                e = edges[e, E_NEXT]
            continue
        look = at % looks
        slot, here = at // looks // local, at // looks % local
        if at == last or at == last + 1:
            if kind == 0:
                action = np.int64(actions[state, nt])
                j, stop = 0, 1
                if action < 0:
                    j, stop = -action, -action + lists[-1 - action]
                while j < stop:
                    if action < 0:
                        a = np.int64(lists[j])
                    else:
                        a = action
                    j += 1
                    if a & 1:
                        _pop(last, n, (1 if state == 0 else 2) * (nn + 1) + nn, -1, -1, nodes, pops, pop_table, derived,
                             counts, stack)
                    elif a:
                        r = (a >> 1) - 1
                        _pop(last + 1, n, np.int64(size[r]) * (nn + 1) + lhs[r], -1, -1, nodes, pops, pop_table,
                             derived, counts, stack)
        elif here < n_nodes:
            # a masked slot
            if kind == 1 and look == 0:
                for j in range(leaf_at[here, 0], leaf_at[here, 0] + leaf_at[here, 1]):
                    place = leaf_place[j]
                    if not alive[slot + 1, place] or not said[slot, leaf_label[j]]:
                        continue
                    if slot + 1 == length:
                        there = last
                    elif kinds[slot + 1] == MASK:
                        there = ((slot + 1) * local + root[0, place]) * looks
                    else:
                        there = ((slot + 1) * local + n_nodes + place) * looks
                    m = _node(there, state, nodes, node_table, counts, stack)
                    _edge(m, edges[what, E_BELOW], 2 * what, -1, slot * (labels + 1) + leaf_label[j], nodes, edges,
                          edge_table, derived, counts, stack)
                if node_ends[here] and end_ok[slot]:
                    m = _node(last, state, nodes, node_table, counts, stack)
                    _edge(m, edges[what, E_BELOW], 2 * what, -1, slot * (labels + 1) + labels, nodes, edges, edge_table,
                          derived, counts, stack)
            if kind == 1 and not checks:
                first = after = 0
            else:
                first, after = child_at[here, 0], child_at[here, 0] + child_at[here, 1]
            for j in range(first, after):
                y = np.int64(child_symbol[j])
                if look > 1 and y != look - 2:
                    continue
                x = terminal_of[y]
                if look == 0 and not in_lexer[y, kappa[state]]:
                    continue
                if (x >= nt) != (kind == 1) or (x >= nt and look):
                    continue
                if x < nt and actions[state, x] == 0:
                    continue
                if not good[row[slot], child_node[j]]:
                    continue
                there = (slot * local + child_node[j]) * looks
                if x >= nt:
                    m = _node(there, state, nodes, node_table, counts, stack)
                    _edge(m, edges[what, E_BELOW], 2 * what, -1, -1, nodes, edges, edge_table, derived, counts, stack)
                else:
                    _act(n, state, y, x, there, at, look, looks, keyed, nn, actions, lists, lhs, size, nodes,
                         node_table, edges, edge_table, pops, pop_table, derived, counts, stack)
        else:
            # a fixed slot: a place, or behind the first symbols of an arc
            if kinds[slot] == END:
                if kind == 1 and look == 0 and end_ok[slot] and ends[here - n_nodes]:
                    m = _node(last, state, nodes, node_table, counts, stack)
                    _edge(m, edges[what, E_BELOW], 2 * what, -1, slot * (labels + 1) + labels, nodes, edges, edge_table,
                          derived, counts, stack)
            elif kinds[slot] == TOKEN:
                if here < n_nodes + n_places:
                    key, stop = here - n_nodes, class_first[klass[slot] + 1]
                    first, done = find_place(fixed_place, class_first[klass[slot]], stop, key), np.int64(0)
                    after = first
                    while after < stop and fixed_place[after] == key:
                        after += 1
                else:
                    key = here - n_nodes - n_places
                    first, after, done = key // longest, key // longest + 1, key % longest
                for j in range(first, after):
                    arc = fixed_arc[j] if done == 0 else j
                    place, word = arcs[arc, 2], arcs[arc, 1]
                    if not alive[slot + 1, place]:
                        continue
                    if word_at[word] + done == word_at[word + 1]:
                        if kind == 1 and look == 0:
                            if slot + 1 == length:
                                there = last
                            elif kinds[slot + 1] == MASK:
                                there = ((slot + 1) * local + root[0, place]) * looks
                            else:
                                there = ((slot + 1) * local + n_nodes + place) * looks
                            m = _node(there, state, nodes, node_table, counts, stack)
                            _edge(m, edges[what, E_BELOW], 2 * what, -1, -1, nodes, edges, edge_table, derived,
                                  counts, stack)
                        continue
                    y = np.int64(word_symbols[word_at[word] + done])
                    if look > 1 and y != look - 2:
                        continue
                    x = terminal_of[y]
                    if look == 0 and not in_lexer[y, kappa[state]]:
                        continue
                    if (x >= nt) != (kind == 1) or (x >= nt and look):
                        continue
                    there = (slot * local + n_nodes + n_places + arc * longest + done + 1) * looks
                    if x >= nt:
                        m = _node(there, state, nodes, node_table, counts, stack)
                        _edge(m, edges[what, E_BELOW], 2 * what, -1, -1, nodes, edges, edge_table, derived, counts,
                              stack)
                    else:
                        _act(n, state, y, x, there, at, look, looks, keyed, nn, actions, lists, lhs, size, nodes,
                             node_table, edges, edge_table, pops, pop_table, derived, counts, stack)
        if kind == 1:
            edges[what, E_NEXT] = nodes[n, N_EDGES]
            nodes[n, N_EDGES] = what
            p = nodes[n, N_POPS]
            while p >= 0:
                _pop(pops[p, P_AT], edges[what, E_BELOW], pops[p, P_LEFT] - nn - 1, 2 * p + 1, 2 * what, nodes, pops,
                     pop_table, derived, counts, stack)
                p = pops[p, P_NEXT]
    return accepted


@njit(**_OPT)
def _act(n, state, y, x, there, at, look, looks, keyed, nn, actions, lists, lhs, size, nodes, node_table, edges,
         edge_table, pops, pop_table, derived, counts, stack):
    """What the parser does at a node on a symbol."""
    action = np.int64(actions[state, x])
    j, stop = 0, 1
    if action < 0:
        j, stop = -action, -action + lists[-1 - action]
    while j < stop:
        if action < 0:
            a = np.int64(lists[j])
        else:
            a = action
        j += 1
        if a & 1:
            m = _node(there, a >> 1, nodes, node_table, counts, stack)
            _edge(m, n, -1, -1, -1, nodes, edges, edge_table, derived, counts, stack)
        elif a:
            r = (a >> 1) - 1
            _pop(at - look + (y + 2 if keyed else 1), n, np.int64(size[r]) * (nn + 1) + lhs[r], -1, -1, nodes, pops,
                 pop_table, derived, counts, stack)
