"""What sampling gives back: texts with their probabilities, and how far masking was from the target."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Optional, Sequence

import numpy as np

from .distances import Distance

__all__ = ["SampleResult", "Place", "typed", "worst_places"]


@dataclass(frozen=True)
class Place:
    """A position of the grammar where the model wanted something else.

    Attributes
    ----------
    nats : float
        Mean over masked texts of -log m(v) at positions of this state: what it adds
        to the distance.
    visits : float
        How often a text passes it, on average.
    before : str
        Text before one such position.
    wanted : str or None
        The likeliest token that was not allowed there.
    probability : float
        Its probability.
    """

    nats: float
    visits: float
    before: str
    wanted: Optional[str]
    probability: float


@dataclass
class SampleResult:
    """Samples of P given the constraint, and what is known about that law.

    Attributes
    ----------
    method : str
        How they were drawn.
    exact : bool
        Are they independent draws from P given the language (texts of at most
        `max_tokens` tokens), given the frozen scores?  Only then.
    texts : list of str
    values : list
        Typed values, as `generate` gives them.
    token_ids : list of tuple of int
        End token included.
    log_p : ndarray, shape (n,)
        log P(text), unconstrained.
    log_q : ndarray, shape (n,)
        Its log probability under masking token by token.
    log_w : ndarray, shape (n,)
        Log importance weights towards the target; all 0 when exact.
    ess : float
        Effective sample size of the weights.
    pareto_k : float or None
        Tail shape of the weights; above 0.7 weighted estimates are unreliable.
    log_z, log_z_interval, log_z_bounds
        log P(valid text): estimate, 95 % interval, and what is certain.
    kl_mask_target, kl_target_mask : Distance
        How far masking token by token is from the target, both ways.
    acceptance : float
        Share of attempts that gave a text.
    attempts, evaluations, passes, prompt_prefills : int
        Walks begun and finished; positions of the model evaluated; calls of the
        model; runs of the prompt.
    restart_forwards : int
        Forward passes a sampler without the oracle would have made for the same
        walks.
    places : list of Place
        Where masking loses most mass, worst first.
    reason : str
        Why this method, when it was chosen by the planner.
    stopped : str or None
        The limit that ended the work early.
    notes : list of str
        Warnings about the quality of the result.
    oracle
        The prefix oracle; pass it on to go on where this ended.
    """

    method: str
    exact: bool
    texts: list[str]
    values: list[Any]
    token_ids: list[tuple[int, ...]]
    log_p: np.ndarray
    log_q: np.ndarray
    log_w: np.ndarray
    ess: float
    pareto_k: Optional[float]
    log_z: float
    log_z_interval: tuple[float, float]
    log_z_bounds: tuple[float, float]
    kl_mask_target: Distance
    kl_target_mask: Distance
    acceptance: float
    attempts: int
    evaluations: int
    passes: int
    prompt_prefills: int
    restart_forwards: int
    max_tokens: int
    places: list[Place] = field(default_factory=list)
    reason: str = ""
    stopped: Optional[str] = None
    notes: list[str] = field(default_factory=list)
    oracle: Any = None

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def weights(self) -> np.ndarray:
        """Normalised weights, shape (n,)."""
        if not len(self.log_w):
            return np.zeros(0)
        w = np.exp(self.log_w - self.log_w.max())
        return w / w.sum()

    @property
    def n_unique(self) -> int:
        """Distinct token sequences."""
        return len(set(self.token_ids))

    def report(self) -> str:
        """A table for people."""
        def nats(d: Distance) -> str:
            if math.isnan(d.value):
                return "not known"
            error = "" if not math.isfinite(d.stderr) else f" +- {d.stderr:.2g}"
            return f"{d.value:.3g}{error} nats"

        low, high = self.log_z_interval
        rows = [
            ("method", self.method + (" (independent draws from the target)" if self.exact else "")),
            ("texts", f"{len(self)} ({self.n_unique} distinct), effective sample size {self.ess:.1f}"),
            ("P(valid)", f"{math.exp(self.log_z):.4g}, 95 % in [{math.exp(low):.4g}, {math.exp(high):.4g}], "
                         f"certainly in [{math.exp(self.log_z_bounds[0]):.4g}, {math.exp(self.log_z_bounds[1]):.4g}]"),
            ("KL(masking || target)", nats(self.kl_mask_target)),
            ("KL(target || masking)", nats(self.kl_target_mask)),
            ("cost", f"{self.attempts} attempts, {self.evaluations} positions evaluated in {self.passes} passes "
                     f"(without the oracle: {self.restart_forwards} forward passes)"),
        ]
        if self.pareto_k is not None and math.isfinite(self.pareto_k):
            rows.append(("Pareto k", f"{self.pareto_k:.2f}"))
        if self.reason:
            rows.append(("chosen because", self.reason))
        if self.stopped:
            rows.append(("stopped by", self.stopped))
        rows += [("note", note) for note in self.notes]
        wide = max(len(name) for name, _ in rows)
        lines = [f"{name.ljust(wide)}  {text}" for name, text in rows]
        if self.places:
            lines += ["", "where masking moves most mass (nats a text; after this text; wanted instead):"]
            for p in self.places:
                wanted = "" if p.wanted is None else f"  {p.wanted!r} ({p.probability:.0%})"
                lines.append(f"  {p.nats:7.3f}  ...{p.before[-40:]!r}{wanted}")
        return "\n".join(lines)

    def plot(self, path: Any = None) -> str:
        """A picture (SVG text): probabilities under masking and target, and where mass is lost.

        Parameters
        ----------
        path : path, optional
            Also write it there.
        """
        from .plot import draw

        svg = draw(self)
        if path is not None:
            with open(path, "w", encoding="utf-8") as handle:
                handle.write(svg)
        return svg


def typed(compiled: Any, paths: Sequence[tuple[int, ...]]) -> tuple[list[str], list[Any]]:
    """Texts and values of token sequences (end token included)."""
    texts = [b"".join(compiled.vocabulary.token_bytes(t) or b"" for t in path[:-1]).decode("utf-8") for path in paths]
    source = compiled.source
    return texts, [source.value(t) for t in texts] if hasattr(source, "value") else list(texts)


def worst_places(oracle: Any, passed: np.ndarray, count: int = 8, most: int = 2000) -> list[Place]:
    """The states of the constraint that cost most.

    Parameters
    ----------
    passed : ndarray, shape (nodes,)
        How often masking comes to each node, on average.
    most : int
        Nodes looked at, those that cost most.
    """
    n = len(passed)
    mass = oracle.mass[:n]
    with np.errstate(divide="ignore"):
        losses = np.where(mass > 0, -np.log(mass), 0.0)
    nodes = np.flatnonzero(passed * losses > 0)
    nodes = nodes[np.argsort(-(passed * losses)[nodes], kind="stable")[:most]]
    groups: dict[Any, list] = {}
    for v in nodes.tolist():
        g = groups.setdefault(oracle.matcher(v).state, [0.0, 0.0, v])      # the first is the worst
        g[0] += passed[v] * losses[v]
        g[1] += passed[v]
    out = []
    for total, visits, v in sorted(groups.values(), key=lambda g: -g[0])[:count]:
        if total < 1e-4:
            break
        token = int(oracle.lost_token[v])
        wanted = None
        if token >= 0:
            data = oracle.vocabulary.token_bytes(token) if token < oracle.vocabulary.size else None
            names = {i: name for name, i in oracle.vocabulary.special.items()}
            wanted = names.get(token, f"<token {token}>") if not data else data.decode("utf-8", "replace")
        out.append(Place(float(total), float(visits), oracle.text(v).decode("utf-8", "replace"), wanted,
                         float(np.exp(oracle.lost[v])) if token >= 0 else 0.0))
    return out
