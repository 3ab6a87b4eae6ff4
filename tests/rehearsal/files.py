"""Small files in exactly the formats in which the paper's data and weights are published.

Datasets are a handful of pictures and sentences. Models are the true architectures with drawn weights: they
are large, so what is made once is kept.
"""

import csv
import gzip
import hashlib
import io
import json
import re
import shutil
import sys
import zipfile
from pathlib import Path
from urllib.parse import quote_plus

import numpy as np
from PIL import Image

from tests.rehearsal import models
from tipcap.io.digests import remembered_digest

SENTENCES = (
    "A man riding a wave on top of a surfboard.",
    "A woman holding a red umbrella in the rain.",
    "Two dogs are playing with a frisbee on the grass.",
    "A plate of food with rice and vegetables",
    "A train traveling down tracks next to a station. ",
    "a cat is  sitting on a wooden table",
    'A sign that says "stop" on a street corner.',
    "Several people standing around a café table.",
    "A boy in a blue shirt kicks a ball.",
    "Three boats in the water near a beach",
    "A giraffe eats leaves from a tall tree.",
    "An old clock tower under a cloudy sky.\n",
)
TITLES = (
    ("grandma's apple pie", 'see <a href="http://example.org">the recipe</a>'),
    ("DSC_0112", "A long day at the beach & pier"),
    ("", "Antenna, SoHo"),
    ("Une journée à la plage", ""),
    ("IMG_2031.JPG", ""),
    ("Sunset over the harbour", "<b>Nikon</b> D90\nf/8"),
    ("100% wool", "My new hat"),
    ("Birthday party", "cake; candles"),
)
NUM_PHOTOS = 24
"""Of YFCC100M: more than the world's sample needs, as some are gone."""
NUM_SHARDS = 4
TRUE_LIST = Path(__file__).parents[2] / "config" / "downloads.csv"
_EPOCH = (2014, 1, 1, 0, 0, 0)


def odd_picture(number):
    """The bytes of a JPEG of one of the kinds that the real archives hold, each different."""
    rng = np.random.default_rng(number)
    corners = rng.integers(0, 256, (3, 3, 3), np.uint8)
    size = (96 + number % 5, 72)
    picture = Image.fromarray(corners).resize(size, Image.Resampling.BILINEAR)
    options = {"quality": 90}
    match number % 6:
        case 1:
            picture = picture.convert("L")
        case 2:
            picture = picture.convert("CMYK")
        case 3:
            turned = Image.Exif()
            turned[0x0112] = 6  # a camera held upright
            options["exif"] = turned
        case 4:
            options["progressive"] = True
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", **options)
    return buffer.getvalue()


def _sentences(number, count, image, first):
    texts = [SENTENCES[(number * 3 + i * 5) % len(SENTENCES)] for i in range(count)]
    return [
        {
            "tokens": re.findall(r"\w+", text.lower()),
            "raw": text,
            "imgid": image,
            "sentid": first + i,
        }
        for i, text in enumerate(texts)
    ]


def _karpathy(dataset, splits):
    """A Karpathy document, and its pictures by archive and member."""
    images, pictures, sentid = [], {}, 0
    for number, split in enumerate(splits):
        # a few images of COCO have six or seven captions
        sentences = _sentences(number, 6 if number == 1 else 5, number, sentid)
        sentid += len(sentences)
        image = {
            "sentids": [sentence["sentid"] for sentence in sentences],
            "imgid": number,
            "split": split,
            "sentences": sentences,
        }
        if dataset == "coco":
            folder = "train2014" if split == "train" else "val2014"
            cocoid = 9 + 131071 * number
            image |= {
                "filepath": folder,
                "cocoid": cocoid,
                "filename": f"COCO_{folder}_{cocoid:012}.jpg",
            }
        else:
            folder = "flickr30k-images"
            image["filename"] = f"{1000092795 + 7 * number}.jpg"
        images.append(image)
        member = f"{folder}/{image['filename']}"
        pictures.setdefault(f"{folder}.zip", {})[member] = odd_picture(number)
    return {"images": images, "dataset": dataset}, pictures


