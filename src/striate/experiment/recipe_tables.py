"""The tables of a recipe: frozen, typed, each of which knows all its keys.

None is what is left open: `settle` fills it when the data are known.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PositiveFloat, model_validator

from striate.base.errors import ConfigError
from striate.data.augment.settings import Augment as Changes

MAX_THREADS = 1024


class Table(BaseModel):
    """A frozen table of the recipe that knows all its keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def _numbers(value: Any) -> Any:
    """TOML has lists, and writes 1 for 1.0."""
    numbers = isinstance(value, list) and all(type(entry) in (int, float) for entry in value)
    return tuple(map(float, value)) if numbers else value


def _list(value: Any) -> Any:
    """TOML has lists, and one name needs none."""
    return tuple(value) if isinstance(value, list) else (value,) if isinstance(value, str) else value


def _number(value: Any) -> Any:
    return float(value) if type(value) is int else value


Numbers = Annotated[tuple[float, ...], BeforeValidator(_numbers)]
Weights = Annotated[Literal["none", "balanced"] | tuple[PositiveFloat, ...], BeforeValidator(_numbers)]


class Split(Table):
    """How data that brings no split is divided, class by class.

    Args:
        validation_fraction: share of the training pictures that choose the best epoch, in (0, 0.9].
        test_fraction: share of all pictures that judge the result once, in (0, 0.9].
        folds: cut what is left of training into so many folds, of which one is validation, instead of a share; 0 is no.
        fold: which of them, from 0.
        skip_bad: leave out files that do not decode, and list them, instead of refusing.
    """

    validation_fraction: float = Field(default=0.1, gt=0, le=0.9)
    test_fraction: float = Field(default=0.2, gt=0, le=0.9)
    folds: int = Field(default=0, ge=0, le=1000)
    fold: int = Field(default=0, ge=0)
    skip_bad: bool = False


class Preprocess(Table):
    """From a decoded picture to the network's input.

    Args:
        image_size: side of the square input in pixels; none is the network's own.
        channels: 1 grey, 3 colour, 4 colour with transparency; none is what the data have.
        resize: "squash" to the square, "crop" its middle, or "letterbox" it with black.
        normalise: "measured" takes mean and standard deviation of the training split, "given" those below, "none"
            leaves [0, 1]; "pca" and "zca" whiten small pictures.
        mean, std: of each channel, with "given"; in [0, 1] units.
    """

    image_size: int | None = Field(default=None, ge=1)
    channels: int | None = Field(default=None, ge=1)
    resize: Literal["squash", "crop", "letterbox"] = "squash"
    normalise: Literal["measured", "given", "none", "pca", "zca"] = "measured"
    mean: Numbers | None = None
    std: Numbers | None = None

    @model_validator(mode="after")
    def _given_with_its_numbers(self) -> "Preprocess":
        numbers = self.mean is not None and self.std is not None
        if (self.normalise == "given") != numbers or (self.mean is None) != (self.std is None):
            raise ConfigError(
                "recipe",
                "preprocess.mean and preprocess.std",
                'both there with normalise "given", and else left out',
                got=f"mean {self.mean}, std {self.std} with {self.normalise!r}",
                fix="normalise=given mean=[0.485, 0.456, 0.406] std=[0.229, 0.224, 0.225] are ImageNet's",
            )
        return self


