"""The list of paths as a page: made from the OpenAPI document, without a script and without another server."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>crossrec: paths</title>
<link rel="stylesheet" href="/page/style.css">
</head>
<body>
<main>
"""


def docs_page(document: Mapping[str, Any]) -> str:
    """HTML of an OpenAPI document: every path with its fields, limits and answers."""
    parts = [HEAD, f"<h1>{_text(document['info']['title'])} {_text(document['info']['version'])}</h1>\n"]
    parts.append('<p>Machines read <a href="/openapi.json">openapi.json</a>.</p>\n')
    for path, methods in document["paths"].items():
        parts += [_operation(path, method, told) for method, told in methods.items()]
    parts.append("<h2>Models</h2>\n")
    parts += [_model(name, schema) for name, schema in document["components"]["schemas"].items()]
    return "".join([*parts, "</main>\n</body>\n</html>\n"])


def _operation(path: str, method: str, told: Mapping[str, Any]) -> str:
    parts = [
        f"<h2><code>{_text(method.upper())} {_text(path)}</code></h2>\n<p>{_text(told.get('description', ''))}</p>\n"
    ]
    rows = [
        (each["name"], _type(each["schema"]), "yes" if each.get("required") else _default(each["schema"]))
        for each in told.get("parameters", ())
    ]
    if rows:
        parts.append(_table(("parameter", "type", "required"), rows))
    body = told.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    if body:
        parts.append(f"<p>Body: {_type(body)}</p>\n")
    answers = [
        (status, _answer(answer), _text(answer.get("description", ""))) for status, answer in told["responses"].items()
    ]
    parts.append(_table(("status", "answer", "meaning"), answers))
    return "".join(parts)


def _model(name: str, schema: Mapping[str, Any]) -> str:
    needed = schema.get("required", ())
    rows = [
        (field, _type(told), "yes" if field in needed else _default(told), _text(told.get("description", "")))
        for field, told in schema.get("properties", {}).items()
    ]
    about = f'<h3 id="{_text(name)}"><code>{_text(name)}</code></h3>\n<p>{_text(schema.get("description", ""))}</p>\n'
    return about + _table(("field", "type", "required", "meaning"), rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    cells = "".join(f'<th scope="col">{name}</th>' for name in head)
    lines = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>\n" for row in rows)
    return f"<table>\n<thead><tr>{cells}</tr></thead>\n<tbody>\n{lines}</tbody>\n</table>\n"


def _answer(answer: Mapping[str, Any]) -> str:
    schema = answer.get("content", {}).get("application/json", {}).get("schema")
    return _type(schema) if schema else ""


def _type(schema: Mapping[str, Any]) -> str:
    """A type in a few words, with its limits."""
    if "$ref" in schema:
        name = _text(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(_type(each) for each in schema["anyOf"])
    limits = ("minLength", "maxLength", "minimum", "maximum", "minItems", "maxItems")
    said = ", ".join(f"{name} {schema[name]}" for name in limits if name in schema)
    name = _text(str(schema.get("type", "any")))
    if name == "array":
        name = f"list of {_type(schema.get('items', {}))}"
    return f"{name} ({_text(said)})" if said else name


def _default(schema: Mapping[str, Any]) -> str:
    return f"no ({_text(str(schema['default']))})" if schema.get("default") is not None else "no"


def _text(text: str) -> str:
    return html.escape(str(text))
