# SPDX-License-Identifier: MIT
"""PyTorch as a peer of a benchmark program: pytorch/update_products.py in a process of its own."""
import json
import pathlib
import subprocess
import sys

SCRIPT = pathlib.Path(__file__).resolve().parent / "pytorch/update_products.py"


class PyTorchPeer:
    """Answers one row after the other."""

    def __init__(self, python, *arguments, environment=None):
        self.process = subprocess.Popen([python, str(SCRIPT), *arguments], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True, env=environment)
        self.version = self.answer()["torch"]  # once it has started, it disturbs nobody

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{SCRIPT} has ended")
        return json.loads(line)

    def measure(self, row):
        """Of case/m:M/n:N/r:R/p:P: its name and the seconds of each layout."""
        self.process.stdin.write(row + "\n")
        self.process.stdin.flush()
        return self.answer()
