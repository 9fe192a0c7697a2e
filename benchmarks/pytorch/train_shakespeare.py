# SPDX-License-Identifier: MIT
"""Trains nanoGPT's CPU configuration on a text, with nanoGPT's random numbers.

    python train_shakespeare.py --data input.txt

Prints, every 250 updates, nanoGPT's estimate of the losses (20 random batches a split) and the
loss over the whole validation text. The curve that runs of nanoGPT report for seed 1337 comes out
(train 1.7648, val 1.8857 at step 2000), which makes it a reference for other engines.
"""

import argparse
import json
import math
import time

import torch

from nano_gpt import PRESETS, Config, Gpt, adamw

LEARNING_RATE, MIN_LEARNING_RATE, WARMUP = 1e-3, 1e-4, 100
EVALUATION_INTERVAL, EVALUATION_BATCHES = 250, 20


def read_text(path):
    """Token ids of the two splits (first nine tenths, rest) and the sorted alphabet."""
    with open(path, encoding="utf-8", newline="") as file:
        text = file.read()
    alphabet = sorted(set(text))
    index = {character: i for i, character in enumerate(alphabet)}
    tokens = torch.tensor([index[character] for character in text])
    cut = int(0.9 * len(text))
    return tokens[:cut], tokens[cut:], alphabet


def random_batch(tokens, config):
    offsets = torch.randint(len(tokens) - config.context, (config.batch,)).tolist()
    return (torch.stack([tokens[i:i + config.context] for i in offsets]),
            torch.stack([tokens[i + 1:i + 1 + config.context] for i in offsets]))


def learning_rate(step, steps):
    if step < WARMUP:
        return LEARNING_RATE * (step + 1) / (WARMUP + 1)
    progress = min(1.0, (step - WARMUP) / (steps - WARMUP))
    cosine = 0.5 * (1.0 + math.cos(math.pi * progress))
    return MIN_LEARNING_RATE + cosine * (LEARNING_RATE - MIN_LEARNING_RATE)


@torch.no_grad()
def estimated_loss(model, tokens):
    losses = [model(*random_batch(tokens, model.config)) for _ in range(EVALUATION_BATCHES)]
    return torch.stack(losses).mean().item()


@torch.no_grad()
def full_loss(model, tokens):
    """Loss over every token but the first, in windows of one context that do not overlap."""
    length, total = model.config.context, 0.0
    windows = (len(tokens) - 1) // length
    inputs = tokens[:windows * length].view(windows, length)
    targets = tokens[1:windows * length + 1].view(windows, length)
    for x, y in zip(inputs.split(64), targets.split(64)):
        total += model(x, y).item() * y.numel()
    rest = tokens[windows * length:]
    if len(rest) > 1:
        total += model(rest[None, :-1], rest[None, 1:]).item() * (len(rest) - 1)
    return total / (len(tokens) - 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0],
                                     formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--data", required=True, metavar="FILE", help="UTF-8 text")
    parser.add_argument("--seed", type=int, default=1337)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--metrics", metavar="FILE", help="also write one JSON record a line")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    train, validation, alphabet = read_text(arguments.data)
    config = Config(**PRESETS["shakespeare-cpu"], vocabulary=len(alphabet))
    torch.manual_seed(arguments.seed)
    model = Gpt(config)
    optimizer = adamw(model)
    print(f"torch {torch.__version__}, {arguments.threads} threads, seed {arguments.seed}, "
          f"{model.parameter_count()} parameters, {len(train)} training and "
          f"{len(validation)} validation tokens")
    metrics = open(arguments.metrics, "w", encoding="utf-8") if arguments.metrics else None

    x, y = random_batch(train, config)
    training_seconds = 0.0
    for step in range(arguments.steps + 1):
        if step % EVALUATION_INTERVAL == 0:
            record = {"seed": arguments.seed, "step": step, "train": estimated_loss(model, train),
                      "validation": estimated_loss(model, validation),
                      "full_validation": full_loss(model, validation),
                      "training_seconds": round(training_seconds, 3)}
            print(f"step {step:5}  train {record['train']:.4f}  val {record['validation']:.4f}  "
                  f"full val {record['full_validation']:.4f}  {training_seconds:.1f} s", flush=True)
            if metrics:
                print(json.dumps(record), file=metrics, flush=True)
        start = time.perf_counter()
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, arguments.steps)
        loss = model(x, y)
        x, y = random_batch(train, config)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        training_seconds += time.perf_counter() - start
        if step % 100 == 0:
            print(f"iter {step:5}  loss {loss.item():.4f}", flush=True)
    if metrics:
        metrics.close()


if __name__ == "__main__":
    main()
