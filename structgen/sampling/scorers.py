"""What a sampler asks of a model: next-token scores behind given prefixes.

A *scorer* stands for a model and a prompt.  Anything with these will do:

* ``vocab_size``: int, at least the size of the constraint's vocabulary.
* ``score(paths, counts)``: for each path (a tuple of token ids behind the
  prompt) an array ``(count, >= vocab size)`` of scores (logits or log
  probabilities, any real type): its last row is for the token that follows the
  whole path, the row before for the path without its last token, and so on.
* ``fingerprint``: str; equal only for the same model and prompt.
* optionally ``context(path)``: a hashable value on which alone the scores behind
  `path` depend.  A scorer that has it is a finite-context model, and sums over
  regular constraints can be solved exactly (:mod:`structgen.sampling.dp`).

:class:`TransformerScorer` runs a Hugging Face causal model.  Keys and values of
every token scored lie in one pool, a slot a token, so the cache of any prefix
is a gather of slots: the prompt is run once, ever, and a path costs one new
token however walkers jump about in the trie.
"""

from __future__ import annotations

import hashlib
from typing import Any, Protocol, Sequence, runtime_checkable

import numpy as np

from ..errors import ModelError

__all__ = ["Scorer", "TransformerScorer", "Path"]

Path = tuple[int, ...]


@runtime_checkable
class Scorer(Protocol):
    """See the module's text."""

    vocab_size: int
    fingerprint: str

    def score(self, paths: Sequence[Path], counts: Sequence[int]) -> list[np.ndarray]: ...


