"""The CRF engine against pytorch-crf: the same scores, equal results, both times.

    python -m benchmarks.crf [--json PATH] [--repeats N] [--threads N] [--device cuda]

Each gets a batch in its own layout, padded with a mask, or the rows alone with their lengths. They
are timed in turns, so that what else the machine does hits both; the ratios of the medians are what
to quote. A loss is taken with its gradients for emissions, start, transitions and end; a decoding
ends with lists of tag ids on the host. Results are compared with what pytorch-crf computes in
float64, because its own float32 sums are off by more than 1e-5.
"""

import argparse
import copy
import json
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torchcrf import CRF

from spacy_bio_crf import crf

# batch, length, tags; a range of lengths is a ragged batch
SIZES: list[tuple[int, tuple[int, int], int]] = [
    (32, (40, 40), 13),
    (32, (128, 128), 25),
    (32, (1, 128), 25),
    (8, (512, 512), 25),
    (128, (64, 64), 41),
    (1, (20_000, 20_000), 13),
]
TOLERANCE = 1e-5
# Seconds that a turn lasts, so that calls of a millisecond can be timed at all.
TURN = 0.02
# Seconds that one size and task may take, if three repeats are done before.
PATIENCE = 20.0


@dataclass(frozen=True)
class Row:
    """One line of the table; times are medians in milliseconds."""

    batch: int
    length: str
    tags: int
    task: str
    pytorch_crf_ms: float
    ours_ms: float
    ratio: float
    repeats: int
    difference: float


@dataclass(frozen=True)
class Case:
    """A batch, as each of the two takes it, and an untrained pytorch-crf layer for both.

    padded (Tensor): Emissions for pytorch-crf [B, T, K].
    mask (Tensor): bool [B, T].
    rows (Tensor): The same for us [N, K].
    lengths (List[int]): [B].
    tags (Tensor): [B, T].
    """

    layer: CRF
    padded: torch.Tensor
    mask: torch.Tensor
    rows: torch.Tensor
    lengths: list[int]
    tags: torch.Tensor

    @property
    def chain(self) -> list[torch.Tensor]:
        return [self.layer.start_transitions, self.layer.transitions, self.layer.end_transitions]


def make_case(batch: int, bounds: tuple[int, int], n_tags: int, device: torch.device) -> Case:
    """Draw a batch, always the same."""
    torch.manual_seed(0)
    lengths = torch.randint(bounds[0], bounds[1] + 1, (batch,))
    lengths[0] = bounds[1]
    mask = (torch.arange(bounds[1]) < lengths[:, None]).to(device)
    padded = torch.randn(*mask.shape, n_tags, device=device)
    return Case(
        layer=CRF(n_tags, batch_first=True).to(device),
        padded=padded.requires_grad_(),
        mask=mask,
        rows=padded.detach()[mask].requires_grad_(),
        lengths=lengths.tolist(),
        tags=torch.randint(n_tags, mask.shape, device=device),
    )


def in_double(case: Case) -> Case:
    layer = copy.deepcopy(case.layer).double()
    return replace(case, layer=layer, padded=case.padded.detach().double().requires_grad_())


def their_loss(case: Case) -> list[torch.Tensor]:
    loss = -case.layer(case.padded, case.tags, case.mask)
    return [loss.detach(), *torch.autograd.grad(loss, [case.padded, *case.chain])]


def our_loss(case: Case) -> list[torch.Tensor]:
    nll = crf.negative_log_likelihood
    loss = nll(case.rows, case.lengths, *case.chain, tags=case.tags[case.mask]).sum()
    return [loss.detach(), *torch.autograd.grad(loss, [case.rows, *case.chain])]


def their_tags(case: Case) -> list[list[int]]:
    with torch.no_grad():
        return case.layer.decode(case.padded, case.mask)


def our_tags(case: Case) -> list[list[int]]:
    with torch.no_grad():
        tags, _ = crf.viterbi(case.rows, case.lengths, *case.chain)
        return [path.tolist() for path in tags.cpu().split(case.lengths)]


