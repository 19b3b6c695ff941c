"""Promise one-fails-alone, in time as well: who waits for one repository holds up no other."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from standin_rig import CANARY_TOKEN, a_github_rig, a_pair, answering
from test_github import make_app_keys

from keyrota_sandbox.providers.github import APP_ID
from keyrota_sandbox.server import Request, Response


@pytest.mark.parametrize("word", ["public-key", "installation"])
def test_a_repository_that_does_not_answer_holds_up_no_other(word: str) -> None:
    private, public = make_app_keys()
    with a_github_rig(app_key=public) as rig:
        rig.standin.add_repository("slow", "r0")
        real, hangs = type(rig.standin).__call__, threading.Event()

        def slow(request: Request) -> Response:
            if "slow" in request.segments and request.segments[-1] == word:
                hangs.wait()
            return real(rig.standin, request)

        auth = {"token": CANARY_TOKEN} if word == "public-key" else {"app_id": APP_ID, "private_key": private.decode()}
        connection = rig.connect(auth)
        with answering(rig, slow), ThreadPoolExecutor(2) as pool:
            stuck = pool.submit(connection.target({"repository": "slow/r0"}).write, a_pair())
            try:
                pool.submit(connection.target({"repository": "acme/shop"}).write, a_pair()).result(timeout=120)
                assert not stuck.done()
            finally:
                hangs.set()
            stuck.result(timeout=120)
