"""Tooltips that end with the key of what they tell of, whichever key that is now."""

from __future__ import annotations

from qtpy.QtWidgets import QWidget

from napari_pathseg.gui.keys import Keys

TEXT, ACTION = "pathseg_text", "pathseg_action"


def explain(widget: QWidget, text: str, action: str = "") -> None:
    """Give a control its tooltip.

    Parameters
    ----------
    widget : QWidget
    text : str
    action : str
        Name of the action in `keys.ACTIONS` whose key does the same, "" for none.
    """
    widget.setProperty(TEXT, text)
    widget.setProperty(ACTION, action)
    _show(widget, Keys())


def show_keys_in(root: QWidget, keys: Keys) -> None:
    """Show other keys in the tooltips of `root` and all that is in it."""
    for widget in (root, *root.findChildren(QWidget)):
        if widget.property(ACTION):
            _show(widget, keys)


def _show(widget: QWidget, keys: Keys) -> None:
    action = widget.property(ACTION)
    key = keys.shown(action) if action else ""
    widget.setToolTip(f"{widget.property(TEXT)} [{key}]" if key else widget.property(TEXT))
