"""Builds the distribution as a release does, sdist first and the wheel from it, in a folder of the test run."""

import subprocess
import sys
import tarfile
import zipfile
from email import message_from_string
from email.message import Message
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def build_sdist(folder: Path) -> Path:
    _hatchling("sdist", ROOT, folder)
    [sdist] = folder.glob("*.tar.gz")
    return sdist


def build_wheel_from(sdist: Path, folder: Path) -> Path:
    with tarfile.open(sdist) as archive:
        if hasattr(tarfile, "data_filter"):  # Python 3.11 has it from 3.11.4 on
            archive.extraction_filter = tarfile.data_filter
        archive.extractall(folder)
    [source] = [path for path in folder.iterdir() if path.is_dir()]
    _hatchling("wheel", source, folder)
    [wheel] = folder.glob("*.whl")
    return wheel


def metadata_of(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return message_from_string(archive.read(name).decode("utf-8"))


def _hatchling(target: str, source: Path, folder: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", folder],
        cwd=source,
        check=True,
        capture_output=True,
    )
