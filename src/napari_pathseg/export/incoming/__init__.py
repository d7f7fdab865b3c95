"""Labels come in: any file of labels becomes editable fields of a slide."""
