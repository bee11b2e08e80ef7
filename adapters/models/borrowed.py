"""Analyses by the picture model of another machine, with this machine's own to stand in.

Nothing is lost when the other machine sleeps: where the model's files are here too, this machine
goes on by itself; where they are not, what is being analysed waits, at no attempt's cost.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from adapters.models.inventory import find, open_hub
from adapters.models.opening import HearingEncoder, PictureEncoder
from adapters.models.remote import RemoteEncoder
from adapters.models.settings import ModelSettings
from adapters.models.shelf import Shelf
from adapters.models.texts import TextMemory
from adapters.models.towers import Deadline, batches
from adapters.models.yamnet import YamnetTagger
from service.domain import Calibration, Finding, Float32, Severity, UInt8
from service.errors import ConfigurationError, MissingModelError, MoodreelError, TransientError

logger = logging.getLogger(__name__)

AGAIN_S = 60.0
"""After which what waits is tried again: a machine that was woken is there within a minute."""
PATIENCE_S = 20.0
"""For which a batch is asked again before its item waits: a server that restarts needs ten seconds
to load its model, and an item that begins anew is decoded anew."""
PAUSE_S = 1.0
LOOK_S = 2.0
"""For each of two looks whether it is there, after a batch failed: both fit into the five seconds
by which a model may exceed a scene's limit."""
TEXTS_AT_ONCE = 32
"""A text takes a slow processor 100 ms: so many are within the time limit."""


