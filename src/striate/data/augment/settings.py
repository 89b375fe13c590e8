"""Which random changes a training picture meets: all are off until asked for."""

from dataclasses import dataclass

from striate.base.errors import ConfigError

POLICIES = ("none", "randaugment", "trivialaugment")
LEVELS = 30  # RandAugment and TrivialAugment count their strength in 0 .. 30
MOST_OPERATIONS = 14
LARGEST_ALPHA = 100.0  # beyond it Beta(alpha, alpha) is 1/2 and nothing else


@dataclass(frozen=True, slots=True)
class Augment:
    """The random changes of training pictures; docs/augmentation.md tells when to use which.

    Args:
        shift: by up to this many pixels in both directions of both axes.
        flip: mirror half of the pictures left to right.
        vertical_flip: mirror half of them top to bottom.
        crop_scale: the smallest share of the picture's area that a random crop, resized to the whole, may have; 1 is
            no crop.
        rotate: by up to this many degrees in both directions, in [0, 180].
        shear: of each axis, by up to this many degrees in both directions, in [0, 80].
        translate: along each axis, by up to this share of the side in both directions, in [0, 1].
        zoom: by a factor in [1 - zoom, 1 + zoom], zoom in [0, 0.9].
        brightness: multiply by a factor in [1 - brightness, 1 + brightness], in [0, 1]; so the next two.
        contrast: stretch the distance from the picture's mean grey.
        saturation: stretch the distance from each pixel's own grey.
        hue: turn by up to this share of the colour circle in both directions, in [0, 0.5].
        colour_noise: standard deviation of AlexNet's noise along the principal axes of colour, in [0, 10]; its is 0.1.
        erase: the probability that a rectangle is overwritten with noise.
        policy: none, randaugment or trivialaugment: operations drawn from a published list, one after the other.
        policy_magnitude: RandAugment's strength of every operation, in [0, 30].
        policy_operations: how many operations RandAugment applies, in [1, 14].
        elastic: standard deviation in pixels by which every pixel is displaced.
        elastic_sigma: over how many pixels displacements are alike, in [0.5, 100].
        mixup: alpha of MixUp's Beta distribution, in [0, 100]; 0 is off.
        cutmix: the same of CutMix; where both are on, each picture gets one of the two.
    """

    shift: int = 0
    flip: bool = False
    vertical_flip: bool = False
    crop_scale: float = 1.0
    rotate: float = 0.0
    shear: float = 0.0
    translate: float = 0.0
    zoom: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    colour_noise: float = 0.0
    erase: float = 0.0
    policy: str = "none"
    policy_magnitude: float = 9.0
    policy_operations: int = 2
    elastic: float = 0.0
    elastic_sigma: float = 4.0
    mixup: float = 0.0
    cutmix: float = 0.0

    def __post_init__(self) -> None:
        if self.shift < 0:
            raise _bad("shift", ">= 0", self.shift, "2 suits 28x28, 4 suits 32x32; 0 is none")
        if self.policy not in POLICIES:
            raise _bad("policy", " or ".join(POLICIES), self.policy, "trivialaugment needs no tuning; none is off")
        for name, (least, most, fix) in RANGES.items():
            if not least <= getattr(self, name) <= most:  # false for NaN too
                raise _bad(name, f"in [{least:g}, {most:g}]", getattr(self, name), fix)

    @property
    def resamples(self) -> bool:
        """Whether every picture is read through its matrix, rather than copied or cropped."""
        return self.warps or self.elastic > 0 or (self.crop_scale < 1 and self.shift > 0)

    @property
    def jitters(self) -> bool:
        """Whether brightness, contrast, saturation or hue change."""
        return any((self.brightness, self.contrast, self.saturation, self.hue))

    @property
    def warps(self) -> bool:
        """Whether pictures are turned, sheared, translated or zoomed."""
        return any((self.rotate, self.shear, self.translate, self.zoom))

    @property
    def recolours(self) -> bool:
        """Whether the values of pixels are computed anew."""
        return self.jitters or self.colour_noise > 0 or self.policy != "none"

    @property
    def only_moves(self) -> bool:
        """Whether bytes stay what they are: `moves` says all that `apply` does."""
        return not (self.resamples or self.recolours or self.erase or self.crop_scale < 1)

    @property
    def mixes(self) -> bool:
        """Whether pictures and their labels are mixed with each other: the work of `mix`, not of `apply`."""
        return self.mixup > 0 or self.cutmix > 0

    @property
    def changes_nothing(self) -> bool:
        """Whether every picture and every label stays as it is."""
        moves = self.shift > 0 or self.flip or self.vertical_flip or self.crop_scale < 1
        return not (moves or self.resamples or self.recolours or self.erase or self.mixes)


OFF = "0 is off"
RANGES: dict[str, tuple[float, float, str]] = {
    "crop_scale": (0.01, 1, "0.08 is ImageNet's custom, 0.5 is gentle; 1 is no crop"),
    "rotate": (0, 180, f"10 degrees suit digits; {OFF}"),
    "shear": (0, 80, f"10 degrees are mild; {OFF}"),
    "translate": (0, 1, f"0.1 moves by up to a tenth of the side; {OFF}"),
    "zoom": (0, 0.9, f"0.1 changes the size by up to a tenth; {OFF}"),
    "brightness": (0, 1, f"0.4 is in common use; {OFF}"),
    "contrast": (0, 1, f"0.4 is in common use; {OFF}"),
    "saturation": (0, 1, f"0.4 is in common use; {OFF}"),
    "hue": (0, 0.5, f"0.1 is in common use, 0.5 is any colour; {OFF}"),
    "colour_noise": (0, 10, f"0.1 is AlexNet's; {OFF}"),
    "erase": (0, 1, f"it is a probability: 0.25 is in common use; {OFF}"),
    "policy_magnitude": (0, LEVELS, "9 is in common use; 0 leaves most operations without effect"),
    "policy_operations": (1, MOST_OPERATIONS, "2 is in common use; policy none is off"),
    "elastic": (0, 1000, f"1.4 pixels with elastic_sigma 4 suit 28x28; {OFF}"),
    "elastic_sigma": (0.5, 100, "4 pixels suit 28x28"),
    "mixup": (0, LARGEST_ALPHA, f"0.2 is in common use; {OFF}"),
    "cutmix": (0, LARGEST_ALPHA, f"1.0 is in common use; {OFF}"),
}


def check(augment: Augment, channels: int, top: float | None = 255.0) -> None:
    """Refuse what means nothing for pictures of this kind.

    Args:
        augment: what is asked for.
        channels: of the pictures.
        top: the value of white; None for numbers without a range.

    Raises:
        ConfigError: an operation on red, green and blue, or on a range, where there is none.
    """
    for name in ("saturation", "hue"):
        if getattr(augment, name) and channels != 3:
            raise _bad(name, f"0 for pictures of {channels} channels", getattr(augment, name), f"set {name} = 0")
    if augment.policy != "none" and channels not in (1, 3):
        fix = 'set policy = "none"; rotate, shear, translate and brightness take any number of channels'
        raise _bad("policy", f"none for pictures of {channels} channels", augment.policy, fix)
    if augment.policy != "none" and top is None:
        fix = 'set policy = "none", or tell what white is'
        raise _bad("policy", "none for numbers without a range", augment.policy, fix)


def _bad(what: str, must: str, got: object, fix: str) -> ConfigError:
    return ConfigError("Augment", what, must, got=got, fix=fix)