def _single(archives):
    """Pictures of COCO by the addresses at which each lies on its own; the first host has lost one of them."""
    found = {}
    for number, (member, picture) in enumerate(
        (member, picture)
        for inside in archives.values()
        for member, picture in inside.items()
    ):
        host = (
            "https://s3.amazonaws.com/images.cocodataset.org"
            if number == 1
            else "http://images.cocodataset.org"
        )
        found[f"{host}/{member}"] = picture
    return found


def _nocaps():
    """NoCaps' document, and its pictures by address: one lies at Open Images alone, and one nowhere."""
    images, annotations, pictures = [], [], {}
    for number, domain in enumerate(("in-domain", "near-domain", "out-domain") * 2):
        name = f"{0x0013EA2087020901 + 977 * number:016x}"
        picture = odd_picture(200 + number)
        address = f"https://s3.amazonaws.com/nocaps/val/{name}.jpg"
        images.append(
            {
                "license": 0,
                "file_name": f"{name}.jpg",
                "coco_url": address,
                "height": 72,
                "width": 96,
                "date_captured": "2018-11-06 11:04:33",
                "id": number,
                "open_images_id": name,
                "domain": domain,
            }
        )
        if number == 4:
            address = (
                f"https://open-images-dataset.s3.amazonaws.com/validation/{name}.jpg"
            )
        if number != 5:
            pictures[address] = picture
        annotations += [
            {
                "image_id": number,
                "id": 10 * number + i,
                "caption": SENTENCES[(number + i) % len(SENTENCES)].strip(),
            }
            for i in range(10)
        ]
    document = {
        "licenses": [{"url": "", "id": 0, "name": "CC BY 2.0"}],
        "info": {"year": "2018", "version": "1.0", "description": "nocaps val"},
        "images": images,
        "annotations": annotations,
    }
    return document, pictures


def _yfcc(prefixes):
    """YFCC's metadata by the first digits of their keys, and pictures by address: every fifth is gone."""
    shards, pictures = {prefix: [] for prefix in prefixes}, {}
    for number in range(NUM_PHOTOS):
        prefix = prefixes[number % len(prefixes)]
        key = prefix + hashlib.md5(str(number).encode()).hexdigest()[3:]
        title, description = TITLES[number % len(TITLES)]
        photo = 137943 + 1009 * number
        line = {
            "photoid": photo,
            "uid": "48600072071@N01",
            "unickname": "some+body",
            "datetaken": "2004-06-30 13:52:00.0",
            "capturedevice": "Canon+PowerShot+S400",
            "title": quote_plus(title),
            "description": quote_plus(description),
            "usertags": "pie,kitchen",
            "downloadurl": f"http://farm1.staticflickr.com/{number}/{photo}_5ef6a1a2e5.jpg",
            "licensename": "Attribution License",
            "licenseurl": "http://creativecommons.org/licenses/by/2.0/",
            "ext": "jpg",
            "key": key,
        }
        if number % 3:  # the cleaned texts are not there everywhere
            line["title_clean"] = title
            line["description_clean"] = re.sub("<[^>]*>", "", description)
        shards[prefix].append(json.dumps(line) + "\n")
        if number % 5 == 4:
            pictures[line["downloadurl"]] = None
        else:
            pictures[commons_address(key)] = odd_picture(300 + number)
    return shards, pictures


def commons_address(key):
    """Where Multimedia Commons keeps a photo."""
    return (
        "https://multimedia-commons.s3-us-west-2.amazonaws.com/data/images/"
        f"{key[:3]}/{key[3:6]}/{key}.jpg"
    )