class TransformerScorer:
    """Scores of a Hugging Face causal language model behind a prompt.

    Parameters
    ----------
    model
        A causal language model in evaluation mode.
    prompt : sequence of int
        Its token ids; at least one.
    max_batch : int
        Paths scored in one forward pass.
    max_bytes : int
        For keys and values; past it the older half is dropped and computed again
        when needed.

    Attributes
    ----------
    passes : int
        Forward passes so far, that of the prompt included.
    prefills : int
        Times the prompt was run.
    tokens : int
        Tokens fed so far, the prompt's included.
    """

    def __init__(self, model: Any, prompt: Sequence[int], *, max_batch: int = 64, max_bytes: int = 1 << 30):
        from ..decoding.forward import _Model

        self._model = _Model(model)
        self.prompt = tuple(int(t) for t in prompt)
        if not self.prompt:
            raise ModelError("an empty prompt", hint="a language model needs at least one token to go on from")
        config = self._model.config
        text = config.get_text_config() if hasattr(config, "get_text_config") else config
        self.vocab_size = int(getattr(text, "vocab_size", 0) or 0)
        self.room = getattr(text, "max_position_embeddings", None)
        self.max_batch = max_batch
        self.max_bytes = max_bytes
        self.passes = self.prefills = self.tokens = 0
        self._fingerprint: str | None = None
        self._pooled = self._model.cached and self._model.uneven
        self._pool: list[Any] = []                  # (keys, values) a layer, each (slots, heads, size)
        self._slot: dict[Path, int] = {}            # a path -> the slot of its last token
        self._free: list[int] = []
        self._first: np.ndarray | None = None       # the scores behind the prompt

    @property
    def fingerprint(self) -> str:
        """Of configuration, weights (a few of each tensor) and prompt."""
        if self._fingerprint is None:
            digest = hashlib.blake2b(digest_size=16)
            model = self._model.model
            digest.update(repr(type(model)).encode())
            digest.update(repr(sorted(map(str, getattr(self._model.config, "to_dict", dict)().items()))).encode())
            for name, tensor in getattr(model, "state_dict", dict)().items():
                flat = tensor.detach().reshape(-1)
                some = flat[:: max(1, flat.numel() // 64)][:64].float().cpu().numpy()
                digest.update(f"{name}{tuple(tensor.shape)}".encode() + some.tobytes())
            digest.update(np.asarray(self.prompt, np.int64).tobytes())
            self._fingerprint = digest.hexdigest()
        return self._fingerprint

    # ------------------------------------------------------------------ scoring
    def score(self, paths: Sequence[Path], counts: Sequence[int]) -> list[np.ndarray]:
        """Scores behind each path and its last ``count - 1`` prefixes; see the module's text."""
        out: list[np.ndarray] = []
        for at in range(0, len(paths), self.max_batch):
            part, wanted = paths[at:at + self.max_batch], counts[at:at + self.max_batch]
            if self._pooled:
                out += self._score_pooled(part, wanted)
            else:
                out += [self._score_alone(path, count) for path, count in zip(part, wanted)]
        return out

    def _score_alone(self, path: Path, count: int) -> np.ndarray:
        """Without a cache that can be cut up: the whole text again."""
        import torch

        ids = torch.tensor([[*self.prompt, *path]], device=self._model.device)
        self.passes += 1
        self.prefills += 1
        self.tokens += ids.shape[1]
        return self._numpy(self._model(input_ids=ids, keep=count)[0])

    @staticmethod
    def _numpy(logits: Any) -> np.ndarray:
        return logits.detach().float().cpu().numpy()

    def _score_pooled(self, paths: Sequence[Path], counts: Sequence[int]) -> list[np.ndarray]:
        import torch

        if self._first is None:
            self._prefill()
        out: list[np.ndarray | None] = [None] * len(paths)
        known, fed = [], []         # a row: slots of what the cache holds, tokens to feed
        rows = []
        for k, (path, count) in enumerate(zip(paths, counts)):
            if not path:
                out[k] = self._first[None]
                continue
            have = max(0, len(path) - count)        # tokens whose scores nobody asks for
            slots = self._slots_of(path[:have])
            rows.append(k)
            known.append(slots)
            fed.append(path[len(slots):])
        if rows:
            self._reserve(sum(map(len, fed)), keep={s for slots in known for s in slots})
            logits, new = self._run(known, fed)
            kept: list[tuple[int, int, int]] = []           # slot, row, column from the right
            for r, k in enumerate(rows):
                path, n = paths[k], len(fed[r])
                for j in range(n):
                    prefix = path[:len(path) - n + j + 1]
                    if prefix not in self._slot:
                        self._slot[prefix] = self._free.pop()
                        kept.append((self._slot[prefix], r, j - n))
                wanted = self._numpy(logits[r, -min(counts[k], n):])
                if counts[k] > n:                   # the path from its first token on: the prompt's own row too
                    wanted = np.concatenate([self._first[None], wanted])
                out[k] = wanted
            slots, which, columns = torch.tensor(kept, dtype=torch.long).reshape(-1, 3).T
            for (keys, values), (nk, nv) in zip(self._pool, new):
                keys[slots] = nk[which, :, nk.shape[2] + columns]
                values[slots] = nv[which, :, nv.shape[2] + columns]
            del logits, new
        if torch.cuda.is_available() and self._model.device.type == "cuda":
            torch.cuda.synchronize(self._model.device)
        return out          # type: ignore[return-value]

    def _slots_of(self, path: Path) -> list[int]:
        """The slots of the longest prefix of `path` that the pool holds."""
        slots = []
        for n in range(1, len(path) + 1):
            slot = self._slot.get(path[:n])
            if slot is None:
                break
            slots.append(slot)
        return slots

    def _prefill(self) -> None:
        """Run the prompt; slots 0 to len(prompt) - 1 are its."""
        import torch

        cache = self._model.cache()
        ids = torch.tensor([self.prompt], device=self._model.device)
        logits = self._model(input_ids=ids, past_key_values=cache, use_cache=True, keep=1)
        self.passes += 1
        self.prefills += 1
        self.tokens += len(self.prompt)
        self._first = self._numpy(logits[0, -1])
        self.vocab_size = self._first.shape[0]
        self._pool = []
        for keys, values in _layers(cache):
            self._pool.append((keys[0].transpose(0, 1).contiguous(), values[0].transpose(0, 1).contiguous()))
        self._free = []
        self._slot = {}

    def _reserve(self, wanted: int, keep: set[int]) -> None:
        """Make room for `wanted` slots, dropping old ones past the limit, those in `keep` excepted."""
        import torch

        if len(self._free) >= wanted:
            return
        have = self._pool[0][0].shape[0]
        each = sum(k[0].numel() * k.element_size() + v[0].numel() * v.element_size() for k, v in self._pool)
        if (have + wanted) * each > self.max_bytes:
            for path in list(self._slot)[:len(self._slot) // 2]:
                if self._slot[path] not in keep:
                    self._free.append(self._slot.pop(path))
            if len(self._free) >= wanted:
                return
        more = max(have, wanted, 256)
        for i, (keys, values) in enumerate(self._pool):
            self._pool[i] = (torch.cat([keys, keys.new_zeros((more, *keys.shape[1:]))]),
                             torch.cat([values, values.new_zeros((more, *values.shape[1:]))]))
        self._free += range(have, have + more)

    def _run(self, known: Sequence[Sequence[int]], fed: Sequence[Sequence[int]]) -> tuple[Any, Any]:
        """One forward pass of tokens behind cached prefixes; logits and the layers' new keys and values."""
        import torch

        device = self._model.device
        prompt, batch = len(self.prompt), len(fed)
        past, width = prompt + max(map(len, known)), max(map(len, fed))
        index = torch.zeros((batch, past), dtype=torch.long)
        mask = torch.zeros((batch, past + width), dtype=torch.long)
        ids = torch.full((batch, width), self.prompt[0], dtype=torch.long)
        positions = torch.zeros((batch, width), dtype=torch.long)
        for r, (slots, tokens) in enumerate(zip(known, fed)):
            have, n = prompt + len(slots), len(tokens)
            index[r, past - have:past - len(slots)] = torch.arange(prompt)
            if slots:
                index[r, past - len(slots):] = torch.tensor(slots)
            mask[r, past - have:past] = 1
            mask[r, past + width - n:] = 1
            ids[r, width - n:] = torch.tensor(tokens)
            positions[r, width - n:] = torch.arange(have, have + n)
            self.tokens += n
        index = index.to(device)
        cache = self._model.cache()
        for layer, (keys, values) in enumerate(self._pool):
            cache.update(keys[index].transpose(1, 2).contiguous(), values[index].transpose(1, 2).contiguous(), layer)
        logits = self._model(input_ids=ids.to(device), attention_mask=mask.to(device),
                             position_ids=positions.to(device), past_key_values=cache, use_cache=True, keep=width)
        self.passes += 1
        return logits, [(k[:, :, -width:], v[:, :, -width:]) for k, v in _layers(cache)]


def _layers(cache: Any) -> list[tuple[Any, Any]]:
    """The keys and values of each layer of a transformers cache, ``(batch, heads, length, size)``."""
    if hasattr(cache, "layers"):
        return [(layer.keys, layer.values) for layer in cache.layers]
    return list(zip(cache.key_cache, cache.value_cache))        # transformers before 4.54
