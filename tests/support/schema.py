"""JSON Schema as the wire document uses it: validators made once, with what JSON Schema cannot say by itself.

Lengths are counted in UTF-16 units and, where a schema says `x-trimmed`, after trimming as JavaScript trims. A `oneOf` with a `discriminator`
is decided by that property alone. Items of an array that were found valid before are not looked at again.
"""
import json
import re

import jsonschema

BLANKS = "\t\n\v\f\r \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"
Draft = jsonschema.Draft202012Validator
seen_items = set()
MOST_SEEN = 200_000


def trim(text):
    return text.strip(BLANKS)


def utf16_length(text):
    return len(text) + sum(c > "\uffff" for c in text)


def compiled(pattern, cache={}):
    """An ECMAScript pattern: `$` is the end of the text, digits are ASCII."""
    if pattern not in cache:
        cache[pattern] = re.compile(pattern[:-1] + r"\Z" if pattern.endswith("$") and not pattern.endswith(r"\$") else pattern, re.ASCII)
    return cache[pattern]


def subject(text, schema):
    return trim(text) if schema.get("x-trimmed") else text


def min_length(validator, limit, instance, schema):
    if isinstance(instance, str) and utf16_length(subject(instance, schema)) < limit:
        yield jsonschema.ValidationError(f"{instance!r} is shorter than {limit}")


def max_length(validator, limit, instance, schema):
    if isinstance(instance, str) and utf16_length(subject(instance, schema)) > limit:
        yield jsonschema.ValidationError(f"{instance[:80]!r}... is longer than {limit}")


def pattern(validator, wanted, instance, schema):
    if isinstance(instance, str) and not compiled(wanted).search(subject(instance, schema)):
        yield jsonschema.ValidationError(f"{instance[:200]!r} does not match {wanted!r}")


def one_of(validator, options, instance, schema):
    discriminator = schema.get("discriminator")
    if not discriminator:
        yield from Draft.VALIDATORS["oneOf"](validator, options, instance, schema)
        return
    name = discriminator["propertyName"]
    value = instance.get(name) if isinstance(instance, dict) else None
    if not isinstance(value, str) or value not in discriminator["mapping"]:
        yield jsonschema.ValidationError(f"{name} is {value!r}: want one of {sorted(discriminator['mapping'])}")
    else:
        yield from validator.descend(instance, discriminator["mapping"][value])


def items(validator, schema_of_items, instance, schema):
    if not isinstance(instance, list):
        return
    if len(seen_items) > MOST_SEEN:
        seen_items.clear()
    for index, item in enumerate(instance):
        if not isinstance(item, dict):
            yield from validator.descend(item, schema_of_items, path=index)
            continue
        key = hash((id(schema_of_items), json.dumps(item)))
        if key in seen_items:
            continue
        errors = list(validator.descend(item, schema_of_items, path=index))
        if not errors:
            seen_items.add(key)
        yield from errors


Validator = jsonschema.validators.extend(Draft, {
    "minLength": min_length, "maxLength": max_length, "pattern": pattern, "oneOf": one_of, "items": items})


def problems(validator, instance):
    """What does not fit, one line each, with the place."""
    return [f"{'/'.join(map(str, e.absolute_path)) or 'value'}: {e.message[:300]}" for e in validator.iter_errors(instance)]


def resolve(document):
    """The document with every local `$ref` replaced by what it names (shared, not copied). Raises KeyError when it names nothing."""
    done = {}

    def target(reference):
        node = document
        for step in reference.removeprefix("#/").split("/"):
            node = node[step.replace("~1", "/").replace("~0", "~")]
        return node

    def visit(node):
        if isinstance(node, list):
            return [visit(item) for item in node]
        if not isinstance(node, dict):
            return node
        reference = node.get("$ref")
        if isinstance(reference, str):
            if reference not in done:
                done[reference] = visit(target(reference))
            return {**done[reference], **{k: visit(v) for k, v in node.items() if k != "$ref"}} if len(node) > 1 else done[reference]
        result = {key: visit(value) for key, value in node.items()}
        if isinstance(node.get("discriminator"), dict):
            result["discriminator"] = {"propertyName": node["discriminator"]["propertyName"],
                                       "mapping": {k: visit({"$ref": v}) for k, v in node["discriminator"]["mapping"].items()}}
        return result

    return visit(document)
