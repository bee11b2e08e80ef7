"""The wheel holds all that runs, and nothing else."""

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_wheel_holds_the_three_packages_with_their_data(tmp_path):
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    packages = ("service", "adapters", "publisher")
    wanted = {
        path.relative_to(ROOT).as_posix()
        for package in packages
        for path in (ROOT / package).rglob("*")
        if path.suffix in {".py", ".sql", ".yaml", ".csv"}
    }
    assert wanted <= names
    assert {name.split("/")[0] for name in names} == {*packages, "moodreel-0.1.0.dist-info"}
    assert not [name for name in names if "__pycache__" in name]
