"""Node.js functions (CL6): CommonJS and ES modules, promises and callbacks, console, errors as AWS shapes them.
until phase 3
"""

import shutil

import pytest
from local_aws_support import RunningLocalAws, wait_for

pytestmark = pytest.mark.integration

COMMONJS = """
exports.handler = async (event, context) => {
  console.log('got', event, 'in', context.functionName);
  if (event.fail) throw new TypeError('no ' + event.fail);
  if (event.stray) { Promise.reject(new Error('stray')); await new Promise((r) => setTimeout(r, 2000)); }
  return { ...event, left: context.getRemainingTimeInMillis() > 0, region: process.env.AWS_REGION };
};
exports.callback = (event, context, callback) => {
  setTimeout(() => callback(event.fail ? new Error('by callback') : null, { by: 'callback' }), 20);
};
exports.nothing = () => {};
"""
MODULE = """
import { readFileSync } from 'node:fs';
const size = await Promise.resolve(readFileSync(new URL(import.meta.url)).length);
export const handler = async (event) => ({ size: size > 0 });
"""


@pytest.fixture(scope="module")
def node_aws(shared_local_aws: RunningLocalAws) -> RunningLocalAws:
    assert shutil.which("node"), "Node.js is part of the development environment"
    node = {"Runtime": "nodejs20.x"}
    shared_local_aws.create("node-cjs", {"index.js": COMMONJS}, Handler="index.handler", **node)
    shared_local_aws.create("node-callback", {"index.js": COMMONJS}, Handler="index.callback", **node)
    shared_local_aws.create("node-nothing", {"index.js": COMMONJS}, Handler="index.nothing", **node)
    shared_local_aws.create("node-esm", {"src/app.mjs": MODULE}, Handler="src/app.handler", **node)
    shared_local_aws.create(
        "node-typed", {"index.js": MODULE, "package.json": '{"type": "module"}'}, Handler="index.handler", **node
    )
    shared_local_aws.create("node-missing", {"index.js": COMMONJS}, Handler="index.nobody", **node)
    shared_local_aws.create("node-import", {"index.js": "require('not-there')"}, Handler="index.handler", **node)
    return shared_local_aws


def test_commonjs_handler_and_its_console(node_aws: RunningLocalAws) -> None:
    answer, error = node_aws.invoke("node-cjs", {"a": 1})
    assert (answer, error) == ({"a": 1, "left": True, "region": "ap-northeast-1"}, None)
    lines = wait_for(lambda: [m for m in node_aws.messages("node-cjs") if "got" in m])
    _, request_id, level, text = lines[0].split("\t")
    assert (len(request_id), level, text) == (36, "INFO", "got { a: 1 } in node-cjs")


def test_node_exception_has_the_shape_of_aws(node_aws: RunningLocalAws) -> None:
    answer, error = node_aws.invoke("node-cjs", {"fail": "way"})
    assert (error, answer["errorType"], answer["errorMessage"]) == ("Unhandled", "TypeError", "no way")
    assert answer["trace"][0] == "TypeError: no way"


def test_unhandled_rejection_ends_the_process(node_aws: RunningLocalAws) -> None:
    answer, error = node_aws.invoke("node-cjs", {"stray": True})
    assert (error, answer["errorType"]) == ("Unhandled", "Runtime.UnhandledPromiseRejection")
    assert node_aws.invoke("node-cjs", {})[1] is None


def test_callback_handler(node_aws: RunningLocalAws) -> None:
    assert node_aws.invoke("node-callback", {}) == ({"by": "callback"}, None)
    answer, error = node_aws.invoke("node-callback", {"fail": True})
    assert (error, answer["errorMessage"]) == ("Unhandled", "by callback")


def test_handler_that_answers_nothing(node_aws: RunningLocalAws) -> None:
    assert node_aws.invoke("node-nothing", {}) == (None, None)


@pytest.mark.parametrize("name", ["node-esm", "node-typed"])
def test_es_modules(node_aws: RunningLocalAws, name: str) -> None:
    assert node_aws.invoke(name, {}) == ({"size": True}, None)


@pytest.mark.parametrize(
    ("name", "error_type"),
    [("node-missing", "Runtime.HandlerNotFound"), ("node-import", "Runtime.ImportModuleError")],
)
def test_node_initialisation_errors(node_aws: RunningLocalAws, name: str, error_type: str) -> None:
    answer, error = node_aws.invoke(name, {})
    assert (error, answer["errorType"]) == ("Unhandled", error_type)
