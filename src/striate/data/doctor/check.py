"""Check a data set: everything that is wrong, at once, and nothing changed."""

import time
from itertools import chain

from striate.data.decode import Fault
from striate.data.doctor.examine import Progress, examine
from striate.data.doctor.groups import Seen, findings_of, identical, similar
from striate.data.doctor.judge import (
    count,
    findings_of_classes,
    findings_of_names,
    findings_of_pictures,
    misfits,
    sizes_of,
)
from striate.data.doctor.layout import Layout
from striate.data.doctor.look import look
from striate.data.doctor.report import Report


def check(data: str, progress: Progress | None = None) -> Report:
    """Look at every picture once, on all cores; no file is written.

    Args:
        data: what `--data` takes: a built-in name or a path.
        progress: called now and then with (pictures done, pictures in all).

    Raises:
        DataError: there is no such data.
    """
    start = time.perf_counter()
    layout = look(data)
    seen, faults = _sort_out(layout, progress)
    counts, duplicates, near = count(layout, seen), identical(seen), similar(seen)
    findings = chain(
        layout.findings,
        findings_of_classes(layout, counts),
        findings_of(duplicates, near),
        findings_of_pictures(seen),
        findings_of_names(layout),
    )
    return Report(
        location=layout.location,
        files=sum(len(lot.names) for lot in layout.lots),
        classes=counts,
        sizes=sizes_of(seen),
        faults=tuple(sorted([*layout.faults, *faults], key=lambda fault: (fault.path, fault.kind))),
        duplicates=duplicates,
        near=near,
        findings=tuple(findings),
        seconds=time.perf_counter() - start,
    )


def _sort_out(layout: Layout, progress: Progress | None) -> tuple[list[Seen], list[Fault]]:
    """Pictures that can be used, with where they stand, and the others."""
    seen, faults = [], []
    places = ((n, label, lot.split) for lot in layout.lots for n, label in zip(lot.names, lot.labels, strict=True))
    for (name, label, split), found in zip(places, examine(layout.lots, progress), strict=True):
        if isinstance(found, Fault):
            faults.append(found)
        else:
            seen.append(Seen(name, label, split, found))
    unfit = {fault.path: fault for fault in misfits(seen)}
    return [one for one in seen if one.name not in unfit], [*faults, *unfit.values()]
