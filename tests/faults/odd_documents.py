"""Hypothesis strategies: valid documents, tables, files, and what becomes of them."""

from __future__ import annotations

import copy
import json

from hypothesis import strategies as st

TEXTS = st.one_of(
    st.sampled_from(
        ["", "user", "item", "numeric", "categorical", "vocabulary", "hash", "int64"]
        + ["string", "float32", "t", "../x", "/etc", "\x00", "\u00fc", "007", "1e999"]
    ),
    st.text(max_size=12),
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 9),
    st.sampled_from([2**31, 2**53 + 1, 2**63 - 1, 2**63, -(2**63) - 1, 10**30]),
    st.floats(),
    TEXTS,
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)
    ),
    max_leaves=5,
)


def places(document):
    """Every container of a document with every key of it."""
    keys = document if isinstance(document, dict) else range(len(document))
    for key in keys:
        yield document, key
        if isinstance(document[key], (dict, list)):
            yield from places(document[key])


@st.composite
def changed(draw, documents):
    """One of the documents with up to three values replaced, lost, added or moved."""
    document = copy.deepcopy(draw(st.sampled_from(documents)))
    for _ in range(draw(st.integers(0, 3))):
        known = list(places(document))
        if not known:
            break
        container, key = draw(st.sampled_from(known))
        how = draw(st.sampled_from(["replace", "replace", "lose", "add", "move"]))
        if how == "replace":
            container[key] = draw(VALUES)
        elif how == "lose":
            del container[key]
        elif how == "move":
            other, place = draw(st.sampled_from(known))
            container[key] = (
                copy.deepcopy(other.get(place)) if isinstance(other, dict) else None
            )
        elif isinstance(container, dict):
            container[draw(TEXTS)] = draw(VALUES)
        else:
            container.append(draw(VALUES))
    return document


@st.composite
def written(draw, documents):
    """The bytes of a document as JSON, sometimes damaged."""
    text = json.dumps(draw(changed(documents)), ensure_ascii=draw(st.booleans()))
    how = draw(st.sampled_from(["whole", "whole", "whole", "deep", "twice", "damaged"]))
    if how == "deep":
        depth = draw(st.sampled_from([10, 199, 1000, 100_000]))
        text = text.replace("null", "[" * depth + "]" * depth, 1)
        text = text if draw(st.booleans()) else "[" * depth + text
    elif how == "twice":
        text = text.replace('{"', '{"name": 0, "', 1)
    content = text.encode("utf-8", "surrogatepass")
    return draw(damaged(content)) if how == "damaged" else content


@st.composite
def damaged(draw, content):
    """Bytes with some of them changed, cut off, put in or there twice."""
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(0, len(content) - 1)))
        how = draw(st.sampled_from(["change", "cut", "put in", "lose", "repeat"]))
        if how == "change" and content:
            bit = draw(st.integers(1, 255))
            content = content[:at] + bytes([content[at] ^ bit]) + content[at + 1 :]
        elif how == "cut":
            content = content[:at]
        elif how == "put in":
            content = content[:at] + draw(st.binary(max_size=8)) + content[at:]
        elif how == "lose":
            content = content[:at] + content[at + draw(st.integers(1, 8)) :]
        elif how == "repeat":
            content = content[:at] + content[at : at + 20] + content[at:]
    return content
