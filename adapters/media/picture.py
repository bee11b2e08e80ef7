"""From a decoded frame to a small upright RGB picture with square pixels."""

from __future__ import annotations

from functools import lru_cache

import av
import av.filter
import numpy as np
import numpy.typing as npt
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from service.domain import Float32, UInt8

PQ, HLG = 16, 18
"""Transfer characteristics of HDR (ITU-T H.273, table 3): SMPTE ST 2084 and ARIB STD-B67."""
UNSPECIFIED = 2
HD_LINES = 720
"""From here on, a stream that does not name its colours means BT.709; below, BT.601."""

REFERENCE_WHITE_NITS = 203.0
"""What diffuse white measures in HDR (ITU-R BT.2408, table 1)."""
PEAK_NITS = 1000.0
"""Nominal peak for which most HDR is graded; it maps to full white."""

BT2020_TO_BT709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]],
    dtype=np.float32,
)
"""ITU-R BT.2087, linear light."""
BT2020_LUMA = np.array([0.2627, 0.6780, 0.0593], dtype=np.float32)


class PictureMaker:
    """Makes pictures of one video stream's frames.

    An interlaced frame gives the lines of its upper field alone: at this size nothing is lost,
    no moving edge is combed, and no neighbouring frames are needed, which a coarse pass has not.

    Args:
        short_side_px: Pictures are scaled down to it, never up.
        sample_aspect_ratio: Width of a pixel over its height.
        rotation_deg: Clockwise turn to be applied.
    """

    def __init__(
        self, *, short_side_px: int, sample_aspect_ratio: float = 1.0, rotation_deg: int = 0
    ) -> None:
        self._short_side_px = short_side_px
        self._sample_aspect_ratio = sample_aspect_ratio
        self._quarter_turns = rotation_deg // 90
        self._scaler = VideoReformatter()
        self._field_filter: tuple[tuple[object, ...], av.filter.Graph] | None = None

    def make(self, frame: av.VideoFrame) -> UInt8:
        """Scale, convert and turn: ``(H, W, 3)`` RGB."""
        width, height = self._size(frame.width, frame.height)
        is_unnamed_hd = frame.colorspace == UNSPECIFIED and frame.height >= HD_LINES
        space = Colorspace.ITU709 if is_unnamed_hd else None
        if frame.interlaced_frame:
            frame = self._upper_field(frame)

        def scale(form: str) -> av.VideoFrame:
            return self._scaler.reformat(
                frame,
                width=width,
                height=height,
                format=form,
                interpolation=Interpolation.AREA,  # a third faster than bilinear, and as good
                src_colorspace=space,
                dst_color_range=ColorRange.JPEG,
                threads=1,
            )

        if frame.color_trc in {PQ, HLG}:
            wide = scale("rgb48le").to_ndarray()
            image = tone_map(wide.astype(np.uint16, copy=False), frame.color_trc)
        else:
            small = scale("rgb24").to_ndarray()
            image = small.astype(np.uint8, copy=False)
        return np.ascontiguousarray(np.rot90(image, -self._quarter_turns))

    def _size(self, width: int, height: int) -> tuple[int, int]:
        """The size to scale to, before the picture is turned."""
        shown = width * self._sample_aspect_ratio
        factor = min(1.0, self._short_side_px / min(shown, height))
        return max(1, round(shown * factor)), max(1, round(height * factor))

    def _upper_field(self, frame: av.VideoFrame) -> av.VideoFrame:
        key = (frame.width, frame.height, frame.format.name)
        if self._field_filter is None or self._field_filter[0] != key:
            graph = av.filter.Graph()
            source = graph.add_buffer(
                width=frame.width,
                height=frame.height,
                format=frame.format,
                time_base=frame.time_base,
            )
            graph.link_nodes(source, graph.add("field", "type=top"), graph.add("buffersink"))
            graph.configure()
            self._field_filter = (key, graph)
        graph = self._field_filter[1]
        graph.vpush(frame)
        return graph.vpull()


def tone_map(image: npt.NDArray[np.uint16], transfer: int) -> UInt8:
    """Bring an HDR picture into the range of an ordinary one.

    Extended Reinhard on the brightest channel (Reinhard et al. 2002, eq. 4), which keeps hues;
    diffuse white lands a little below full white.

    Args:
        image: ``(H, W, 3)`` BT.2020 RGB, PQ or HLG coded, 16 bits.
        transfer: ``PQ`` or ``HLG``.

    Returns:
        ``(H, W, 3)`` BT.709 RGB, gamma coded, 8 bits.
    """
    light = _light_of_codes(transfer)[image]
    if transfer == HLG:
        scene = light @ BT2020_LUMA
        light = light * np.power(np.maximum(scene, 1e-6), 0.2)[..., None] * PEAK_NITS
    light = np.maximum(light @ BT2020_TO_BT709.T, 0.0) / REFERENCE_WHITE_NITS
    brightest = np.maximum(light.max(axis=-1, keepdims=True), 1e-6)
    white = PEAK_NITS / REFERENCE_WHITE_NITS
    mapped = light * (1.0 + brightest / white**2) / (1.0 + brightest)
    coded = np.power(np.clip(mapped, 0.0, 1.0), 1 / 2.2)
    return np.asarray(np.rint(coded * 255), dtype=np.uint8)


@lru_cache(maxsize=2)
def _light_of_codes(transfer: int) -> Float32:
    """Light for each of the 65,536 codes: nits for PQ, scene light in [0, 1] for HLG."""
    code = np.linspace(0.0, 1.0, 65_536)
    if transfer == PQ:  # SMPTE ST 2084, section 5.2
        m1, m2 = 2610 / 16384, 2523 / 4096 * 128
        c1, c2, c3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
        power = code ** (1 / m2)
        light = 10_000 * (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1)
    else:  # ARIB STD-B67; ITU-R BT.2100, table 5
        a, b, c, knee = 0.17883277, 0.28466892, 0.55991073, 0.5
        light = np.where(code <= knee, code**2 / 3, (np.exp((code - c) / a) + b) / 12)
    return light.astype(np.float32)
