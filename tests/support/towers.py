"""The towers of CLIP ViT-B/32 with random weights: their true shape, and so their true cost."""

from __future__ import annotations

from pathlib import Path


def export_vit_b_32(path: Path, *, seed: int = 0) -> Path:
    """Write the tower as ONNX: ``pixel_values`` (b, 3, 224, 224) to ``image_embeds`` (b, 512).

    Needs the extra ``[export]``. The defaults of transformers' ``CLIPVisionConfig`` are ViT-B/32.
    """
    import torch
    from transformers import (
        CLIPVisionConfig,
        CLIPVisionModelWithProjection,
    )

    torch.manual_seed(seed)
    model = CLIPVisionModelWithProjection(CLIPVisionConfig(projection_dim=512)).eval()

    class Tower(torch.nn.Module):  # type: ignore[misc]  # torch ships no types to us
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
            return self.model(pixel_values).image_embeds

    torch.onnx.export(
        Tower(),
        (torch.zeros(2, 3, 224, 224),),
        str(path),
        input_names=["pixel_values"],
        output_names=["image_embeds"],
        dynamic_axes={"pixel_values": {0: "batch"}, "image_embeds": {0: "batch"}},
        opset_version=17,
        dynamo=False,
    )
    return path


def export_text_tower(path: Path, *, width: int, seed: int = 0) -> Path:
    """Write the tower of texts as ONNX: ``input_ids`` (b, L) to ``text_embeds`` (b, width).

    Needs the extra ``[export]``. The defaults of transformers' ``CLIPTextConfig`` are ViT-B/32.
    """
    import torch
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    torch.manual_seed(seed)
    model = CLIPTextModelWithProjection(CLIPTextConfig(projection_dim=width)).eval()

    class Tower(torch.nn.Module):  # type: ignore[misc]  # torch ships no types to us
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
            return self.model(input_ids).text_embeds

    torch.onnx.export(
        Tower(),
        (torch.ones(2, 16, dtype=torch.int64),),
        str(path),
        input_names=["input_ids"],
        output_names=["text_embeds"],
        dynamic_axes={"input_ids": {0: "batch", 1: "sequence"}, "text_embeds": {0: "batch"}},
        opset_version=17,
        dynamo=False,
    )
    return path


def quantize(source: Path, path: Path) -> Path:
    """Write the same graph with its MatMuls quantised dynamically to 8 bits."""
    from onnxruntime.quantization import (
        QuantType,
        quantize_dynamic,
    )

    quantize_dynamic(source, path, weight_type=QuantType.QUInt8, op_types_to_quantize=["MatMul"])
    return path