class Augment(Table):
    """Random changes of the training pictures, drawn per (seed, epoch, picture); docs/augmentation.md tells of each.

    Args:
        shift: up to so many pixels in each direction, black where nothing was.
        flip: mirror left and right with probability 1/2; wrong for digits and letters.
        crop_scale: smallest share of the area of a random crop; 1 is no crop.
    """

    shift: int | None = Field(default=None, ge=0)
    flip: bool | None = None
    crop_scale: float | None = Field(default=None, gt=0, le=1)
    vertical_flip: bool = False
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
    policy: Literal["none", "randaugment", "trivialaugment"] = "none"
    policy_magnitude: float | None = None
    policy_operations: int | None = None
    elastic: float = 0.0
    elastic_sigma: float | None = None
    mixup: float = 0.0
    cutmix: float = 0.0

    @model_validator(mode="after")
    def _each_means_something(self) -> "Augment":
        for name, on in (
            ("policy_magnitude", self.policy == "randaugment"),
            ("policy_operations", self.policy == "randaugment"),
            ("elastic_sigma", self.elastic > 0),
        ):
            if getattr(self, name) is not None and not on:
                fix = "set augment.elastic" if name == "elastic_sigma" else "set augment.policy=randaugment"
                must = "left out where it means nothing"
                raise ConfigError("recipe", f"augment.{name}", must, got=getattr(self, name), fix=fix)
        self.changes()  # the ranges
        return self

    def changes(self) -> Changes:
        """What is drawn; options that are not settled yet are off."""
        return Changes(**{name: value for name, value in self if value is not None})


class Sampling(Table):
    """Which pictures make an epoch.

    Args:
        balanced: every class equally often; pictures of small classes come several times, changed anew each time.
    """

    balanced: bool = False


class Loss(Table):
    """What is minimised; for classes that are not alike, what is made of it.

    Args:
        name: left out, the task's: "cross_entropy" of classes and pixels ("hinge" and "mse" for classes too), "bce" of
            labels, "mse" of numbers and reconstructions ("mae" too, and "huber" for numbers).
        label_smoothing: share of the target spread evenly over all classes, in [0, 1) (arXiv:1512.00567, section 7);
            left out, 0.1 for colour pictures.
        class_weights: "none", "balanced" (pictures in all over classes times pictures of the class), or a number a
            class, in the order of their numbers.
        focal_gamma: >= 0; larger looks away from what is classified well already (arXiv:1708.02002), 0 is no.
        huber_delta: of "huber", error up to which it is squared, in standard deviations of the targets; left out, 1.
    """

    name: Literal["cross_entropy", "hinge", "bce", "mse", "mae", "huber"] | None = None
    label_smoothing: float | None = Field(default=None, ge=0, lt=1)
    class_weights: Weights = "none"
    focal_gamma: float = Field(default=0.0, ge=0, le=100)
    huber_delta: float | None = Field(default=None, gt=0)


class Regularise(Table):
    """Against learning by heart, beside `weight_decay`, which is L2; L1 and L2 together are the elastic net.

    Args:
        dropout: share of features dropped in training, in [0, 1), of a network that drops any; none is its own.
        l1: a pull on every weight of one strength, biases and normalisation apart.
        max_norm: largest length of the weights of one output, biases apart; none is no limit.
    """

    dropout: float | None = Field(default=None, ge=0, lt=1)
    l1: float = Field(default=0.0, ge=0)
    max_norm: float | None = Field(default=None, gt=0)


class Update(Table):
    """From gradients to weights; what the optimiser asked for does not have is refused.

    Args:
        nesterov: of sgd: look where the momentum leads before the gradient is taken; left out, false.
        alpha: of rmsprop, in [0, 1): how much of the mean of squares is kept; left out, 0.99.
        beta1, beta2: of adam and adamw, in [0, 1); left out, 0.9 and 0.999.
        clip_norm: longest gradient of all weights together; a longer one is shortened.
        clip_value: largest number of a gradient.
        accumulate: pieces in which a batch goes through, their gradients added: memory of a piece, update of the batch.
        ema_decay: the network that is validated and kept is a running mean of the weights, in [0, 1); 0 is no.
    """

    nesterov: bool | None = None
    alpha: float | None = Field(default=None, ge=0, lt=1)
    beta1: float | None = Field(default=None, ge=0, lt=1)
    beta2: float | None = Field(default=None, ge=0, lt=1)
    clip_norm: float | None = Field(default=None, gt=0)
    clip_value: float | None = Field(default=None, gt=0)
    accumulate: int = Field(default=1, ge=1)
    ema_decay: float = Field(default=0.0, ge=0, lt=1)


