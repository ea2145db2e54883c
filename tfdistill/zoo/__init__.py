"""Recipes: which nets, which terms of distillation, which settings."""

from __future__ import annotations

from tfdistill.zoo.recall_from_lists import list_student
from tfdistill.zoo.unified_cascade import cascade

__all__ = ["cascade", "list_student"]
