"""What a user sees of the progress."""

import io
import subprocess
import sys

import pytest
from rich.console import Console

from cbminer.terminal import TerminalMonitor


@pytest.fixture
def screen():
    return io.StringIO()


def monitor(screen, *, is_terminal=True):
    return TerminalMonitor(Console(file=screen, force_terminal=is_terminal, width=120, color_system=None))


def test_transfer_of_known_size_shows_bytes_rate_and_time_left(screen):
    with monitor(screen).transfer("fetching", files=1, size=2_000_000) as telling:
        # What came in an earlier call counts, but not for the rate.
        telling.received(1_000_000)
        telling.received(500_000)
    text = screen.getvalue()
    assert "1.5 MB/2.0 MB" in text
    assert "/s" in text
    assert "files" not in text


def test_transfer_of_many_files_counts_them_where_sizes_are_unknown(screen):
    with monitor(screen).transfer("fetching", files=4000, size=None) as telling:
        for _ in range(3):
            telling.received(20_000)
            telling.finished(1)
    text = screen.getvalue()
    assert "3/4,000 files" in text
    assert "60.0 kB" in text


def test_bytes_that_are_taken_back_are_not_counted(screen):
    with monitor(screen).transfer("fetching", files=1, size=100_000) as telling:
        telling.received(50_000)
        telling.received(-50_000)
        telling.received(10_000)
    assert "10.0 kB/100.0 kB" in screen.getvalue()


def test_nothing_but_sentences_where_there_is_no_terminal(screen):
    telling = monitor(screen, is_terminal=False)
    with telling.step("storing", 3) as advance, telling.transfer("fetching", files=1, size=10) as transfer:
        advance(1)
        transfer.received(10)
    assert screen.getvalue() == ""
    telling.tell("waiting for [another]")
    assert screen.getvalue() == "waiting for [another]\n"


def test_the_command_line_opens_without_the_libraries_of_the_work():
    script = (
        "import sys, cbminer.cli; print(sorted({'numpy', 'numba', 'scipy', 'astropy', 'pydantic'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
