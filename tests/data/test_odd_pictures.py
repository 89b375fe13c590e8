"""Every odd kind of picture is brought to every kind, channel count and size by the stated rules.

Whole numbers to the last bit, resized floating point to one unit of it or two."""

from itertools import product

import pytest
from numpy.testing import assert_allclose, assert_array_equal
from tests.data.odd_pictures import odd_pictures
from tests.data.stated_rules import expected

from striate.data.decode import DecodeFault, decode, decoded, header
from striate.data.picture import Picture

ODD = odd_pictures()
KINDS, RESIZES = ("uint8", "uint16", "float32"), ("squash", "crop", "letterbox")


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: odd.name)
def test_it_is_read_as_it_was_stored(odd):
    raster = decode(odd.content)
    assert_array_equal(raster.pixels, odd.stored)
    assert raster.layers == ("alpha" if odd.alpha else "bands" if odd.bands else "colour")


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: odd.name)
def test_its_header_tells_kind_channels_and_size(odd, tmp_path):
    path = tmp_path / odd.name
    path.write_bytes(odd.content)
    found = header(path)
    kind = "float32" if odd.stored.dtype.kind == "f" else odd.stored.dtype.name
    assert (found.channels, found.kind) == (odd.stored.shape[2] - odd.alpha, kind)
    assert found.size == odd.stored.shape[:2] or (odd.name.startswith("exif") and sorted(found.size) == [21, 34])


CASES = [(odd, size) for odd in ODD for size in ((30, 17), (12, 12), (21, 34))[: 1 if "exif" in odd.name else 3]]


@pytest.mark.parametrize(("odd", "size"), CASES, ids=[f"{odd.name} {size}" for odd, size in CASES])
def test_it_becomes_the_picture_by_the_stated_rules(odd, size):
    for channels, kind, resize in product((1, 2, 3, 4, 5), KINDS, RESIZES):
        rules = {"alpha": odd.alpha, "bands": odd.bands, "size": size, "kind": kind, "resize": resize}
        either = [expected(odd.stored, channels=channels, order=order, **rules) for order in ((1, 0), (0, 1))]
        picture = Picture(channels, *size, kind=kind, resize=resize)
        if either[0] is None:
            with pytest.raises(DecodeFault) as caught:
                decoded(odd.content, picture, odd.name)
            assert (caught.value.path, caught.value.kind) == (odd.name, "pixels")
            continue
        found = decoded(odd.content, picture, odd.name)
        ulp = 2e-7 if kind == "float32" and odd.stored.shape[:2] != size else 0  # Pillow's sums in another order
        wanted = min(either, key=lambda one: abs(one.astype(float) - found).sum())
        assert_allclose(found, wanted, rtol=ulp, atol=ulp, err_msg=f"{picture}")
        assert found.dtype == kind
        assert found.transpose(1, 2, 0).flags["C_CONTIGUOUS"]  # channels last, as batches hold them
