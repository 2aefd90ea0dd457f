#!/usr/bin/env python3
"""Turns openapi/openapi.yaml into JSON, or into a C++ source that holds the JSON.

usage: openapi_json.py IN.yaml OUT.json|OUT.cpp

YAML is read as version 1.2 has it: dates and words like `on` stay text. A key that occurs twice is an error.
"""
import json
import pathlib
import re
import sys

import yaml


class Loader(yaml.SafeLoader):
    def construct_mapping(self, node, deep=False):
        seen = set()
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                continue
            name = self.construct_object(key, deep=True)
            if name in seen:
                raise yaml.constructor.ConstructorError(None, None, f"the key {name!r} occurs twice", key.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep)


Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag.rsplit(":", 1)[1] not in ("timestamp", "bool", "int")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()}
Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))
Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile("^[-+]?[0-9]+$"), list("-+0123456789"))
Loader.add_constructor("tag:yaml.org,2002:int", lambda loader, node: int(loader.construct_scalar(node)))


def to_json(text):
    return json.dumps(yaml.load(text, Loader), ensure_ascii=False, separators=(",", ":"))


def to_source(document):
    if ')OPENAPI"' in document:
        raise SystemExit("openapi_json: the document holds the end of a raw string")
    pieces = [document[i:i + 8000] for i in range(0, len(document), 8000)]
    literal = "\n".join(f'    R"OPENAPI({piece})OPENAPI"' for piece in pieces)
    return ('#include "api/openapi.h"\n\nnamespace agentrouter::api {\n\nstd::string_view openapi_document() {\n'
            f"  static constexpr char text[] =\n{literal};\n  return {{text, sizeof text - 1}};\n}}\n\n}}  // namespace agentrouter::api\n")


def main():
    source, target = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    try:
        document = to_json(source.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise SystemExit(f"openapi_json: {source}: {error}")
    target.write_text(document + "\n" if target.suffix == ".json" else to_source(document), encoding="utf-8")


if __name__ == "__main__":
    main()
