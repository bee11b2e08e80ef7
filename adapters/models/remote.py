"""A picture-and-text model on another machine: one encoder, two places.

Its vectors are only worth something beside those that are stored if both are of one space. So each
answer says which model made it, and an answer of another model, or of another dimension, is an
error in words and never a vector.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import ValidationError

from adapters.models.remote_bodies import (
    BatchAnswer,
    HealthAnswer,
    Identity,
    IdentityT,
    TextAnswer,
    batches_of,
    describe_scale,
    is_one_scale,
    picture_part,
    shown,
    text_part,
)
from adapters.models.remote_line import Line, Part
from adapters.models.remote_settings import RemoteFor, RemoteSettings, read_address, read_secret
from adapters.models.towers import Deadline, to_unit
from service.domain import Calibration, Finding, Float32, Json, Severity, UInt8
from service.errors import (
    ConfigurationError,
    ModelTimeoutError,
    MoodreelError,
    PermanentError,
    TransientError,
)

TEXT_PATH = "/v1/embed/text"
BATCH_PATH = "/v1/embed/image-batch"
HEALTH_PATH = "/health"
REST_S = 10.0
"""After a text that was not answered: so long the next ones fail at once, and whoever has another
model asks that, instead of each waiting for the whole time limit."""
CHECK_TIMEOUT_S = 5.0
_USES = {
    RemoteFor.QUERIES: "searches",
    RemoteFor.ANALYSIS: "analyses",
    RemoteFor.BOTH: "searches and analyses",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """What the vectors that are stored here were made with."""

    model: str
    dimension: int | None
    """None where the model's description does not say: then the first answer does."""
    calibration: Calibration
    is_described: bool = True
    """False where only the other machine has the model: then that one says what its scores are."""
    version: str = ""
    """Of the model's files here; empty where they are not."""


