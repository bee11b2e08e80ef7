"""What ``moodreel models calibrate`` does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from adapters.media.reader import ProcessReader
from adapters.media.settings import ReaderSettings
from adapters.media_servers.files import describe_files
from adapters.models import calibrations
from adapters.models.calibrations import Calibrations, Measured
from adapters.models.fingerprints import fingerprint
from adapters.models.inventory import find, hears_with_its_eyes, locate_model
from adapters.models.settings import OFF, ModelSettings
from adapters.models.spec import JointSpec, SoundSpec, SoundTextSpec
from service.calibrate import Calibrator, Outcome, Report, Told
from service.domain import MediaItem
from service.errors import ConfigurationError
from service.settings import DetectionSettings
from service.vocabulary import load_vocabulary
from service.wiring.borrowing import open_analysis_shelf
from service.wiring.examiner import open_shelf


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """A calibration of the configured models, or of one that was named."""

    items: Sequence[MediaItem]
    calibrator: Calibrator
    models: ModelSettings

    async def measure(self, told: Told) -> Report:
        """Look at all items and listen to them."""
        return await self.calibrator.measure(self.items, told)

    def keep(self, report: Report) -> list[Path]:
        """Keep what was measured beside the models; return the files.

        Raises:
            ConfigurationError: Nothing can be written there.
        """
        models = self.models
        ears = models.sound_text_model
        if hears_with_its_eyes(models):
            ears = models.visual_model
        wanted = [
            (models.visual_model, Calibrations(pictures=_measured(report.pictures))),
            (ears, Calibrations(sounds=_measured(report.sounds))),
        ]
        try:
            paths = [
                calibrations.save(models.models_dir, fingerprint(locate_model(models, name)), found)
                for name, found in wanted
                if found != Calibrations()
            ]
        except OSError as error:
            raise ConfigurationError(f"MOODREEL_MODELS_DIR: {error}") from error
        return list(dict.fromkeys(paths))


@asynccontextmanager
async def open_calibration(
    directory: Path, *, model: str | None = None
) -> AsyncIterator[Calibration]:
    """The media of a directory, and what measures them.

    Raises:
        ConfigurationError: The model is unknown or cannot be calibrated, or no media are there.
        MissingModelError: The model's directory does not exist.
    """
    models = ModelSettings.read()
    if model is not None:
        models = _only(models, model)
    items = describe_files([directory])
    if not items:
        raise ConfigurationError(f"no media in {directory}")
    async with AsyncExitStack() as stack:
        shelf = open_analysis_shelf(stack, open_shelf(stack, models), models)
        calibrator = Calibrator(
            reader=ProcessReader(ReaderSettings.read()),
            shelf=shelf,
            vocabulary=load_vocabulary(DetectionSettings.read().vocabulary_dir),
            pool=stack.enter_context(ThreadPoolExecutor(1, thread_name_prefix="senses")),
        )
        yield Calibration(items=items, calibrator=calibrator, models=models)


def _only(models: ModelSettings, name: str) -> ModelSettings:
    """The settings with one model in every place that it can take, and no other."""
    match find(models, name).spec:
        case SoundSpec():
            raise ConfigurationError(
                f"{name} is a sound tagger: its classes have thresholds of their own; a "
                "picture-and-text or sound-and-text model can be calibrated"
            )
        case SoundTextSpec():
            chosen = {"visual_model": OFF, "sound_text_model": name}
        case JointSpec():
            chosen = {"visual_model": name, "sound_text_model": name}
        case _:
            chosen = {"visual_model": name, "sound_text_model": OFF}
    return models.model_copy(update=chosen)


def _measured(outcome: Outcome | None) -> Measured | None:
    if outcome is None or outcome.after is None or outcome.after.flat_range is None:
        return None
    return Measured(
        centre=outcome.after.centre,
        flat_range=outcome.after.flat_range,
        item_count=outcome.item_count,
        moment_count=outcome.moment_count,
    )
