"""Takes Korean words apart: listed words, with the particles and endings that follow them."""

from __future__ import annotations

from collections.abc import Container
from functools import cache

PARTICLES = (
    "이 가 은 는 을 를 의 에 에서 에게 한테 께 와 과 랑 이랑 하고 도 만 "
    "로 으로 부터 까지 마다 보다 처럼 같은 들 들이 들은 들을 들의 들과 들도 "
    "인 이다 입니다 이고 이며 이나 나 이야 야 요 에는 에도 에서는 으로는 위 "
    "위에 위에서 속 속에 속에서 속의 안 안에 안에서 앞 앞에 앞에서 옆 옆에 "
    "옆에서 밖 밖에서 아래 아래에서 뒤 뒤에 뒤에서 중 중인 중에 씬 장면 "
)
ENDINGS = (
    "고 고있는 고있다 며 면서 면 다 는 는데 니 네 지 기 던 은 을 려고 어 "
    "어서 었다 았다 었던 았던 습니다 ㅂ니다 는다 ㄴ다 하는 하고 하다 한 한다 "
    "해 해서 했다 했던 했어 하며 하면서 할 합니다 하던 하기 되는 된 되어 되고 "
    "서 도 게 요 자 라 고요 는지 나요 까 냐 거나 도록 라는 는걸 는거 러 "
    "러가는 던데 자마자 "
)
TAILS = frozenset((PARTICLES + ENDINGS).split()) | {""}
"""What may follow a listed word: nouns and verbs together, since no word is both by chance."""
LONGEST_TAIL = max(len(tail) for tail in TAILS)
LONGEST_TOKEN = 24
"""Syllables; a longer one is no word with its endings."""

Piece = tuple[str, int]
"""A listed word, and where it begins in the token."""


def take_apart(token: str, listed: Container[str]) -> tuple[Piece, ...]:
    """The listed words of which a token is made, with nothing left over but endings.

    Words that are written together (빨간자동차) are found if each has two syllables or more: a
    single one counts only at the beginning of a token of its own, since most syllables are parts
    of other words (차 is a car, and the first half of 차이, a difference).

    Returns:
        Nothing where anything is left over.
    """
    if len(token) > LONGEST_TOKEN:
        return ()

    @cache
    def parse(start: int) -> tuple[Piece, ...] | None:
        for end in range(len(token), start, -1):
            word = token[start:end]
            if word not in listed:
                continue
            if token[end:] in TAILS:
                return ((word, start),)
            if len(word) == 1:
                continue
            for tail in range(LONGEST_TAIL + 1):
                if token[end : end + tail] in TAILS and (rest := parse(end + tail)):
                    if any(len(piece) == 1 for piece, _ in rest):
                        continue
                    return ((word, start), *rest)
        return None

    return parse(0) or ()
