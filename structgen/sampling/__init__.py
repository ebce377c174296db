"""Distribution-correct sampling: the model's own law, given that the text is valid.

``scorers`` ask the model, ``oracle`` keeps what it said in a trie, ``walkers`` draw
from it (exact, weighted, mask, ...), ``particles`` and ``mcmc`` are the approximate
methods, ``dp`` solves finite cases exactly, ``run`` has `sample`, which users call.
"""

from .ngram import NGram
from .oracle import PrefixOracle
from .result import SampleResult
from .run import sample
from .scorers import Scorer, TransformerScorer
from .warping import Warping

__all__ = ["sample", "SampleResult", "PrefixOracle", "Scorer", "TransformerScorer", "NGram", "Warping"]
