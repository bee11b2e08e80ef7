"""Token ids follow each family's rules of padding, truncation and case."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters.models.families import CLIP_TEXT, SIGLIP2_TEXT, SIGLIP_TEXT
from adapters.models.spec import TextInput
from adapters.models.tokenizer import TextTokenizer
from service.errors import MissingModelError
from tests.support.models import WORDS, tokenizer

START, END, RED, GREEN = (WORDS[word] for word in ("[start]", "[end]", "red", "green"))

LONGEST = TextInput(context_length=6, pad_id=0, end_id=None, pads_to_context=False)
FULL = TextInput(
    context_length=6,
    pad_id=1,
    end_id=END,
    pads_to_context=True,
    lower_case=True,
    canonicalize=True,
)


@pytest.fixture
def words(tmp_path: Path) -> Path:
    return tokenizer(tmp_path / "tokenizer.json")


def test_a_batch_is_padded_to_its_longest_text_and_the_mask_hides_the_padding(words):
    tokens = TextTokenizer("toy", words, LONGEST).encode(["red", "red green red"])
    assert tokens.ids.tolist() == [[START, RED, END, 0, 0], [START, RED, GREEN, RED, END]]
    assert tokens.mask.tolist() == [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]


def test_a_model_that_pools_the_last_position_is_always_padded_to_its_context(words):
    tokens = TextTokenizer("toy", words, FULL).encode(["red"])
    assert tokens.ids.tolist() == [[START, RED, END, 1, 1, 1]]


def test_a_graph_of_fixed_length_gets_that_length(words):
    assert TextTokenizer("toy", words, LONGEST).encode(["red"], length=6).ids.shape == (1, 6)


def test_truncation_keeps_the_end_token_last(words):
    tokens = TextTokenizer("toy", words, LONGEST).encode(["red " * 50])
    assert tokens.ids.tolist() == [[START, RED, RED, RED, RED, END]]


def test_an_end_token_that_the_tokenizer_forgets_is_added(tmp_path):
    path = tokenizer(tmp_path / "tokenizer.json")
    wanted = TextInput(context_length=6, pad_id=0, end_id=99, pads_to_context=False)
    assert TextTokenizer("toy", path, wanted).encode(["red"]).ids.tolist() == [
        [START, RED, END, 99]
    ]


def test_an_empty_text_is_only_brackets(words):
    assert TextTokenizer("toy", words, LONGEST).encode([""]).ids.tolist() == [[START, END]]


def test_a_text_that_is_no_unicode_is_still_a_text(words):
    tokens = TextTokenizer("toy", words, LONGEST).encode(["red \udcff"])
    assert tokens.ids.tolist()[0][:2] == [START, RED]


def test_padding_without_an_id_is_the_end_token(words):
    wanted = TextInput(context_length=4, pad_id=None, end_id=None, pads_to_context=True)
    assert TextTokenizer("toy", words, wanted).encode([""]).ids.tolist() == [[START, END, END, END]]


def test_canonical_text_has_no_case_no_punctuation_and_single_spaces(words):
    toy = TextTokenizer("toy", words, FULL)
    assert toy.encode(['  Red,   "GREEN"! ']).ids.tolist() == toy.encode(["red green"]).ids.tolist()


def test_case_is_kept_where_the_model_keeps_it(words):
    tokens = TextTokenizer("toy", words, LONGEST).encode(["RED"])
    assert tokens.ids.tolist() == [[START, WORDS["[unknown]"], END]]


def test_a_file_that_is_no_tokenizer_names_itself(tmp_path):
    path = tmp_path / "tokenizer.json"
    path.write_text("{}", encoding="utf-8")
    with pytest.raises(MissingModelError, match=r"toy: .*tokenizer\.json cannot be read"):
        TextTokenizer("toy", path, LONGEST)


def test_the_families_pad_as_they_were_trained():
    assert (SIGLIP_TEXT.pads_to_context, SIGLIP_TEXT.context_length, SIGLIP_TEXT.pad_id) == (
        True,
        64,
        1,
    )
    assert (SIGLIP2_TEXT.pads_to_context, SIGLIP2_TEXT.pad_id) == (True, 0)
    assert SIGLIP2_TEXT.lower_case
    assert (CLIP_TEXT.pads_to_context, CLIP_TEXT.context_length) == (False, 77)


@pytest.mark.shared
def test_the_clip_tokenizer_brackets_lower_cases_and_truncates(shared):
    path = shared / "models/standin-clip/tokenizer.json"
    clip = TextTokenizer("clip", path, CLIP_TEXT)
    tokens = clip.encode(["A photo of a CAT", "a photo of a cat"])
    assert tokens.ids.tolist() == [[49406, 320, 1125, 539, 320, 2368, 49407]] * 2
    long = clip.encode(["a cat " * 100]).ids
    assert long.shape == (1, 77)
    assert long[0, 0] == 49406
    assert long[0, -1] == 49407
