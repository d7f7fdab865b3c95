"""How the command line starts, fails and is interrupted."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from napari_pathseg import __version__
from napari_pathseg.cli.console import print_table, progress_line
from napari_pathseg.cli.main import main
from napari_pathseg.errors import SlideError
from napari_pathseg.progress import Progress


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> list[BaseException]:
    """A command `fail` that raises the error put into this list."""
    errors: list[BaseException] = []

    @click.command()
    def fail() -> None:
        raise errors[0]

    monkeypatch.setitem(main.commands, "fail", fail)
    return errors


def test_version() -> None:
    result = CliRunner().invoke(main, ["--version"])
    assert result.exit_code == 0
    assert __version__ in result.stdout


def test_help_lists_every_command() -> None:
    result = CliRunner().invoke(main, ["--help"])
    assert result.exit_code == 0
    for name in ("info", "segment", "terms", "export", "train", "evaluate", "doctor"):
        assert f"\n  {name} " in result.stdout


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (SlideError("slide.svs: cut\nshort.", "Copy it again."), "cut short. Copy it again."),
        (OSError(28, "No space left on device", "/disk/x"), "x: no space left on device."),
        (MemoryError(), "not enough memory"),
    ],
)
def test_an_error_is_one_line_and_exit_code_1(
    failing: list[BaseException], error: BaseException, said: str
) -> None:
    failing.append(error)
    result = CliRunner().invoke(main, ["fail"])
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("pathseg: error: ")
    assert result.stderr.count("\n") == 1
    assert said in result.stderr


def test_debug_gives_the_traceback(failing: list[BaseException]) -> None:
    failing.append(SlideError("cut short"))
    result = CliRunner().invoke(main, ["--debug", "fail"])
    assert result.exception is failing[0]


def test_a_bug_is_not_dressed_up_as_a_user_error(failing: list[BaseException]) -> None:
    failing.append(ZeroDivisionError())
    result = CliRunner().invoke(main, ["fail"])
    assert result.exception is failing[0]


def test_interrupt_ends_without_a_traceback(failing: list[BaseException]) -> None:
    failing.append(KeyboardInterrupt())
    result = CliRunner().invoke(main, ["fail"])
    assert result.exit_code == 130
    assert result.stderr == "pathseg: cancelled; nothing was written.\n"


@pytest.mark.parametrize(
    "arguments",
    [["nonsense"], ["info"], ["segment", "x.svs", "--prompt", "gland"], ["info", "x", "--no-such"]],
)
def test_wrong_usage_is_one_line_and_exit_code_2(arguments: list[str]) -> None:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith("pathseg: error: ")
    assert result.stderr.endswith(" --help.\n")
    assert result.stderr.count("\n") == 1


def test_a_group_without_a_command_shows_its_help() -> None:
    assert "resolve" in CliRunner().invoke(main, ["terms"]).output


def test_an_error_does_not_steer_the_terminal(failing: list[BaseException]) -> None:
    failing.append(SlideError("a\x1b[2J\x00b: Präparat 腎"))
    stderr = CliRunner().invoke(main, ["fail"]).stderr
    assert stderr.rstrip("\n").isprintable()
    assert "Präparat 腎" in stderr


def test_a_broken_tiff_is_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "cut.tif"
    path.write_bytes(b"II*\0" + (5000).to_bytes(4, "little") + bytes(100))
    result = CliRunner().invoke(main, ["info", str(path)])
    assert result.exit_code == 1
    assert "a part that it refers to is missing" in result.stderr
    assert result.stderr.count("\n") == 1
    assert not [record for record in caplog.records if record.name == "tifffile"]


def test_table_aligns_columns(capsys: pytest.CaptureFixture[str]) -> None:
    print_table([("a", "bb", "c"), ("aaa", "b", "")], indent=" ")
    assert capsys.readouterr().out == " a    bb  c\n aaa  b\n"


def test_progress_is_silent_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_line() as progress:
        progress(Progress(1, 2, "Reading"))
    assert capsys.readouterr().err == ""


def test_progress_leaves_no_trace_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with progress_line() as progress:
        progress(Progress(1, 12, "A long message"))
        progress(Progress(2, 12, "Short"))
    written = capsys.readouterr().err
    assert "[1/12] A long message" in written
    longest = len("[1/12] A long message")
    assert written.endswith("\r" + "[2/12] Short".ljust(longest) + "\r" + " " * longest + "\r")


def test_paths_of_errors_are_named(failing: list[BaseException], tmp_path: Path) -> None:
    failing.append(PermissionError(13, "Permission denied", str(tmp_path)))
    assert str(tmp_path) in CliRunner().invoke(main, ["fail"]).stderr
