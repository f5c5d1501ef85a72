"""Puts this folder on the import path, so that tests can share their helpers, and keeps caches apart."""

import pytest


@pytest.fixture(scope="session")
def native_cache(tmp_path_factory):
    """Folder of compiled kernels for this test run; skips where there is no compiler."""
    from getsei.potentials.native import build

    try:
        build.compiler()
    except build.BuildError as error:
        pytest.skip(f"{error}; install g++ to run this test")
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GETSEI_CACHE", str(folder))
        yield folder
