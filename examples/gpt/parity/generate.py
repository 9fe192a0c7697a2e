# SPDX-License-Identifier: MIT
"""Writes the tiny reference cases that the GPT example is tested against.

    python generate.py [--output FOLDER]

The model is nanoGPT's, in PyTorch and float64, its gradients are autograd's and its optimizer is
torch.optim.AdamW. README.md lists the tensors.
"""

import argparse
import json
import math
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

LAYERS, HEADS, WIDTH, CONTEXT, VOCABULARY, BATCH = 2, 2, 16, 8, 11, 2
INITIAL_DEVIATION = 0.02
LAYER_NORM_EPSILON = 1e-5
ADAMW = {"lr": 1e-3, "betas": (0.9, 0.99), "eps": 1e-8}
WEIGHT_DECAY, CLIP, STEPS = 0.1, 1.0, 10
FACTORED = tuple(f"h.{layer}.mlp.{name}" for layer in range(LAYERS) for name in ("c_fc", "c_proj"))


@dataclass(frozen=True)
class Case:
    file: str
    seed: int
    bias: bool = False
    rank: int = 0  # of the MLP's low-rank updates; 0: plain weights
    noise: float = 0.2  # deviation of what is added to nanoGPT's initial weights


# With little noise the gradient norm falls below the clip within the ten steps.
CASES = (Case("tiny.safetensors", 1), Case("tiny_bias.safetensors", 2, bias=True, noise=0.05),
         Case("tiny_low_rank.safetensors", 3, rank=3))


def initial_parameters(case, random):
    """Named float64 tensors, linear weights as (in, out).

    As nanoGPT initialises, except that every tensor is then moved by normal noise, without which
    attention would be all but uniform and the gradients of shifts and gains untested. Values
    are rounded to float32, so that an engine starts from the same weights in either precision.
    """
    tensors = {}

    def add(name, shape, mean, deviation, noise):
        values = mean + deviation * random.standard_normal(shape)
        values += noise * random.standard_normal(shape)
        tensors[name] = torch.from_numpy(values.astype(np.float32).astype(np.float64))

    def add_norm(name):
        add(f"{name}.weight", WIDTH, 1, 0, 0.1)
        if case.bias:
            add(f"{name}.bias", WIDTH, 0, 0, 0.1)

    def add_linear(name, inputs, outputs):
        residual = name.endswith("c_proj")
        scale = 1 / math.sqrt(2 * LAYERS) if residual else 1
        add(f"{name}.weight", (inputs, outputs), 0, INITIAL_DEVIATION * scale, case.noise)
        if case.rank and name in FACTORED:
            add(f"{name}.weight_u", (case.rank, outputs), 0, INITIAL_DEVIATION, case.noise)
            add(f"{name}.weight_v", (case.rank, inputs), 0, INITIAL_DEVIATION, case.noise)
        if case.bias:
            add(f"{name}.bias", outputs, 0, 0, 0.1)

    add("wte.weight", (VOCABULARY, WIDTH), 0, INITIAL_DEVIATION, case.noise)
    add("wpe.weight", (CONTEXT, WIDTH), 0, INITIAL_DEVIATION, case.noise)
    for layer in range(LAYERS):
        add_norm(f"h.{layer}.ln_1")
        add_linear(f"h.{layer}.attn.c_attn", WIDTH, 3 * WIDTH)
        add_linear(f"h.{layer}.attn.c_proj", WIDTH, WIDTH)
        add_norm(f"h.{layer}.ln_2")
        add_linear(f"h.{layer}.mlp.c_fc", WIDTH, 4 * WIDTH)
        add_linear(f"h.{layer}.mlp.c_proj", 4 * WIDTH, WIDTH)
    add_norm("ln_f")
    return tensors


def is_trained(case, name):
    return not (case.rank and name.endswith(".weight") and name.removesuffix(".weight") in FACTORED)


def normalised(p, name, x):
    return functional.layer_norm(x, (WIDTH,), p[f"{name}.weight"], p.get(f"{name}.bias"),
                                 LAYER_NORM_EPSILON)


def linear(p, name, x):
    y = x @ p[f"{name}.weight"]
    if f"{name}.weight_u" in p:
        y = y + (x @ p[f"{name}.weight_v"].T) @ p[f"{name}.weight_u"]
    return y + p[f"{name}.bias"] if f"{name}.bias" in p else y


def attention(p, name, x):
    batch, length, _ = x.shape
    q, k, v = (part.view(batch, length, HEADS, -1).transpose(1, 2)
               for part in linear(p, f"{name}.c_attn", x).split(WIDTH, dim=2))
    scores = q @ k.transpose(2, 3) / math.sqrt(WIDTH // HEADS)
    future = torch.ones(length, length, dtype=torch.bool).triu(1)
    weights = functional.softmax(scores.masked_fill(future, -math.inf), dim=3)
    return linear(p, f"{name}.c_proj", (weights @ v).transpose(1, 2).reshape(x.shape))


def logits_of(p, tokens):
    """Logits (batch, length, vocabulary); the head is the token embedding."""
    x = p["wte.weight"][tokens] + p["wpe.weight"][:tokens.size(1)]
    for layer in range(LAYERS):
        block = f"h.{layer}"
        x = x + attention(p, f"{block}.attn", normalised(p, f"{block}.ln_1", x))
        hidden = linear(p, f"{block}.mlp.c_fc", normalised(p, f"{block}.ln_2", x))
        x = x + linear(p, f"{block}.mlp.c_proj", functional.gelu(hidden))
    return normalised(p, "ln_f", x) @ p["wte.weight"].T


def loss_of(p, tokens, targets):
    """Mean cross-entropy in nats."""
    return functional.cross_entropy(logits_of(p, tokens).flatten(0, 1), targets.flatten())


def trainable_copy(case, initial, dtype):
    return {name: tensor.to(dtype, copy=True).requires_grad_(is_trained(case, name))
            for name, tensor in initial.items()}


def train(case, initial, tokens, targets, dtype):
    """Losses and gradient norms before each step, and the parameters after the last."""
    p = trainable_copy(case, initial, dtype)
    trained = [tensor for tensor in p.values() if tensor.requires_grad]
    optimizer = torch.optim.AdamW(
        [{"params": [t for t in trained if t.dim() >= 2], "weight_decay": WEIGHT_DECAY},
         {"params": [t for t in trained if t.dim() < 2], "weight_decay": 0.0}], **ADAMW)
    losses, norms = [], []
    for _ in range(STEPS):
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(p, tokens, targets)
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(trained, CLIP).item())
        optimizer.step()
        losses.append(loss.item())
    return losses, norms, {name: tensor.detach() for name, tensor in p.items()}


