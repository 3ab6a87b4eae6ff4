"""The page of `tipcap demo` in gradio, served to this machine alone; the only module that knows gradio.

What a session has seen is kept by gradio for that session. Nothing is asked of other machines: no fonts, no scripts,
no statistics; the browser is told so too.
"""

import contextlib
import os
import tempfile
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

from tipcap.errors import InputError
from tipcap.io.local_pages import HOST, listening, show, stopped_by_sigterm

_FIRST_PORT = 7860
"""gradio's own habit."""
_MAX_FILE_SIZE = "64mb"
_MAX_WORD_LENGTH = 60
_SESSION_SECONDS = 3600
_POLICY = (
    "default-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; "
    "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:"
)
_CSS = (Path(__file__).with_name("demo_page.css")).read_text("utf-8")
_EMPTY = '<p class="tipcap-note">Choose a picture: its captions come here.</p>'


class Shown(NamedTuple):
    """Pieces of HTML for the page."""

    captions: str
    driven: str
    near: str
    offered: Sequence[str]
    """Words to choose from."""
    picture: str = ""


@runtime_checkable
class Actions(Protocol):
    """What the page lets people do."""

    @property
    def takes_words(self) -> bool:
        """Whether words refine any caption."""
        ...

    def look(self, content: bytes, name: str) -> tuple[Any, Shown]:
        """Return what a session keeps of a picture, and what is shown; raises `InputError` for what is none."""
        ...

    def refine(self, seen: Any, words: Sequence[str], must_name: bool = True) -> Shown:
        """Return what is shown when a person names words."""
        ...


def check_gradio() -> None:
    """See whether gradio is there, without the second that importing it takes.

    Raises:
        InputError: it is not installed.
    """
    if find_spec("gradio") is None:
        raise InputError(
            'demo: expected gradio, found none; pip install "tipcap[demo]"'
        )


def build_page(
    actions: Actions, samples: Sequence[Path], error_html: Callable[[str], str]
) -> Any:
    """Return the page as gradio's blocks.

    Args:
        actions: what it does.
        samples: pictures that one may pick.
        error_html: a message as a piece of HTML.
    """
    import gradio as gr

    page = gr.Blocks(
        title="tipcap",
        analytics_enabled=False,
        delete_cache=(_SESSION_SECONDS, _SESSION_SECONDS),
    )
    with page:
        gr.HTML(
            "<h1>tipcap</h1><p>A caption for your picture, and a better one with a word. "
            "Your pictures stay on this machine.</p>"
        )
        seen = gr.State(None, time_to_live=_SESSION_SECONDS)
        with gr.Row(elem_id="tipcap-main"):
            with gr.Column(scale=2, min_width=280):
                file = gr.File(
                    label="Drop a picture here, or choose one",
                    type="filepath",
                    height=160,
                    elem_id="tipcap-file",
                )
                gallery = gr.Gallery(
                    [(str(sample), sample.stem) for sample in samples],
                    label="Or pick a sample",
                    columns=6,
                    height="auto",
                    object_fit="cover",
                    allow_preview=False,
                    interactive=False,
                    buttons=[],
                    elem_id="tipcap-samples",
                )
                problem = gr.HTML(elem_id="tipcap-problem")
                picture = gr.HTML(elem_id="tipcap-shown")
            with gr.Column(scale=3, min_width=280):
                captions = gr.HTML(_EMPTY, elem_id="tipcap-captions")
                with gr.Column(visible=False, elem_id="tipcap-words") as refining:
                    words = gr.CheckboxGroup(
                        [],
                        label="What is in the picture besides? Choose words that the captions lack",
                        elem_id="tipcap-offered",
                    )
                    with gr.Row():
                        own = gr.Textbox(
                            label="Or type your own",
                            placeholder="a word, or several with commas; then Enter",
                            max_lines=1,
                            max_length=_MAX_WORD_LENGTH,
                            scale=4,
                            min_width=180,
                            elem_id="tipcap-own",
                        )
                        add = gr.Button("Add", scale=1, min_width=80)
                    must_name = gr.Checkbox(
                        True,
                        label="Captions must name the words",
                        info="Off: as in the paper, where the captioner may leave them out.",
                        elem_id="tipcap-must",
                    )
                driven = gr.HTML(elem_id="tipcap-driven")
                near = gr.HTML(elem_id="tipcap-near")

        def look(content: bytes, name: str) -> dict[Any, Any]:
            try:
                state, shown = actions.look(content, name)
            except InputError as error:
                return {problem: error_html(str(error))}
            return {
                seen: state,
                problem: "",
                picture: shown.picture,
                captions: shown.captions,
                driven: shown.driven,
                near: shown.near,
                words: gr.CheckboxGroup(choices=list(shown.offered), value=[]),
                own: "",
                refining: gr.Column(visible=actions.takes_words),
            }

        def look_at_file(path: str | None) -> dict[Any, Any]:
            if path is None:
                return {problem: ""}
            return look(Path(path).read_bytes(), Path(path).name)

        # gradio hands over what was picked where an argument has this type
        def look_at_sample(event: gr.SelectData) -> dict[Any, Any]:
            sample = samples[int(event.index)]
            return look(sample.read_bytes(), sample.name)

        def refine(state: Any, chosen: list[str], must: bool) -> dict[Any, Any]:
            if state is None:
                return {
                    problem: error_html(
                        "expected a picture of this hour, found none; choose it again"
                    )
                }
            try:
                shown = actions.refine(state, chosen, must)
            except InputError as error:
                return {problem: error_html(str(error))}
            return {problem: "", captions: shown.captions, driven: shown.driven}

        def refine_by_own(
            state: Any, chosen: list[str], typed: str, must: bool
        ) -> dict[Any, Any]:
            named = [" ".join(word.split()) for word in typed.split(",")]
            every = list(dict.fromkeys((*chosen, *filter(None, named))))
            outcome = refine(state, every, must)
            if captions not in outcome:  # refused: the words that were chosen stay
                return outcome
            choices = list(dict.fromkeys((*state.offered, *every)))
            chosen_too = gr.CheckboxGroup(choices=choices, value=every)
            return outcome | {words: chosen_too, own: ""}

        # the captioners compute for one session after the other
        usual = {
            "concurrency_id": "captioners",
            "concurrency_limit": 1,
            "api_visibility": "private",
            "show_progress": "minimal",
        }
        outcome = [problem, captions, driven]
        everything = [seen, *outcome, picture, near, words, own, refining]
        file.change(look_at_file, file, everything, **usual)
        gallery.select(look_at_sample, None, everything, **usual)
        given = [seen, words, must_name]
        latest = {**usual, "trigger_mode": "always_last"}
        words.input(refine, given, outcome, **latest)
        must_name.input(refine, given, outcome, **latest)
        typed = [seen, words, own, must_name]
        own.submit(refine_by_own, typed, [*outcome, words, own], **usual)
        add.click(refine_by_own, typed, [*outcome, words, own], **usual)
    return page


