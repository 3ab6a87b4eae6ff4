"""Numbers of things in words, as every sentence that counts says them."""


def counted(number: int, one: str, many: str | None = None) -> str:
    """Return a number of things in words: 1 image, 2 images."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"
