"""The pictures of a report: one file for each, and what they are drawn with."""
