"""The classes of a slide in figures: how much of the tissue, how many, one against another."""

from __future__ import annotations

from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from napari_pathseg.gui.measuring import ClassSummary, SlideMeasures
from napari_pathseg.gui.messages import area
from napari_pathseg.gui.widgets.plots import Bar, Bars, short
from napari_pathseg.gui.widgets.tooltips import explain

TUMOR = ("tumor", "carcinoma", "neoplas", "malignant", "cancer")
STROMA = ("stroma", "connective", "desmoplas")


class SummaryBox(QWidget):
    """A bar for each class and the ratio of two."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.bars = Bars(self)
        explain(
            self.bars,
            "Area of each class, its part of the tissue in the fields that were looked at,"
            " and objects per mm² of that tissue",
        )
        self.first, self.second = narrow_box(self, 2), narrow_box(self, 2)
        explain(self.first, "Class above the line, such as tumor")
        explain(self.second, "Class below the line, such as stroma")
        self.ratio = QLabel(self)
        explain(self.ratio, "Area of the first class over that of the second, and its part of both")
        row = QHBoxLayout()
        row.addWidget(self.first, 1)
        row.addWidget(QLabel(":", self))
        row.addWidget(self.second, 1)
        row.addWidget(self.ratio, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.bars)
        layout.addLayout(row)
        self._measures: SlideMeasures | None = None
        for box in (self.first, self.second):
            box.currentTextChanged.connect(lambda _text: self._show_ratio())

    def show_measures(self, measures: SlideMeasures | None) -> None:
        """Show the figures of a slide, or that there are none."""
        self._measures = measures
        found = measures.classes if measures is not None else ()
        largest = max((c.area_px for c in found), default=0.0)
        self.bars.show_bars([_bar(c, largest) for c in found])
        names = [c.label_class.name for c in found]
        self._choices(self.first, names, TUMOR, 0)
        self._choices(self.second, names, STROMA, 1)
        for widget in (self.first, self.second, self.ratio):
            widget.setEnabled(len(names) > 1)
        self._show_ratio()

    def _choices(
        self, box: QComboBox, names: list[str], likely: tuple[str, ...], other: int
    ) -> None:
        """Keep what was chosen while it is there; else what the name suggests."""
        chosen = box.currentText()
        box.blockSignals(True)
        box.clear()
        box.addItems(names)
        guess = next((n for n in names if any(word in n.lower() for word in likely)), None)
        wanted = chosen if chosen in names else guess
        box.setCurrentIndex(names.index(wanted) if wanted else min(other, len(names) - 1))
        box.blockSignals(False)

    def _show_ratio(self) -> None:
        ratio = None
        if self._measures is not None:
            ratio = self._measures.ratio(self.first.currentText(), self.second.currentText())
        if ratio is None:
            self.ratio.setText("= –")
            return
        self.ratio.setText(f"= {short(ratio)} · {100 * ratio / (1 + ratio):.0f} %")


def _bar(found: ClassSummary, largest: float) -> Bar:
    share = "" if found.share is None else f" · {100 * found.share:.1f} %"
    density = "" if found.per_mm2 is None else f" · {short(found.per_mm2)}/mm²"
    text = f"{area(found.area_um2, round(found.area_px))}{share} · {found.objects:,}{density}"
    part = found.area_px / largest if largest else 0.0
    return Bar(found.label_class.name, found.label_class.color, part, text)


def narrow_box(parent: QWidget, letters: int = 5) -> QComboBox:
    """A box that shortens long choices rather than widening the panel."""
    box = QComboBox(parent)
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(letters)
    return box
