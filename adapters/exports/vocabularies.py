"""Small tokenizers for models of random weights: bytes as tokens, the family's special ones.

A model with random weights has no vocabulary to keep to. What its tokenizer must have is the shape
of the real one: the same special tokens at the same places, around any text.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE


@dataclass(frozen=True, slots=True, kw_only=True)
class Specials:
    """A family's special tokens by id; a negative id counts from the end of the vocabulary."""

    ids: dict[str, int]
    start: str | None
    end: str
    lower_case: bool = False


CLIP = Specials(
    ids={"<|startoftext|>": -2, "<|endoftext|>": -1},
    start="<|startoftext|>",
    end="<|endoftext|>",
    lower_case=True,
)
SIGLIP = Specials(ids={"<pad>": 0, "</s>": 1, "<unk>": 2}, start=None, end="</s>")
SIGLIP2 = Specials(ids={"<pad>": 0, "<eos>": 1, "<bos>": 2, "<unk>": 3}, start=None, end="<eos>")
ROBERTA = Specials(
    ids={"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "<mask>": -1}, start="<s>", end="</s>"
)
"""CLAP's."""


def words_of(specials: Specials, vocabulary_size: int) -> range:
    """The ids between the special tokens at either end."""
    first = max((index for index in specials.ids.values() if index >= 0), default=-1) + 1
    last = min((index for index in specials.ids.values() if index < 0), default=0)
    return range(first, vocabulary_size + last)


def write_tokenizer(path: Path, specials: Specials, vocabulary_size: int) -> None:
    """Write a ``tokenizer.json`` of exactly so many tokens, at least 256 beside the special ones.

    Ids without a use are called ``<unused-N>``: without them, special tokens at the end of a large
    vocabulary would move to its front.
    """
    ids = {name: index % vocabulary_size for name, index in specials.ids.items()}
    words = words_of(specials, vocabulary_size)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    names = [*alphabet, *(f"<unused-{index}>" for index in range(len(words) - len(alphabet)))]
    tokenizer = Tokenizer(BPE(vocab=ids | dict(zip(names, words, strict=True)), merges=[]))
    if specials.lower_case:
        tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.add_special_tokens(list(ids))
    around = [specials.end] if specials.start is None else [specials.start, specials.end]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=" ".join([*around[:-1], "$A", specials.end]),
        special_tokens=[(name, ids[name]) for name in around],
    )
    tokenizer.save(str(path))