def _ss1m():
    """SS1M's files by name: pages of records, some without a description, some with several lines."""
    files = {}
    for category in range(3):
        pages = {}
        for page in range(2):
            number = 4 * category + 2 * page
            first, second = (SENTENCES[(number + i) % 12].strip() for i in range(2))
            pages[str(page + 1)] = [
                {
                    "id": str(5540 + number),
                    "description": f"{first} Stock photo of a very calm day\n{second} Isolated on a white background",
                },
                {"id": str(5541 + number)},
            ]
        files[f"{category:04}.json"] = json.dumps(pages)
    return files


def _zip(path, members, folders=()):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for folder in folders:
            archive.writestr(zipfile.ZipInfo(f"{folder}/", _EPOCH), b"")
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), content)


def _write(path, content):
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def write_files(folder):
    """Write all files that the rehearsal's world downloads, their list, and the pictures that are fetched singly.

    Args:
        folder: gets `files/`, `pictures/` with `pictures.json` (address -> file), and `downloads.csv`, in which
            checksums and sizes are those of the files here wherever those of the true ones are known; its addresses
            are those of the true downloads.csv.
    """
    files = folder / "files"
    _forget_other_models(folder)
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    files.mkdir(exist_ok=True)
    with TRUE_LIST.open(newline="") as content:
        reader = csv.DictReader(content)
        columns, rows = reader.fieldnames, list(reader)
    coco, coco_pictures = _karpathy(
        "coco", ["train"] * 3 + ["restval", "val", "test", "test"]
    )
    flickr, flickr_pictures = _karpathy(
        "flickr30k", ["train"] * 4 + ["val", "test", "test"]
    )
    for name, members in (coco_pictures | flickr_pictures).items():
        _zip(files / name, members, [name.removesuffix(".zip")])
    _zip(
        files / "caption_datasets.zip",
        {
            f"dataset_{document['dataset']}.json": json.dumps(document)
            for document in (coco, flickr, {"images": [], "dataset": "flickr8k"})
        },
    )
    nocaps, pictures = _nocaps()
    for row in rows:
        if row["file"].startswith("nocaps"):
            _write(files / row["file"], json.dumps(nocaps))
        elif row["file"].startswith("ss1m"):
            _zip(files / row["file"], _ss1m())
        elif row["file"] in models.CLIP:
            _kept(models.write_clip, files / row["file"])
        elif row["file"].startswith("gpt2"):
            _kept(models.write_gpt2, files / row["file"])
    shards, photos = _yfcc([f"{number:03x}" for number in range(NUM_SHARDS)])
    for prefix, lines in shards.items():
        content = gzip.compress("".join(lines).encode(), mtime=0)
        _write(files / f"yfcc_metadata_{prefix}.jsonl.gz", content)
    named, singly = {}, pictures | photos | _single(coco_pictures)
    for number, (address, picture) in enumerate(singly.items()):
        named[address] = picture and f"pictures/{number:03}.jpg"
        if picture:
            _write(folder / named[address], picture)
    _write(folder / "pictures.json", json.dumps(named, indent=1))
    _write_list(folder / "downloads.csv", columns, rows, files)


def _forget_other_models(folder):
    """Remove large files that another state of `models.py` has made."""
    made_by, program = folder / "made_by", Path(models.__file__).read_bytes()
    now = hashlib.sha256(program).hexdigest()
    if not made_by.exists() or made_by.read_text() != now:
        shutil.rmtree(folder / "files", ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        made_by.write_text(now)


def _kept(write, path):
    """Make a large file unless it is there; it gets its name when it is whole."""
    if not path.exists():
        begun = path.with_name(f".{path.name}")
        write(begun, path.name)
        shutil.move(begun, path)


def _write_list(path, columns, rows, files):
    for row in rows:
        file = files / row["file"]
        if not file.exists():
            continue  # not of this world
        if row["sha256"]:
            row["sha256"] = remembered_digest(file, files.parent / "digests.json")
        if row["bytes"].isdecimal():  # otherwise not known, or not to the byte
            row["bytes"] = file.stat().st_size
    with path.open("w", newline="") as content:
        writer = csv.DictWriter(content, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    write_files(Path(sys.argv[1]))
