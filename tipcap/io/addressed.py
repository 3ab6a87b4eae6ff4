"""Pictures by address: those of a split that a target needs, and where each of them lies."""

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import NamedTuple
from urllib.parse import quote

import torch

from tipcap.core.selection import sample_images, sample_size
from tipcap.errors import InputError
from tipcap.io.image_records import ImageRecord
from tipcap.specs import SampleSpec, Split


class Candidates(NamedTuple):
    """Pictures to try, in this order, until so many are there."""

    records: list[ImageRecord]
    num_wanted: int


def candidates_of_split(
    records: Sequence[ImageRecord],
    split: Split,
    sample: SampleSpec,
    addresses: Sequence[str],
    label: str,
) -> Candidates:
    """Return the pictures of a split, or the sample of them that an estimate or a training draws.

    Where pictures of a sample are gone, the next of the same draw take their places.

    Args:
        records: of the whole dataset.
        split: whose pictures are needed.
        sample: which of them.
        addresses: as the world's file has them.
        label: what they are called in errors.

    Raises:
        InputError: no such pictures, fewer than wanted, or one without an address.
    """
    inside = {r.image_id: r for r in records if r.split == split and r.member}
    where = f"{label} {split}"
    if not inside:
        raise InputError(
            f"{where}: expected some, found none in its annotations; choose another split"
        )
    chosen, num_wanted = list(inside.values()), len(inside)
    if sample.is_sample:
        num_wanted = sample_size(len(inside), sample.fraction, sample.num_images)
        spare = max(num_wanted, min(2 * num_wanted, len(inside)))
        order = sample_images(torch.tensor(list(inside)), spare, sample.sample)
        chosen = [inside[image_id] for image_id in order.tolist()]
    return Candidates([_addressed(r, addresses, where) for r in chosen], num_wanted)


def _addressed(
    record: ImageRecord, addresses: Sequence[str], where: str
) -> ImageRecord:
    """Return a record with all addresses of its picture: the world's own before those that its reader knows."""
    member = str(record.member)
    parts = {"{member}": member, "{name}": PurePosixPath(member).name}
    urls = []
    for address in addresses:
        for sign, text in parts.items():
            address = address.replace(sign, quote(text))
        urls.append(address)
    if not (urls := [*urls, *record.urls]):
        raise InputError(
            f"{where}: image {record.image_id}: expected the address of its picture, found none in its annotations; name where pictures lie under `addresses` in the world's file (https://HOST/{{member}}), or archives of them under `pictures`"
        )
    return record._replace(urls=tuple(dict.fromkeys(urls)))
