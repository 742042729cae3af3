from pathlib import Path

import pytest

from tests.packaging.distribution import build_sdist, build_wheel_from


@pytest.fixture(scope="session")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_sdist(tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="session")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel_from(sdist, tmp_path_factory.mktemp("wheel"))
