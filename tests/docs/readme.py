"""The code blocks of the README, and a data set for them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

ROOT = Path(__file__).resolve().parents[2]


def blocks(language: str) -> list[str]:
    """The fenced blocks of a language."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    return [content for name, content in fenced if name == language]


def write_digits(folder: Path) -> None:
    """A few drawn digits in the layout written by examples/make_mnist.py."""
    random = np.random.default_rng(0)
    for subset, count in {"train": 12, "val": 4, "test": 4}.items():
        for digit in ("1", "7"):
            (folder / subset / digit).mkdir(parents=True)
            for number in range(count):
                image = Image.new("L", (28, 28))
                shift = tuple(random.integers(4, 12, 2).tolist())
                ImageDraw.Draw(image).text(shift, digit, fill=255)
                image.save(folder / subset / digit / f"{number}.png")
