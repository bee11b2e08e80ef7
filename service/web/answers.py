"""What is answered: findings as the models of the API, and how they may be kept."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from urllib.parse import quote, urlsplit

from aiohttp import ETag, web
from aiohttp.helpers import ETAG_ANY
from pydantic import BaseModel

from service.domain import Analysis, ItemRef, ItemStatus, Tag
from service.query import Hit, Part, SceneKey, SearchAnswer
from service.web import schema

ITEMS = "/api/v1/items"
EVIDENCE_COUNT = 10
"""Moments of a tag that are told; a page shows three."""
ASK_AGAIN = "private, no-cache"
"""Kept by a browser, and asked after each time: an ETag answers that with 304."""
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'",
    "Referrer-Policy": "no-referrer",
}
"""What is answered is data: no browser shall make a page, or another page's picture, of it."""


def answer(request: web.Request, model: BaseModel, *, beside: Iterable[str] = ()) -> web.Response:
    """JSON with an ETag, or 304; fields ``beside`` the point do not count for it."""
    ignored = set(beside)
    counted = model.model_dump_json(exclude=ignored).encode() if ignored else b""
    return answer_bytes(request, model.model_dump_json().encode(), counted=counted)


def answer_page(request: web.Request, statuses: Sequence[ItemStatus], after: str) -> web.Response:
    """Items, and in ``Link`` (RFC 8288), too, where the next page is."""
    following = str(request.rel_url.update_query(after=after)) if after else None
    page = schema.Items(items=list(map(describe_status, statuses)), next=following)
    response = answer(request, page)
    if following:
        response.headers["Link"] = f'<{following}>; rel="next"'
    return response


def answer_bytes(request: web.Request, body: bytes, *, counted: bytes = b"") -> web.Response:
    """Likewise, of what is JSON already; what is ``counted`` makes its ETag, a weak one."""
    tag = ETag(value=hashlib.sha256(counted or body).hexdigest()[:32], is_weak=bool(counted))
    if found := unchanged(request, tag, ASK_AGAIN):
        return found
    response = web.Response(
        body=body, content_type="application/json", headers={"Cache-Control": ASK_AGAIN}
    )
    response.etag = tag
    return response


def unchanged(request: web.Request, tag: ETag, cache_control: str) -> web.Response | None:
    """304 where the client has what this tag names."""
    known = request.if_none_match or ()
    if not any(each.value in {tag.value, ETAG_ANY} for each in known):
        return None
    response = web.Response(status=304, headers={"Cache-Control": cache_control})
    response.etag = tag
    return response


def describe_search(found: SearchAnswer) -> schema.SearchResults:
    route = found.route
    return schema.SearchResults(
        hits=list(map(_describe_hit, found.hits)),
        mode=found.mode,
        route=schema.RouteAnswer(
            mode=route.mode,
            confidence=route.confidence,
            reasons=list(route.reasons),
            visual=route.visual,
            speech=route.speech,
        ),
        degraded=list(found.degraded),
        seconds=dict(found.seconds),
    )


def _describe_hit(hit: Hit) -> schema.Hit:
    card = hit.card
    return schema.Hit(
        item=str(card.scene.ref),
        position=card.scene.position,
        title=card.title,
        kind=card.kind,
        series=card.series,
        season_number=card.season_number,
        episode_number=card.episode_number,
        library=card.library,
        year=card.year,
        start_s=card.start_s if hit.start_s is None else hit.start_s,
        end_s=card.end_s if hit.end_s is None else hit.end_s,
        score=hit.score,
        parts={name: _describe_part(part) for name, part in hit.parts.items()},
        snippet=hit.snippet,
        caption=card.caption,
        tags=list(card.tags),
        moods=list(card.moods),
        url=_web_only(card.server_url),
        thumbnail=thumbnail_address(card.scene),
    )


def _describe_part(part: Part) -> schema.PartAnswer:
    return schema.PartAnswer(score=part.score, rank=part.rank, share=part.share)


def _web_only(url: str) -> str:
    """A page may make a link of it: nothing but an address of the web."""
    return url if urlsplit(url).scheme in {"http", "https"} else ""


def item_address(ref: ItemRef) -> str:
    return f"{ITEMS}/{quote(ref.server, safe='')}/{quote(ref.item_id, safe='')}"


def thumbnail_address(scene: SceneKey) -> str:
    place = f"/scenes/{scene.position}" if scene.position >= 0 else ""
    return f"{item_address(scene.ref)}{place}/thumbnail"


def describe_status(status: ItemStatus) -> schema.ItemSummary:
    here = item_address(status.ref)
    return schema.ItemSummary(
        item=str(status.ref),
        title=status.title,
        state=status.state,
        reason=status.reason,
        added_at=status.added_at,
        updated_at=status.updated_at,
        links={"self": here, "scenes": f"{here}/scenes", "thumbnail": f"{here}/thumbnail"},
    )


def describe_item(status: ItemStatus, analysis: Analysis | None) -> schema.Item:
    return schema.Item(
        **describe_status(status).model_dump(),
        analysis=None if analysis is None else describe_findings(analysis),
    )


def describe_findings(analysis: Analysis) -> schema.Findings:
    """Without anything of where it lies."""
    item = analysis.item
    return schema.Findings(
        kind=item.kind,
        overview=item.overview,
        year=item.year,
        genres=list(item.genres),
        series=item.series,
        season_number=item.season_number,
        episode_number=item.episode_number,
        artist=item.artist,
        album=item.album,
        library=item.library,
        url=_web_only(item.url),
        duration_s=analysis.duration_s,
        scene_count=len(analysis.scenes),
        tags=list(map(_describe_tag, analysis.tags)),
        moods=[
            schema.MoodAnswer(
                label=mood.label, score=mood.score, valence=mood.valence, arousal=mood.arousal
            )
            for mood in analysis.moods
        ],
        mood_curve=[
            schema.MoodMoment(time_s=point.time_s, valence=point.valence, arousal=point.arousal)
            for point in analysis.mood_curve
        ],
        highlights=[
            schema.HighlightAnswer(
                start_s=highlight.start_s,
                end_s=highlight.end_s,
                peak_s=highlight.peak_s,
                score=highlight.score,
                reasons=list(highlight.reasons),
                caption=highlight.caption,
            )
            for highlight in analysis.highlights
        ],
        missing_models=list(analysis.missing_models),
    )


def _describe_tag(tag: Tag) -> schema.TagAnswer:
    times_s = sorted({seen.time_s for seen in tag.evidence[:EVIDENCE_COUNT]})
    return schema.TagAnswer(label=tag.label, kind=tag.kind, score=tag.score, times_s=times_s)


def describe_scenes(analysis: Analysis) -> schema.Scenes:
    ref = analysis.item.ref
    return schema.Scenes(
        item=str(ref),
        scenes=[
            schema.SceneAnswer(
                position=position,
                start_s=scene.start_s,
                end_s=scene.end_s,
                keyframe_s=scene.keyframe_s,
                quality=scene.quality,
                tags=list(scene.tags),
                caption=scene.caption,
                thumbnail=thumbnail_address(SceneKey(ref=ref, position=position)),
            )
            for position, scene in enumerate(analysis.scenes)
        ],
    )
