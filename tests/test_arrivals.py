"""What a watch stands on: files that have settled, and a journal of what was done with them."""

import pytest

from command import written
from semrt.cli._journal import Journal
from semrt.errors import InputNotFound
from semrt.io.arrivals import Arrivals


def test_a_file_counts_when_it_has_not_changed_for_long_enough(tmp_path):
    arrivals = Arrivals(tmp_path, settle=2.0)
    assert arrivals.look(0.0).settled == {}
    path = written(tmp_path / "a.npz")
    assert (arrivals.look(10.0).settled, arrivals.look(11.9).changing) == ({}, 1)
    whole = arrivals.look(12.0)
    assert (list(whole.settled), whole.changing) == ([path], 0)
    with path.open("ab") as file:
        file.write(b"more")
    assert arrivals.look(13.0).settled == {}
    later = arrivals.look(15.0).settled
    assert later[path][0] == whole.settled[path][0] + 4
    assert later[path] != whole.settled[path]


def test_what_is_read_with_a_file_counts_with_it(tmp_path):
    arrivals = Arrivals(tmp_path, settle=1.0)
    path = written(tmp_path / "a.npz")
    written(tmp_path / "b.npz")
    arrivals.look(0.0)
    before = arrivals.look(1.0).settled
    (tmp_path / "a.tlt").write_text("0\n", encoding="utf-8")
    (tmp_path / "a.txt").write_text("notes", encoding="utf-8")
    found = arrivals.look(2.0)
    assert (list(found.settled), found.changing) == ([tmp_path / "b.npz"], 1)
    assert arrivals.look(3.0).settled[path][0] == before[path][0] + 2


def test_a_look_at_a_folder_that_is_gone_says_so(tmp_path):
    with pytest.raises(InputNotFound, match="gone"):
        Arrivals(tmp_path / "gone", settle=1.0).look(0.0)


def test_a_journal_knows_what_was_begun_and_passes_over_what_was_cut_off(tmp_path):
    journal = Journal(tmp_path / "deep" / "j.jsonl")
    one, other = tmp_path / "one µ.tif", tmp_path / "other.tif"
    assert journal.of(one) is None
    journal.note(one, (3, 4), "begun")
    journal.note(one, (3, 4), "done")
    journal.note(other, (5, 6), "failed")
    with journal.path.open("a", encoding="utf-8") as file:
        file.write('{"source": "torn')
    held = Journal(journal.path)
    assert (held.of(one).state, held.of(one).how, held.of(one).ours) == ((3, 4), "done", True)
    assert (held.of(other).how, held.of(other).ours) == ("failed", False)
    held.note(other, (7, 8), "begun")
    after = Journal(journal.path)
    assert (after.of(other).state, after.of(other).how, after.of(other).ours) == ((7, 8), "begun", True)
    assert after.of(one) == held.of(one)