class RemoteEncoder:
    """The port ``Encoder``, by another machine. May be used from several threads.

    Its methods block, as those of a model on this machine do: call them in a pool.

    Args:
        settings: Where it is, and how long it may take.
        space: Which model it must have.
        text_timeout_s: How long the texts of one call may take, retries included.
        rest_s: For which nothing is asked after a text that was not answered.
        clock: Unix time.

    Raises:
        ConfigurationError: The address is none, or the secret is missing.
    """

    def __init__(
        self,
        settings: RemoteSettings,
        space: Space,
        *,
        text_timeout_s: float,
        rest_s: float = REST_S,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._text_timeout_s = text_timeout_s
        self._space = space
        self._dimension = space.dimension
        self._calibration = space.calibration
        self._device = ""
        self._rest_s = rest_s
        self._rests_until_s = 0.0
        self._failure = ""
        self._line = Line(
            read_address(settings),
            read_secret(settings),
            setting=settings.setting,
            max_retries=settings.max_retries,
            clock=clock,
        )

    @property
    def name(self) -> str:
        """The model's name here: remote vectors lie in the same space as those that are stored."""
        return self._space.model

    @property
    def dimension(self) -> int:
        """Of the vectors. Where nobody said, it is asked for."""
        return self._dimension or self.encode_texts(["a"]).shape[1]

    @property
    def device(self) -> str:
        """Where it runs, and on what as far as that is known."""
        return f"{self._device} at {self._line.origin}".removeprefix(" ")

    @property
    def calibration(self) -> Calibration:
        """The one of the model here; of a model that only it has, what ``introduce`` learnt."""
        return self._calibration

    def introduce(self, limit_s: float = CHECK_TIMEOUT_S) -> str:
        """Hear whether it is there, answers us and has our model; return its files' version.

        Args:
            limit_s: For each of two questions: who it is, and a word's vector.

        Raises:
            MoodreelError: As ``encode_texts``.
        """
        limit_s = min(self._settings.timeout_s, limit_s)
        told = self._read(HealthAnswer, self._line.look(HEALTH_PATH, limit_s=limit_s))
        self._take_scale(told)
        (answer,) = self._line.ask(TEXT_PATH, [text_part("a")], limit_s=limit_s)
        self._to_vectors([self._read(TextAnswer, answer).embedding])
        return told.version

    def _take_scale(self, told: HealthAnswer) -> None:
        """Scores come of the model's scale: that of another one would put every tag wrong."""
        if told.scale is None:
            return
        ours, theirs = self._space.calibration, told.scale.on(self._space.calibration)
        if not self._space.is_described:
            self._calibration = theirs
        elif not is_one_scale(ours, theirs):
            raise ConfigurationError(
                f"the encoder at {self._line.origin} has a model called {self.name} whose scores "
                f"are {describe_scale(theirs)}; those of the one here are {describe_scale(ours)}: "
                "these are two models, give one of them another name"
            )

    def encode_texts(self, texts: Sequence[str]) -> Float32:
        """Embed texts: ``(N, D)`` unit vectors, all within the time limit of texts.

        Raises:
            TransientError: It did not answer in time, or is busy.
            PermanentError: It answers with something else.
            ConfigurationError: It refuses us, or has another model.
        """
        if not texts:
            return self._nothing()
        new = {text: text_part(text) for text in texts}
        answers = self._ask(list(new.values()))
        rows = dict(zip(new, (self._read(TextAnswer, answer) for answer in answers), strict=True))
        return self._to_vectors([rows[text].embedding for text in texts])

    def encode_images(self, images: Sequence[UInt8], *, timeout_s: float | None = None) -> Float32:
        """Embed ``(H, W, 3)`` RGB pictures of any size: ``(N, D)`` unit vectors.

        They travel along without loss, so that the vectors are those of a model on this machine.

        Raises:
            ModelTimeoutError: Not done within the limit.
            TransientError: As ``encode_texts``; the others too.
        """
        if not len(images):
            return self._nothing()
        deadline = Deadline(timeout_s)
        rows: list[list[float]] = []
        for parts in batches_of([picture_part(image) for image in images]):
            left_s = deadline.left_s()
            limit_s = (
                self._settings.timeout_s
                if left_s is None
                else min(left_s, self._settings.timeout_s)
            )
            try:
                answer = self._line.ask_batch(BATCH_PATH, parts, limit_s=limit_s)
            except TransientError as error:
                if deadline.left_s() == 0.0:
                    raise ModelTimeoutError(
                        f"{self.name} at {self._line.origin}: not done within {timeout_s:g} s"
                    ) from error
                raise
            rows += self._read_batch(answer, len(parts))
        return self._to_vectors(rows)

    def _ask(self, parts: Sequence[Part]) -> Sequence[Json]:
        if time.monotonic() < self._rests_until_s:
            raise TransientError(f"{self._failure}; it is asked again in a few seconds")
        try:
            return self._line.ask(TEXT_PATH, parts, limit_s=self._text_timeout_s)
        except TransientError as error:
            self._failure, self._rests_until_s = str(error), time.monotonic() + self._rest_s
            raise

    def check(self) -> Sequence[Finding]:
        """Ask it which model it has, for ``moodreel doctor``. Blocks."""
        subject = "encoder"
        try:
            version = self.introduce()
        except MoodreelError as error:
            fix = f"start it, or empty {self._settings.setting}: then this machine's model serves"
            if isinstance(error, ConfigurationError):
                fix = ""  # it says by itself what to set
            return (
                Finding(subject=subject, severity=Severity.WARNING, message=str(error), fix=fix),
            )
        message = f"{self.name} on {self.device}, for {_USES[self._settings.remote_for]}"
        found = [Finding(subject=subject, severity=Severity.OK, message=message)]
        if version and self._space.version and version != self._space.version:
            found.append(
                Finding(
                    subject=subject,
                    severity=Severity.WARNING,
                    message=f"its files are {version}, and those here {self._space.version}: "
                    "vectors of other weights do not compare with those that are stored",
                    fix="have the same files on both machines, or give one model another name",
                )
            )
        return tuple(found)

    def close(self) -> None:
        """End its connections."""
        self._line.close()

    def _read(self, shape: type[IdentityT], answer: Json) -> IdentityT:
        try:
            read = shape.model_validate(answer)
        except ValidationError as error:
            wrong = sorted({str(detail["loc"][0]) for detail in error.errors() if detail["loc"]})
            raise PermanentError(
                f"{self._line.origin} answers otherwise than an encoder: {', '.join(wrong)}"
            ) from error
        self._check_model(read)
        self._device = read.device
        return read

    def _read_batch(self, answer: Json, count: int) -> Sequence[list[float]]:
        read = self._read(BatchAnswer, answer)
        if len(read.results) != count:
            raise PermanentError(
                f"{self._line.origin} answered {len(read.results)} pictures of {count}"
            )
        rows = []
        for result in read.results:
            if result.embedding is None:
                why = shown(result.error.message) if result.error else "no vector, no reason"
                raise PermanentError(f"{self._line.origin} cannot encode a picture: {why}")
            rows.append(result.embedding)
        return rows

    def _check_model(self, read: Identity) -> None:
        wanted = self._settings.model or self.name
        if wanted not in {read.model_name, f"{read.model_name}/{read.pretrained}"}:
            theirs = shown("/".join(filter(None, (read.model_name, read.pretrained))))
            raise ConfigurationError(
                f"the encoder at {self._line.origin} has the model {theirs}, but the vectors here "
                f"are of {self.name}, another space: give it that model (MOODREEL_VISUAL_MODEL), "
                "or set CLIP_MODEL to its name there if it is the same one"
            )

    def _to_vectors(self, rows: Sequence[Sequence[float]]) -> Float32:
        wanted = self._dimension or len(rows[0])
        found = {len(row) for row in rows} - {wanted}
        if found:
            raise ConfigurationError(
                f"the encoder at {self._line.origin} gives vectors of {found.pop()} numbers, but "
                f"{self.name} has {wanted}: it is another model, whatever it is called"
            )
        self._dimension = wanted
        return to_unit(np.array(rows, dtype=np.float32))

    def _nothing(self) -> Float32:
        return np.empty((0, self.dimension), dtype=np.float32)
