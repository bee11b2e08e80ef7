"""Which text tracks are searched, and how several are one transcript."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from service.domain import TextTrack, TranscriptLine
from service.folding import fold

MOST_TRACKS = 4
"""Languages that are kept of one item: each is 1,500 rows of a film, and releases for many
countries come with forty. Four are 6,000 of the 20,000 that a transcript may have."""
SAME_SHARE = 0.5
"""Of a track's lines, word for word in another one: it is that track once more, such as one for
the deaf beside the plain one. Two translations share names and cries."""
LESSER_NAMES = frozenset({"forced", "sdh", "cc", "hi", "commentary", "signs", "songs"})
"""Words in a track's name: a few lines only, or more than what is said."""

_ALIASES = """
ara:ar,arabic bel:be ben:bn bul:bg cat:ca ces:cs,cze,czech dan:da,danish deu:de,ger,german,deutsch
ell:el,gre,greek eng:en,english est:et eus:eu,baq fas:fa,per fin:fi,finnish
fra:fr,fre,french,francais gle:ga glg:gl heb:he,iw,hebrew hin:hi hrv:hr,scr hun:hu,hungarian
hye:hy,arm ind:id,in isl:is,ice ita:it,italian,italiano jpn:ja,jp,japanese kat:ka,geo kaz:kk
kor:ko,korean lav:lv lit:lt mal:ml mkd:mk,mac mon:mn msa:ms,may nld:nl,dut,dutch
nor:no,nob,nb,nno,nn,norwegian pol:pl,polish por:pt,pob,pb,portuguese,brazilian ron:ro,rum,mo
rus:ru,russian slk:sk,slo slv:sl spa:es,esp,spanish,espanol,latino,castellano sqi:sq,alb
srp:sr,scc swe:sv,swedish tam:ta tel:te tgl:tl,fil tha:th tur:tr,turkish ukr:uk urd:ur vie:vi
zho:zh,chi,cn,chs,cht,zht,cmn,yue,chinese,simplified,traditional
"""
"""ISO 639-3 codes, and what else the same language goes by: 639-1, 639-2/B, and the words that
releases write into the names of files."""
_CODES = {
    alias: code
    for entry in _ALIASES.split()
    for code, _, aliases in [entry.partition(":")]
    for alias in (code, *aliases.split(","))
}


def language_of(tag: str) -> str:
    """One code (ISO 639-3) for all that a language goes by (``de-AT``, ``ger``); the tag's own
    beginning where it is none that we know, and empty without a language.
    """
    first = tag.strip().lower().replace("_", "-").partition("-")[0]
    return "" if first in {"und", "mul", "zxx"} else _CODES.get(first, first)


def name_of_language(part: str) -> str:
    """The code (ISO 639-3) of a language that a part of a file's name stands for; else empty."""
    return _CODES.get(part.lower().partition("-")[0], "")


def is_lesser(name: str) -> bool:
    """Whether a track's name says that it holds less, or other things, than what is said."""
    return not LESSER_NAMES.isdisjoint(name.lower().replace("(", " ").replace(")", " ").split())


def preference(
    *, spoken: str = "", wanted: Sequence[str] = ()
) -> Callable[[TextTrack], tuple[bool, int, bool, bool]]:
    """What tracks are sorted by, the best first: whole, in the sound's language, then in the
    wanted ones; the default one among equals.
    """
    places = _places(spoken, wanted)

    def rank(track: TextTrack) -> tuple[bool, int, bool, bool]:
        place = places.get(language_of(track.language), len(places))
        return track.is_forced, place, track.is_lesser, not track.is_default

    return rank


def choose_tracks(
    tracks: Iterable[TextTrack], *, spoken: str = "", wanted: Sequence[str] = ()
) -> Sequence[TextTrack]:
    """The tracks that are searched, the best first: one for each language.

    Args:
        tracks: In the order in which they are offered, which decides among equals.
        spoken: The language of the sound: the first one.
        wanted: Languages besides, the best first; any where none is named.
    """
    places = _places(spoken, wanted)
    ordered = sorted(tracks, key=preference(spoken=spoken, wanted=wanted))
    return distinct_tracks(
        track for track in ordered if not wanted or language_of(track.language) in {"", *places}
    )


def distinct_tracks(tracks: Iterable[TextTrack]) -> Sequence[TextTrack]:
    """The first of each language, and of what is one word for word; at most ``MOST_TRACKS``."""
    chosen: dict[str, TextTrack] = {}
    seen: list[Collection[str]] = []
    for track in tracks:
        language = language_of(track.language)
        texts = {fold(line.text) for line in track.lines}
        if not texts or language in chosen or _is_among(texts, seen):
            continue
        chosen[language or f"unknown {len(chosen)}"] = track
        seen.append(texts)
        if len(chosen) == MOST_TRACKS:
            break
    return tuple(chosen.values())


def _places(spoken: str, wanted: Sequence[str]) -> dict[str, int]:
    known = dict.fromkeys(code for tag in (spoken, *wanted) if (code := language_of(tag)))
    return {code: place for place, code in enumerate(known)}


def join_tracks(tracks: Iterable[TextTrack]) -> Sequence[TranscriptLine]:
    """One transcript: track after track, each in order of time."""
    return tuple(line for track in tracks for line in track.lines)


def _is_among(texts: Collection[str], others: Iterable[Collection[str]]) -> bool:
    return any(sum(text in other for text in texts) >= SAME_SHARE * len(texts) for other in others)
