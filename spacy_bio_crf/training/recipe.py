"""Numbers of a training, from the size of the corpus and the width of the encoder."""

from dataclasses import dataclass

from ..errors import check_choice, describe, is_number

GOALS = ("speed", "accuracy")
# Epochs, the least number of steps, and evaluations, by goal. A small corpus gets more epochs, so
# that the head has time to learn.
EPOCHS = {"speed": 2, "accuracy": 5}
LEAST_STEPS = {"speed": 300, "accuracy": 600}
EVALUATIONS = {"speed": 6, "accuracy": 12}
MOST_EPOCHS = 50  # whatever the least number of steps is
MOST_STEPS = 20_000
# Words in a batch: at the most, and so few that a small corpus has this many batches.
BATCH_WORDS = {"cpu": 400, "gpu": 3000}
LEAST_WORDS = 100
BATCHES = 50
# A rate for encoders up to some width, as their authors and the benchmarks of this project use.
RATES = ((384, 2e-4), (512, 1e-4), (768, 5e-5))
RATE_OF_LARGE = 2e-5
# The highest rate of more layers than so many. At 2e-4, eight layers of multilingual-e5-small gave
# all tokens of WNUT 17 the same vector within twenty steps.
DEEP, RATE_OF_DEEP = 6, 1e-4


@dataclass(frozen=True)
class Recipe:
    """Numbers of a training.

    batch_words (int): Words in a batch, about.
    steps (int): Batches to train for, a multiple of `eval_frequency`.
    warmup (int): Steps in which the learning rate rises.
    eval_frequency (int): Steps between evaluations.
    rate (float): The highest learning rate.
    epochs (float): How often the corpus is seen.
    """

    batch_words: int
    steps: int
    warmup: int
    eval_frequency: int
    rate: float
    epochs: float


def make_recipe(
    words: int,
    dev_words: int,
    *,
    width: int,
    layers: int = 0,
    gpu: bool = False,
    optimize: str = "speed",
    epochs: float | None = None,
) -> Recipe:
    """Choose the numbers of a training.

    words (int): Tokens of the training data.
    dev_words (int): Tokens of the development data; evaluation takes at most about a third of the
        time of training.
    width (int): Of the encoder's vectors.
    layers (int): How many the encoder has.
    gpu (bool): Larger batches.
    optimize (str): "speed" or "accuracy".
    epochs (float | None): How often to see the training data; None chooses.
    RETURNS (Recipe): The numbers.
    RAISES: ValueError for an unknown goal, or epochs that are not above 0.
    """
    check_choice("optimize", optimize, GOALS)
    if epochs is not None and (not is_number(epochs) or epochs <= 0):
        raise ValueError(describe("epochs", expected="a number above 0", got=epochs))
    most = BATCH_WORDS["gpu" if gpu else "cpu"]
    batch_words = min(most, max(LEAST_WORDS, words // BATCHES))
    an_epoch = max(1.0, words / batch_words)
    if epochs is None:
        wanted = max(EPOCHS[optimize] * an_epoch, LEAST_STEPS[optimize])
        wanted = min(wanted, MOST_EPOCHS * an_epoch, MOST_STEPS)
    else:
        wanted = epochs * an_epoch
    # A word of training costs about as much as three of prediction.
    affordable = int(wanted * batch_words / max(1, dev_words))
    evaluations = max(1, min(EVALUATIONS[optimize], max(3, affordable), int(wanted)))
    eval_frequency = max(1, round(wanted / evaluations))
    # The last step is evaluated, too.
    steps = eval_frequency * max(1, round(wanted / eval_frequency))
    rate = next((rate for most_wide, rate in RATES if width <= most_wide), RATE_OF_LARGE)
    if layers > DEEP:
        rate = min(rate, RATE_OF_DEEP)
    return Recipe(batch_words, steps, max(1, steps // 10), eval_frequency, rate, steps / an_epoch)
