"""Locks, partial files, workers and signals: what killed runs leave behind is cleaned up."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from slakh_folder import write_song

from asteroid_scoresup.data.prepare import prepare
from asteroid_scoresup.synthesis.synthesize import synthesize
from asteroid_scoresup.utils import partial_files
from asteroid_scoresup.utils.files import atomic_path
from asteroid_scoresup.utils.locks import folder_lock
from asteroid_scoresup.utils.partial_files import remove_folder, sweep, sweep_beside, unfinished

posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
HOLD = """
import sys, time
from asteroid_scoresup.utils.locks import folder_lock
with folder_lock(sys.argv[1], "prepare"):
    print("held", flush=True)
    time.sleep(60)
"""
PREPARE = """
import sys
from asteroid_scoresup.scripts.cli import main
sys.exit(main(["prepare", *sys.argv[1:], "--jobs", "2", "--quiet"]))
"""


def dead_pid():
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def make_old(path):
    os.utime(path, (time.time() - 60,) * 2)


@posix
@pytest.mark.slow
def test_a_lock_ends_with_its_process_even_if_killed(tmp_path):
    holder = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE)
    try:
        assert holder.stdout.readline() == b"held\n"
        with (
            pytest.raises(
                OSError, match=f"in use by another process .prepare, process {holder.pid}"
            ),
            folder_lock(tmp_path, "prepare"),
        ):
            pass
    finally:
        holder.kill()
        holder.communicate()
    with folder_lock(tmp_path, "prepare"):
        pass
    assert os.listdir(tmp_path) == [".lock"]


def test_a_locked_folder_is_not_touched(tmp_path):
    write_song(tmp_path / "in" / "Track00001", seconds=1.0)
    half = tmp_path / "out" / "train" / f".Track00001.{os.getpid()}.part"
    with folder_lock(tmp_path / "out", "prepare"):
        half.mkdir(parents=True)
        with pytest.raises(OSError, match="in use by another process .prepare, process"):
            prepare(tmp_path / "in", tmp_path / "out", jobs=1, progress=False)
        with pytest.raises(OSError, match="in use by another process"):
            synthesize(tmp_path / "out", n_train=1, seconds=1.0, jobs=1, quiet=True)
        assert half.is_dir()
    prepare(tmp_path / "in", tmp_path / "out", jobs=1, progress=False)
    assert not half.exists() and (tmp_path / "out" / "manifest.json").is_file()


def test_a_file_instead_of_a_folder_is_reported(tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(OSError, match="out is a file"), folder_lock(tmp_path / "out", "x"):
        pass


def test_sweep_deletes_partial_files_only(tmp_path):
    kept = ["manifest.json", "train/a/notes.csv", "train/.hidden", "train/a.part", ".lock"]
    gone = [
        "train/.Track1.123.part/mixture.wav",
        ".manifest.123.part.json",
        "train/a/.notes.99999.part.csv",
        "train/.Track00001.partial/stems/S00.flac",
        "train/.Track1.old.5.part/metadata.yaml",
    ]
    for name in [*kept, *gone]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    sweep(tmp_path)
    left = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()}
    assert left == set(kept)


def test_files_written_without_the_lock_are_swept_if_their_writer_is_dead(tmp_path):
    dead, alive = (
        tmp_path / f".informed-ab.{pid}.part.npz" for pid in (dead_pid(), os.getppid() or 1)
    )
    fresh = tmp_path / f".informed-cd.{dead_pid()}.part.npz"
    for path in (dead, alive, fresh):
        path.write_text("half")
    for path in (dead, alive):
        make_old(path)
    sweep(tmp_path, locked=False)
    assert not dead.exists() and alive.exists() and fresh.exists()


def test_links_are_not_followed(tmp_path):
    outside = tmp_path / "outside"
    (outside / ".Track1.123.part").mkdir(parents=True)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train").symlink_to(outside)
    (tmp_path / "data" / ".x.123.part").symlink_to(outside)
    sweep(tmp_path / "data")
    assert (outside / ".Track1.123.part").is_dir()
    assert os.listdir(tmp_path / "data") == ["train"]


def test_writing_a_file_again_sweeps_its_partial_versions(tmp_path):
    old = tmp_path / f".score.{dead_pid()}.part.json"
    other = tmp_path / f".scores.{dead_pid()}.part.json"
    for path in (old, other):
        path.write_text("half")
        make_old(path)
    with atomic_path(tmp_path / "score.json") as temporary:
        temporary.write_text("{}")
    assert sorted(os.listdir(tmp_path)) == sorted([other.name, "score.json"])
    sweep_beside(tmp_path / "missing" / "file")


def test_scratch_folders_of_dead_processes_are_swept(tmp_path, monkeypatch):
    monkeypatch.setattr(partial_files.tempfile, "gettempdir", lambda: str(tmp_path))
    dead, mine = (tmp_path / f"asteroid_scoresup_{p}_x1" for p in (dead_pid(), os.getppid() or 1))
    for path in (dead, mine):
        path.mkdir()
        make_old(path)
    partial_files.sweep_scratch()
    assert os.listdir(tmp_path) == [mine.name]


def test_a_folder_is_renamed_before_it_is_deleted(tmp_path, monkeypatch):
    folder = tmp_path / "Track1"
    folder.mkdir()

    def die(path):
        raise KeyboardInterrupt

    monkeypatch.setattr(partial_files.shutil, "rmtree", die)
    with pytest.raises(KeyboardInterrupt):
        remove_folder(folder)
    assert os.listdir(tmp_path) == [f".Track1.old.{os.getpid()}.part"]
    monkeypatch.undo()
    sweep(tmp_path)
    assert not os.listdir(tmp_path) and unfinished(folder).parent == tmp_path


def children_of(pid):
    """Descendants of a process, from /proc."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
            except OSError:
                continue
            if state != "Z":
                parents[int(entry.name)] = int(parent)
    found, more = set(), {pid}
    while more:
        more = {child for child, parent in parents.items() if parent in more} - found
        found |= more
    return found


def alive(pids):
    return {p for p in pids if Path(f"/proc/{p}/stat").exists() and not is_zombie(p)}


def is_zombie(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def wait_for(condition, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return condition()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.slow
def test_workers_end_with_the_command(tmp_path, number):
    for k in range(25):
        write_song(tmp_path / "in" / f"Track{k:05d}", seconds=1.0, kinds=("bass",))
    out = tmp_path / "out"
    command = [sys.executable, "-c", PREPARE, tmp_path / "in", out]
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    try:
        assert wait_for(lambda: any(out.glob("train/Track*/track.json")), 90)
        workers = children_of(process.pid)
        assert len(workers) >= 2
        process.send_signal(number)
        status = process.wait(30)
        assert wait_for(lambda: not alive(workers), 5), "workers outlive the command"
        before = sorted(p.as_posix() for p in out.rglob("*"))
        time.sleep(0.5)
        assert sorted(p.as_posix() for p in out.rglob("*")) == before
        message = process.stderr.read().decode()
    finally:
        process.kill()
    if number != signal.SIGKILL:
        assert status == 128 + number
        assert "interrupted; run it again to resume." in message and "Traceback" not in message
    report = prepare(tmp_path / "in", out, jobs=1, progress=False)
    assert report["tracks"] == 25 and report["kept_from_earlier_run"] > 0
    assert not [path for path in out.rglob(".*") if path.name != ".lock"]
