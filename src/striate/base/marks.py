"""Texts that come from outside, made fit for terminals, pages and pictures."""

UNKNOWN = "\ufffd"  # what is shown in place of a mark that may not be
KEPT = "\t\n"
_CONTROLS = [code for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in KEPT]
_REFUSED = (*range(0xD800, 0xE000), 0xFFFE, 0xFFFF)  # XML knows no half of a pair and neither of these two
_SHOWN = dict.fromkeys((*_CONTROLS, *_REFUSED), UNKNOWN)


def shown(text: str) -> str:
    """A text without control characters, tabs and line feeds apart: a terminal would obey them, and XML refuses them.

    >>> shown(chr(27) + "[2J") == UNKNOWN + "[2J"
    True
    """
    return text.translate(_SHOWN)
