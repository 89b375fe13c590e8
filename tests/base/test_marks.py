from xml.etree import ElementTree

from striate.base.marks import UNKNOWN, shown

EVERY = "".join(map(chr, range(0x20000)))


def test_what_is_shown_is_what_was_there_but_for_marks_that_terminals_obey_or_xml_refuses():
    kept = [a for a, b in zip(EVERY, shown(EVERY), strict=True) if a == b]
    lost = {a for a, b in zip(EVERY, shown(EVERY), strict=True) if b == UNKNOWN} - {UNKNOWN}
    assert len(kept) + len(lost) == len(EVERY)
    assert not {"\x00", "\x07", "\x1b", "\r", "\x7f", "\x9b", "\ud800", "\uffff"} & set(kept)
    assert {"\t", "\n", "a", "é", "\u4e2d", "\U0001f600"} <= set(kept)


def test_what_is_shown_is_well_formed_xml():
    text = shown(EVERY.replace("<", "").replace("&", ""))
    assert ElementTree.fromstring(f"<t>{text}</t>").text == text
