"""The rows of the tables: in parallel, with equal budgets, and each trained once."""

import json
import os
import struct
import subprocess
import time

import pandas as pd
import pretty_midi
import pytest
import torch
import yaml
from tiny_recipe import NETWORK, RECIPE, batches, lengths, write_slakh

from asteroid_scoresup.data.prepare import prepare
from asteroid_scoresup.models import load_package

TINY = f"{NETWORK} {batches(3)} {lengths(epochs=(1, 2, 1))} --num_workers 0"
ROWS = "fine-tune c.h, aml$|^baseline, frame|^semi-supervised, 50"


@pytest.fixture(scope="session")
def run(fast_python):
    """Runs a script to its end; returns its exit status and output."""

    def run(script, *options, env=None, python=fast_python):
        done = subprocess.run(
            [python, RECIPE / script, *map(str, options)],
            capture_output=True, text=True, timeout=900, env={**os.environ, **(env or {})},
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    return run


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_slakh(folder / "slakh", train=4, validation=1, test=1, seconds=3)
    prepare(folder / "slakh", folder / "prepared", jobs=1, progress=False)
    return folder / "prepared"


def options(data, exp_dir, *more, opts=TINY):
    given = ["--train_data", data, "--tests", f"test={data}:test", "--exp_dir", exp_dir]
    return [*given, "--rows", ROWS, "--seeds", 1, "--train_opts", opts, *more]


@pytest.fixture(scope="module")
def finished(run, data, tmp_path_factory):
    exp_dir = tmp_path_factory.mktemp("experiments")
    status, output = run("experiments.py", *options(data, exp_dir))
    assert status == 0, output
    return exp_dir, output


def test_rows_are_trained_scored_and_printed(finished):
    exp_dir, output = finished
    results = pd.read_csv(exp_dir / "results.csv")
    rows = {"input mixture", "score oracle", "ideal ratio mask", "pre-train"}
    rows |= {"baseline, frame-level", "start of fine-tuning", "fine-tune c+h, aml"}
    rows |= {"semi-supervised, 50 % of the stems"}
    assert rows <= set(results.row)
    assert list(results.columns) == ["row", "seed", "test_set", "instrument", "metric", "value"]
    both = {"si_sdr", "si_sdr_i", "note_accuracy_mixture", "note_accuracy_isolated"}
    assert both <= set(results[results.row == "fine-tune c+h, aml"].metric)
    assert "| fine-tune c+h, aml" in output and "jobs are done. The other" in output
    assert (exp_dir / "results.md").read_text() in output


def updates(folder):
    """Separator updates of a run, from its last checkpoint."""
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["global_step"]


def test_rows_have_equal_budgets(finished):
    seed = finished[0] / "seed0"
    full = updates(seed / "baseline_frame_level")
    assert full == updates(seed / "semi_supervised_50_of_the_stems") == 4
    assert updates(seed / "start_of_fine_tuning") == 2
    settings = yaml.safe_load((seed / "fine_tune_c_h_aml" / "conf.yml").read_text())
    fine = settings["finetune"]["f_epochs"] * settings["finetune"]["f_steps"]
    assert updates(seed / "start_of_fine_tuning") + fine == full


def test_finished_rows_are_not_repeated_and_other_settings_are_refused(run, finished, data):
    exp_dir, _ = finished
    models = {path: path.stat().st_mtime_ns for path in exp_dir.rglob("best_*.pth")}
    status, output = run("experiments.py", *options(data, exp_dir))
    assert status == 0 and "The other 0 take about 0 h 0 min" in output
    # Missing scores are computed again; models are not trained again.
    row = exp_dir / "seed0" / "baseline_frame_level"
    record = json.loads((row / "done.json").read_text())
    del record["scoring"]
    (row / "done.json").write_text(json.dumps(record))
    before = (row / "scores.csv").read_text()
    (row / "scores.csv").unlink()
    status, output = run("experiments.py", *options(data, exp_dir))
    assert status == 0 and (row / "scores.csv").read_text() == before
    assert models == {path: path.stat().st_mtime_ns for path in exp_dir.rglob("best_*.pth")}
    status, output = run("experiments.py", *options(data, exp_dir, opts=TINY + " --s_lr 0.5"))
    assert status == 1 and "was trained with other settings" in output


def test_results_are_kept_and_only_what_new_rows_need_is_trained(run, finished, data, tmp_path):
    kept = finished[0] / "results.csv"
    new = ["--rows", "fine-tune c.h, a.l$|^baseline, frame", "--keep", kept]
    status, output = run("experiments.py", *options(data, tmp_path), *new, "--dry_run")
    assert status == 0, output
    listed = {line.partition(":")[0].strip() for line in output.splitlines() if "  " in line}
    assert listed == {
        "transcriptor", "start of fine-tuning, seed 0", "fine-tune c+h, atl, seed 0"
    }  # fmt: skip
    # New results replace kept ones.
    made = pd.read_csv(kept)
    made = made[made.row == "baseline, frame-level"].assign(value=7.25)
    (tmp_path / "seed0").mkdir()
    made.to_csv(tmp_path / "seed0" / "scores.csv", index=False)
    status, output = run("experiments.py", *options(data, tmp_path), *new, "--tables_only")
    assert status == 0, output
    expected = pd.read_csv(kept)
    expected.loc[expected.row == "baseline, frame-level", "value"] = 7.25
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "results.csv"), expected)
    status, output = run("experiments.py", *options(data, tmp_path), "--keep", "nowhere.csv")
    assert status == 1 and "--keep nowhere.csv: there is no such file" in output
    status, output = run("experiments.py", *options(data, finished[0]), "--keep", kept)
    assert status == 1 and "is where the results are written" in output


