"""The shape of an OpenAPI 3.1 document, as far as ours uses it; everything else is closed. Schemas are judged by JSON Schema's own meta schema."""
import jsonschema

TEXT, WORDS, ANY = {"type": "string", "minLength": 1}, {"type": "array", "items": {"type": "string"}}, {}
SCHEMA = {"type": "object"}


def closed(required, optional=None):
    return {"type": "object", "required": list(required), "additionalProperties": False, "patternProperties": {"^x-": ANY},
            "properties": {**required, **(optional or {})}}


def table(values, names=".+"):
    return {"type": "object", "patternProperties": {f"^({names})$": values}, "additionalProperties": False}


def or_ref(what):
    return {"if": {"type": "object", "required": ["$ref"]}, "then": closed({"$ref": {"type": "string", "pattern": "^#/components/"}}, {"description": TEXT}), "else": what}


EXAMPLES = {"example": ANY, "examples": table(closed({"value": ANY}, {"summary": TEXT}))}
MEDIA = closed({"schema": SCHEMA}, EXAMPLES)
HEADER = closed({"description": TEXT, "schema": SCHEMA}, {"required": {"type": "boolean"}})
PARAMETER = closed({"name": TEXT, "in": {"enum": ["path", "query", "header"]}, "description": TEXT, "schema": SCHEMA},
                   {"required": {"type": "boolean"}, **EXAMPLES})
RESPONSE = closed({"description": TEXT}, {"headers": table(or_ref(HEADER)), "content": table(MEDIA)})
BODY = closed({"content": table(MEDIA)}, {"required": {"type": "boolean"}, "description": TEXT})
RESPONSES = {**table(or_ref(RESPONSE), "[1-5][0-9][0-9]"), "minProperties": 1}
PARAMETERS = {"type": "array", "items": or_ref(PARAMETER)}
OPERATION = closed({"operationId": TEXT, "summary": TEXT, "responses": RESPONSES},
                   {"description": TEXT, "tags": WORDS, "parameters": PARAMETERS, "requestBody": or_ref(BODY), "security": {"type": "array", "items": table(WORDS)}})
PATH = closed({}, {"parameters": PARAMETERS, "get": OPERATION, "head": OPERATION, "post": OPERATION, "put": OPERATION, "delete": OPERATION, "patch": OPERATION})
DOCUMENT = closed(
    {"openapi": {"type": "string", "pattern": r"^3\.1\.\d+$"},
     "info": closed({"title": TEXT, "version": TEXT}, {"description": TEXT, "license": closed({"name": TEXT}, {"identifier": TEXT})}),
     "paths": table(PATH, "/.*")},
    {"servers": {"type": "array", "items": closed({"url": TEXT})}, "security": {"type": "array", "items": table(WORDS)},
     "tags": {"type": "array", "items": closed({"name": TEXT}, {"description": TEXT})},
     "components": closed({}, {"schemas": table(SCHEMA, r"[A-Za-z0-9._-]+"), "responses": table(RESPONSE), "parameters": table(PARAMETER), "headers": table(HEADER),
                               "requestBodies": table(BODY), "securitySchemes": table(closed({"type": {"const": "http"}, "scheme": {"const": "bearer"}}, {"description": TEXT}))})})


def shape_problems(document):
    validator = jsonschema.Draft202012Validator(DOCUMENT)
    return [f"{'/'.join(map(str, e.absolute_path))}: {e.message[:200]}" for e in validator.iter_errors(document)]