def serve_page(
    make_page: Callable[[], Any],
    port: int | None,
    say: Callable[[str], None],
    opens_browser: bool,
) -> None:
    """Serve a page until somebody ends it.

    Args:
        make_page: returns gradio's blocks.
        port: of this machine; None: the first free one from 7860 on; 0: any.
        say: told the address.
        opens_browser: where this machine has a screen.

    Raises:
        InputError: the port is taken.
    """
    with (
        listening(port, _FIRST_PORT) as listener,
        tempfile.TemporaryDirectory(prefix="tipcap-demo-") as folder,
    ):
        # read when gradio is imported; copies of uploads go with the folder
        os.environ["GRADIO_TEMP_DIR"] = folder
        os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
        os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
        import gradio as gr
        import uvicorn
        from fastapi import FastAPI
        from starlette.middleware.trustedhost import TrustedHostMiddleware

        chosen = listener.getsockname()[1]
        app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
        gr.mount_gradio_app(
            app,
            make_page(),
            path="/",
            server_name=HOST,
            server_port=chosen,
            footer_links=[],
            run_history=False,
            show_error=False,
            max_file_size=_MAX_FILE_SIZE,
            ssr_mode=False,
            mcp_server=False,
            theme=_theme(gr),
            css=_CSS,
        )
        app.add_middleware(_OwnPagesOnly)
        # another name for this machine is a page elsewhere that reaches in
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"])
        address = f"http://{HOST}:{chosen}"
        say(f"{address} (Ctrl-C ends it)")
        if opens_browser:
            show(address)
        settings = uvicorn.Config(
            app, log_level="warning", timeout_graceful_shutdown=1, lifespan="on"
        )
        # uvicorn ends politely and then passes the signal on: the folder goes first
        with stopped_by_sigterm(), contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(settings).run(sockets=[listener])


class _OwnPagesOnly:
    """Tells the browser to load nothing from elsewhere."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def send_with_policy(message: Any) -> None:
            if message["type"] == "http.response.start":
                policy = (b"content-security-policy", _POLICY.encode())
                message["headers"] = [*message.get("headers", []), policy]
            await send(message)

        await self._app(scope, receive, send_with_policy)


def _theme(gr: Any) -> Any:
    """Return a theme with fonts that every machine has."""
    return gr.themes.Default(
        font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
    )
