"""Commands: train the tokenizer and the embedded models, export them, judge them."""

from __future__ import annotations

import argparse
import dataclasses
import re
import sys
from pathlib import Path

from ..loading import _DATA, load


def _tokenizer(folder: str):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


def _train(a: argparse.Namespace) -> None:
    import torch

    from .loop import Options, Run
    from .objectives import OBJECTIVES
    from .picture import loss_picture

    torch.set_num_threads(a.threads)
    values = dict(OBJECTIVES[a.objective].options)
    values |= {f.name: getattr(a, f.name) for f in dataclasses.fields(Options) if getattr(a, f.name, None) is not None}
    run = Run(a.out, _tokenizer(a.tokenizer), Options(**values), device=a.device, start=a.start)
    count = sum(p.numel() for p in run.model.parameters())
    print(f"{a.objective}: {count / 1e6:.2f} M parameters, from step {run.step}", file=sys.stderr)
    run.train(until=a.until, every=a.every, keep=a.keep)
    if run.step < run.options.steps:
        return
    run.export(Path(a.out) / "model")
    picture = loss_picture(Path(a.out) / "log.jsonl", f"{a.objective}: loss")
    (Path(a.out) / "loss.svg").write_text(picture, encoding="utf-8")
    print(Path(a.out) / "model")


def _evaluate(a: argparse.Namespace) -> None:
    import torch

    from .evaluate import SEED, evaluate, table

    torch.set_num_threads(a.threads)
    wanted = a.models.split(",")
    # weights are stored in half precision and computed in single
    ar, masked = (load(name, dtype=torch.float32) if kind in wanted else None
                  for kind, name in (("embedded", a.ar), ("embedded-diffusion", a.diffusion)))
    text = table(evaluate(ar, masked, count=a.count, splits=a.splits.split(","),
                          seed=SEED if a.seed is None else a.seed))
    print(text)
    if a.write:
        page = Path(a.write)
        old = page.read_text(encoding="utf-8")
        new, times = re.subn(r"(<!-- evaluation -->\n).*?(<!-- end -->)", lambda m: m[1] + text + "\n" + m[2], old,
                             flags=re.S)
        if not times:
            sys.exit(f"{page} has no place for the table: <!-- evaluation --> ... <!-- end -->")
        page.write_text(new, encoding="utf-8")


def main() -> None:
    from .tokenizer import train_tokenizer

    parser = argparse.ArgumentParser(prog="python -m structgen.models.training", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    c = commands.add_parser("tokenizer", help="train the tokenizer")
    c.add_argument("out")
    c.set_defaults(run=lambda a: train_tokenizer(Path(a.out)))
    c = commands.add_parser("train", help="train a model, or go on with a run that was interrupted")
    c.add_argument("objective", choices=["embedded", "embedded-diffusion"])
    c.add_argument("--out", required=True, help="folder of the run")
    c.add_argument("--tokenizer", default=str(_DATA / "embedded"), help="default: the one that comes with the package")
    c.add_argument("--steps", type=int)
    c.add_argument("--until", type=int, help="stop at this step, to go on later")
    c.add_argument("--keep", type=int, metavar="STEP", help="keep the checkpoint of this step, in OUT/step-STEP")
    c.add_argument("--cooldown", type=float, help="share of the steps over which the learning rate falls to 0")
    c.add_argument("--layers", type=int)
    c.add_argument("--start", help="run of the causal model whose weights the diffusion model starts from")
    c.add_argument("--tokens", type=int, help="in a batch")
    c.add_argument("--seed", type=int)
    c.add_argument("--threads", type=int, default=2)
    c.add_argument("--device", help="default: a GPU if there is one")
    c.add_argument("--every", type=int, default=200, help="steps between checkpoints")
    c.add_argument("--compile", action="store_true", default=None, help="use torch.compile")
    c.set_defaults(run=_train)
    c = commands.add_parser("evaluate", help="judge the models on held-out prompts")
    c.add_argument("--count", type=int, default=200, help="prompts of every split")
    c.add_argument("--seed", type=int, help="of the prompts; default: the one that the documented figures are of")
    c.add_argument("--splits", default="names,templates,schemas", help="what is held out")
    c.add_argument("--models", default="embedded,embedded-diffusion")
    c.add_argument("--ar", default="embedded", help="another folder in place of the packaged model")
    c.add_argument("--diffusion", default="embedded-diffusion", help="likewise")
    c.add_argument("--threads", type=int, default=2)
    c.add_argument("--write", help="page to put the table in")
    c.set_defaults(run=_evaluate)
    a = parser.parse_args()
    a.run(a)


if __name__ == "__main__":
    main()