def difference_of_losses(case: Case) -> float:
    """How far the losses and gradients are apart, relative to the largest number of each kind."""
    loss, by_row, *rest = their_loss(in_double(case))
    theirs = [loss, by_row[case.mask], *rest]
    pairs = zip(theirs, our_loss(case), strict=True)
    return max(float((a - b).abs().max() / a.abs().max()) for a, b in pairs)


def difference_of_tags(case: Case) -> float:
    """How far the scores of the paths are apart, relatively; in float64, by the definition."""
    with torch.no_grad():
        theirs, ours = (
            crf.path_score(
                case.rows.double(), torch.tensor(sum(paths, [])), case.lengths, *case.chain
            )
            for paths in (their_tags(in_double(case)), our_tags(case))
        )
    return float(((theirs - ours) / theirs).abs().max())


def interleave(
    one: Callable[[], object], other: Callable[[], object], repeats: int, device: torch.device
) -> list[tuple[float, float]]:
    """Time two functions in turns; at least three times, then until patience or repeats end.

    A turn lasts `TURN` seconds or one call, and gives the seconds of a call.
    """

    def seconds(function: Callable[[], object], calls: int) -> float:
        begin = time.perf_counter()
        for _ in range(calls):
            function()
        if device.type == "cuda":
            torch.cuda.synchronize()
        return (time.perf_counter() - begin) / calls

    calls = [max(1, int(TURN / seconds(function, 1))) for function in (one, other)]
    begin = time.perf_counter()
    times: list[tuple[float, float]] = []
    while len(times) < repeats and (len(times) < 3 or time.perf_counter() - begin < PATIENCE):
        times.append((seconds(one, calls[0]), seconds(other, calls[1])))
    return times


def measure(
    batch: int, bounds: tuple[int, int], n_tags: int, repeats: int, device: torch.device
) -> list[Row]:
    """Check and time one size.

    RAISES: ValueError, if the results are not equal.
    """
    case = make_case(batch, bounds, n_tags, device)
    length = str(bounds[1]) if bounds[0] == bounds[1] else f"{bounds[0]}-{bounds[1]}"
    tasks: list[tuple[str, Callable, Callable, Callable]] = [
        ("loss", difference_of_losses, their_loss, our_loss),
        ("decode", difference_of_tags, their_tags, our_tags),
    ]
    rows = []
    for task, difference, theirs, ours in tasks:
        apart = difference(case)
        if not apart <= TOLERANCE:
            raise ValueError(
                f"results differ by {apart:.1e} relatively, expected {TOLERANCE:.0e} at most: "
                f"{task}, batch {batch}, length {length}, tags {n_tags}"
            )
        times = interleave(partial(theirs, case), partial(ours, case), repeats, device)
        their_ms, our_ms = (1000 * statistics.median(x) for x in zip(*times, strict=True))
        ratio = their_ms / our_ms
        rows.append(Row(batch, length, n_tags, task, their_ms, our_ms, ratio, len(times), apart))
    return rows


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.crf", description=__doc__)
    parser.add_argument("--json", type=Path, help="write the table to this file")
    parser.add_argument("--repeats", type=int, default=25, help="of each measurement, at most")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    options = parser.parse_args(argv)
    torch.set_num_threads(options.threads)
    print(f"torch {torch.__version__}, {options.device}, {options.threads} thread(s)")
    print("batch  length  tags  task    pytorch-crf        ours   ratio  difference")
    rows = []
    for size in SIZES:
        for row in measure(*size, options.repeats, options.device):
            rows.append(row)
            print(
                f"{row.batch:5}{row.length:>8}{row.tags:6}  {row.task:6}"
                f"{row.pytorch_crf_ms:10.2f} ms{row.ours_ms:9.2f} ms{row.ratio:7.1f}x"
                f"{row.difference:12.0e}",
                flush=True,
            )
    if options.json:
        report = {
            "torch": torch.__version__,
            "processor": platform.processor() or platform.machine(),
            "device": str(options.device),
            "threads": options.threads,
            "rows": [asdict(row) for row in rows],
        }
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf8")


if __name__ == "__main__":
    main()
