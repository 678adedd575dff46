"""Preparation and packing on a cluster of Ray give what one process gives."""

import os
import secrets
import tempfile

import joblib
import numpy as np
import pytest
import soundfile as sf
from slakh_folder import write_song

from asteroid_scoresup.data import Manifest, write_shards
from asteroid_scoresup.data.prepare import prepare
from asteroid_scoresup.utils.parallel import run_parallel

ray = pytest.importorskip("ray")

# The processes cannot import the tests, so they evaluate a string.
WHERE = "(__import__('ray').is_initialized(), __import__('os').getpid())"


@pytest.fixture
def ray_cluster(monkeypatch):
    """A local cluster of two processors, as joblib's backend."""
    from ray.util.joblib import register_ray

    # Otherwise Ray writes a token to the home folder, and asks a server for its own version.
    monkeypatch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    # The paths of its sockets have at most 107 characters, which `tmp_path` would use up.
    with tempfile.TemporaryDirectory(prefix="ray") as folder:
        ray.init(
            num_cpus=2, object_store_memory=80_000_000, include_dashboard=False, _temp_dir=folder
        )
        try:
            register_ray()
            yield
        finally:
            ray.shutdown()


@pytest.mark.slow
def test_ray_prepares_what_one_process_prepares(tmp_path, ray_cluster):
    for number in range(2):
        write_song(tmp_path / "in" / "train" / f"Track{number:05d}", seed=number)
    reports = {"alone": prepare(tmp_path / "in", tmp_path / "alone", jobs=1, progress=False)}
    with joblib.parallel_config(backend="ray"):
        reports["cluster"] = prepare(tmp_path / "in", tmp_path / "cluster", progress=False)
        packed = write_shards(
            Manifest.load(tmp_path / "cluster"), tmp_path / "shards", progress=False
        )
        ((_, (in_ray, process)),) = run_parallel(eval, [WHERE])
    assert in_ray and process != os.getpid()

    files = {
        name: sorted(p.relative_to(tmp_path / name) for p in (tmp_path / name).rglob("*.*"))
        for name in reports
    }
    assert files["cluster"] == files["alone"]
    assert sum(path.name == "mixture.wav" for path in files["alone"]) == 2
    for path in files["alone"]:
        alone, cluster = (tmp_path / name / path for name in reports)
        if path.suffix == ".wav":  # whose headers have the time of writing
            np.testing.assert_array_equal(sf.read(alone)[0], sf.read(cluster)[0])
        elif path.name != "report.json":
            assert alone.read_bytes() == cluster.read_bytes()
    for report in reports.values():
        del report["output"]
    assert reports["cluster"] == reports["alone"]
    assert packed["tracks"] == 2
    prepared = Manifest.load(tmp_path / "cluster")
    assert Manifest.load(tmp_path / "shards").fingerprint() == prepared.fingerprint()
