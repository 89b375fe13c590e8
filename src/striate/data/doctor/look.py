"""From what a person names to a layout: the same choice as `open_source` makes, with nothing refused."""

import numpy as np

from striate.data.doctor.arrays import look_at_idx, look_at_npz, look_at_npz_folder
from striate.data.doctor.folders import look_at_folders, look_at_table
from striate.data.doctor.layout import Layout, Lot
from striate.data.folder import METADATA, TABLE
from striate.data.shards import ShardFaultsError
from striate.data.source import Source, form_of, open_source


def look(data: str) -> Layout:
    """Find what there is to read.

    Args:
        data: as `open_source` takes it.

    Raises:
        DataError: there is no such data, or it is neither a folder nor a file that can hold any.
    """
    form, root = form_of(data)
    match form:
        case "shards":
            return _of_shards(data)
        case "idx":
            return look_at_idx(root)
        case "npz":
            return look_at_npz(root)
        case "npz-folder":
            return look_at_npz_folder(root)
        case "table":
            return look_at_table(root)
        case "folder":
            tables = [root / name for name in (TABLE, *METADATA) if (root / name).is_file()]
            return look_at_table(tables[0]) if tables else look_at_folders(root)
    return _of_source(open_source(data))


def _of_shards(data: str) -> Layout:
    """Tar shards, past every sample that cannot be taken."""
    try:
        return _of_source(open_source(data))
    except ShardFaultsError as error:
        layout = _of_source(open_source(data, skip_bad=True))
        layout.faults += error.faults
        return layout


def _of_source(source: Source) -> Layout:
    """What `open_source` reads whole, such as the built-in sets."""
    layout = Layout(source.location)
    for split, samples in source.parts.items():
        labels = np.array(source.classes, dtype=object)[samples.labels]
        layout.declare(Lot(samples.items, samples.names, tuple(labels), split))
    return layout
