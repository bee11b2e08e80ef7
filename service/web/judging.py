"""What people say of findings, over the API."""

from __future__ import annotations

from aiohttp import web

from service.domain import ItemRef
from service.errors import NotFoundError
from service.feedback import Feedback, UnknownLabelError
from service.web.fields import Judgement
from service.web.schema import FeedbackAnswer, FeedbackRequest

VOTER = "api"
"""All who know the key are one: it is the owner's, and no person's."""


async def judge(feedback: Feedback, asked: FeedbackRequest) -> FeedbackAnswer:
    """Take what is said; raises HTTPNotFound and HTTPBadRequest."""
    ref = ItemRef.parse(asked.item)
    try:
        if asked.judgement is Judgement.WITHDRAWN:
            taken = await feedback.withdraw(ref, asked.subject, asked.label, voter=VOTER)
        else:
            is_right = asked.judgement is Judgement.RIGHT
            taken = await feedback.vote(
                ref, asked.subject, asked.label, is_right=is_right, voter=VOTER
            )
    except NotFoundError as error:
        raise web.HTTPNotFound(text="there is no such item, or it was not analysed yet") from error
    except UnknownLabelError as error:
        raise web.HTTPBadRequest(text=f"label: {error}") from error
    return FeedbackAnswer(
        item=asked.item,
        subject=taken.vote.subject,
        label=taken.vote.label,
        judgement=asked.judgement,
        is_news=taken.is_news,
        threshold=taken.threshold,
    )