def check_gradients(p, tokens, targets, gradients, random):
    """Compares autograd with central differences along a random direction of each tensor."""
    step = 1e-5
    for name, gradient in gradients.items():
        direction = torch.from_numpy(random.standard_normal(gradient.shape))

        def loss_at(distance):
            return loss_of(p | {name: p[name].detach() + distance * direction}, tokens, targets)

        difference = (loss_at(step) - loss_at(-step)).item() / (2 * step)
        expected = (gradient * direction).sum().item()
        if not math.isclose(difference, expected, rel_tol=1e-6, abs_tol=1e-9):
            raise RuntimeError(f"gradient of {name}: autograd {expected}, difference {difference}")


def reference(case):
    """All tensors of one case as arrays, in the order of the file."""
    random = np.random.RandomState(case.seed)  # its stream is frozen, unlike Generator's
    initial = initial_parameters(case, random)
    # Token 0 is no input, so that its embedding learns from the head alone.
    text = random.randint(1, VOCABULARY, size=(BATCH, CONTEXT + 1))
    tokens, targets = torch.from_numpy(text[:, :-1].copy()), torch.from_numpy(text[:, 1:].copy())
    targets[0, -1] = 0

    p = trainable_copy(case, initial, torch.float64)
    logits = logits_of(p, tokens)
    loss = functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
    loss.backward()
    gradients = {name: tensor.grad for name, tensor in p.items() if tensor.requires_grad}
    with torch.no_grad():
        check_gradients(p, tokens, targets, gradients, random)
    losses, norms, final = train(case, initial, tokens, targets, torch.float64)
    single_losses, _, _ = train(case, initial, tokens, targets, torch.float32)

    tensors = dict(initial)
    tensors["input.tokens"], tensors["input.targets"] = tokens, targets
    tensors["expected.logits"] = logits.detach().flatten(0, 1)
    tensors["expected.loss"] = torch.tensor([loss.item()], dtype=torch.float64)
    tensors |= {f"grad.{name}": gradient for name, gradient in gradients.items()}
    tensors["expected.losses"] = torch.tensor(losses, dtype=torch.float64)
    tensors["expected.losses_float32"] = torch.tensor(single_losses, dtype=torch.float64)
    tensors["expected.gradient_norms"] = torch.tensor(norms, dtype=torch.float64)
    tensors |= {f"final.{name}": tensor for name, tensor in final.items() if name in gradients}
    return {name: np.ascontiguousarray(tensor.numpy()) for name, tensor in tensors.items()}


def metadata(case):
    values = {
        "format": "pt", "torch": torch.__version__, "numpy": np.__version__, "seed": case.seed,
        "layers": LAYERS, "heads": HEADS, "width": WIDTH, "context": CONTEXT,
        "vocabulary": VOCABULARY, "batch": BATCH, "bias": str(case.bias).lower(),
        "weights": "low_rank" if case.rank else "full", "rank": case.rank,
        "factored_layers": "mlp" if case.rank else "none",
        "layer_norm_epsilon": LAYER_NORM_EPSILON, "steps": STEPS, "learning_rate": ADAMW["lr"],
        "beta1": ADAMW["betas"][0], "beta2": ADAMW["betas"][1], "epsilon": ADAMW["eps"],
        "weight_decay": WEIGHT_DECAY, "clip": CLIP,
    }
    return {name: str(value) for name, value in values.items()}


def write_safetensors(path, arrays, strings):
    """Header length (u64), JSON header padded to 8 bytes, then the little-endian data."""
    kinds = {np.dtype(np.float64): "F64", np.dtype(np.int64): "I64"}
    header, offset = {"__metadata__": strings}, 0
    for name, array in arrays.items():
        header[name] = {"dtype": kinds[array.dtype], "shape": list(array.shape),
                        "data_offsets": [offset, offset + array.nbytes]}
        offset += array.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for array in arrays.values():
            file.write(array.astype(array.dtype.newbyteorder("<")).tobytes())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, metavar="FOLDER",
                        help="where to write the files (default: beside this script)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # one order of summation
    for case in CASES:
        arrays = reference(case)
        path = arguments.output / case.file
        write_safetensors(path, arrays, metadata(case))
        double, single = arrays["expected.losses"], arrays["expected.losses_float32"]
        norms = arrays["expected.gradient_norms"]
        print(f"{case.file}: {path.stat().st_size} bytes, loss {double[0]:.12f} -> "
              f"{double[-1]:.12f}, float32 differs by {abs(double - single).max():.1e}, "
              f"gradient norm {norms[0]:.3f} -> {norms[-1]:.3f}")


if __name__ == "__main__":
    main()
