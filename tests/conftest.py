"""What all tests share: hypothesis profiles, and the mark that needs a GPU."""

import atexit
import os
import shutil
import subprocess
import tempfile

import hypothesis
import pytest

hypothesis.settings.register_profile(
    "default", max_examples=60, deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.register_profile("long", max_examples=1000, deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # threads of tests side by side would wait for each other's cores
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "2")  # which the tests of `threads.one` take for one
    # studies on one device give way to each other; tests side by side do not
    os.environ["TMPDIR"] = tempfile.tempdir = tempfile.mkdtemp(prefix="gh-")
    os.chmod(tempfile.tempdir, 0o755)  # PostgreSQL's own user looks for its files there
    atexit.register(shutil.rmtree, tempfile.tempdir, ignore_errors=True)


def _has_gpu() -> bool:
    if shutil.which("nvidia-smi") is None or os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return False
    found = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)
    return found.returncode == 0 and "GPU" in found.stdout


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not any(item.get_closest_marker("gpu") for item in items) or _has_gpu():
        return
    skip = pytest.mark.skip(reason="marked gpu, and there is none")
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(skip)
