"""docs/explanation/models.md: every model with the size and the licence that the catalog has."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters.models.catalog import ROWS

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "models.md"
TABLE = PAGE.read_text().split("## All of them")[1].split("\n## ")[0]


@pytest.mark.parametrize("model", ROWS, ids=lambda model: model.name)
def test_each_model_is_shown_with_its_download_and_its_licence(model):
    (row,) = [line for line in TABLE.splitlines() if line.startswith(f"| `{model.name}`")]
    _, name, download, licence, *_ = (cell.strip() for cell in row.split("|"))
    sizes_bytes = [file.size_bytes for file in model.files]
    known_mb = round(sum(size or 0 for size in sizes_bytes) / 1e6)
    if None not in sizes_bytes or known_mb > 500:
        assert download == f"{known_mb} MB"
    else:
        assert download == (f"more than {known_mb} MB" if known_mb else "not known before")
    assert licence.startswith(model.licence)
    assert ("research only" in licence) == model.is_research_only
    assert ("8 bit" in name) == ("8 bit" in model.summary)


def test_no_other_models_are_shown():
    shown = {line.split("`")[1] for line in TABLE.splitlines() if line.startswith("| `")}
    assert shown == {model.name for model in ROWS}
