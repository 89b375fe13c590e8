"""Reports and statistics as text for a terminal: the gravest first, of each kind the first paths and what to do."""

import shutil
from collections import Counter
from collections.abc import Iterator, Mapping

from striate.base.marks import UNKNOWN, shown
from striate.data.doctor.kinds import KINDS, Level
from striate.data.doctor.report import Report
from striate.data.doctor.stats import Statistics

FIRST = 5  # paths shown of a kind
CLASSES = 30  # rows of the table
BAR = 40  # marks of the longest bar
_TITLES = {
    Level.FAILS: "WRONG: this has to be put right",
    Level.STRICT: "DOUBTFUL: this is wrong with --strict",
    Level.HINT: "HINTS",
}


def report_text(report: Report) -> str:
    """The whole report."""
    width = max(60, min(160, shutil.get_terminal_size((100, 24)).columns))
    head = f"{_line(report.location)}: {report.files:,} pictures, {len(report.classes):,} classes"
    rate = report.files / max(report.seconds, 1e-9)
    head += f", looked at in {report.seconds:.1f} s ({rate:,.0f} a second)"
    blocks = [head, "\n".join(_table(report.classes)), _sizes(report)]
    blocks += ["\n".join(_level(report, level, width)) for level in Level]
    return "\n\n".join(filter(None, [*blocks, _verdict(report)]))


def _table(classes: Mapping[str, Mapping[str, int]]) -> Iterator[str]:
    rows = [(_line(name), splits) for name, splits in classes.items()]
    if not rows:
        return
    splits = list(rows[0][1])
    wide = min(40, max(5, *(len(name) for name, _ in rows)))
    cells = [max(len(split), 9) for split in splits]
    yield f"{'class':<{wide}}" + "".join(f"  {split:>{cell}}" for split, cell in zip(splits, cells, strict=True))
    for name, counts in rows[:CLASSES]:
        numbers = zip((counts[split] for split in splits), cells, strict=True)
        yield f"{_cut(name, wide):<{wide}}" + "".join(f"  {number:>{cell},}" for number, cell in numbers)
    if len(rows) > CLASSES:
        yield f"and {len(rows) - CLASSES:,} more classes"


def _sizes(report: Report) -> str:
    if report.sizes is None:
        return ""
    smallest, median, largest = (
        f"{w}x{h}" for h, w in (report.sizes.smallest, report.sizes.median, report.sizes.largest)
    )
    if report.sizes.different == 1:
        return f"size (width x height): {smallest}"
    different = f"{report.sizes.different:,} different"
    return f"sizes (width x height): smallest {smallest}, median {median}, largest {largest}; {different}"


def _level(report: Report, level: Level, width: int) -> Iterator[str]:
    kinds = report.kinds(level)
    if kinds:
        yield _TITLES[level]
    for kind in kinds:
        entries = [_cut(entry, width - 4) for entry in _entries(report, kind)]
        yield f"  {kind} ({len(entries):,}): {KINDS[kind].meaning}"
        yield from (f"    {entry}" for entry in entries[:FIRST])
        if len(entries) > FIRST:
            yield f"    and {len(entries) - FIRST:,} more"
        yield f"    Fix: {KINDS[kind].fix}"


def _entries(report: Report, kind: str) -> Iterator[str]:
    """A line for each fault, each path of a finding, each group of pictures."""
    for fault in report.faults:
        if fault.kind == kind:
            yield _line(f"{fault.path}: {fault.reason}")
    groups = kind in ("duplicate", "leak", "two-labels", "near")
    for finding in report.findings:
        if finding.kind != kind:
            continue
        text = f": {finding.text}" if finding.text and finding.paths else finding.text
        if groups or not finding.paths:
            yield _line(" = ".join(finding.paths) + text)
        else:
            yield from (_line(path + text) for path in finding.paths)


def _verdict(report: Report) -> str:
    wrong, doubtful = report.kinds(Level.FAILS), report.kinds(Level.STRICT)
    if not wrong and not doubtful:
        return "nothing wrong found"
    both = ((wrong, "wrong"), (doubtful, "doubtful"))
    parts = [f"{len(found)} kind{'s' * (len(found) > 1)} {what}" for found, what in both if found]
    return f"{' and '.join(parts)}; --json lists every path"


def _line(text: str) -> str:
    """One line, without marks that a terminal would obey."""
    return shown(text).replace("\n", UNKNOWN).replace("\t", UNKNOWN)


def _cut(text: str, width: int) -> str:
    """Without its middle where it is too long: a path's end tells more than its middle."""
    if len(text) <= width:
        return text
    left = (width - 1) // 2
    return f"{text[:left]}…{text[len(text) - (width - 1 - left) :]}"


def statistics_text(found: Statistics) -> str:
    """The numbers of a split, with bars for the sizes."""
    pictures = f"{_line(found.location)}: {found.pictures:,} pictures of {found.split}, {_bytes(found.bytes)}"
    head = f"{pictures}, read in {found.seconds:.1f} s ({found.images_per_second:,.0f} a second)"
    names = {1: ("grey",), 3: ("red", "green", "blue")}.get(found.channels) or tuple(map(str, range(found.channels)))
    lines = [f"{'channel':<7}    mean     std  of pixels in [0, 1]"]
    lines += [f"{n:<7}  {m:.4f}  {s:.4f}" for n, m, s in zip(names, found.mean, found.std, strict=True)]
    return "\n\n".join([head, "\n".join(lines), "\n".join(_table(found.classes)), "\n".join(_bars(found))])


def _bars(found: Statistics) -> Iterator[str]:
    """Pictures by their longer side, in doublings; by size where there are few."""
    rows = {_size(size): many for size, many in found.sizes.items()}
    if len(rows) > FIRST:
        doublings: Counter[int] = Counter()
        for size, many in found.sizes.items():
            doublings[max(map(int, size.split("x"))).bit_length()] += many
        rows = {f"{2 ** (k - 1)} to {2**k - 1}": doublings[k] for k in range(min(doublings), max(doublings) + 1)}
    wide, most = max((len(name) for name in rows), default=0), max(rows.values(), default=1)
    yield "size (width x height)" if len(found.sizes) <= FIRST else "longer side in pixels"
    yield from (f"{name:>{wide}}  {'#' * -(-many * BAR // most):<{BAR}}  {many:,}" for name, many in rows.items())


def _size(size: str) -> str:
    height, width = size.split("x")
    return f"{width}x{height}"


def _bytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB" if count >= 1e5 else f"{count:,} bytes"
