"""Revisions follow what the code does: the source is the recorded one, and so are its numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.revisions import ROWS, Revisions, bare_code, code_digest, row_code
from ta2net.methods.method import HOMES, section_of
from ta2net.training.identity import RUNS, run_code
from tests.revisions.__main__ import is_as_recorded, record_of, recorded
from tests.revisions.pins import PINS

RUN = "run `make revisions` and commit what it writes"


def test_every_part_is_pinned():
    assert PINS.keys() == ROWS.parts.keys() | RUNS.parts.keys()


@pytest.mark.parametrize("part", PINS)
def test_the_source_is_the_recorded_one(part):
    record = record_of(part)
    assert code_digest(record.parts[part]) == record.recorded()[part]["code"], f"{part} was edited: {RUN}"


@pytest.mark.parametrize("part", PINS)
def test_a_part_computes_what_it_did_at_this_revision(part):
    entry = recorded()[part]
    assert entry["revision"] == record_of(part).recorded()[part]["revision"], f"{part}: {RUN}"
    assert is_as_recorded(part, PINS[part](), entry), f"{part} computes something else than before: {RUN}"


def test_a_pin_that_moves_is_seen():
    entry = recorded()["resampling"]
    values = PINS["resampling"]()
    assert not is_as_recorded("resampling", 3 * values, entry)
    assert not is_as_recorded("resampling", values[:-1], entry)


CODE = """def f(x):
    return 2 * x
"""


@pytest.mark.parametrize(
    "same",
    [
        "def f(x):\n    return 2 * x",
        "# why\ndef f(x):  # how\n\n    return 2 * x  # what\n",
        '"""A module."""\n\ndef f(x):\n    """Twice.\n\n    # no comment\n    """\n    return 2 * x\n',
    ],
)
def test_words_are_no_code(same):
    assert bare_code(same) == bare_code(CODE)


@pytest.mark.parametrize(
    "other", ["def f(x):\n    return 3 * x\n", "def g(x):\n    return 2 * x\n", CODE + "\nx = '# a'\n"]
)
def test_other_code_is_other_code(other):
    assert bare_code(other) != bare_code(CODE)


def test_a_string_that_is_used_is_code():
    assert bare_code('x = """a\n# b\n"""\n') != bare_code('x = """a\n# c\n"""\n')
    assert bare_code("f(\n    'a # b',\n)\n") == "f(\n    'a # b',\n)"


@given(
    st.lists(st.sampled_from(["x = 1", "y = 'a'  # b", "# c", "", "z = (1,\n  2)", '"""d"""']), max_size=8)
)
def test_bare_code_stays_as_it_is(lines):
    once = bare_code("\n".join(lines))
    assert bare_code(once) == once


def test_an_edit_makes_a_revision_of_its_own(tmp_path, monkeypatch):
    """A number while the source is the recorded one, and a number with a digest after an edit; words do not
    count."""
    monkeypatch.setattr("pipeline.revisions.SOURCE", tmp_path)
    file = tmp_path / "part.py"
    record = Revisions(tmp_path / "record.json", {"part": (str(file),)})

    def revision(text):
        file.write_text(text)
        code_digest.cache_clear()
        return record.of("part")

    file.write_text(CODE)
    code_digest.cache_clear()
    record.write({"part": 7})
    assert revision(CODE) == "7"
    assert revision("# a word\n" + CODE) == "7"
    edited = revision(CODE.replace("2", "3"))
    assert edited.startswith("7+")
    assert revision(CODE.replace("2", "4")) not in ("7", edited)
    code_digest.cache_clear()


def test_rows_of_the_first_version_are_kept():
    assert row_code("dis") == {}
    assert row_code("gmflow_refine") == {}


def test_every_method_knows_its_code():
    for name in HOMES:
        code = run_code(section_of(name)())
        assert set(code) == {"method", "fast", "clips", "training", "hits", "thresholds"}
