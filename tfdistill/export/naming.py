"""Names in a SavedModel: inputs as the columns are called, methods as served."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from tfdistill.names import safe_name

__all__ = ["name_signatures"]

_METHODS = {
    "classify": tf.compat.v1.saved_model.CLASSIFY_METHOD_NAME,
    "regress": tf.compat.v1.saved_model.REGRESS_METHOD_NAME,
}


def name_signatures(file: Path, names: Iterable[str]) -> None:
    """Writes into a SavedModel what `tf.saved_model.save` has no argument for.

    Inputs and signatures get their own names in place of safe ones: in the signatures,
    which servers read, and in the keywords of the functions that Python loads. Such a
    function takes both names, and says them: `structured_input_signature` has a
    column's name inside the `TensorSpec` of its safe name. The signatures for Classify
    and Regress get their methods.

    Args:
        file: The file `saved_model.pb`.
        names: Names of all inputs and signatures.
    """
    own = {safe_name(name, [name]): name for name in names}
    model = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    for graph in model.meta_graphs:
        for name, signature in graph.signature_def.items():
            signature.method_name = _METHODS.get(name, signature.method_name)
            _rename(signature.inputs, own)
        _rename(graph.signature_def, own)
        _name_arguments(graph.object_graph_def, own)
    file.write_bytes(model.SerializeToString())


def _rename(entries: Any, own: Mapping[str, str]) -> None:
    """Renames the keys of a map of messages."""
    for safe in own.keys() & entries.keys():
        entries[own[safe]].CopyFrom(entries.pop(safe))


def _name_arguments(objects: Any, own: Mapping[str, str]) -> None:
    """Renames the functions of the signatures and their keywords."""
    for node in objects.nodes:
        for child in node.children:
            child.local_name = own.get(child.local_name, child.local_name)
        if node.HasField("bare_concrete_function"):
            keywords = node.bare_concrete_function.argument_keywords
            keywords[:] = [own.get(keyword, keyword) for keyword in keywords]
    for function in objects.concrete_functions.values():
        for argument in function.canonicalized_input_signature.tuple_value.values:
            for safe, spec in argument.dict_value.fields.items():
                if safe in own:
                    spec.tensor_spec_value.name = own[safe]
