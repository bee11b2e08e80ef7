"""One question to a model, with sounds or pictures, and one checked answer.

llama.cpp, Ollama and vLLM serve ``POST /v1/chat/completions``. A question costs at most two
requests, and at most twice the time limit.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

from adapters.captioners.answers import BadAnswerError, clean
from adapters.captioners.endpoint import Endpoint, EndpointSettings, RefusedError
from service.domain import Finding, Json, Severity
from service.errors import PermanentError, TransientError

logger = logging.getLogger(__name__)

T = TypeVar("T")

ANSWER_TOKENS = 400
"""A sentence or two, twelve tags and a mood take about 150."""
CHECK_TIMEOUT_S = 10.0
"""To list its models, for which no model is asked."""
TITLE_LIMIT = 200
NAMES_LIMIT = 200
"""Characters of a list of models."""

_TEXT_KEYS = ("content", "reasoning", "reasoning_content")
"""Of models that think, Ollama puts the whole answer into the thoughts when it is to be JSON (its
issues 12831 and 14716); the last is what llama.cpp and vLLM call them."""
_CUT = f"; it was cut after {ANSWER_TOKENS} tokens"
_JSON_MODE: Json = {"response_format": {"type": "json_object"}}


class ChatClient:
    """Asks a model once, and once more when it does not answer as asked.

    Raises:
        ConfigurationError: The address, or the key, cannot be one.
    """

    def __init__(self, settings: EndpointSettings) -> None:
        self._settings = settings
        self._endpoint = Endpoint(settings)
        self._knows_json_mode = True

    @property
    def model(self) -> str:
        return self._settings.model

    async def ask(self, parts: Sequence[Json], parse: Callable[[str], T]) -> T:
        """Put one question to the model.

        Args:
            parts: The user's message as content parts, what it is about before the question:
                Ollama makes a message of each, in their order (its ``openai/openai.go``).
            parse: Reads what the model wrote.

        Raises:
            TransientError: No answer within the time limit, twice; or the server is busy for
                longer than that.
            BadAnswerError: The answer is not what was asked for, twice.
            PermanentError: The server refuses.
        """
        request: Json = {
            "model": self.model,
            "messages": [{"role": "user", "content": list(parts)}],
            "temperature": 0,
            "max_tokens": ANSWER_TOKENS,
        }
        first = request | _JSON_MODE if self._knows_json_mode else request
        try:
            return await self._complete(first, parse)
        except (TransientError, BadAnswerError) as error:
            wait_s = (error.retry_after_s or 0.0) if isinstance(error, TransientError) else 0.0
            if wait_s >= self._settings.timeout_s:
                raise
            was_refused = isinstance(error, RefusedError)
            logger.info(
                "asking the model again",
                extra={"action": "caption_retried", "reason": str(error)},
            )
        # Without JSON mode: not every server knows it.
        answer = await self._complete(request, parse, after_s=wait_s)
        self._knows_json_mode = self._knows_json_mode and not was_refused
        return answer

    async def check(self, subject: str, *, does: str, otherwise: str) -> Sequence[Finding]:
        """Ask the server which models it has.

        Args:
            subject: What ``moodreel doctor`` calls this.
            does: What the model does: it ``listens``.
            otherwise: How to do without it.
        """
        origin, settings = self._endpoint.origin, self._settings

        def found(severity: Severity, message: str, fix: str = "") -> Sequence[Finding]:
            return (Finding(subject=subject, severity=severity, message=message, fix=fix),)

        limit_s = min(settings.timeout_s, CHECK_TIMEOUT_S)
        try:
            answer = await self._endpoint.call("GET", "models", limit_s=limit_s, after_s=0)
        except (TransientError, PermanentError) as error:
            fix = f"start the server that {settings.url_setting} names, or {otherwise}"
            return found(Severity.WARNING, str(error), fix)
        names = _read_names(answer)
        # Ollama lists "llava:latest" and takes "llava".
        if names and not {self.model, f"{self.model}:latest"} & set(names):
            known = clean(", ".join(names))[:NAMES_LIMIT]
            message = f"{origin} has no model {self.model!r}, but {known}"
            return found(Severity.WARNING, message, f"set {settings.model_setting} to one it has")
        return found(Severity.OK, f"{self.model} {does} at {origin}")

    async def _complete(
        self, request: Json, parse: Callable[[str], T], *, after_s: float = 0.0
    ) -> T:
        answer = await self._endpoint.call(
            "POST", "chat/completions", request, limit_s=self._settings.timeout_s, after_s=after_s
        )
        text, was_cut = self._read_message(answer)
        try:
            return parse(text)
        except BadAnswerError as error:
            if was_cut:
                raise BadAnswerError(f"{error}{_CUT}") from error
            raise

    def _read_message(self, answer: Json) -> tuple[str, bool]:
        """What the model wrote, and whether it would have gone on."""
        origin = self._endpoint.origin
        try:
            choice = answer["choices"][0]
            texts = [choice["message"].get(key) for key in _TEXT_KEYS]
            was_cut = choice.get("finish_reason") == "length"
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            raise BadAnswerError(
                f"{origin} answered without a message: {type(error).__name__}"
            ) from error
        text = next((text for text in texts if isinstance(text, str) and text.strip()), None)
        if text is None:
            raise BadAnswerError(f"{origin} answered without a text{_CUT if was_cut else ''}")
        return text, was_cut


def quote_title(title: str) -> str:
    """A title as one JSON string on one line, cleaned and bounded: data, and nothing else."""
    return json.dumps(clean(title)[:TITLE_LIMIT], ensure_ascii=False)


def _read_names(answer: Json) -> list[str]:
    listed = answer.get("data")
    models = listed if isinstance(listed, list) else []
    names = [model.get("id") for model in models if isinstance(model, dict)]
    return [name for name in names if isinstance(name, str)]
