"""Python clients to ours. until phase 3 (MG4)"""

from __future__ import annotations

import inspect
import pkgutil

import pytest

from migrate.codemod.names import PY_EXCEPTIONS, PY_FUNCTIONS, PY_KEYWORDS

from .conftest import Rewrite, added, kinds

URL = "wss://chat.example.com/ws"


def test_a_module_with_its_exceptions(rewrite: Rewrite) -> None:
    """Everything of the library has an equivalent: its import is replaced in place."""
    done = rewrite(
        "a.py",
        f'''
        """Doc."""

        from __future__ import annotations

        import asyncio
        import websockets as w  # the client


        async def go():
            try:
                async with w.connect("{URL}", extra_headers={{"a": "b"}}) as ws:
                    await ws.send("x")
            except w.exceptions.ConnectionClosedError:
                pass
        ''',
    )
    assert added(done) == [
        "import sse_service.pyclient  # the client",
        f'        async with sse_service.pyclient.connect("{URL}", headers={{"a": "b"}}) as ws:',
        "    except sse_service.pyclient.ConnectionClosedError:",
    ]


def test_names_that_were_imported_keep_their_names(rewrite: Rewrite) -> None:
    """Only the import changes."""
    done = rewrite(
        "a.py",
        f"""
        from websockets.exceptions import ConnectionClosed
        from websockets.sync.client import connect as dial

        with dial("{URL}") as ws:
            ws.recv()
        """,
    )
    assert added(done) == [
        "from sse_service.pyclient import ConnectionClosed",
        "from sse_service.pyclient.sync import connect as dial",
    ]


def test_what_else_a_library_is_used_for_keeps_its_import(rewrite: Rewrite) -> None:
    """A server of the same package, another service's socket: ours is imported below, inside a function too."""
    done = rewrite(
        "a.py",
        f"""
        def go():
            import websockets

            websockets.serve(print, "localhost", 1)
            websockets.connect("wss://ws.kraken.com")
            return websockets.connect("{URL}")
        """,
    )
    assert done.text_after == (
        "def go():\n    import websockets\n    import sse_service.pyclient\n\n"
        '    websockets.serve(print, "localhost", 1)\n    websockets.connect("wss://ws.kraken.com")\n'
        f'    return sse_service.pyclient.connect("{URL}")\n'
    )


def test_websocket_client(rewrite: Rewrite) -> None:
    """create_connection is the synchronous connect; CRLF stays."""
    done = rewrite("a.py", f'import websocket\r\nws = websocket.create_connection("{URL}")\r\n'.encode())
    assert done.text_after == f'import sse_service.pyclient.sync\r\nws = sse_service.pyclient.sync.connect("{URL}")\r\n'


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (f"import websocket\nwebsocket.WebSocketApp('{URL}')\n", "no equivalent"),
        (f"import websockets\nwebsockets.connect('{URL}', compression=None)\n", "compression"),
        (f"import websockets\nwebsockets.connect('{URL}', **options)\n", "cannot be seen"),
        ("import websockets\nwebsockets.connect(url)\n", "--assume-ours"),
        (f"import websockets\nf = getattr(websockets, 'connect')\nf('{URL}')\n", "run time"),
        (
            f"import websockets\nasync def f():\n    async for w in websockets.connect('{URL}'):\n        pass\n",
            "async for",
        ),
    ],
)
def test_what_cannot_be_judged_is_left_with_a_hint(rewrite: Rewrite, code: str, reason: str) -> None:
    """One comment, not one other byte."""
    done = rewrite("a.py", code)
    assert kinds(done) == ["hint"]
    assert reason in done.changes[0].what
    (comment,) = added(done)
    assert done.text_after.replace(comment + "\n", "") == done.text_before


def test_a_reconnect_loop_is_marked(rewrite: Rewrite) -> None:
    """Above the loop, with its indentation."""
    done = rewrite(
        "a.py",
        f"""
        import asyncio
        import websockets

        async def go():
            while True:
                try:
                    await websockets.connect("{URL}")
                except OSError:
                    await asyncio.sleep(1)
        """,
    )
    assert kinds(done) == ["marked", "rewritten"]
    assert any(line.startswith("    # ws2sse: can go") for line in added(done))


def test_a_file_that_does_not_parse_is_left(rewrite: Rewrite) -> None:
    """Python 2, or half a file."""
    with pytest.raises(AssertionError, match="does not parse"):
        rewrite("a.py", f"import websockets\nprint 'x'\nwebsockets.connect('{URL}')\n")


def test_what_is_written_is_there() -> None:
    """Modules, functions, exceptions and arguments of the Python client, as it is."""
    for name in {*PY_FUNCTIONS.values(), *PY_EXCEPTIONS.values()}:
        assert callable(pkgutil.resolve_name(name)), name
    taken = inspect.signature(pkgutil.resolve_name("sse_service.pyclient.connect")).parameters
    assert set(PY_KEYWORDS.values()) <= taken.keys()


def test_both_imports_of_one_library_are_replaced(rewrite: Rewrite) -> None:
    """The path of one import is no use of the other: a library that is rewritten away may be uninstalled."""
    done = rewrite(
        "a.py",
        f"""
        import websockets
        from websockets.sync.client import connect


        async def go():
            async with websockets.connect("{URL}") as ws:
                await ws.send("x")


        def wait():
            with connect("{URL}") as ws:
                ws.recv(timeout=5)
        """,
    )
    assert added(done) == [
        "import sse_service.pyclient",
        "from sse_service.pyclient.sync import connect",
        f'    async with sse_service.pyclient.connect("{URL}") as ws:',
    ]
