"""Curves of event files without end."""

from __future__ import annotations

from gdframe.runs import event_reader
from gdframe.runs.event_file import EventFile


def test_curves_without_end_are_cut(tmp_path, monkeypatch):
    monkeypatch.setattr(event_reader, "MOST_CURVES", 3)
    monkeypatch.setattr(event_reader, "MOST_POINTS", 10)
    for tags, expected in ((["a", "b", "c", "d"], 3), (["a"] * 30, 1)):
        path = tmp_path / str(expected)
        file = EventFile(path.open("wb"), is_new=True)
        for step, tag in enumerate(tags):
            file.scalars({tag: 1.0}, step)
        file.close()
        damages: list[str] = []
        curves = event_reader.read_curves([path], damages)
        assert len(curves) == expected
        assert sum(len(x) for x, _ in curves.values()) <= 10
        assert "the first are used" in damages[0]
