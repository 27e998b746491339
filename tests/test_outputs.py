"""Files that the user asked for: whole, or as they were, and never over a database."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import greyhound as gh
from greyhound.errors import StudyError
from greyhound.outputs import copy, write


def test_a_file_is_written_and_written_again_with_its_rights(tmp_path):
    file = tmp_path / "report.html"
    write(file, "first")
    file.chmod(0o640)
    write(file, "zweite \u00fc")
    assert file.read_text(encoding="utf-8") == "zweite \u00fc"
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert [each.name for each in tmp_path.iterdir()] == ["report.html"]


def test_a_link_stays_one(tmp_path):
    link = tmp_path / "latest.html"
    link.symlink_to(tmp_path / "report.html")
    write(link, "text")
    assert link.is_symlink()
    assert (tmp_path / "report.html").read_text() == "text"


def test_a_pipe_is_written_to():
    read, end = os.pipe()
    with open(read) as pipe:
        write(Path(f"/dev/fd/{end}"), "text")
        os.close(end)
        assert pipe.read() == "text"


def test_a_copy_is_whole_and_none_is_made_over_a_database(tmp_path):
    model, file = tmp_path / "trial.pt2", tmp_path / "model.pt2"
    model.write_bytes(bytes(range(256)))
    copy(model, file)
    assert file.read_bytes() == bytes(range(256))
    study = gh.Study({"x": gh.Float(0, 1)}, minimize="loss", storage=tmp_path / "tune.db")
    study.close()
    with pytest.raises(StudyError, match=r"tune\.db: cannot be written: it is a database"):
        copy(model, tmp_path / "tune.db")
    assert not gh.Study.load(tmp_path / "tune.db").trials


@pytest.mark.skipif(sys.platform == "darwin", reason="limits the size of files as Linux does")
@pytest.mark.parametrize("way", ["write(target, 'x' * 100_000)", "copy(source, target)"])
def test_who_cannot_write_to_the_end_leaves_what_was_there(way, tmp_path, tmp_path_factory):
    file, source = tmp_path / "report.html", tmp_path_factory.mktemp("source") / "trial.pt2"
    source.write_bytes(bytes(100_000))
    write(file, "first")
    program = (
        "import resource, signal, sys\n"
        "from pathlib import Path\n"
        "from greyhound.outputs import copy, write\n"
        "source, target = map(Path, sys.argv[1:])\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        f"{way}\n"
    )
    done = subprocess.run([sys.executable, "-c", program, source, file], capture_output=True, text=True)
    assert done.stderr.endswith(f"StudyError: {file}: cannot be written: File too large.\n")
    assert file.read_text() == "first"
    assert [each.name for each in tmp_path.iterdir()] == ["report.html"]


def test_who_is_killed_while_a_file_is_written_leaves_what_was_there(tmp_path):
    file = tmp_path / "report.html"
    write(file, "first")
    program = (
        "import resource, signal, sys\n"
        "from pathlib import Path\n"
        "from greyhound.outputs import write\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_DFL)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "write(Path(sys.argv[1]), 'x' * 100_000)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, file])
    assert done.returncode == -signal.SIGXFSZ
    assert file.read_text() == "first"


def test_a_report_is_not_written_over_the_study_from_python_either(tmp_path):
    file = tmp_path / "train.db"
    with gh.Study(gh.Space(x=gh.Float(0, 1)), minimize="loss", storage=file) as study:
        study.tell(study.ask(), 1.0)
        with pytest.raises(StudyError, match=r"train\.db: cannot be written: it is a database"):
            study.write_report(file)
        assert len(study.trials) == 1
