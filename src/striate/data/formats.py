"""Which format a file has, told by its first bytes: names lie, contents do not."""

SNIFF_BYTES = 512  # enough for every mark below and for the comments before a page's first tag

SUPPORTED = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM", "NPY")
# What a name promises, whether we can read it or not.
FORMAT_OF_SUFFIX = {
    f".{suffix}": name
    for name, suffixes in {
        "JPEG": "jpg jpeg jpe jfif",
        "PNG": "png apng",
        "BMP": "bmp dib",
        "GIF": "gif",
        "WEBP": "webp",
        "TIFF": "tif tiff",
        "PPM": "ppm pgm pbm pnm",
        "NPY": "npy",
        "EPS": "eps",
        "SVG": "svg",
        "PSD": "psd",
        "JPEG 2000": "jp2",
        "JPEG XL": "jxl",
        "HEIF": "heic heif",
        "AVIF": "avif",
    }.items()
    for suffix in suffixes.split()
}

_MARKS: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"BM", "BMP"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"\x93NUMPY", "NPY"),
    (b"%!PS", "EPS"),
    (b"\xc5\xd0\xd3\xc6", "EPS"),
    (b"%PDF", "PDF"),
    (b"8BPS", "PSD"),
    (b"\0\0\1\0", "ICO"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\x76\x2f\x31\x01", "OpenEXR"),
    (b"#?RADIANCE", "Radiance HDR"),
    (b"PK\3\4", "ZIP"),
    (b"\x1f\x8b", "gzip"),
)
PICTURES = frozenset(
    (*SUPPORTED, "EPS", "SVG", "PSD", "ICO", "JPEG 2000", "JPEG XL", "OpenEXR", "Radiance HDR", "HEIF", "AVIF", "PFM")
)


def format_of(head: bytes) -> str | None:
    """The format that the first bytes of a file announce, or None when they announce none known here.

    >>> format_of(b"GIF89a..."), format_of(b"P5 28 28 255 ..."), format_of(b"just text")
    ('GIF', 'PPM', None)
    """
    for mark, name in _MARKS:
        if head.startswith(mark):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[4:8] == b"ftyp":  # the ISO container: its brand says which picture or film it holds
        return {b"avif": "AVIF", b"avis": "AVIF"}.get(head[8:12], "HEIF" if head[8:11] in (b"hei", b"mif") else "MP4")
    if head[:1] == b"P" and head[2:3] in tuple(bytes([c]) for c in b" \t\r\n#"):
        return "PPM" if head[1:2] in (b"1", b"2", b"3", b"4", b"5", b"6") else "PFM" if head[1:2] in b"fF" else None
    return _markup(head[:SNIFF_BYTES].lstrip(b"\xef\xbb\xbf \t\r\n").lower())


def _markup(text: bytes) -> str | None:
    if b"<svg" in text:
        return "SVG"
    if text.startswith((b"<!doctype html", b"<html")):
        return "HTML"
    return "XML" if text.startswith(b"<?xml") else None
