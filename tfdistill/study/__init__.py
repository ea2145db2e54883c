"""The study: problems, recipes that are trained on them, and how good nets are."""
