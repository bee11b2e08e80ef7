"""Texts to the token ids that a text tower wants, by the rules of its row."""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from adapters.models.spec import TextInput
from service.errors import MissingModelError

Int64 = npt.NDArray[np.int64]

WITHOUT_PUNCTUATION = str.maketrans("_", " ", string.punctuation.replace("_", ""))
"""As big_vision cleaned the texts SigLIP was trained on: an underscore parts two words."""
RULES_VERSION = 2
"""Raised when a text becomes other tokens under the same rules: kept vectors are then stale."""
END_TOKENS = ("<|endoftext|>", "<eos>", "</s>")
"""Of CLIP, Gemma (SigLIP 2) and SentencePiece (SigLIP), for tokenizers that do not add theirs."""


@dataclass(frozen=True, slots=True, eq=False)
class Tokens:
    """A batch of texts."""

    ids: Int64
    """``(N, L)``."""
    mask: Int64
    """``(N, L)``: 1 on tokens, 0 on padding."""


class TextTokenizer:
    """A model's tokenizer. May be used from several threads.

    Args:
        model: Its name, for messages.
        path: ``tokenizer.json``.
        wanted: Length, padding and case.

    Raises:
        MissingModelError: The file is no tokenizer.
    """

    def __init__(self, model: str, path: Path, wanted: TextInput) -> None:
        self._wanted = wanted
        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:
            raise MissingModelError(
                model, f"{model}: {path} cannot be read as a tokenizer: {error}"
            ) from error
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._end_id = self._find_end_id()

    def encode(self, texts: Sequence[str], *, length: int | None = None) -> Tokens:
        """Tokenize; every row ends with the end token, also one that was too long.

        Args:
            texts: At least one.
            length: Of the graph's input where it is fixed; else the row's padding rule holds.
        """
        wanted = self._wanted
        limit = min(wanted.context_length, length or wanted.context_length)
        rows = [self._encode_one(text, limit) for text in texts]
        longest = wanted.context_length if wanted.pads_to_context else max(map(len, rows))
        columns = length or max(longest, 1)
        pad_id = wanted.pad_id if wanted.pad_id is not None else self._end_id
        ids = np.full((len(rows), columns), pad_id or 0, dtype=np.int64)
        mask = np.zeros((len(rows), columns), dtype=np.int64)
        for index, row in enumerate(rows):
            ids[index, : len(row)] = row
            mask[index, : len(row)] = 1
        return Tokens(ids, mask)

    def _encode_one(self, text: str, limit: int) -> list[int]:
        ids = list(self._tokenizer.encode(self._clean(text)).ids)
        if self._end_id is None:
            return ids[:limit]
        if not ids or ids[-1] != self._end_id:
            ids.append(self._end_id)
        return ids if len(ids) <= limit else [*ids[: limit - 1], self._end_id]

    def _clean(self, text: str) -> str:
        # Half a surrogate pair is no text to the library: of a name that is no UTF-8, or of JSON.
        text = text.encode("utf-8", "replace").decode()
        if self._wanted.canonicalize:
            text = " ".join(text.translate(WITHOUT_PUNCTUATION).split())
        return text.lower() if self._wanted.lower_case else text

    def _find_end_id(self) -> int | None:
        if self._wanted.end_id is not None:
            return self._wanted.end_id
        ends = self._tokenizer.encode("").ids
        if ends:
            return ends[-1]
        known = (self._tokenizer.token_to_id(token) for token in END_TOKENS)
        return next((end for end in known if end is not None), None)
