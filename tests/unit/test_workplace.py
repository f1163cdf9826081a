"""Folders of jobs: gone with their job, or with the next sweep after it was killed."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from ckanext.hdxjobs.errors import FetchError
from ckanext.hdxjobs.geopreview import workplace

A_JOB = """
import sys
from pathlib import Path
from ckanext.hdxjobs.geopreview import workplace
with workplace.made(Path(sys.argv[1])) as folder:
    (folder / "download").write_bytes(b"x")
    print("at work", flush=True)
    sys.stdin.read()
"""


def test_a_folder_is_for_its_job_only_and_goes_with_it(tmp_path: Path) -> None:
    with workplace.made(tmp_path / "work") as folder:
        (folder / "download").write_bytes(b"x")
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert list((tmp_path / "work").iterdir()) == []


def test_a_folder_goes_when_its_job_fails(tmp_path: Path) -> None:
    with pytest.raises(KeyError), workplace.made(tmp_path):
        raise KeyError
    assert list(tmp_path.iterdir()) == []


def test_the_folder_of_a_living_job_is_kept_however_old_it_is(tmp_path: Path) -> None:
    with workplace.made(tmp_path) as folder:
        assert workplace.drop_left(tmp_path, older_than_s=-1, young_s=-1) == 0
        assert folder.exists()


def test_the_folder_of_a_killed_job_is_removed(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", A_JOB, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"at work\n"
        while_it_lives = workplace.drop_left(tmp_path, older_than_s=3600, young_s=-1)
        process.kill()
    assert (while_it_lives, workplace.drop_left(tmp_path, older_than_s=3600, young_s=-1)) == (0, 1)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_was_made_a_moment_ago_may_not_be_locked_yet(tmp_path: Path) -> None:
    (tmp_path / (workplace.PREFIX + "new")).mkdir()
    assert workplace.drop_left(tmp_path, older_than_s=3600, young_s=60) == 0


def test_without_locks_the_age_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    with workplace.made(tmp_path):
        kept = workplace.drop_left(tmp_path, older_than_s=3600, young_s=-1)
        assert (kept, workplace.drop_left(tmp_path, older_than_s=-1, young_s=60)) == (0, 1)


def test_what_is_not_ours_stays(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / (workplace.PREFIX + "file")).write_bytes(b"")
    assert workplace.drop_left(tmp_path, older_than_s=-1, young_s=-1) == 0
    assert len(list(tmp_path.iterdir())) == 2


def test_a_disk_that_is_full_is_told_as_such(tmp_path: Path) -> None:
    with pytest.raises(FetchError) as caught, workplace.made(tmp_path), open("/dev/full", "wb") as full:
        full.write(b"x" * 10_000_000)
    assert (caught.value.code, caught.value.failure.retryable) == ("disk-full", True)
    assert list(tmp_path.iterdir()) == []


def test_other_trouble_with_files_is_not_taken_for_a_full_disk(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), workplace.made(tmp_path) as folder:
        (folder / "nothing").read_bytes()


def test_what_cannot_fit_is_refused_before_it_is_begun(tmp_path: Path) -> None:
    workplace.require_room(tmp_path, 0)
    with pytest.raises(FetchError, match="no room"):
        workplace.require_room(tmp_path, 10**18)
