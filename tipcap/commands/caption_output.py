"""How captions are shown: a table on a terminal, JSON lines, plain text in a pipe."""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

from tipcap.core.refining import Candidate, Caption, about_words, words_left_out
from tipcap.errors import one_line

Style = Literal["table", "json", "plain"]
Say = Callable[[str], None]
_GAP = "  "
_NAME_WIDTH = 28
_LEAST_TEXT_WIDTH = 16
_BOLD, _PLAIN = "\x1b[1m", "\x1b[0m"
Word = tuple[str, bool]
"""What is shown of a word, and whether it stands out."""


class Output:
    """Writes one picture's caption after the other, and notes beside them what became of the words of a prompt."""

    def __init__(
        self,
        style: Style,
        say: Say,
        *,
        num_best: int = 1,
        is_prompted: bool = False,
        in_bold: bool = False,
        width: int | None = None,
        name_width: int = _NAME_WIDTH,
        note: Say | None = None,
    ) -> None:
        self._style, self._say, self._note = style, say, note
        self._num_best, self._is_prompted = num_best, is_prompted
        self._in_bold = in_bold
        self._width = width or shutil.get_terminal_size().columns
        self._name_width = min(_NAME_WIDTH, max(len("picture"), name_width))
        self._has_head = False

    def write(self, name: str, caption: Caption) -> None:
        """Show a picture's caption, and the next best ones where they were asked for."""
        best = caption.candidates[: self._num_best]
        match self._style:
            case "json":
                self._say(json.dumps(self._record(name, caption), ensure_ascii=False))
            case "plain" if self._num_best > 1:
                for one in best:
                    self._say(f"{one.score:.4f}\t{one.text}")
            case "plain":
                self._say(caption.text)
            case "table":
                self._write_row(name, caption, best)
        if self._note and self._style != "json" and (said := about_words(caption)):
            self._note(one_line(f"{name}: {said}"))

    def refuse(self, name: str, reason: str) -> None:
        """Say in the place of a caption why there is none; on standard error it stands anyway."""
        if self._style == "json":
            record = {"picture": name, "error": reason}
            self._say(json.dumps(record, ensure_ascii=False))

    def _record(self, name: str, caption: Caption) -> dict[str, Any]:
        record: dict[str, Any] = {
            "picture": name,
            "caption": caption.text,
            "score": round(caption.score, 6),
        }
        if caption.rough is not None:
            record |= {
                "rough": caption.rough,
                "words": list(caption.words),
                "changed": [part.text for part in caption.parts if part.is_changed],
                "left_out": words_left_out(caption.text, caption.words),
                "insisted": caption.insisted,
            }
        if self._num_best > 1:
            record["candidates"] = [
                {"caption": one.text, "score": round(one.score, 6)}
                for one in caption.candidates[: self._num_best]
            ]
        return record

    def _write_row(
        self, name: str, caption: Caption, best: Sequence[Candidate]
    ) -> None:
        rows = [(f"{one.score:.3f}", one.text) for one in best]
        shown = _shortened(name, self._name_width)
        texts = 2 if self._is_prompted else 1
        fixed = [self._name_width] + ([6] if self._num_best > 1 else [])
        left = self._width - sum(fixed) - len(_GAP) * (len(fixed) + texts - 1)
        widths = [*fixed, *[max(_LEAST_TEXT_WIDTH, left // texts)] * texts]
        if not self._has_head:
            self._has_head = True
            titles = ["picture", *(["score"] if self._num_best > 1 else [])]
            titles += ["rough caption", "refined"] if self._is_prompted else ["caption"]
            self._lines([_plain(title) for title in titles], widths)
        for number, (score, text) in enumerate(rows):
            is_first = number == 0
            cells = [_plain(shown if is_first else "")]
            cells += [_plain(score)] if self._num_best > 1 else []
            if self._is_prompted:
                cells.append(_plain((caption.rough or "") if is_first else ""))
            is_refined = caption.rough is not None
            one = Caption(text, 0.0, rough=caption.rough) if is_refined else None
            cells.append(self._marked(one) if one else _plain(text))
            self._lines(cells, widths)

    def _marked(self, caption: Caption) -> list[Word]:
        words: list[Word] = []
        for part in caption.parts:
            run = part.text.split()
            if part.is_changed and not self._in_bold:
                run[0], run[-1] = f"[{run[0]}", f"{run[-1]}]"
                if len(run) == 1:
                    run = [f"[{part.text}]"]
            words += [(word, part.is_changed) for word in run]
        return words

    def _lines(self, cells: Sequence[Sequence[Word]], widths: Sequence[int]) -> None:
        columns = [
            list(_wrapped(words, width))
            for words, width in zip(cells, widths, strict=True)
        ]
        for number in range(max(map(len, columns))):
            texts = []
            for lines, width in zip(columns, widths, strict=True):
                words = lines[number] if number < len(lines) else []
                free = width - len(" ".join(word for word, _ in words))
                texts.append(self._joined(words) + " " * free)
            self._say(_GAP.join(texts).rstrip())

    def _joined(self, words: Sequence[Word]) -> str:
        return " ".join(
            f"{_BOLD}{word}{_PLAIN}" if stands_out and self._in_bold else word
            for word, stands_out in words
        )


def _plain(text: str) -> list[Word]:
    return [(word, False) for word in text.split()]


def _wrapped(words: Sequence[Word], width: int) -> Iterator[list[Word]]:
    """Yield words in lines of at most `width` characters; a longer word has a line of its own."""
    line: list[Word] = []
    used = 0
    for word in words:
        needed = len(word[0]) + (1 if line else 0)
        if line and used + needed > width:
            yield line
            line, used, needed = [], 0, len(word[0])
        line.append(word)
        used += needed
    yield line


def _shortened(name: str, width: int) -> str:
    """Return a name without line breaks or blanks, and without its beginning where it is too long."""
    shown = "".join("?" if ch.isspace() or not ch.isprintable() else ch for ch in name)
    return shown if len(shown) <= width else f"...{shown[3 - width :]}"
