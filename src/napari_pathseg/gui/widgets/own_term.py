"""A small window for a term of one's own."""

from __future__ import annotations

from qtpy.QtWidgets import (
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QDoubleSpinBox,
    QFormLayout,
    QLineEdit,
    QWidget,
)

from napari_pathseg.classes import STRUCTURES, UNSPECIFIED, Term
from napari_pathseg.vocabulary import Entry, Vocabulary

NONE = "none"


class OwnTermDialog(QDialog):
    """Asks for name, structure, wider term, synonyms, resolution and definition.

    Parameters
    ----------
    vocabulary : Vocabulary
    wider : Entry or None
        Offered as the wider term.
    parent : QWidget, optional
    """

    def __init__(
        self, vocabulary: Vocabulary, wider: Entry | None, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._vocabulary = vocabulary
        self.setWindowTitle("A term of your own")
        self.name, self.synonyms, self.definition = (QLineEdit(self) for _ in range(3))
        self.name.setToolTip("What it is called, such as: elastic lamina")
        self.synonyms.setToolTip("Other names, with commas between them")
        self.definition.setToolTip("One sentence: shown as a tooltip")
        self.structure = QComboBox(self)
        self.structure.addItems(STRUCTURES)
        self.structure.setToolTip("Whether tissue, whole cells or nuclei are outlined")
        self.wider = QComboBox(self)
        self.wider.addItems([NONE, *sorted(entry.name for entry in vocabulary.entries)])
        self.wider.setToolTip("The term that this one is a kind of")
        self.mpp = QDoubleSpinBox(self)
        self.mpp.setRange(0.05, 50)
        self.mpp.setSingleStep(0.25)
        self.mpp.setValue(1.0)
        self.mpp.setToolTip("Micrometres per pixel at which it is seen")
        if wider is not None:
            self.wider.setCurrentText(wider.name)
            self.structure.setCurrentText(wider.term.structure)
            self.mpp.setValue(wider.mpp)
        self._lay_out()

    def _lay_out(self) -> None:
        form = QFormLayout(self)
        for label, field in (
            ("name", self.name),
            ("structure", self.structure),
            ("wider term", self.wider),
            ("also called", self.synonyms),
            ("what it is", self.definition),
            ("µm/px", self.mpp),
        ):
            form.addRow(label, field)
        buttons = QDialogButtonBox(
            QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel, self
        )
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        accept = buttons.button(QDialogButtonBox.StandardButton.Ok)
        assert accept is not None
        accept.setEnabled(False)
        self.name.textChanged.connect(lambda text: accept.setEnabled(bool(text.strip())))
        form.addRow(buttons)

    def entry(self) -> Entry:
        """The term as it was typed."""
        name = self.name.text().strip()
        wider = self.wider.currentText()
        synonyms = (text.strip().lower() for text in self.synonyms.text().split(","))
        return Entry(
            Term(UNSPECIFIED, self.structure.currentText(), name),
            tuple(dict.fromkeys(text for text in synonyms if text)),
            self.definition.text().strip(),
            None if wider == NONE else wider,
            (),
            self.mpp.value(),
            self._vocabulary.color(name),
        )
