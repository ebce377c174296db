"""The training loop: a schedule fixed in advance, checkpoints, bit-identical resumption.

A run is its options, the number of steps among them: the learning rate is a
function of the step, batches and masks are functions of seed and step, so a
run that was interrupted ends as one that was not.  A folder holds
``checkpoint.pt`` (model, optimiser, place in the data), ``log.jsonl`` (one line
a step) and, at the end, the model in Hugging Face format in half precision.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import torch

from .attention import use_written_out
from .batches import Place
from .objectives import OBJECTIVES, start_from_causal
from .tokenizer import save_tokenizer

__all__ = ["Options", "Run"]


@dataclass
class Options:
    """Everything that a run depends on."""

    objective: str = "embedded"
    steps: int = 3000
    tokens: int = 4096              # in a batch
    seed: int = 1
    width: int = 192
    inner: int = 512
    layers: int = 4
    heads: int = 4
    rate: float = 3e-3              # of AdamW: embeddings and norms
    muon_rate: float = 1.5e-2       # of Muon: matrices; 0 for AdamW throughout
    warmup: int = 100
    cooldown: float = 0.3           # share of the steps in which the rate falls linearly to 0
    decay: float = 0.01             # weight decay
    clip: float = 1.0
    autocast: bool = True           # bfloat16 where torch thinks it safe
    compile: bool = False           # torch.compile; needs a C++ compiler


class Run:
    """One training run in a folder.

    Parameters
    ----------
    folder : path
        Where the checkpoint and the log are; an interrupted run is taken up.
    tokenizer : transformers tokenizer
    options : Options
        Must be those of the checkpoint, if there is one; `steps` and `cooldown`
        may differ.
    device : optional
        Default: a GPU if there is one.
    start : path, optional
        The folder of a run of the causal model: a new run of the diffusion
        model starts from the weights of its checkpoint.
    """

    def __init__(self, folder: Path, tokenizer: Any, options: Options, device: Any = None,
                 start: Optional[Path] = None):
        self.folder = Path(folder)
        self.tokenizer = tokenizer
        self.options = options
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.objective = OBJECTIVES[options.objective](tokenizer, dataclasses.asdict(options))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(options.seed)
            self.model = self.objective.model().to(self.device)
        use_written_out(self.model)
        self.step = 0
        self.place = Place()
        self.optimisers = self._optimisers()
        self.checkpoint = self.folder / "checkpoint.pt"
        if self.checkpoint.is_file():
            self._load()
        elif start is not None:
            state = torch.load(Path(start) / "checkpoint.pt", map_location="cpu", weights_only=True)
            start_from_causal(self.model, state["model"])

    def _optimisers(self) -> list[torch.optim.Optimizer]:
        o = self.options
        matrices, others = [], []
        for name, p in self.model.named_parameters():
            (matrices if o.muon_rate and p.dim() == 2 and "embed" not in name and "head" not in name
             and "decoder" not in name else others).append(p)
        found: list[torch.optim.Optimizer] = [torch.optim.AdamW(
            [{"params": [p for p in others if p.dim() > 1], "weight_decay": o.decay},
             {"params": [p for p in others if p.dim() <= 1], "weight_decay": 0.0}],
            lr=o.rate, betas=(0.9, 0.95), eps=1e-8)]
        if matrices:
            found.append(torch.optim.Muon(matrices, lr=o.muon_rate, weight_decay=o.decay, momentum=0.95))
        for optimiser in found:
            for group in optimiser.param_groups:
                group["base"] = group["lr"]
        return found

    def rate(self, step: int) -> float:
        """The share of the base rates at a step: linear warm-up, constant, linear down.

        Up to the cooldown nothing depends on the number of steps, so a run can
        be made longer from a checkpoint taken before.
        """
        o = self.options
        rising = (step + 1) / max(1, o.warmup)
        falling = (o.steps - step) / max(1.0, o.cooldown * o.steps)
        return min(1.0, rising, falling)

    def _load(self) -> None:
        state = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
        saved, own = dict(state["options"]), dataclasses.asdict(self.options)
        for free in ("steps", "compile", "cooldown"):
            saved.pop(free, None)
            own.pop(free, None)
        if saved != own:
            different = sorted(k for k in own if saved.get(k) != own[k])
            raise ValueError(f"{self.checkpoint} is of a run with other options: {', '.join(different)}")
        self.model.load_state_dict(state["model"])
        for optimiser, values in zip(self.optimisers, state["optimisers"]):
            optimiser.load_state_dict(values)
        self.step = state["step"]
        self.place = Place(**state["place"])

    def save(self, path: Optional[Path] = None) -> None:
        """Write the checkpoint, to `path` in place of the usual one; a crash leaves the old one or the new one."""
        path = Path(path or self.checkpoint)
        state = {"options": dataclasses.asdict(self.options), "model": self.model.state_dict(), "step": self.step,
                 "optimisers": [o.state_dict() for o in self.optimisers], "place": dataclasses.asdict(self.place)}
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(".new")
        torch.save(state, new)
        os.replace(new, path)

    def train(self, until: Optional[int] = None, every: int = 500, show: int = 50,
              keep: Optional[int] = None) -> list[float]:
        """Train up to step `until` (default: all); the losses of these steps.

        A checkpoint is written every `every` steps and at the end, progress to
        stderr every `show` steps.  The checkpoint of step `keep` is also
        written to ``step-KEEP/checkpoint.pt`` in the run's folder, and stays.
        """
        o = self.options
        until = min(o.steps, until or o.steps)
        body = self.objective.body(self.model)
        if o.compile:
            body = torch.compile(body, dynamic=True)
        stream = self.objective.stream(o.seed, o.tokens)
        stream.place = self.place
        self.model.train()
        self.folder.mkdir(parents=True, exist_ok=True)
        losses: list[float] = []
        log = _Log(self.folder / "log.jsonl", self.step)
        batches = iter(stream)
        start, tokens = time.perf_counter(), 0
        while self.step < until:
            rows, length = next(batches)
            generator = torch.Generator().manual_seed(o.seed * 1_000_003 + self.step)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=o.autocast):
                loss = self.objective.loss(self.model, body, rows, length, generator, self.device)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), o.clip)
            share = self.rate(self.step)
            for optimiser in self.optimisers:
                for group in optimiser.param_groups:
                    group["lr"] = group["base"] * share
                optimiser.step()
                optimiser.zero_grad(set_to_none=True)
            self.step += 1
            tokens += len(rows) * length
            value = float(loss.detach())
            if not math.isfinite(value):
                raise FloatingPointError(f"the loss is {value} at step {self.step}")
            losses.append(value)
            log.write({"step": self.step, "loss": round(value, 5), "rows": len(rows), "length": length,
                       "seconds": round(time.perf_counter() - start, 2)})
            if self.step % show == 0 or self.step == until:
                recent = losses[-show:]
                speed = tokens / (time.perf_counter() - start)
                left = (o.steps - self.step) * o.tokens / speed
                print(f"step {self.step}/{o.steps}  loss {sum(recent) / len(recent):.4f}  {speed:,.0f} tokens/s  "
                      f"{left / 60:.1f} min left", file=sys.stderr, flush=True)
            if self.step % every == 0 or self.step == until:
                log.flush()
                self.save()
            if self.step == keep:
                self.save(self.folder / f"step-{keep}" / self.checkpoint.name)
        log.close()
        return losses

    def export(self, folder: Path) -> None:
        """Write model and tokenizer in Hugging Face format, weights in half precision."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        with torch.random.fork_rng(devices=[]):
            copy = self.objective.model()
        copy.load_state_dict(self.model.state_dict())
        copy.half().save_pretrained(folder)
        for file in folder.glob("*.safetensors"):
            file.chmod(0o644)           # some versions write it for the owner only
        save_tokenizer(self.tokenizer.backend_tokenizer, folder)


class _Log:
    """Lines of JSON, those of steps not kept by the checkpoint dropped on resumption."""

    def __init__(self, path: Path, step: int):
        kept = []
        if path.is_file() and step:
            with open(path, encoding="utf-8") as f:
                kept = [line for line in f if json.loads(line)["step"] <= step]
        self.file = open(path, "w", encoding="utf-8")
        self.file.writelines(kept)

    def write(self, record: dict) -> None:
        self.file.write(json.dumps(record) + "\n")

    def flush(self) -> None:
        self.file.flush()

    def close(self) -> None:
        self.file.close()