class BorrowedEncoder:
    """The port ``Encoder`` for analyses. May be used from several threads; its methods block.

    Args:
        remote: The model on the other machine.
        memory: Keeps vectors of texts: a vocabulary has about a thousand.
        note: Told why the other machine cannot be used; told nothing when it can.
        stand_in: The same model on this machine, where its files are here.
        patience_s: For how long a batch is asked again where nobody stands in.
    """

    def __init__(
        self,
        remote: RemoteEncoder,
        memory: TextMemory,
        note: Callable[[str], None],
        *,
        stand_in: PictureEncoder | None = None,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._remote = remote
        self._memory = memory
        self._note = note
        self._patience_s = patience_s
        self._closed = threading.Event()
        self.stand_in = stand_in

    @property
    def name(self) -> str:
        return self._remote.name

    @property
    def dimension(self) -> int:
        return self._remote.dimension

    @property
    def calibration(self) -> Calibration:
        return self._remote.calibration

    @property
    def device(self) -> str:
        """What it runs on there. Where that is, no reader of an analysis needs to know."""
        return f"{self._remote.device.partition(' at ')[0]}, borrowed"

    def encode_texts(self, texts: Sequence[str]) -> Float32:
        """Embed texts: ``(N, D)`` unit vectors; only those never seen before are asked for.

        Raises:
            TransientError: The other machine is away, and nobody stands in.
        """
        if not texts:
            return self._remote.encode_texts(texts)
        return self._memory.recall(texts, self._ask_texts)

    def encode_images(self, images: Sequence[UInt8], *, timeout_s: float | None = None) -> Float32:
        """Embed ``(H, W, 3)`` RGB pictures: ``(N, D)`` unit vectors.

        Raises:
            ModelTimeoutError: Not done within the limit although the other machine is there.
            TransientError: As ``encode_texts``; or it is there, and cannot encode just these.
        """
        deadline, patience = Deadline(timeout_s), Deadline(self._patience_s)
        while True:
            try:
                rows = self._remote.encode_images(images, timeout_s=deadline.left_s())
            except MoodreelError as error:
                why = self._judge(error)
                if self.stand_in is not None:
                    return self.stand_in.encode_images(images, timeout_s=deadline.left_s())
                is_over = 0.0 in {patience.left_s(), deadline.left_s()}
                if why is error or is_over or self._closed.wait(PAUSE_S):
                    raise why from error
            else:
                self._note("")
                return rows

    def close(self) -> None:
        """Have nobody wait any longer. What it was made of is others'."""
        self._closed.set()

    def _ask_texts(self, texts: Sequence[str]) -> Float32:
        return np.concatenate([self._ask_some(some) for some in batches(texts, TEXTS_AT_ONCE)])

    def _ask_some(self, texts: Sequence[str]) -> Float32:
        try:
            return self._remote.encode_texts(texts)
        except MoodreelError as error:
            why = self._judge(error)
            if self.stand_in is not None:
                return self.stand_in.encode_texts(texts)
            raise why from error

    def _judge(self, error: MoodreelError) -> MoodreelError:
        """Why it did not encode; the error itself where it is there and has reasons of its own."""
        if self._closed.is_set():
            return error
        is_busy = isinstance(error, TransientError) and error.retry_after_s is not None
        if isinstance(error, ConfigurationError) or is_busy:
            return _tell_away(error, self._note)
        try:
            self._remote.introduce(LOOK_S)
        except MoodreelError as other:
            return _tell_away(other, self._note)
        return error


class BorrowedShelf:
    """The port ``ModelShelf`` for analyses: pictures are encoded elsewhere, all else here.

    Args:
        shelf: This machine's models.
        settings: Their names.
        remote: The picture model on the other machine.
        patience_s: As of ``BorrowedEncoder``.
    """

    def __init__(
        self,
        shelf: Shelf,
        settings: ModelSettings,
        remote: RemoteEncoder,
        *,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._shelf = shelf
        self._settings = settings
        self._remote = remote
        self._patience_s = patience_s
        self._encoders: dict[str, BorrowedEncoder] = {}
        self._absence = ""

    async def open_encoder(self) -> BorrowedEncoder | PictureEncoder:
        """The borrowed model; this machine's own while that one cannot be used.

        Raises:
            TransientError: It cannot be used now, and its files are not here: no attempt counts.
        """
        stand_in = None
        if await asyncio.to_thread(self._is_here):
            stand_in = await self._shelf.open_encoder()
        try:
            version = await asyncio.to_thread(self._remote.introduce)
        except MoodreelError as error:
            away = _tell_away(error, self._note)
            if stand_in is not None:
                return stand_in
            raise away from error
        self._note("")
        if version not in self._encoders:
            self._encoders[version] = BorrowedEncoder(
                self._remote, self._memory(version), self._note, patience_s=self._patience_s
            )
        self._encoders[version].stand_in = stand_in
        return self._encoders[version]

    async def open_tagger(self) -> YamnetTagger:
        return await self._shelf.open_tagger()

    async def open_sound_encoder(self) -> HearingEncoder:
        return await self._shelf.open_sound_encoder()

    @property
    def fingerprint(self) -> str:
        """That of this machine's settings: who of the two encodes makes no difference."""
        return self._shelf.fingerprint

    async def check(self) -> Sequence[Finding]:
        """Which models are here. Where the picture model is not, it only has no stand-in."""
        findings = await self._shelf.check()
        return [self._soften(finding) for finding in findings]

    async def aclose(self) -> None:
        """Have nobody wait any longer. This machine's models, and the line, are their owners'."""
        for encoder in self._encoders.values():
            encoder.close()

    def _is_here(self) -> bool:
        """Nothing is fetched for a stand-in: whoever borrows may have no room for it."""
        try:
            model = find(self._settings, self._settings.visual_model)
        except MissingModelError:
            return False
        hub = open_hub(self._settings)
        return all(hub.locate(model, file) for file in model.files)

    def _memory(self, version: str) -> TextMemory:
        """Named by the files there: other ones make other vectors."""
        digest = hashlib.sha256(f"borrowed {version}".encode()).hexdigest()[:16]
        name = re.sub(r"[^\w.-]", "-", self._remote.name)
        return TextMemory(self._settings.models_dir / "texts" / f"{name}-{digest}.npz")

    def _soften(self, finding: Finding) -> Finding:
        is_borrowed = finding.subject == f"models/{self._remote.name}"
        if not is_borrowed or finding.severity is not Severity.WARNING:
            return finding
        message = (
            "borrowed; its files are not here, so analyses wait while the other machine is off"
        )
        return replace(finding, severity=Severity.OK, message=message, fix="")

    def _note(self, absence: str) -> None:
        """Say it once when the other machine goes, and once when it is back."""
        was_away, self._absence = bool(self._absence), absence
        if absence and not was_away:
            logger.warning(
                "The borrowed model cannot be used",
                extra={"action": "borrowed_model_away", "reason": absence},
            )
        elif was_away and not absence:
            logger.info("The borrowed model is back", extra={"action": "borrowed_model_back"})


def _tell_away(error: MoodreelError, note: Callable[[str], None]) -> TransientError:
    """Whatever keeps the other machine from encoding, the item is not to blame."""
    note(str(error))
    return TransientError(
        f"the borrowed model cannot be used now: {error}",
        retry_after_s=AGAIN_S,
        costs_attempt=False,
    )
