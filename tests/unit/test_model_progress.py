"""Progress is drawn in a terminal, and nowhere else."""

from __future__ import annotations

import io

from rich.console import Console

from adapters.models.progress import show_progress


def test_a_terminal_sees_each_file_and_how_far_it_is():
    drawn = io.StringIO()
    with show_progress(Console(file=drawn, force_terminal=True, width=120)) as report:
        report("vision_model.onnx", 50_000_000, 100_000_000)
        report("vision_model.onnx", 100_000_000, 100_000_000)
        report("tokenizer.json", 1000, None)
    assert "vision_model.onnx" in drawn.getvalue()
    assert "100.0/100.0 MB" in drawn.getvalue()
    assert "tokenizer.json" in drawn.getvalue()


def test_a_pipe_sees_nothing():
    drawn = io.StringIO()
    with show_progress(Console(file=drawn, force_terminal=False)) as report:
        report("vision_model.onnx", 1, 2)
    assert drawn.getvalue().strip() == ""