class Schedule(Table):
    """Learning rate over the run.

    Args:
        name: "cosine" falls to 0 at the end, "polynomial" too; "step" by steps; "one_cycle" rises for 0.3 of the run
            and falls; "plateau" falls when validation gets no better; "constant" stays.
        warmup_epochs: the rise at the start, in epochs, may be a fraction; left out, 0.5, and a twentieth of many.
        step_epochs: of "step": how often the rate falls; left out, a third of the epochs.
        gamma: of "step" and "plateau": by what the rate is multiplied, in (0, 1); left out, 0.1.
        power: of "polynomial"; left out, 1, a straight line.
        patience: of "plateau": epochs that are no better before the rate falls; left out, 5.
    """

    name: Literal["cosine", "constant", "step", "one_cycle", "polynomial", "plateau"] = "cosine"
    warmup_epochs: float | None = Field(default=None, ge=0, le=1_000_000)
    step_epochs: float | None = Field(default=None, gt=0)
    gamma: float | None = Field(default=None, gt=0, lt=1)
    power: float | None = Field(default=None, gt=0)
    patience: int | None = Field(default=None, ge=0)


class Stopping(Table):
    """An end before the last epoch.

    Args:
        patience: epochs without a better validation before the run ends; 0 is never.
        min_delta: what counts as better, in units of the score; left out, 0.
    """

    patience: int = Field(default=0, ge=0)
    min_delta: float | None = Field(default=None, ge=0)


class Transfer(Table):
    """From another run's weights.

    Args:
        weights: the folder of a run or a bundle of the same network; what fits by name and shape is taken, such as all
            but the last layer for other classes.
        freeze: beginnings of names of parameters that stay as they are, such as "features".
        lr_factors: the learning rate of parameters is multiplied by this, by beginnings of their names.
    """

    weights: str | None = Field(default=None, pattern="^.")
    freeze: Annotated[tuple[str, ...], BeforeValidator(_list)] = ()
    lr_factors: dict[str, Annotated[PositiveFloat, BeforeValidator(_number)]] = Field(default_factory=dict)


class Execution(Table):
    """How the steps are run; changes results by no more than rounding.

    Args:
        engine: "torch", "native" for small sequential networks on a CPU, or "calculus": gradients by their written-out
            formulas, to be followed rather than fast; "auto" picks one of the first two.
        device: "auto" takes a GPU when there is one.
        threads: CPU threads; 0 is torch's own choice.
        precision: of the arithmetic of convolutions and matrix products; weights are float32 always; "auto" by network
            and machine.
        memory_format: "channels_last" or "contiguous"; "auto" by network and machine.
        allocator: "keep" memory in the process or give it back to the "system"; "auto" keeps it.
        cache: where decoded pictures are kept: on "disk", in "memory", nowhere ("stream": decoded anew each time), or
            what fits ("auto").
        cache_gb: what all decoded pictures of all data may take on disk, in 10^9 bytes.
        workers: processes that decode where nothing is kept; 0 is one for each core.
        checkpoint_seconds: a checkpoint at every epoch's end and, within long epochs, this often.
    """

    engine: Literal["auto", "torch", "native", "calculus"] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int = Field(default=0, ge=0, le=MAX_THREADS)
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    memory_format: Literal["auto", "channels_last", "contiguous"] = "auto"
    allocator: Literal["auto", "keep", "system"] = "auto"
    cache: Literal["auto", "disk", "memory", "stream"] = "auto"
    cache_gb: float = Field(default=20.0, gt=0)
    workers: int = Field(default=0, ge=0, le=MAX_THREADS)
    checkpoint_seconds: float = Field(default=60.0, gt=0)


class Track(Table):
    """Who else is told how the run goes; both are extras: pip install 'striate[track]'.

    Args:
        tensorboard: write TensorBoard's files into the run folder.
        mlflow: log to MLflow: the server of MLFLOW_TRACKING_URI, or a store of its own beside the run's folder.
    """

    tensorboard: bool = False
    mlflow: bool = False
