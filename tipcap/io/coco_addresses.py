"""Where each picture of COCO lies on its own, beside the archives of all of them."""

_HOSTS = (
    "http://images.cocodataset.org",  # its certificate is another host's
    "https://s3.amazonaws.com/images.cocodataset.org",
)


def addresses_of(folder: str, name: str) -> tuple[str, ...]:
    """Return the addresses of a picture by its folder (train2014) and name, the first to be asked first."""
    return tuple(f"{host}/{folder}/{name}" for host in _HOSTS)