def test_kept_results_may_have_the_earlier_names_of_rows(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(RECIPE)
    import experiments
    from local.rows import EARLIER_NAMES

    groups = yaml.safe_load((RECIPE / "local" / "experiments.yml").read_text())
    present = {row for name in ("paper", "ours", "curve") for row in groups[name]}
    present |= set(experiments.PRE_TRAINED.values())
    assert set(EARLIER_NAMES.values()) <= present
    assert not set(EARLIER_NAMES) & present
    published = pd.read_csv(RECIPE / "results" / "small.csv")
    assert not set(EARLIER_NAMES) & set(published.row)

    earlier = {new: old for old, new in EARLIER_NAMES.items()}
    published.replace({"row": earlier}).to_csv(tmp_path / "old.csv", index=False)
    given = ["--train_data", "x", "--tests", "test=x:test", "--exp_dir", str(tmp_path)]
    args = experiments.parser.parse_args([*given, "--keep", str(tmp_path / "old.csv")])
    pd.testing.assert_frame_equal(experiments.read_kept(args), published)


def test_a_failed_row_is_named_and_the_others_continue(run, data, tmp_path):
    more = ["--rows", "^isolated c$|^start"]
    (tmp_path / "seed0").mkdir()
    (tmp_path / "seed0" / "isolated_c").write_text("not a folder")
    status, output = run("experiments.py", *options(data, tmp_path), *more)
    assert status != 0
    assert "isolated c, seed 0" in output


def test_a_dry_run_lists_what_is_missing(run, data, tmp_path):
    given = options(data, tmp_path, "--dry_run")
    status, output = run("experiments.py", *given)
    assert status == 0 and "0 of 10 jobs are done" in output
    assert "start of fine-tuning, seed 0" in output and not list(tmp_path.iterdir())


def test_plots_are_drawn_from_the_results(run, finished, tmp_path):
    exp_dir, _ = finished
    status, output = run("plot_tables.py", exp_dir / "results.csv", tmp_path, "--exp_dir", exp_dir)
    assert status == 0, output
    names = {path.name for path in tmp_path.glob("*.png")}
    assert names == {"small_rows.png", "small_stems.png", "small_curves.png"}


def test_inspect_losses_compares_masks(run, finished, data, tmp_path):
    exp_dir, _ = finished
    separator = exp_dir / "seed0" / "start_of_fine_tuning" / "best_model.pth"
    status, output = run(
        "inspect_losses.py", "--exp_dir", tmp_path, "--data_dir", data, "--preset", "small",
        "--transcriptor", exp_dir / "transcriptor" / "best_model.pth",
        "--separators", f"start={separator}", *TINY.split(),
    )  # fmt: skip
    assert status == 0, output
    table = pd.read_csv(tmp_path / "inspect_losses.csv", index_col="masks")
    # The mixture is counted once per class; an even split sums to it exactly.
    assert table["clip"]["mixture for every class"] > 1 > 0.01 > table["clip"]["even split"]
    assert table["SI-SDR"]["true stems"] == table["SI-SDR"].max()
    assert "start" in table.index


def test_jobs_wait_for_what_they_need(tmp_path, monkeypatch):
    """However long it takes, and with more workers than jobs."""
    monkeypatch.syspath_prepend(str(RECIPE))
    import experiments

    log = []

    class Sleeper(experiments.Job):
        def run(self, threads):
            log.append(("begins", self.name))
            time.sleep(self.seconds)
            log.append(("ends", self.name))
            return int(self.name == "broken")

    slow = Sleeper("slow", tmp_path, 0.4)
    quick = Sleeper("quick", tmp_path, 0.01)
    both = Sleeper("both", tmp_path, 0.01, needs=[slow, quick])
    broken = Sleeper("broken", tmp_path, 0.01)
    never = Sleeper("never", tmp_path, 0.01, needs=[broken])
    reports = []
    failed = experiments.run([slow, quick, both, broken, never], 3, 1, lambda: reports.append(1))
    assert log.index(("begins", "both")) > log.index(("ends", "slow"))
    assert ("begins", "never") not in log and len(reports) == 3
    assert sorted(job.name for job in failed) == ["broken", "never"]


def wad(path, *songs):
    """A WAD file of these lumps."""
    lumps, directory = b"", b""
    for name, content in songs:
        directory += struct.pack("<ii8s", 12 + len(lumps), len(content), name)
        lumps += content
    path.write_bytes(b"IWAD" + struct.pack("<ii", len(songs), 12 + len(lumps)) + lumps + directory)


def midi(path, *programs):
    song = pretty_midi.PrettyMIDI()
    for program in programs:
        part = pretty_midi.Instrument(program)
        part.notes = [pretty_midi.Note(90, 60, i * 0.5, i * 0.5 + 0.4) for i in range(10)]
        song.instruments.append(part)
    song.write(str(path))
    return path.read_bytes()


def test_midi_files_are_extracted_from_a_game(run, tmp_path):
    two, one = midi(tmp_path / "a.mid", 33, 27), midi(tmp_path / "b.mid", 0)
    wad(tmp_path / "x.wad", (b"D_ONE", two), (b"D_TWO", one), (b"D_SAME", two), (b"MAP01", b"abc"))
    out = tmp_path / "out"
    status, output = run("local/freedoom_songs.py", out, "--wad", tmp_path / "x.wad")
    assert status == 0, output
    assert [path.name for path in out.iterdir()] == ["x_d_one.mid"]
    assert (out / "x_d_one.mid").read_bytes() == two
    (tmp_path / "y.wad").write_bytes(b"MThd" * 10)
    status, output = run("local/freedoom_songs.py", out, "--wad", tmp_path / "y.wad")
    assert status == 1 and "is not a WAD file" in output


def test_mma_makes_songs(run, tmp_path):
    library = tmp_path / "lib"
    library.mkdir()
    for style in ("rock", "waltz"):
        text = f"DefGroove {style}1 one\nDefGroove {style}End stops\n"
        (library / f"{style}.mma").write_text(text)
    band, duo = tmp_path / "band.mid", tmp_path / "duo.mid"
    midi(band, 33, 27, 0), midi(duo, 33, 0)
    program = tmp_path / "bin" / "mma"
    program.parent.mkdir()
    program.write_text(
        "#!/bin/sh\n# a stub of MMA: mma -f OUT CHART\n"
        f'cp "$3" {tmp_path}/chart\n'
        f'if grep -q rock1 "$3"; then cp {band} "$2"; else cp {duo} "$2"; fi\n'
    )
    program.chmod(0o755)
    path = {"PATH": f"{program.parent}:{os.environ['PATH']}"}
    out = tmp_path / "out"
    given = [out, "--n_songs", 2, "--library", library, "--seconds", 20]
    status, output = run("local/mma_songs.py", *given, env=path)
    assert status == 0, output
    assert sorted(file.name for file in out.iterdir()) == ["000_rock.mid", "001_rock.mid"]
    lines = (tmp_path / "chart").read_text().splitlines()
    tempo = int(lines[1].split()[1])
    assert lines[2].startswith("Groove lib/") and "End" not in lines[2]
    assert len(lines[3:]) * 240 / tempo >= 20
    status, output = run("local/mma_songs.py", out, env={"PATH": "/nowhere"})
    assert status == 1 and "mma is not installed" in output


def test_the_command_prepares_trains_and_publishes(fast_python, data, tmp_path):
    """run_tables.sh on a folder in the format of Slakh, with relative paths."""
    status = subprocess.run(
        ["bash", RECIPE / "run_tables.sh", "--python", fast_python, "--preset", "small",
         "--slakh_dir", data.parent / "slakh", "--data_dir", "d", "--exp_dir", "e", "--results",
         "numbers.csv", "--rows", "^isolated c$", "--seeds", "1", "--n_jobs", "1",
         "--train_opts", TINY],
        cwd=tmp_path, capture_output=True, text=True, timeout=900,
    )  # fmt: skip
    assert status.returncode == 0, status.stdout + status.stderr
    assert "0 of 4 jobs are done" in status.stdout and "| isolated c " in status.stdout
    assert "isolated c" in set(pd.read_csv(tmp_path / "numbers.csv").row)
    assert (tmp_path / "d" / "main" / "prepared" / "manifest.json").is_file()
    assert (tmp_path / "e" / "seed0" / "isolated_c" / "best_model.pth").is_file()


@pytest.mark.parametrize(
    "script, rows", [("run_tables.sh", "isolated c$"), ("run_baselines.sh", "ours")]
)
def test_the_commands_pass_on_values_that_begin_with_a_dash(fast_python, tmp_path, script, rows):
    done = subprocess.run(
        ["bash", RECIPE / script, "--python", fast_python, "--preset", "mini", "--dry_run", "true",
         "--data_dir", tmp_path / "d", "--exp_dir", tmp_path / "e", "--seeds", "1",
         "--train_opts", "--quiet", "--rows", f"-*{rows}", "--results", "-r.csv"],
        cwd=tmp_path, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert " jobs are done" in done.stdout and not list(tmp_path.iterdir())


def test_baselines_are_trained_for_minutes_and_compared(run, data, tmp_path):
    opts = TINY.replace("--segment 2.048", "--segment 0.512") + " --s_batch_size 1 --s_steps 1"
    given = ["--train_data", data, "--tests", f"test={data}:test", "--exp_dir", tmp_path]
    given += ["--groups", "baselines", "--seeds", 1, "--train_opts", opts, "--minutes", 0.02]
    rows = ["ours, score-supervised", "Open-Unmix, supervised", "ConvTasNet, score-supervised"]
    status, output = run("experiments.py", *given, "--rows", f"^({'|'.join(rows)})$")
    assert status == 0, output
    status, output = run("baselines.py", tmp_path, "--repeats", 1, "--seconds", 1)
    assert status == 0, output
    assert (tmp_path / "baselines.md").read_text() in output
    frame = pd.read_csv(tmp_path / "baselines.csv")
    means = frame[frame.instrument == "mean"].pivot_table("value", "row", "metric")
    assert list(frame.columns) == ["row", "seed", "test_set", "instrument", "metric", "value"]
    oracles = {"input mixture", "score oracle", "ideal ratio mask"}
    assert oracles <= set(means.index) and set(rows) <= set(means.index)
    trained = means.loc[rows]
    # To the best checkpoint, which may be an early one; the training itself takes its minutes.
    assert (trained.training_minutes > 0).all() and (trained.updates >= 1).all()
    models = list(tmp_path.rglob("*supervised*/best_model.pth"))
    minutes = [load_package(path)["infos"]["training"]["minutes"] for path in models]
    assert len(minutes) == len(rows) and min(minutes) > 0.015
    assert (trained[["times_real_time", "peak_mib", "si_sdr_i"]].notna()).all(axis=None)
    size = trained.million_parameters
    assert size["ConvTasNet, score-supervised"] == pytest.approx(5.1, abs=0.1)
    assert size["Open-Unmix, supervised"] > size["ours, score-supervised"]


def test_external_separators_have_rows(run, data, tmp_path):
    """One of them writes one class only; nothing is trained for them."""
    both = "Both = sh -c 'cp $1 $2/bass.wav; cp $1 $2/piano.wav; cp $1 $2/guitar.wav' sh"
    low = "Low = sh -c 'cp $1 $2/low.wav' sh"
    external = "\n".join(f"{command} {{input}} {{output}}" for command in (both, low))
    given = ["--train_data", data, "--tests", f"test={data}:test", "--exp_dir", tmp_path]
    given += ["--groups", "baselines", "--preset", "mini"]
    options = ["--external", external, "--external_stems", "Low:bass=low"]
    status, output = run("experiments.py", *given, *options, "--dry_run")
    assert status == 0 and "  Both: 10 min" in output and "  Low: 10 min" in output, output
    for name in ("both", "low"):
        scores = ["--exp_dir", tmp_path / "external" / name, "--row", name.title(), "--quiet"]
        scores += ["--tests", f"test={data}:test", "--external", external]
        lines = external.splitlines()
        scores[-1] = next(line for line in lines if line.startswith(name.title()))
        scores += ["--external_stems", "Low:bass=low"] if name == "low" else []
        status, output = run("score.py", *scores)
        assert status == 0, output
    status, output = run("experiments.py", *given, "--tables_only")
    assert status == 0, output
    status, output = run("baselines.py", tmp_path)
    assert status == 0, output
    frame = pd.read_csv(tmp_path / "baselines.csv")
    assert set(frame.instrument[frame.row == "Low"]) == {"bass"}
    copied = frame[(frame.row == "Both") & (frame.metric == "si_sdr_i")]
    assert set(copied.instrument) == {"bass", "guitar", "piano", "mean"}
    assert copied.value.abs().max() < 1e-3  # copies of the mixture improve nothing


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ours, supervised", "--external 'ours, supervised' is the name of another row"),
        ("X=true {input", "lacks {input}"),
    ],
)
def test_bad_external_separators(run, data, tmp_path, name, message):
    given = ["--train_data", data, "--tests", f"test={data}:test", "--exp_dir", tmp_path]
    external = f"{name}=true {{input}} {{output}}" if "=" not in name else name
    given += ["--groups", "baselines", "--dry_run", "--external", external]
    status, output = run("experiments.py", *given)
    assert status == 1 and "Traceback" not in output and message in output


def test_equal_epochs_mean_equally_many_segments_for_every_model(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(RECIPE)
    import experiments

    rows = yaml.safe_load((RECIPE / "local" / "experiments.yml").read_text())
    given = ["--train_data", "x", "--tests", "test=x:test", "--exp_dir", str(tmp_path)]
    args = experiments.parser.parse_args([*given, "--groups", "baselines", "--seeds", "1"])
    conf = {"t_epochs": 1, "t_steps": 1, "f_epochs": 2, "f_steps": 150}
    conf.update(s_epochs=8, s_steps=150, s_batch_size=4)
    segments = {}
    for job in experiments.plan(args, conf, rows):
        words = [str(word) for word in job.training]
        if words[:1] == ["train_separator.py"]:
            found = {**conf, **dict(zip(words[1::2], words[2::2]))}
            sizes = (found.get(f"--{k}", found[k]) for k in ("s_epochs", "s_steps", "s_batch_size"))
            segments[job.name] = int(next(sizes)) * int(next(sizes)) * int(next(sizes))
    assert len(segments) == 6 and set(segments.values()) == {8 * 150 * 4}
