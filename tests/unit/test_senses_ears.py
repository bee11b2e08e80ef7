"""What is left of sound that was listened to, by what its models do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from service.detection.moments import Moments
from service.domain import AudioWindow, Calibration, Frame, MediaInfo, SamplePlan, ScoreKind
from service.errors import ConfigurationError, ModelTimeoutError, TransientError
from service.ports import NO_LOOKS
from service.senses import Ears

NO_FRAMES: tuple[Frame, ...] = ()


class Tape:
    """An open medium that is nothing but sound, made up as it is read."""

    def __init__(self, duration_s: float, *, silent_from_s: float = 1e9) -> None:
        self.info = MediaInfo(duration_s=duration_s, container="tape")
        self.warnings = ()
        self.rate_hz = 0
        self._silent_from_s = silent_from_s

    async def read_audio(
        self, *, sample_rate_hz: int, window_s: float, hop_s: float
    ) -> AsyncIterator[AudioWindow]:
        self.rate_hz = sample_rate_hz
        for start_s in np.arange(0.0, self.info.duration_s, hop_s):
            length_s = min(window_s, self.info.duration_s - start_s)
            times_s = np.arange(round(length_s * sample_rate_hz)) / sample_rate_hz
            samples = 0.3 * np.sin(2 * np.pi * 440 * times_s)
            if start_s >= self._silent_from_s:
                samples *= 0.0
            yield AudioWindow(
                start_s=float(start_s),
                samples=samples.astype(np.float32),
                sample_rate_hz=sample_rate_hz,
            )

    has_storyboard = False

    async def list_keyframes(self) -> Sequence[float]:
        return ()

    async def read_keyframes(
        self, *, max_gap_s: float = 12.0, looks: SamplePlan = NO_LOOKS
    ) -> AsyncIterator[Frame]:
        for frame in NO_FRAMES:
            yield frame

    async def read_frames(self, plan: SamplePlan) -> AsyncIterator[Frame]:
        for frame in NO_FRAMES:
            yield frame


class Listener:
    """A sound encoder that keeps what it is given; raises what it is told to."""

    name, dimension, device, window_s, is_joint = "listener", 2, "cpu", 10.0, False
    sound_calibration = Calibration(kind=ScoreKind.SOFTMAX, logit_scale=20.0)

    def __init__(self, *, sample_rate_hz: int = 48_000, errors=()) -> None:
        self.sample_rate_hz = sample_rate_hz
        self.heard: list[np.ndarray] = []
        self.limits: list[float | None] = []
        self._errors = list(errors)

    def encode_sounds(self, windows, *, timeout_s=None):
        self.heard += windows
        self.limits.append(timeout_s)
        error = self._errors.pop(0) if self._errors else None
        if isinstance(error, Exception):
            raise error
        if error is not None:
            return np.full((len(windows), 2), error, np.float32)
        return np.tile(np.array([[1.0, 0.0]], np.float32), (len(windows), 1))

    def encode_texts(self, texts):
        return np.tile(np.array([[1.0, 0.0]], np.float32), (len(texts), 1))


class Tagger:
    name, labels, sample_rate_hz = "tagger", ("Tone", "Noise"), 16_000

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def score_window(self, samples):
        self.sizes.append(samples.size)
        return np.tile(np.array([[0.9, 0.1]], np.float32), (10, 1))


async def listened(ears: Ears, tape: Tape, listener: Listener) -> Moments:
    heard = await ears.listen(tape, None, listener)
    assert heard.moments is not None
    assert len(heard.signals) == 2 * tape.info.duration_s
    return heard.moments


@pytest.fixture
def pool():
    with ThreadPoolExecutor(1) as executor:
        yield executor


async def test_each_model_hears_at_its_own_rate_from_one_reading(pool):
    tape, listener, tagger = Tape(25.0), Listener(), Tagger()

    heard = await Ears(pool).listen(tape, tagger, listener)

    assert tape.rate_hz == 48_000
    assert [len(samples) for samples in listener.heard] == [480_000, 480_000, 240_000]
    assert tagger.sizes == [160_000, 160_000, 80_000]
    assert heard.moments is not None
    assert heard.moments.encode_ms is not None
    assert heard.moments.times_s.tolist() == [5.0, 15.0, 22.5]
    assert heard.moments.vectors.shape == (3, 1, 2)
    assert (heard.moments.encode_ms >= 0.0).all()
    assert {window.sample_rate_hz for window in heard.windows} == {16_000}


async def test_a_tone_keeps_its_height_when_it_is_resampled(pool):
    listener = Listener(sample_rate_hz=16_000)

    class Wide(Tagger):
        sample_rate_hz = 48_000

    await Ears(pool).listen(Tape(10.0), Wide(), listener)

    spectrum = np.abs(np.fft.rfft(listener.heard[0]))
    assert np.argmax(spectrum) * 16_000 / 160_000 == pytest.approx(440.0, abs=0.1)


async def test_without_models_it_listens_all_the_same(pool):
    tape = Tape(10.0)

    heard = await Ears(pool).listen(tape, None, None)

    assert tape.rate_hz == 16_000
    assert len(heard.signals) == 20
    assert heard.sounds is None
    assert heard.moments is None


async def test_scores_that_are_no_numbers_say_nothing(pool):
    class Numb(Tagger):
        def score_window(self, samples):
            scores = super().score_window(samples)
            return scores if len(self.sizes) > 1 else scores * np.nan

    heard = await Ears(pool).listen(Tape(20.0), Numb(), None)

    assert heard.sounds is not None
    assert heard.sounds.score(["Tone"])[[0, -1]] == pytest.approx([0.0, 0.9])
    assert np.isfinite(heard.sounds.scores).all()


async def test_silence_is_not_encoded(pool):
    listener = Listener()

    moments = await listened(Ears(pool), Tape(40.0, silent_from_s=10.0), listener)

    assert moments.times_s.tolist() == [5.0]


async def test_a_long_item_is_encoded_at_even_distances(pool):
    listener = Listener(sample_rate_hz=16_000)

    moments = await listened(Ears(pool, encoded_windows=4), Tape(100.0), listener)

    assert moments.times_s.tolist() == [5.0, 35.0, 65.0, 95.0]


async def test_a_window_that_takes_too_long_has_no_vector_and_the_rest_has(pool):
    listener = Listener(errors=[None, ModelTimeoutError("took longer than 2 s"), None])

    moments = await listened(Ears(pool, window_timeout_s=2.0), Tape(30.0), listener)

    assert listener.limits == [2.0, 2.0, 2.0]
    assert moments.times_s.tolist() == [5.0, 25.0]
    assert [(one.time_s, one.error) for one in moments.failures] == [(15.0, "took longer than 2 s")]


async def test_a_model_that_fails_three_times_in_a_row_is_not_asked_again(pool):
    listener = Listener(errors=[TransientError("device lost")] * 3)

    moments = await listened(Ears(pool), Tape(100.0), listener)

    assert len(listener.heard) == 3
    assert moments.vectors.shape == (0, 1, 2)
    assert len(moments.failures) == 10


async def test_a_vector_that_is_no_number_is_a_failure(pool):
    listener = Listener(errors=[np.nan])

    moments = await listened(Ears(pool), Tape(20.0), listener)

    assert moments.times_s.tolist() == [15.0]
    assert [one.time_s for one in moments.failures] == [5.0]


async def test_a_model_that_is_set_up_wrongly_is_an_error(pool):
    listener = Listener(errors=[ConfigurationError("takes other inputs")])

    with pytest.raises(ConfigurationError):
        await Ears(pool).listen(Tape(10.0), None, listener)


async def test_reading_ends_with_the_listening_that_failed(pool):
    class Held(Tape):
        is_held = False

        async def read_audio(self, **wanted):
            self.is_held = True
            try:
                async for window in super().read_audio(**wanted):
                    yield window
            finally:
                self.is_held = False

    tape = Held(100.0)

    with pytest.raises(ConfigurationError) as caught:
        await Ears(pool).listen(tape, None, Listener(errors=[ConfigurationError("takes others")]))

    assert caught.value is not None, "whose traceback keeps what was being read"
    assert not tape.is_held
