"""Whatever the OpenAPI document lets in, and a good deal that it does not, is answered without a 500."""

from __future__ import annotations

import pytest

from crossrec.serve.bundle import Bundles
from crossrec.serve.engine import Engine
from crossrec.serve.limits import Limits
from crossrec.serve.store import open_store
from crossrec.testing.served import small_run

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")
hypothesis = pytest.importorskip("hypothesis", reason="hypothesis is not installed")
EXAMPLES = 10


@pytest.fixture(scope="module")
def schema(tmp_path_factory):
    from crossrec.serve.app import create_app
    from crossrec.serve.metrics import Metrics

    folder = tmp_path_factory.mktemp("fuzz")
    metrics = Metrics()
    engine = Engine(
        {"main": Bundles(small_run(folder / "run"))}, open_store(f"sqlite:{folder / 'events.db'}"), meter=metrics
    )
    yield schemathesis.openapi.from_asgi("/openapi.json", create_app(engine, metrics, Limits()))
    engine.close()


@pytest.mark.parametrize("mode", ["positive", "negative"])
def test_no_request_breaks_it(schema, mode):
    """``positive``: what the document lets in; ``negative``: what it does not."""
    settings = hypothesis.settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    asked = {}
    for found in schema.get_all_operations():
        operation = found.ok()
        strategy = operation.as_strategy(generation_mode=schemathesis.GenerationMode(mode))

        @settings
        @hypothesis.given(case=strategy)
        def ask(case):
            answer = case.call()
            asked.setdefault(case.operation.label, []).append(answer.status_code)
            assert answer.status_code < 500, answer.content
            documented = case.operation.definition.raw["responses"]
            assert str(answer.status_code) in documented or answer.status_code in (404, 405), answer.content
            if answer.status_code >= 400:
                assert answer.json()["error"].keys() == {"code", "message", "request"}

        try:
            ask()
        except hypothesis.errors.Unsatisfiable:
            assert mode == "negative", "what takes nothing cannot be asked wrongly, but rightly it can"
    assert len(asked) >= 5
    if mode == "positive":
        assert {200} <= set(asked["POST /recommend"]) | set(asked["GET /users"])
        assert len(asked) >= 10
