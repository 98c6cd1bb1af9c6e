"""A part of the report: how to read it, its pictures, its tables."""

from dataclasses import dataclass

from orchestrator.answers.section import Section
from orchestrator.pictures.drawing import Picture


@dataclass(frozen=True)
class Group:
    """Pictures that stand beside one another, with what they have in common."""

    caption: str
    pictures: tuple[Picture, ...]


@dataclass(frozen=True)
class Chapter:
    """`read`: sentences that stand above everything else; tables come next, then pictures. One without either says why
    there is nothing."""

    title: str
    read: tuple[str, ...]
    groups: tuple[Group, ...] = ()
    sections: tuple[Section, ...] = ()
