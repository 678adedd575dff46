"""`benchmarks/gpu.py`, tried on a CPU with tiny sizes."""

import json
import math
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from tiny import write_folder

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def modules():
    """The modules `gpu` and `gpu_parts`."""
    before = torch.get_float32_matmul_precision()
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import gpu
        import gpu_parts

        yield gpu, gpu_parts
    finally:
        sys.path.remove(str(BENCHMARKS))
        torch.set_float32_matmul_precision(before)


@pytest.fixture(scope="module")
def bench(modules, tmp_path_factory):
    folder = tmp_path_factory.mktemp("songs") / "prepared"
    write_folder(folder, stems=False, splits={"train": 1, "validation": 1}, seconds=3, rate=16000)
    return modules[1].Bench("cpu", "paper", True, folder)


def test_every_part_has_a_share_of_the_time(modules):
    gpu, parts = modules
    assert list(gpu.SHARES) == list(parts.PARTS)
    assert math.isclose(sum(gpu.SHARES.values()), 1.0)


@pytest.mark.slow
@pytest.mark.parametrize(
    "part", ["peak", "training", "masks", "separation", "loading", "memory", "kernels"]
)
def test_parts_find_numbers(modules, bench, part):
    rows = list(modules[1].PARTS[part](bench, time.time() + 60))
    assert rows
    for row, numbers in rows:
        assert isinstance(row, str) and numbers
        assert all(math.isfinite(value) and value >= 0 for value in numbers.values()), numbers
    assert json.loads(json.dumps(rows))


@pytest.mark.parametrize("part", ["training", "compiled", "separation"])
def test_rows_without_time_are_named(modules, bench, part):
    rows = list(modules[1].PARTS[part](bench, time.time() - 1))
    assert len(rows) >= 3 and sum(numbers is None for _, numbers in rows) >= 3


def run(python, out, *options):
    command = [python, BENCHMARKS / "gpu.py", "--out", out, "--device", "cpu", "--tiny", "true"]
    done = subprocess.run(
        [*map(str, command), *options], capture_output=True, text=True, timeout=300
    )
    return done, json.loads((out / "gpu.json").read_text())


def test_the_command_writes_what_it_finds(fast_python, tmp_path):
    done, found = run(fast_python, tmp_path, "--minutes", "3", "--parts", "peak,masks")
    assert done.returncode == 0, done.stderr + (tmp_path / "errors.log").read_text()
    assert [part["status"] for part in found["parts"].values()] == ["done", "done"]
    assert found["parts"]["masks"]["rows"]["factorization"]["ms"] > 0
    assert found["machine"]["torch"] == torch.__version__
    text = (tmp_path / "gpu.md").read_text()
    assert text.strip() == done.stdout.strip() and "| factorization" in text


def test_it_keeps_to_its_minutes(fast_python, tmp_path):
    done, found = run(fast_python, tmp_path, "--minutes", "0.02", "--parts", "peak,kernels")
    assert done.returncode == 0, done.stderr
    assert {part["status"] for part in found["parts"].values()} == {"did not fit"}


def test_a_part_that_fails_does_not_end_the_others(modules, tmp_path, monkeypatch, capsys):
    gpu, parts = modules

    def broken(bench, until):
        yield "first", {"ms": 1.0}
        raise RuntimeError("an illegal memory access")

    monkeypatch.setitem(parts.PARTS, "peak", broken)
    words = ["--out", str(tmp_path), "--device", "cpu", "--tiny", "true", "--songs", str(tmp_path)]
    args = gpu.parser.parse_args([*words, "--child", "peak,kernels", "--last", "9e9"])
    gpu.measure(args)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    states = [line["status"] for line in lines if "status" in line]
    assert states == ["failed: RuntimeError: an illegal memory access", "done"]
    assert {"part": "peak", "row": "first", "numbers": {"ms": 1.0}} in lines


def test_unknown_parts_are_refused(fast_python, tmp_path):
    command = [fast_python, BENCHMARKS / "gpu.py", "--out", tmp_path, "--parts", "speed"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "--parts are of tests, peak" in done.stderr
