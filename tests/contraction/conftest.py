from pathlib import Path

import pytest
from filelock import FileLock

from trlkit.contraction import native


@pytest.fixture(scope="session")
def built():
    """The native step, which is compiled once for all workers, and kept for the next run."""
    if lacks := native._lacks():
        pytest.skip(lacks)
    folder = Path(__file__).parents[2] / "build" / "torch_extensions"
    folder.mkdir(parents=True, exist_ok=True)
    with pytest.MonkeyPatch.context() as patch, FileLock(folder / "lock"):
        patch.setenv("TORCH_EXTENSIONS_DIR", str(folder))
        patch.delenv(native.VARIABLE, raising=False)
        native.build()
        native.module.cache_clear()  # what it was before, in the user's own folder
        found = native.module()
    native.module.cache_clear()
    assert found is not None
    return found
