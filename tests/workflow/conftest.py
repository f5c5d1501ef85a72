import pytest
import sandbox


@pytest.fixture
def workflow(tmp_path):
    """A copy of the workflow, away from the user's results."""
    return sandbox.copy(tmp_path)
