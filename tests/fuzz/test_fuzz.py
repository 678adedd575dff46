"""The fuzz command: a small run, recognition of failures, reproducible cases."""

import os
import sys

import numpy as np
import pytest
from fuzz import runner
from fuzz.damage import damage_bytes, damage_json, damage_text
from fuzz.kinds import KINDS

pytestmark = pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs Linux")


def test_every_outcome_is_a_result_or_a_sentence(capsys):
    outcomes, wrong = runner.fuzz(list(KINDS), 44, seed=0)
    assert not wrong
    assert sum(sum(counts.values()) for counts in outcomes.values()) == 44
    print(runner.table(outcomes))
    assert capsys.readouterr().out.splitlines()[0].split() == [
        *("kind", "cases", *runner.FINE, *runner.WRONG)
    ]


OUTCOMES = {
    "result": "print('done'); return 0",
    "sentence": "print('no such file', file=sys.stderr); return 1",
    "SILENCE": "return 1",
    "TRACEBACK": "raise KeyError('x')",
    "CRASH": "os.kill(os.getpid(), 11)",
    "HANG": "import time; time.sleep(60)",
    # More than the process of the tests may already use.
    "MEMORY": "print(len(b'x' * 3_000_000_000)); return 0",
}


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_outcomes_are_recognized(tmp_path, monkeypatch, outcome):
    scope = {"os": os, "sys": sys}
    exec(f"def main(argv):\n    {OUTCOMES[outcome]}", scope)
    monkeypatch.setattr("asteroid_scoresup.scripts.cli.main", scope["main"])
    timeout = 0.5 if outcome == "HANG" else 60
    assert runner.run_case([], tmp_path / "out.txt", timeout, memory=80) == outcome


@pytest.mark.parametrize("damage", [damage_bytes, damage_text, damage_json])
def test_damage_is_reproducible_and_varied(damage):
    content = b'{"a": [1, 2.5, "three"], "b": {"c": null}}' * (1 if damage is damage_json else 20)
    made = [damage(np.random.default_rng(seed), content) for seed in range(30)]
    assert made == [damage(np.random.default_rng(seed), content) for seed in range(30)]
    assert len(set(made)) > 15
