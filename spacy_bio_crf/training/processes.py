"""Processes that torchrun starts for one training, and what they tell each other."""

import contextlib
import os
import re
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.rendezvous import rendezvous

from ..errors import Plain, TrainingError, describe

T = TypeVar("T")

# Numbers that travel together: a message of its own for each bias would cost more than its numbers.
BUCKET = 2**23


class Processes:
    """The processes of one training, from the view of one of them.

    Every process calls the same methods in the same order, because each waits for all others.

    gpu (int): The GPU of the first process of each machine, or -1 for the CPU.
    RAISES: TrainingError if there are fewer GPUs than processes.
    """

    def __init__(self, gpu: int = -1):
        local, here = (int(os.environ[name]) for name in ("LOCAL_RANK", "LOCAL_WORLD_SIZE"))
        if gpu >= 0 and torch.cuda.device_count() < gpu + here:
            expected = f"a GPU for each of the {here} processes, {gpu} to {gpu + here - 1}"
            got = Plain(f"{torch.cuda.device_count()} GPUs")
            raise TrainingError(describe("--gpu-id", expected=expected, got=got))
        self.gpu = gpu + local if gpu >= 0 else -1
        restarts = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        # Whether torchrun has started the processes again, after one of them had ended.
        self.restarted = restarts != "0"
        with _noticing_an_end():
            store, self.rank, self.count = next(rendezvous("env://"))
            dist.init_process_group(
                # What is told goes by gloo in any case, and needs no GPU.
                "cpu:gloo,cuda:nccl" if gpu >= 0 else "gloo",
                # In some versions of torch the store still knows the addresses of those before.
                store=dist.PrefixStore(f"start {restarts}", store),
                rank=self.rank,
                world_size=self.count,
            )

    def gather(self, value: T) -> list[T]:
        """RETURNS (list): The values of all processes, by rank."""
        found: list[Any] = [None] * self.count
        with _noticing_an_end():
            dist.all_gather_object(found, value)
        return found

    def collect(self, value: T) -> list[T]:
        """RETURNS (list): As `gather` on rank 0; empty on others."""
        found: list[Any] = [None] * self.count if self.rank == 0 else []
        with _noticing_an_end():
            dist.gather_object(value, found or None)
        return found

    def tell(self, value: T) -> T:
        """RETURNS: The value of rank 0, on all."""
        told = [value]
        with _noticing_an_end():
            dist.broadcast_object_list(told)
        return told[0]

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Put the sum over all processes in the place of each tensor."""
        for bucket in _buckets(tensors):
            flat = _flat(bucket)
            with _noticing_an_end():
                dist.all_reduce(flat)
            _spread(flat, bucket)

    def copy_from_first(self, tensors: Sequence[Tensor]) -> None:
        """Put the numbers of rank 0 in the place of those of all."""
        for bucket in _buckets(tensors):
            flat = _flat(bucket)
            with _noticing_an_end():
                dist.broadcast(flat, 0)
            _spread(flat, bucket)

    def leave(self) -> None:
        """End, once all is done."""
        dist.destroy_process_group()


def join(gpu: int = -1) -> Processes | None:
    """Join the other processes, if torchrun has started this one.

    gpu (int): As for `Processes`.
    RETURNS (Processes | None): None if there are no others.
    RAISES: TrainingError as `Processes`.
    """
    return Processes(gpu) if dist.is_available() and dist.is_torchelastic_launched() else None


def share_out(sizes: Sequence[int], count: int) -> list[list[int]]:
    """Share out items to processes, so that the shares are about as large.

    The largest first, each to the smallest share (Graham 1969, "Bounds on Multiprocessing Timing
    Anomalies"). The first share is never empty, if there are items at all.

    sizes (Sequence[int]): The size of each item.
    count (int): The number of shares.
    RETURNS (list[list[int]]): Places of items in each share, in order.
    """
    loads, shares = [0] * count, [[] for _ in range(count)]  # type: tuple[list, list[list[int]]]
    for place in sorted(range(len(sizes)), key=lambda i: -sizes[i]):
        least = loads.index(min(loads))
        shares[least].append(place)
        loads[least] += sizes[place]
    return [sorted(share) for share in shares]


def _buckets(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    bucket: list[Tensor] = []
    for tensor in tensors:
        kind = (tensor.device, tensor.dtype)
        full = sum(t.numel() for t in bucket) + tensor.numel() > BUCKET
        if bucket and (full or kind != (bucket[0].device, bucket[0].dtype)):
            yield bucket
            bucket = []
        bucket.append(tensor)
    if bucket:
        yield bucket


def _flat(bucket: Sequence[Tensor]) -> Tensor:
    if len(bucket) == 1:
        return bucket[0].reshape(-1)
    return torch.cat([tensor.reshape(-1) for tensor in bucket])


def _spread(flat: Tensor, bucket: Sequence[Tensor]) -> None:
    parts = torch.split(flat, [tensor.numel() for tensor in bucket])
    with torch.no_grad():
        for tensor, part in zip(bucket, parts, strict=True):
            tensor.copy_(part.view_as(tensor))


@contextlib.contextmanager
def _noticing_an_end() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # a connection is closed, or nobody has answered
        reason = re.sub(r"\[/\S+\]\s*", "", str(error)).strip().partition(". ")[0][:200]
        expected = "all processes of the training"
        got = Plain(f"one that has ended, or does not answer ({reason})")
        remedy = "its own message, or torchrun's, names the cause"
        raise TrainingError(
            describe("torchrun", expected=expected, got=got, remedy=remedy)
        ) from None
